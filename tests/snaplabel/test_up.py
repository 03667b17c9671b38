"""`snaplabel up`: one per home, with a private Redis, and nothing left behind however it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from snaplabel import home, redis_server, up
from snaplabel.errors import SettingsError, SnaplabelError
from snaplabel.queue import socket_path
from snaplabel.settings import Settings, read

ROOT = Path(__file__).parents[2]


def _until(claim: Callable[[], bool], within_s: float, why: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, f"it did not come true in time. {why()}"
        time.sleep(0.05)


def test_the_programs_start_in_order_and_know_every_setting(settings: Settings) -> None:
    home.make(settings)
    settings = replace(settings, telegram_token="123:abc", web_port=9999)

    programs = up.programs(settings)

    assert [program.name for program in programs] == ["redis", "worker", "trainer", "bot"]
    assert programs[-1].command[-3:] == ("bot", "telegram", "web")
    assert programs[-1].environment is not None
    ours = {name: value for name, value in programs[-1].environment.items() if name.startswith("SNAPLABEL_")}
    assert read(ours, Path("/nowhere/.env")) == settings


def test_with_a_broker_of_ones_own_no_redis_is_started(settings: Settings) -> None:
    programs = up.programs(replace(settings, broker_url="redis://somewhere/0"))

    assert [program.name for program in programs] == ["worker", "trainer", "bot"]


def test_a_port_that_is_taken_is_said_before_anything_starts(settings: Settings) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(SnaplabelError, match=f"Port {port} is taken"):
            up.run(settings, port=port)


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SnaplabelError, match="can't be made"):
        up.run(read({"SNAPLABEL_HOME": str(tmp_path / "file" / "home")}, tmp_path / "no.env"))


@pytest.mark.real
@pytest.mark.parametrize("depth", [1, 12])
def test_the_private_redis_answers_on_its_socket_only(tmp_path: Path, depth: int) -> None:
    # A deep home's own path would be too long for a Unix socket.
    folder = tmp_path.joinpath(*["a-long-name"] * depth)
    settings = read({"SNAPLABEL_HOME": str(folder)}, tmp_path / "no.env")
    home.make(settings)
    process = subprocess.Popen(redis_server.command(settings), env={})

    try:
        _until(lambda: redis_server.answers(socket_path(settings)), 10)
        assert socket_path(settings).stat().st_mode & 0o777 == 0o700
        assert socket_path(settings).parent.stat().st_mode & 0o077 == 0
    finally:
        process.terminate()
        process.wait(10)
    assert not redis_server.answers(socket_path(settings))


def test_a_socket_folder_of_somebody_elses_is_refused(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.make(settings)
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").symlink_to(tmp_path / "mine")
    monkeypatch.setattr(redis_server, "socket_path", lambda _settings: tmp_path / "theirs" / "redis.sock")

    with pytest.raises(SettingsError, match="belongs to somebody else"):
        redis_server.command(settings)


class Running:
    """A real `snaplabel up` in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.log = folder / "log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SNAPLABEL_")},
            "SNAPLABEL_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
        }
        if weights := os.environ.get("SNAPLABEL_WEIGHTS"):
            self.environment["SNAPLABEL_WEIGHTS"] = weights
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snaplabel", "up", "--port", "0"],
                env=self.environment,
                cwd=folder,
                stdout=log,
                stderr=log,
            )

    def text(self) -> str:
        return self.log.read_text()

    def until(self, pattern: str, within_s: float = 60) -> None:
        _until(lambda: re.search(pattern, self.text()) is not None, within_s, self.text)

    def children(self) -> dict[str, int]:
        """Name of each program to its process id, asked of the kernel."""
        found = {}
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            if "redis-server" in words[0]:
                found["redis"] = int(child)
            elif "snaplabel" in words:
                found[words[words.index("snaplabel") + 1]] = int(child)
        return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.real
@linux_only
def test_up_answers_heals_refuses_a_second_and_ends_clean(running: Running) -> None:
    running.until(r"snaplabel is up. The chat: http://\S+/door#\S+")
    children = running.children()
    assert set(children) >= {"redis", "worker", "bot"}

    # A worker that is killed comes back.
    os.kill(children["worker"], signal.SIGKILL)
    running.until("worker was ended by SIGKILL; it starts again in 0.5 s")
    _until(lambda: running.children().get("worker", children["worker"]) != children["worker"], 60)

    # So does the Redis.
    os.kill(children["redis"], signal.SIGKILL)
    running.until("redis was ended by SIGKILL")
    _until(lambda: redis_server.answers(running.home / "redis.sock"), 60)

    # A second one is refused, in a sentence that names the first.
    second = subprocess.run(
        [sys.executable, "-m", "snaplabel", "up"],
        env=running.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"process {running.process.pid}" in second.stderr

    # Ctrl-C ends it in order, and nothing stays.
    children = running.children()
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0, running.text()
    assert not any(map(_is_alive, children.values()))
    ends = re.findall(r"(\w+) has ended", running.text())
    assert [name for name in ends if name != "trainer"] == ["bot", "worker", "redis"]
    assert running.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.real
@linux_only
def test_a_killed_up_takes_everything_with_it_and_can_be_started_again(running: Running, tmp_path: Path) -> None:
    running.until("snaplabel is up")
    children = running.children()

    running.process.kill()
    running.process.wait()

    _until(lambda: not any(map(_is_alive, children.values())), 10)
    again = Running(tmp_path)
    try:
        again.until("snaplabel is up")
    finally:
        again.process.send_signal(signal.SIGTERM)
        assert again.process.wait(60) == 0, again.text()
