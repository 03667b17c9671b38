"""Alembic's migrations. `migrations.run` moves a database up and down; looking where one is needs no Alembic."""

from pathlib import Path

from sqlalchemy import inspect, make_url, text
from sqlalchemy.exc import DBAPIError

from snaplabel.database import Database
from snaplabel.errors import DatabaseError

HEAD = "0004"


def is_current(url: str) -> bool:
    """Whether the database has exactly the newest revision; a SQLite file that is not there is not made.

    Every service asks this at its start; importing Alembic for it would cost each 8 MB. Raises DatabaseError when the
    database can't be reached.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database and not Path(address.database).exists():
        return False
    database = Database(url)
    try:
        with database.read() as session:
            if not inspect(session.connection()).has_table("alembic_version"):
                return False
            return list(session.scalars(text("SELECT version_num FROM alembic_version"))) == [HEAD]
    except DBAPIError as error:
        cause = str(error.orig).strip().splitlines() or [type(error).__name__]
        raise DatabaseError(f"The database can't be used: {cause[0]}") from error
    finally:
        database.close()
