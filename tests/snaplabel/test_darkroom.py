"""Photos developed in processes of their own: as good as at home, and a hostile one ends in a reason."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from snaplabel import images
from snaplabel.darkroom import TRIES, Darkroom
from snaplabel.errors import ImageError

pytestmark = pytest.mark.real

# A process like the real one, but for what stands in the first line.
CHILD = "from snaplabel import darkroom, images\n{}\ndarkroom.main()"


def photo(seed: int = 0, width: int = 300) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, width), (seed * 17 % 255, 90, 200)).save(out, "PNG")
    return out.getvalue()


@contextmanager
def darkroom(first: str = "", wall_s: float = 60.0) -> Iterator[Darkroom]:
    room = Darkroom((sys.executable, "-c", CHILD.format(first)), wall_s=wall_s)
    try:
        yield room
    finally:
        room.close()


def test_it_makes_of_a_photo_what_would_have_been_made_of_it_at_home() -> None:
    with darkroom() as room:
        assert room.prepare(photo()) == images.prepare(photo())


def test_it_refuses_with_the_same_reason_and_goes_on() -> None:
    with darkroom() as room:
        with pytest.raises(ImageError) as caught:
            room.prepare(b"%PDF")

        assert caught.value.reason == "no-photo"
        assert room.prepare(photo()).width == 300


def test_many_at_once_get_their_own_photo_each() -> None:
    found: dict[int, images.Prepared] = {}

    def develop(seed: int) -> None:
        found[seed] = room.prepare(photo(seed))

    with darkroom() as room:
        threads = [threading.Thread(target=develop, args=(seed,), daemon=True) for seed in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert found == {seed: images.prepare(photo(seed)) for seed in range(12)}


def test_a_photo_that_kills_its_process_is_tried_twice_and_then_refused(tmp_path: Path) -> None:
    die = f"import os; open({str(tmp_path / 'starts')!r}, 'a').write('x'); images.prepare = lambda data: os.abort()"
    with darkroom(die) as room, pytest.raises(ImageError) as caught:
        room.prepare(photo())

    assert caught.value.reason == "too-hard"
    assert (tmp_path / "starts").read_text() == "x" * TRIES


def test_a_process_that_was_killed_for_no_fault_of_the_photo_is_replaced(tmp_path: Path) -> None:
    once = f"import os, pathlib; first = pathlib.Path({str(tmp_path / 'first')!r})\n"
    once += "real = images.prepare\n"
    once += "images.prepare = lambda data: real(data) if first.exists() else (first.touch(), os.kill(os.getpid(), 9))"
    with darkroom(once) as room:
        assert room.prepare(photo()) == images.prepare(photo())


def test_a_photo_that_takes_too_long_ends_its_process() -> None:
    # The loop is Python's, but its signal would end C as well: nobody handles it.
    with darkroom("darkroom.CPU_S = 0.3\ndef prepare(data):\n  while True: pass\nimages.prepare = prepare") as room:
        with pytest.raises(ImageError) as caught:
            room.prepare(photo())

        assert caught.value.reason == "too-hard"


def test_a_process_that_is_stopped_is_given_up() -> None:
    with darkroom("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", wall_s=0.5) as room:
        with pytest.raises(ImageError) as caught:
            room.prepare(photo())

        assert caught.value.reason == "too-hard"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_a_photo_that_wants_more_memory_than_there_is_is_refused() -> None:
    with darkroom("darkroom.MEMORY_BYTES = 120 << 20") as room:
        with pytest.raises(ImageError) as caught:
            room.prepare(photo(width=5000))

        assert caught.value.reason == "too-large"
        assert room.prepare(photo()).width == 300


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_it_knows_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SNAPLABEL_TELEGRAM_TOKEN", "123:PLANTED")
    seen = tmp_path / "environ"
    with darkroom(f"import shutil; shutil.copyfile('/proc/self/environ', {str(seen)!r})") as room:
        room.prepare(photo())

    assert b"PATH=" in seen.read_bytes()
    assert b"PLANTED" not in seen.read_bytes()
    assert b"SNAPLABEL_" not in seen.read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_it_ends_with_the_process_that_it_works_for(tmp_path: Path) -> None:
    child = f"import os, pathlib; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    (tmp_path / "photo").write_bytes(photo())
    program = (
        "import os, sys; from snaplabel.darkroom import Darkroom\n"
        f"Darkroom((sys.executable, '-c', {CHILD.format(child)!r})).prepare(open(sys.argv[1], 'rb').read())\n"
        "os.kill(os.getpid(), 9)"
    )

    parent = subprocess.run([sys.executable, "-c", program, str(tmp_path / "photo")], check=False)

    assert parent.returncode == -signal.SIGKILL
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 20
    while _lives(pid):
        assert time.monotonic() < deadline, "it outlived its parent"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and os.path.exists(f"/proc/{pid}")
