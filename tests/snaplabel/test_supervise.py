"""The supervisor, with real little programs: they come back, end in order, and never outlive their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snaplabel.errors import SnaplabelError
from snaplabel.supervise import Patience, Program, Supervisor

ROOT = Path(__file__).parents[2]
QUICK = Patience(first_s=0.05, longest_s=0.2, steady_after_s=60)
# Writes down that it lives, and that it was asked to end.
GOOD = """
import pathlib, signal, sys, time
diary, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def leave(*_):
    with diary.open("a") as file: file.write(f"{name} ends\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
with diary.open("a") as file: file.write(f"{name} begins\\n")
while True: time.sleep(0.02)
"""
DEAF = GOOD.replace("sys.exit(0)", "pass")


def _program(code: str, diary: Path, name: str, grace_s: float = 5.0) -> Program:
    return Program(name, (sys.executable, "-S", "-c", code, str(diary), name), grace_s=grace_s)


@contextmanager
def _running(supervisor: Supervisor) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        supervisor.hurry.set()
        supervisor.stop.set()
        thread.join(20)


def _until(claim: Callable[[], bool], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def _lines(diary: Path) -> list[str]:
    return diary.read_text().splitlines() if diary.exists() else []


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_program_that_is_killed_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    diary = tmp_path / "diary"
    supervisor = Supervisor([_program(GOOD, diary, "worker")], QUICK)

    with _running(supervisor):
        _until(lambda: len(_lines(diary)) == 1)
        first = supervisor.pids()["worker"]
        os.kill(first, signal.SIGKILL)
        _until(lambda: len(_lines(diary)) == 2)

    assert _lines(diary)[:2] == ["worker begins", "worker begins"]
    assert "worker was ended by SIGKILL; it starts again in 0.05 s" in caplog.text


def test_a_program_that_keeps_failing_is_started_less_and_less_often(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor([Program("bot", (sys.executable, "-S", "-c", "raise SystemExit(3)"))], QUICK)

    with _running(supervisor):
        _until(lambda: caplog.text.count("bot ended with exit code 3") >= 4)

    waits = [record.args[2] for record in caplog.records if isinstance(record.args, tuple) and len(record.args) == 3]
    assert waits[:4] == [0.05, 0.1, 0.2, 0.2]


def test_a_program_that_lived_long_enough_starts_again_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    diary = tmp_path / "diary"
    patience = Patience(first_s=0.05, longest_s=10, steady_after_s=0.0)
    supervisor = Supervisor([_program(GOOD, diary, "worker")], patience)

    with _running(supervisor):
        for times in range(1, 4):
            _until(lambda times=times: len(_lines(diary)) == times)  # type: ignore[misc]
            os.kill(supervisor.pids()["worker"], signal.SIGKILL)
        _until(lambda: len(_lines(diary)) == 4)

    assert caplog.text.count("it starts again in 0.05 s") == 3


def test_a_program_that_is_not_there_does_not_stop_the_others(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    supervisor = Supervisor([Program("none", ("/no/such/program",)), _program(GOOD, diary, "worker")], QUICK)

    with _running(supervisor):
        _until(lambda: _lines(diary) == ["worker begins"])


def test_programs_end_in_the_reverse_order_one_after_the_other(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    supervisor = Supervisor([_program(GOOD, diary, name) for name in ("redis", "worker", "bot")], QUICK)

    with _running(supervisor) as thread:
        _until(lambda: len(_lines(diary)) == 3)
        supervisor.stop.set()
        thread.join(10)
        assert not thread.is_alive()

    assert _lines(diary)[3:] == ["bot ends", "worker ends", "redis ends"]


def test_a_program_that_will_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    supervisor = Supervisor([_program(DEAF, diary, "worker", grace_s=0.3)], QUICK)

    with _running(supervisor) as thread:
        _until(lambda: len(_lines(diary)) == 1)
        pid = supervisor.pids()["worker"]
        supervisor.stop.set()
        thread.join(10)

    assert _lines(diary) == ["worker begins", "worker ends"]
    assert not _is_alive(pid)


def test_hurry_kills_without_waiting(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    supervisor = Supervisor([_program(DEAF, diary, "worker", grace_s=60)], QUICK)

    with _running(supervisor) as thread:
        _until(lambda: len(_lines(diary)) == 1)
        supervisor.stop.set()
        supervisor.hurry.set()
        thread.join(5)
        assert not thread.is_alive()


def test_what_a_program_started_itself_ends_with_it(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    supervisor = Supervisor([_program(code, diary, "trainer")], QUICK)

    with _running(supervisor) as thread:
        _until(lambda: bool(_lines(diary)))
        grandchild = int(_lines(diary)[0])
        assert _is_alive(grandchild)
        supervisor.stop.set()
        thread.join(10)

    _until(lambda: not _is_alive(grandchild))


def test_the_next_program_waits_until_the_one_before_is_ready(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    ready = threading.Event()
    redis = Program(
        "redis", (sys.executable, "-S", "-c", GOOD, str(diary), "redis"), is_ready=ready.is_set, ready_within_s=10
    )
    supervisor = Supervisor([redis, _program(GOOD, diary, "worker")], QUICK)

    with _running(supervisor):
        _until(lambda: _lines(diary) == ["redis begins"])
        time.sleep(0.2)
        assert "worker" not in supervisor.pids()
        ready.set()
        _until(lambda: _lines(diary) == ["redis begins", "worker begins"])


def test_a_program_that_never_gets_ready_ends_everything(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    redis = Program(
        "redis", (sys.executable, "-S", "-c", GOOD, str(diary), "redis"), is_ready=lambda: False, ready_within_s=0.5
    )

    with pytest.raises(SnaplabelError, match="redis did not get ready"):
        Supervisor([redis]).run()

    assert _lines(diary) in ([], ["redis begins", "redis ends"])


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ties a child to its parent's life; others can't")
def test_programs_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    code = (
        "import sys; from snaplabel.supervise import Program, Supervisor\n"
        "Supervisor([Program(name, (sys.executable, '-S', '-c', sys.argv[1], sys.argv[2], name))"
        " for name in ('redis', 'worker')]).run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, DEAF, str(diary)], env={"PYTHONPATH": str(ROOT)})
    _until(lambda: len(_lines(diary)) == 2)
    children = [int(pid) for pid in _children_of(parent.pid)]
    assert len(children) == 2

    parent.kill()
    parent.wait()

    _until(lambda: not any(map(_is_alive, children)), within_s=5)


def _children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
