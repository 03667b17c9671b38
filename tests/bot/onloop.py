"""Notices what the bot does on its event loop that could keep everybody waiting: queries, files, pictures."""

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image
from sqlalchemy import Engine, event

ROOT = Path(__file__).parents[2]
# What Python itself tells of: a file of ours that is opened or moved, a program that is started.
TOLD = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.scandir", "subprocess.Popen")


class Watch:
    """Sees every blocking call of this process for as long as it is on; only what stands on a loop is kept.

    found: where in the bot's code such a call was made, "bot/run.py:120 (open)". A call that a test makes on a loop of
    its own is the test's business.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._is_on = False
        self._under: Path | None = None

    def attach(self) -> None:
        """For the whole session: Python never lets go of an audit hook."""
        sys.addaudithook(self._told)
        event.listen(Engine, "before_cursor_execute", lambda *_: self._seen("a query"))
        event.listen(Engine, "do_connect", lambda *_: self._seen("a connection"))
        Image.preinit()
        for kind, (factory, accepts) in list(Image.OPEN.items()):
            Image.register_open(kind, factory, self._asking(accepts))

    @contextmanager
    def on(self, under: Path) -> Iterator[set[str]]:
        """Until the block ends. under: the folder whose files count; others are Python's own and libraries'."""
        self.found, self._under, self._is_on = set(), under, True
        try:
            yield self.found
        finally:
            self._is_on = False

    def _told(self, what: str, args: tuple[Any, ...]) -> None:
        if not self._is_on or what not in TOLD:
            return
        is_about_files = what == "open" or what.startswith("os.")
        if not is_about_files or str(args[0]).startswith(str(self._under)):
            self._seen(what)

    def _asking(self, accepts: Callable[[bytes], bool | str] | None) -> Callable[[bytes], bool | str]:
        def asked(start: bytes) -> bool | str:
            self._seen("a picture")
            return accepts(start) if accepts is not None else True

        return asked

    def _seen(self, what: str) -> None:
        if self._is_on and asyncio._get_running_loop() is not None:
            place = _place(sys._getframe(1))
            if place is not None:
                self.found.add(f"{place} ({what})")


def _place(frame: FrameType | None) -> str | None:
    """Where in the bot the nearest coroutine made this call; None if that coroutine is not the bot's.

    A callback without a coroutine counts by its outermost line of ours.
    """
    outermost = None
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts and path != Path(__file__):
            outermost = path.relative_to(ROOT), frame.f_lineno
            if frame.f_code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
                break
        frame = frame.f_back
    if outermost is None or outermost[0].parts[0] != "bot":
        return None
    return f"{outermost[0]}:{outermost[1]}"
