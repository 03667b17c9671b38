"""Migrating: up, down, and whether the database is what the tables say. Works from any folder, installed or not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from snaplabel import tables
from snaplabel.database import Database
from snaplabel.errors import DatabaseError

# Any number will do, as long as nothing else in the same PostgreSQL database locks on it.
ADVISORY_LOCK = 0x736E6170


def upgrade(url: str) -> None:
    """Bring the database to the newest revision; two processes at once are fine, the second finds nothing to do.

    Raises DatabaseError when it can't be reached, or was migrated by a newer snaplabel.
    """
    with _locked(url) as connection:
        command.upgrade(config(connection), "head")


def downgrade(url: str, revision: str = "base") -> None:
    """Take the database back to a revision; "base" drops every table. Raises DatabaseError."""
    with _locked(url) as connection:
        command.downgrade(config(connection), revision)


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
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
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
