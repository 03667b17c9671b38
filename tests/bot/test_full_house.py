"""A house with many photos: what is asked of it does not grow with what it holds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from bot.platforms.web import room as page
from snaplabel import health, labels, people, reviews
from snaplabel.database import Database, now
from snaplabel.tables import Message, Model, Prediction
from tests.bot.room import ADMIN, OTHER, Room

BIG = ("message", "photo", "answer", "prediction", "embedding", "correction")


@contextmanager
def _heard(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are issued meanwhile, with their parameters."""
    said: list[tuple[str, Any]] = []

    def hear(_line: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", hear)
    yield said
    event.remove(database.engine, "before_cursor_execute", hear)


def _chat(database: Database, posts: int) -> None:
    """The page's room with so many posts, every third an album of three, a minute apart; and as many commands."""
    with database.begin() as session:
        chat, person = people.chat(session, "web", "room"), people.person(session, "web", "ada", "Ada")
        about = {"platform": "web", "chat_id": chat.id, "person_id": person.id, "state": "failed", "failure": "heic"}
        rows = [
            {**about, "platform_id": f"p{n}", "position": at, "received_at": _at(n, at)}
            for n in range(posts)
            for at in range(3 if n % 3 == 0 else 1)
        ]
        session.execute(insert(Message), rows)


def _at(post: int, position: int) -> Any:
    return now() - timedelta(days=30) + timedelta(minutes=post, milliseconds=position)


def test_the_feed_goes_back_page_by_page_to_its_beginning(database: Database) -> None:
    _chat(database, posts=2 * page.PAGE + 7)

    found: list[str] = []
    before = ""
    with database.read() as session:
        while items := page.feed(session, before):
            found = [*(item.id for item in items), *found]
            before = items[0].at

    assert found == [f"p{n}" for n in range(2 * page.PAGE + 7)]


def test_albums_that_came_in_each_others_midst_stay_whole(database: Database) -> None:
    _chat(database, posts=page.PAGE)
    with database.begin() as session:
        chat, person = people.chat(session, "web", "room"), people.person(session, "web", "ada")
        about = {"platform": "web", "chat_id": chat.id, "person_id": person.id, "state": "failed", "failure": "heic"}
        rows = [
            {**about, "platform_id": name, "position": at, "received_at": now() + timedelta(milliseconds=2 * at + late)}
            for late, name in enumerate(("one", "other"))
            for at in range(5)
        ]
        session.execute(insert(Message), rows)

    with database.read() as session:
        newest = page.feed(session)[-2:]

    assert [(item.id, len(item.photos)) for item in newest] == [("one", 5), ("other", 5)]


def _feed(database: Database) -> None:
    with database.read() as session:
        page.feed(session)
        page.feed(session, (now() - timedelta(days=1)).isoformat())


def _health(database: Database) -> None:
    with database.read() as session:
        health.read(session)


def _labels(database: Database) -> None:
    with database.read() as session:
        labels.counts(session, 1)


def _review(database: Database) -> None:
    with database.read() as session:
        reviews.queue(session, 1)


@pytest.mark.parametrize("ask", [_feed, _health, _labels, _review])
def test_no_big_table_is_read_from_end_to_end(database: Database, ask: Callable[[Database], None]) -> None:
    _chat(database, posts=60)

    with _heard(database) as said:
        ask(database)

    with database.engine.connect() as line:
        plans = [
            row[-1]
            for statement, parameters in said
            # The one that ends at the newest prediction reads a single row.
            if statement.startswith("SELECT") and "ORDER BY prediction.id DESC" not in statement
            for row in line.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert [plan for plan in plans if plan.startswith("SCAN") and plan.split()[1] in BIG and "INDEX" not in plan] == []


def test_an_answer_asks_no_more_of_a_photo_that_a_hundred_models_have_seen(room: Room) -> None:
    room.label("cat", "dog")
    room.model("cat", "dog")
    message = room.photo(1)
    room.work(cat=0.9, dog=0.1)
    with _heard(room.database) as few:
        room.say("cat", ADMIN, reply_to=message)
    with room.database.begin() as session:
        _judged(session, 100)

    with _heard(room.database) as many:
        room.say("dog", OTHER, reply_to=message)
        room.say("cat", ADMIN, reply_to=message)

    assert len(many) < 3 * len(few)
    assert "cat" in room.shown().title


def _judged(session: Any, versions: int) -> None:
    """So many models have said something of photo 1."""
    card: dict[str, Any] = {"labels": []}
    for n in range(versions):
        about = {"kind": "refit", "backbone": "tiny-1", "key": "none", "card": card}
        model = Model(classifier_id=1, version=1000 + n, **about)
        session.add(model)
        session.flush()
        session.add(Prediction(photo_id=1, model_id=model.id, top=[[1, 0.7], [2, 0.3]], voice="sure"))


def test_many_versions_are_listed_a_few_at_a_time(room: Room) -> None:
    room.model("cat", "dog")
    with room.database.begin() as session:
        card = session.scalars(select(Model).limit(1)).one().card
        about = {"kind": "refit", "backbone": "tiny-1", "key": "none", "state": "retired", "card": card}
        session.add_all(Model(classifier_id=1, version=100 + n, **about) for n in range(40))

    room.say("/models", ADMIN)

    assert len(room.shown().table.splitlines()) == 15
    assert "v139" in room.shown().table.splitlines()[0]
