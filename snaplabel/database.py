"""Engine, sessions, Base: how every room reaches the one database, SQLite or PostgreSQL."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, MetaData, create_engine, event, exc
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import JSON, TypeDecorator

from snaplabel.errors import DatabaseError, SettingsError

BUSY_TIMEOUT_S = 30
# 256 KB of pages: with SQLite's 2 MB a worker grew by 13 MB within 10,000 photos.
LIGHT = ("synchronous=NORMAL", "cache_size=-256")
NO_DRIVER = (
    "SNAPLABEL_DATABASE_URL names a PostgreSQL, and its driver is not installed: `pip install 'snaplabel[postgres]'`."
)
# What SQLite says, and what to do about it.
ADVICE = {
    "is full": "Its disk is full: make room, and it goes on.",
    "is locked": "Another program holds it for too long: close what else has the file open.",
    "readonly": "It can't be written to: check the permissions of its file and folder, and that the disk is writable.",
    "unable to open": "Its file can't be opened: check that the folder exists, may be written to, and has room.",
    "disk I/O": "Its disk is full or fails: make room, or else look at the system's log.",
    "malformed": "Its file is damaged: stop snaplabel and restore a backup.",
    "not a database": "Its file is damaged or something else: stop snaplabel and restore a backup.",
}


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. Naive datetimes are refused; SQLite, which keeps no zone, gets one back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("naive datetime: say which zone it is in")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """Parent of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[Any]: JSON}


class Database:
    """The one way in: `with database.begin() as session` to write, `with database.read() as session` to look.

    `begin` commits at the end of the block and rolls back when it raises. On SQLite it takes the write lock at once
    (BEGIN IMMEDIATE): a transaction that reads first and writes later would fail under a second writer, whatever the
    busy timeout. `read` never writes. Both raise DatabaseError, with the cause and what to do, when the database is
    away, locked, full or damaged; nothing was written then.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S, is_redone: bool = False) -> None:
        """busy_timeout_s: how long to wait for another writer of a SQLite file.

        is_redone: for a worker's many threads. What is written here is done again if a power cut takes it back, so that
        SQLite need not wait for the disk at each commit; its log is one, and whatever others commit later, and wait
        for, carries it along. Each connection keeps less of the file: the kernel keeps it once for all of them.
        """
        self.url = url
        self.engine = _engine(url, busy_timeout_s, LIGHT if is_redone else ("synchronous=FULL",))
        self._reading = sessionmaker(self.engine, expire_on_commit=False)
        self._writing = sessionmaker(self.engine.execution_options(writes=True), expire_on_commit=False)
        self._turn = threading.Lock() if self.engine.dialect.name == "sqlite" else None

    @contextmanager
    def begin(self) -> Iterator[Session]:
        with _named(), self._one_at_a_time(), self._writing.begin() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        with _named(), self._reading() as session:
            yield session

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """SQLite sleeps between its tries for the lock; the threads of one process wake each other instead."""
        ours = self._turn is not None and self._turn.acquire(timeout=BUSY_TIMEOUT_S)
        try:
            yield  # Whoever did not get it in time hears from SQLite what is the matter.
        finally:
            if ours and self._turn is not None:
                self._turn.release()

    def settle(self) -> None:
        """Let SQLite empty its log of changes, in which what was erased still stands; others it does not concern.

        While somebody reads, it does as much as it can.
        """
        if self.engine.dialect.name == "sqlite":
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def changes(self) -> "Changes":
        """A cheap way to hear that somebody committed something; for one thread."""
        return Changes(self.engine)

    def close(self) -> None:
        self.engine.dispose()


class Changes:
    """Whether anything was committed since it was last asked, by any process: SQLite tells in microseconds, PostgreSQL
    by the set of transactions whose work is to be seen, in one round trip. It has a connection of its own.
    """

    def __init__(self, engine: Engine) -> None:
        """Raises DatabaseError."""
        self._seen: object = None
        with _named(), contextlib.ExitStack() as opened:
            if engine.dialect.name == "sqlite":
                cursor = opened.enter_context(contextlib.closing(engine.raw_connection())).cursor()
                self._ask: Callable[[], object] = lambda: cursor.execute("PRAGMA data_version").fetchall()
            else:
                # A transaction that stays open would see nothing new, and keep old rows from being cleared away.
                own = engine.execution_options(isolation_level="AUTOCOMMIT")
                line = opened.enter_context(own.connect())
                self._ask = lambda: line.exec_driver_sql("SELECT pg_current_snapshot()::text").scalar()
            self._opened = opened.pop_all()

    def are_new(self) -> bool:
        """Raises DatabaseError; then it is of no more use."""
        with _named():
            before, self._seen = self._seen, self._ask()
        return before != self._seen

    def close(self) -> None:
        self._opened.close()


@contextmanager
def _named() -> Iterator[None]:
    """Turn what the driver says of a database in trouble into a sentence. Its own text would carry rows into logs."""
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, sqlite3.OperationalError) as error:
        raise DatabaseError(sentence(error)) from error
    except exc.DatabaseError as error:
        if type(error) is not exc.DatabaseError:  # IntegrityError and its like are for those who asked.
            raise
        raise DatabaseError(sentence(error)) from error


def sentence(error: Exception) -> str:
    """What is the matter with the database, and what to do where that is known."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    advice = next((advice for words, advice in ADVICE.items() if words in lines[0]), None)
    return f"The database can't be used: {lines[0]}" + (f". {advice}" if advice else "")


def _be_brief(connection: Any, _record: Any) -> None:
    """Tell PostgreSQL that our questions are small and many, whatever it estimates.

    Helpers for one of them, or machine code for it, take longer to start (20 ms here) than nearly all take to answer.
    """
    before, connection.autocommit = connection.autocommit, True
    connection.execute("SET max_parallel_workers_per_gather = 0")
    connection.execute("SET jit = off")
    connection.autocommit = before


def _engine(url: str, busy_timeout_s: float, pragmas: Sequence[str]) -> Engine:
    if make_url(url).get_backend_name() != "sqlite":
        try:
            engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args={"connect_timeout": 10})
        except ImportError as error:
            raise SettingsError(NO_DRIVER) from error
        event.listens_for(engine, "connect")(_be_brief)
        return engine
    # hide_parameters: an error's text goes into the log, and rows hold names and what people wrote.
    connect_args = {"timeout": busy_timeout_s, "isolation_level": None}
    engine = create_engine(url, hide_parameters=True, connect_args=connect_args)

    # isolation_level=None hands every BEGIN and COMMIT to us, so that begin() above can ask for the write lock first.
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        # secure_delete: what is erased is overwritten, and not only taken out of the index.
        found = ("journal_mode=WAL", "foreign_keys=ON", "temp_store=MEMORY", "secure_delete=ON")
        for pragma in (*found, *pragmas):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
