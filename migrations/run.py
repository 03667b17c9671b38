"""Migrating: up, down, and whether the database is what the tables say. Works from any folder, installed or not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from migrations import HEAD
from snaplabel import tables
from snaplabel.database import Database
from snaplabel.errors import DatabaseError

# On PostgreSQL a migration that waits for a table makes everybody queue up behind it, so it gives up soon (and before
# the server, after a second, looks for a deadlock and ends somebody else's work), and tries again for a while.
LOCK_TIMEOUT_MS = 300
PATIENCE_S, PAUSE_S = 120.0, 0.2
# https://www.postgresql.org/docs/current/errcodes-appendix.html
LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
# Any number will do, as long as nothing else in the same PostgreSQL database locks on it.
ADVISORY_LOCK = 0x736E6170


def upgrade(url: str, *, patience_s: float = PATIENCE_S) -> None:
    """Bring the database to the newest revision; two processes at once are fine, the second finds nothing to do.

    Others may go on working with the tables of before. Raises DatabaseError when it can't be reached, was migrated by a
    newer snaplabel, or is held by somebody for longer than patience_s.
    """

    def step(connection: Connection) -> None:
        if MigrationContext.configure(connection).get_current_revision() != HEAD:
            _take_tables(connection)
            command.upgrade(config(connection), "head")

    _patiently(url, step, patience_s)


def downgrade(url: str, revision: str = "base") -> None:
    """Take the database back to a revision; "base" drops every table. Raises DatabaseError, as `upgrade` does."""

    def step(connection: Connection) -> None:
        _take_tables(connection)
        command.downgrade(config(connection), revision)

    _patiently(url, step, PATIENCE_S)


def check(url: str) -> list[Any]:
    """What the tables have and the database has not, or the other way round, in Alembic's words; empty: they agree."""
    with _connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.Classifier.metadata))


def config(connection: Connection, **attributes: Any) -> Config:
    """Alembic's configuration, in code: an alembic.ini would not be found once the package is installed."""
    found = Config(attributes={"connection": connection, **attributes})
    found.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return found


def _patiently(url: str, step: Callable[[Connection], None], patience_s: float) -> None:
    """Take a step in a transaction of its own, again and again while others hold what it needs."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with _locked(url) as connection:
                step(connection)
            return
        except DatabaseError as error:
            if not _is_held(error) or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_S)


def _is_held(error: DatabaseError) -> bool:
    """Whether a lock could not be had in time, or two waited for each other and it was us who gave way."""
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in (LOCK_NOT_AVAILABLE, DEADLOCK)


def _take_tables(connection: Connection) -> None:
    """On PostgreSQL, have all tables before the first is altered, in the order in which those who write reach for them.

    Else one who holds a table that comes later waits for one that we have, as we do for theirs, try after try.
    """
    if connection.dialect.name == "sqlite":
        return
    there = set(inspect(connection).get_table_names())
    # A photo is written down before its post is told so; the others before what they refer to, which is checked last.
    names = ["photo", "message", *(table.name for table in reversed(tables.Classifier.metadata.sorted_tables))]
    wanted = ", ".join(name for name in dict.fromkeys(names) if name in there)
    if wanted:
        connection.exec_driver_sql(f"LOCK TABLE {wanted} IN ACCESS EXCLUSIVE MODE")


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    database = Database(url)
    try:
        with database.engine.execution_options(writes=False).connect() as connection:
            yield connection
    except CommandError as error:
        raise DatabaseError(f"The database is not at a revision that this snaplabel knows: {error}") from error
    except DBAPIError as error:
        cause = str(error.orig).strip().splitlines() or [type(error).__name__]
        raise DatabaseError(f"The database can't be used: {cause[0]}") from error
    finally:
        database.close()


@contextmanager
def _locked(url: str) -> Iterator[Connection]:
    """A transaction that no other migration can be in: all of it happens, or none."""
    with _connected(url) as connection:
        if connection.dialect.name != "sqlite":
            with connection.begin():
                # Another migration is waited for, however long it takes.
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                yield connection
            return
        # Alembic alters a SQLite table by copying and dropping it, and a drop empties what refers to it: foreign keys
        # are off meanwhile and checked after. The pragma does nothing inside a transaction, so it goes past SQLAlchemy.
        assert connection.connection.dbapi_connection is not None
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")
        with connection.execution_options(writes=True).begin():
            yield connection
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
                raise DatabaseError(f"The migration would leave {len(broken)} rows pointing at nothing; it was undone.")
