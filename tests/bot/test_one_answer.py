"""PostgreSQL lets two transactions change a photo's answer at once: there is one answer, and no word is lost."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from bot import answers, conversation
from bot.messages import Reply
from snaplabel.database import Base, Database
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Message
from tests.bot.room import Room

pytestmark = pytest.mark.real


@pytest.fixture
def database(new_postgres_url: str) -> Iterator[Database]:
    made = Database(new_postgres_url)
    Base.metadata.create_all(made.engine)
    yield made
    made.close()


@pytest.fixture
def room(database: Database, tmp_path: Path, settings: Settings) -> Room:
    found = Room(database, tmp_path, settings)
    found.model("Juventus", "Newcastle")
    return found


def _meanwhile(database: Database, act: Callable[[Session], object]) -> threading.Thread:
    """Another transaction does this; returns once it is over, or waits for ours."""

    def transact() -> None:
        with database.begin() as session:
            act(session)

    thread = threading.Thread(target=transact, daemon=True)
    thread.start()
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with database.engine.connect() as connection:
        while thread.is_alive() and not connection.scalar(waiting):
            connection.rollback()
            thread.join(0.01)
    return thread


def test_a_photo_that_is_corrected_while_its_answer_is_written_gets_one_answer(room: Room) -> None:
    room.photo()

    def announce(session: Session) -> None:
        conversation.announce(session, room.settings, session.scalars(select(Message)).one())

    with room.database.begin() as session:
        announce(session)
        other = _meanwhile(room.database, announce)
    other.join()

    (answer,) = room.answers()
    with room.database.read() as session:
        assert session.scalars(select(Message.answer_id)).all() == [answer.id]


def test_two_changes_at_the_same_time_are_two_revisions(room: Room) -> None:
    room.photo()
    room.work("sure", Juventus=0.9)
    before = room.last()

    def change(words: str) -> Callable[[Session], object]:
        return lambda session: answers.show(session, session.get_one(Answer, before.id), Reply(text=words))

    with room.database.begin() as session:
        change("one")(session)
        other = _meanwhile(room.database, change("two"))
    other.join()

    (after,) = room.answers()
    assert (after.revision, Reply.from_json(after.content).text) == (before.revision + 2, "two")
