"""The home folder and what is opened from it: every command and every service starts here."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import people
from snaplabel.database import Database
from snaplabel.errors import DatabaseError, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier


def make(settings: Settings) -> None:
    """Make the home folder, for its owner only. Raises SnaplabelError when it can't be made."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SnaplabelError(f"The home folder {settings.home} can't be made: {error.strerror}.") from error


def prepare(settings: Settings) -> None:
    """Make sure that the home folder is there and the database is migrated.

    The SQLite file in the home folder is migrated here and now: it is ours alone. A database that was given by URL
    may serve other machines too, so it waits for `snaplabel migrate`. Raises DatabaseError.
    """
    import migrations

    make(settings)
    if migrations.is_current(settings.database):
        return
    if settings.database_url:
        raise DatabaseError("The database is not migrated to this version of snaplabel; run `snaplabel migrate`.")
    from migrations import run

    run.upgrade(settings.database)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Database, Store]]:
    """The database, migrated, and the store; closed at the end."""
    prepare(settings)
    database = Database(settings.database)
    try:
        yield database, Store(settings.store)
    finally:
        database.close()


def classifier(session: Session, name: str) -> Classifier:
    """The classifier of this name. Raises SnaplabelError naming those there are."""
    found = people.classifier(session, name)
    if found is None:
        there = ", ".join(session.scalars(select(Classifier.name).order_by(Classifier.name)))
        if not there:
            raise SnaplabelError("There is nothing here yet. `snaplabel import` takes in photos, `snaplabel up` chats.")
        raise SnaplabelError(f"There is no classifier {name!r}. There are: {there}.")
    return found
