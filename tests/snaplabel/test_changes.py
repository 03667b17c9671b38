"""Changes: whether anything was committed since somebody last asked, on both databases."""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from snaplabel.database import Changes, Database
from snaplabel.tables import Base, Classifier


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def either(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with every table; twice for each test."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    made = Database(request.getfixturevalue("new_postgres_url"))
    Base.metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def changes(either: Database) -> Iterator[Changes]:
    with contextlib.closing(either.changes()) as made:
        yield made


def test_a_change_is_heard_once_and_from_any_other_connection(either: Database, changes: Changes) -> None:
    before = [changes.are_new(), changes.are_new()]

    with either.begin() as session:
        session.add(Classifier(name="birds"))

    assert before == [True, False]
    assert [changes.are_new(), changes.are_new()] == [True, False]


def test_what_is_not_committed_is_no_change_and_its_commit_is_one(either: Database, changes: Changes) -> None:
    changes.are_new()

    with either.begin() as session:
        session.add(Classifier(name="birds"))
        session.flush()
        changes.are_new()  # On PostgreSQL a transaction that begins may count; one that goes on does not.
        meanwhile = changes.are_new()

    assert not meanwhile
    assert changes.are_new()


def test_reading_is_no_change(either: Database, changes: Changes) -> None:
    changes.are_new()

    with either.read() as session:
        session.execute(text("SELECT count(*) FROM classifier"))

    assert not changes.are_new()
