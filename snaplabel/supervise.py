"""Keeping child processes alive: one that dies comes back, all end in order, and none outlives its parent."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from snaplabel.errors import SnaplabelError

TETHER = Path(__file__).with_name("tether.py")
TICK_S = 0.05
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """A program to keep running.

    command: an absolute path and arguments. environment: all of it, None: ours. grace_s: from SIGTERM to SIGKILL.
    is_ready: the next program starts once this is true; None: at once.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    grace_s: float = 10.0
    is_ready: Callable[[], bool] | None = None
    ready_within_s: float = 15.0


@dataclass(frozen=True)
class Patience:
    """How long to wait before a program that died is started again; doubled each time, until it lived a while."""

    first_s: float = 0.5
    longest_s: float = 30.0
    steady_after_s: float = 60.0


class Supervisor:
    """Runs programs until `stop` is set, then ends them in the reverse order; `hurry` kills what is left at once."""

    def __init__(self, programs: Sequence[Program], patience: Patience | None = None) -> None:
        self.stop = Event()
        self.hurry = Event()
        self._patience = patience or Patience()
        self._children = [_Child(program, self._patience) for program in programs]

    def run(self) -> None:
        """Start the programs in order and keep them running; returns when all have ended.

        Call it in a thread that lives as long as the programs shall: Linux ties them to the thread, not the process.
        Raises SnaplabelError when one does not become ready in time, after ending the others.
        """
        try:
            for child in self._children:
                child.start()
                self._wait_until_ready(child)
            while not self.stop.wait(TICK_S):
                for child in self._children:
                    child.tend()
        finally:
            for child in reversed(self._children):
                child.end(self.hurry)

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs now."""
        return {child.program.name: child.process.pid for child in self._children if child.process is not None}

    def _wait_until_ready(self, child: "_Child") -> None:
        program = child.program
        deadline = time.monotonic() + program.ready_within_s
        while program.is_ready is not None and not self.stop.is_set() and not program.is_ready():
            child.tend()
            if time.monotonic() > deadline:
                raise SnaplabelError(f"{program.name} did not get ready within {program.ready_within_s:.0f} s.")
            self.stop.wait(TICK_S)


class _Child:
    """One program's present process, or the moment of its next start."""

    def __init__(self, program: Program, patience: Patience) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self._patience = patience
        self._delay_s = patience.first_s
        self._started_at = 0.0
        self._start_at = 0.0

    def start(self) -> None:
        # -I -S: the tether needs nothing but the standard library, and so costs 15 ms.
        tether = (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()))
        self._started_at = time.monotonic()
        try:
            # A process group of its own: Ctrl-C reaches only us, and we end them in order.
            self.process = subprocess.Popen(  # noqa: S603  our own programs by their paths, no shell
                (*tether, *self.program.command),
                env=None if self.program.environment is None else dict(self.program.environment),
                stdin=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError as error:
            self._come_back(f"could not start ({error.strerror})")

    def tend(self) -> None:
        """Notice that it ended, or start it again when its time has come."""
        if self.process is None:
            if time.monotonic() >= self._start_at:
                self.start()
        elif self._has_ended():
            self._come_back(_ending(self._reap()))

    def end(self, hurry: Event) -> None:
        """Ask it to end, wait for its grace time, then kill it and whatever it started."""
        if self.process is None:
            return
        deadline = time.monotonic() + self.program.grace_s
        if not self._has_ended():
            self.process.terminate()
        while not self._has_ended() and time.monotonic() < deadline and not hurry.is_set():
            time.sleep(TICK_S / 5)
        if not self._has_ended():
            log.warning("%s did not end in time and is killed", self.program.name)
        self._reap()
        log.info("%s has ended", self.program.name)

    def _come_back(self, why: str) -> None:
        if time.monotonic() - self._started_at >= self._patience.steady_after_s:
            self._delay_s = self._patience.first_s
        self._start_at = time.monotonic() + self._delay_s
        log.warning("%s %s; it starts again in %g s", self.program.name, why, self._delay_s)
        self._delay_s = min(2 * self._delay_s, self._patience.longest_s)

    def _has_ended(self) -> bool:
        """Whether it ended; it stays a zombie until `_reap`, so that nobody else can get its process id."""
        assert self.process is not None
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return self.process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _reap(self) -> int:
        """Kill what is left of its process group, and return its exit code; negative: the signal that ended it."""
        assert self.process is not None
        # Where nobody is left macOS says so with a PermissionError.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code, self.process = self.process.wait(), None
        return code


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
