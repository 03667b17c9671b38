"""The whole house as real processes, for walks from end to end; only the chat networks are stand-ins."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from demo import shirts
from snaplabel import people, registry
from snaplabel.database import Database
from snaplabel.settings import Settings, read
from snaplabel.tables import Answer, Model, TrainingRun

T = TypeVar("T")
PATIENCE_S = 60.0


def free_port() -> int:
    """A port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(look: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """What `look` returns as soon as it is true; fails saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


class House:
    """Processes of snaplabel with one home; ends only what it started."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAPLABEL_")}
        self.port = free_port()
        ours = {"SNAPLABEL_HOME": str(folder / "home"), "SNAPLABEL_WEB_PORT": str(self.port), **environment}
        self.environment = {**kept, **ours}
        self.settings: Settings = read(ours, dotenv=folder / "no.env")
        self.processes: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        if self._database is None:
            self._database = Database(self.settings.database)
        return self._database

    def run(self, *arguments: str, code: int = 0) -> str:
        """A command to its end; what it printed. Fails when it ends with another code."""
        done = subprocess.run(
            self._command(arguments), env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A service in the background; its output goes to a file in the folder."""
        log = (self.folder / f"{self._started}-{arguments[0]}.log").open("wb")
        process = subprocess.Popen(
            self._command(arguments), env=self.environment, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        self.processes.append(process)
        self._started += 1
        return process

    def up(self) -> subprocess.Popen[bytes]:
        """`snaplabel up`, once its chat page answers."""
        process = self.start("up")
        self.wait_healthy()
        return process

    def wait_healthy(self) -> None:
        """Wait until the web chat answers."""

        def is_healthy() -> bool:
            assert all(process.poll() is None for process in self.processes), self.logs()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health", timeout=2) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        wait_for(is_healthy, "the web chat")

    def stop(self) -> list[int]:
        """Stop everything in order, as Ctrl-C does; exit codes."""
        codes = []
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                codes.append(process.wait(60))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        self.processes.clear()
        if self._database is not None:
            self._database.close()
            self._database = None
        return codes

    def logs(self) -> str:
        """The end of every service's output."""
        found = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in found)

    def story(self) -> str:
        """Every training and version, for the reader of a failure."""
        if not self.settings.database_url and not (self.settings.home / "snaplabel.db").is_file():
            return ""
        with self.database.read() as session:
            runs = session.scalars(select(TrainingRun).order_by(TrainingRun.id)).all()
            lines = [f"run {run.id} {run.kind} {run.reason} {run.state} {run.failure} {run.progress}" for run in runs]
            texts = [
                str(answer.content) for answer in session.scalars(select(Answer).order_by(Answer.id.desc()).limit(4))
            ]
        return "\n".join((*lines, *texts))

    def version(self) -> int:
        """The version that is current; -1 before there is one."""
        with self.database.read() as session:
            classifier = people.classifier(session)
            model = registry.current(session, classifier.id) if classifier is not None else None
            return model.version if model is not None else -1

    def models(self) -> dict[int, str]:
        """Version → state."""
        with self.database.read() as session:
            return {model.version: model.state for model in session.scalars(select(Model))}

    def is_training(self) -> bool:
        with self.database.read() as session:
            states = session.scalars(select(TrainingRun.state)).all()
        return any(state in ("queued", "running") for state in states)

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "snaplabel", *arguments]


def taught_shirts(folder: Path, per_club: int = 6) -> Path:
    """A class-per-folder tree of drawn shirts."""
    shirts.draw_folder(folder, per_club, seed=0)
    return folder


def unseen_shirts(per_club: int = 2) -> list[tuple[str, bytes]]:
    """Drawn shirts with their clubs that no `taught_shirts` holds."""
    return [(club.name, shirts.draw(club, 900_000 + n, size=320)) for n in range(per_club) for club in shirts.CLUBS]
