"""A child that teaches: torch in a process of its own, listened to, and ended together with ours."""

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from snaplabel.errors import Died, TrainingError
from snaplabel.settings import Settings
from snaplabel.supervise import TETHER

log = logging.getLogger(__name__)

# While the child says nothing we say so this often: whoever called may want to stop, or to show that it lives.
LISTEN_S = 0.5
GRACE_S = 3.0


def run(folder: Path, settings: Settings, hear: Callable[[dict[str, Any]], None]) -> None:
    """Have the job in this folder done; its outcome lies there afterwards.

    hear: told what the child says, and nothing ({}) now and then; what it raises ends the child and comes out here.
    Call it in a thread that lives as long as the child shall: Linux ties a child to the thread that started it.
    Raises TrainingError with the child's own sentence, Died when it ended without one.
    """
    # -I -S: the tether needs nothing but the standard library. -P: no folder named `trainer` where we happen to stand.
    tether = (sys.executable, "-I", "-S", str(TETHER), str(os.getpid()))
    process = subprocess.Popen(  # noqa: S603  ourselves, and a folder that we made; no shell
        (*tether, sys.executable, "-P", "-m", "trainer.lesson", str(folder)),
        env={**os.environ, **settings.environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C reaches only us, and we end it.
    )
    failure = None
    with process:
        try:
            for facts in _lines(process):
                failure = facts.pop("failed", failure)
                hear(facts)
        except BaseException:
            _end(process)
            raise
    code = process.returncode
    if failure is not None:
        raise TrainingError(failure)
    if code:
        why = f"signal {-code}" + ("; perhaps out of memory" if code == -signal.SIGKILL else "")
        raise Died(f"The training process died ({why if code < 0 else f'exit code {code}'}).")


def _lines(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """What the child says, line by line, until nobody is left to say anything; {} when it was silent for a while."""
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not ready.select(LISTEN_S):
                yield {}
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                try:
                    yield dict(json.loads(line))
                except ValueError:
                    log.debug("the child said something else: %r", line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started; checkpoints appear whole, so that it may be ended at any moment."""
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
