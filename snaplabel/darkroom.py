"""Where strangers' photos are developed: in processes of their own, which a hostile file may kill and the bot outlives.

Each may take MEMORY_BYTES of memory, and CPU_S of a core for one photo. No setting is handed on to them, so no secret.
"""

import atexit
import contextlib
import json
import logging
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import IO

from snaplabel import images
from snaplabel.errors import ImageError
from snaplabel.images import Prepared

log = logging.getLogger(__name__)

# The worst photo that `images` accepts was measured at 460 MB, Python and libraries included.
MEMORY_BYTES = 768 << 20
CPU_S = 20
# A process that is stopped or starved is given up after this.
WALL_S = 120.0
PLACES = min(2, os.cpu_count() or 1)
TRIES = 2


class _Ended(Exception):
    """The process that developed photos is no more."""


class Darkroom:
    """PLACES processes, started when they are needed first; a dead one is replaced.

    command: what each of them runs. wall_s: after so many seconds one that does not answer is given up.
    """

    def __init__(
        self, command: Sequence[str] = (sys.executable, "-m", "snaplabel.darkroom"), *, wall_s: float = WALL_S
    ) -> None:
        self._command, self._wall_s = command, wall_s
        self._places: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(PLACES):
            self._places.put(None)

    def prepare(self, data: bytes) -> Prepared:
        """What `images.prepare` makes of these bytes. Raises ImageError; "too-hard" when they end their process twice.

        Waits while all places are taken. Raises OSError when no process can be started.
        """
        place = self._places.get()
        try:
            for _ in range(TRIES):
                if place is None or place.poll() is not None:
                    place = _started(self._command)
                try:
                    return _asked(place, data, self._wall_s)
                except _Ended as error:
                    log.warning("darkroom: a photo of %d bytes ended its process (%s)", len(data), error)
                    place = None
            raise ImageError("too-hard", "it ends its process")
        finally:
            self._places.put(place)

    def close(self) -> None:
        """End the processes that wait for work."""
        with contextlib.suppress(queue.Empty):
            while True:
                place = self._places.get_nowait()
                if place is not None:
                    _end(place)


def prepare(data: bytes) -> Prepared:
    """What `images.prepare` makes of these bytes, out of harm's way; as `Darkroom.prepare`."""
    return _darkroom.prepare(data)


_darkroom = Darkroom()
atexit.register(_darkroom.close)


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("SNAPLABEL_")}
    # glibc reserves 64 MB of addresses for each thread's arena, and the limit counts addresses.
    environment = {**known, "MALLOC_ARENA_MAX": "1"}
    # Our own module, or a test's: nobody else says what runs here.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)  # noqa: S603


def _end(place: subprocess.Popen[bytes]) -> None:
    place.kill()
    place.wait()
    for pipe in (place.stdin, place.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _asked(place: subprocess.Popen[bytes], data: bytes, wall_s: float) -> Prepared:
    """A process's answer. Raises ImageError, or _Ended when it dies or takes longer than wall_s."""
    assert place.stdin is not None
    assert place.stdout is not None
    patience = threading.Timer(wall_s, place.kill)
    patience.start()
    try:
        place.stdin.write(struct.pack(">I", len(data)))
        place.stdin.write(data)
        place.stdin.flush()
        said = json.loads(_read(place.stdout))
        if reason := said.pop("reason", None):
            raise ImageError(reason, said["detail"])
        return Prepared(data=_read(place.stdout), **{**said, "colours": bytes.fromhex(said["colours"])})
    except (OSError, EOFError) as error:
        _end(place)
        raise _Ended(f"exit code {place.returncode}") from error
    finally:
        patience.cancel()


def _read(pipe: IO[bytes]) -> bytes:
    """One length and as many bytes. Raises EOFError when the other side has gone."""
    head = pipe.read(4)
    body = pipe.read(*struct.unpack(">I", head)) if len(head) == 4 else b""
    if len(head) < 4 or len(body) < struct.unpack(">I", head)[0]:
        raise EOFError
    return body


def main() -> None:
    """Develop what comes in by stdin until it ends."""
    # Ctrl-C is for the bot, which lets its photos come to their end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore", UserWarning)  # Pillow's, about EXIF that nobody here needs.
    _limit()
    while True:
        try:
            data = _read(sys.stdin.buffer)
        except EOFError:
            return
        # Its signal ends this process even in the middle of C.
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        found = _answer(data)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for part in found:
            sys.stdout.buffer.write(struct.pack(">I", len(part)) + part)
        sys.stdout.buffer.flush()


def _limit() -> None:
    """Take no more than MEMORY_BYTES from now on; where a system has no such limit, the one in `images` remains."""
    import resource

    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # The stack of each would count.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(data: bytes) -> list[bytes]:
    try:
        made = images.prepare(data)
    except ImageError as error:
        return [json.dumps({"reason": error.reason, "detail": error.detail}).encode()]
    except MemoryError:
        return [json.dumps({"reason": "too-large", "detail": "out of memory"}).encode()]
    about = {"sha256": made.sha256, "phash": made.phash, "width": made.width, "height": made.height}
    return [json.dumps({**about, "colours": made.colours.hex()}).encode(), made.data]


if __name__ == "__main__":
    main()
