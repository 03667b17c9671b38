"""`/healthz` means it: one part that does not work makes it 503, and says which."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from snaplabel import alerts, health, people
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Message
from tests.bot.webhouse import Served


@pytest.fixture
def well(database: Database) -> Database:
    """A house in which everybody works."""
    with database.begin() as session:
        for service in alerts.SERVICES:
            session.add(Alert(kind=f"silent:{service}"))
    return database


def _unwell(database: Database) -> set[str]:
    with database.read() as session:
        return {name for name, part in health.read(session).items() if not part["ok"]}


def test_a_house_in_which_everybody_works_is_well(well: Database) -> None:
    assert _unwell(well) == set()


@pytest.mark.parametrize("service", alerts.SERVICES)
def test_a_service_that_fell_silent_or_never_came_is_not(well: Database, service: str) -> None:
    this = Alert.kind == f"silent:{service}"
    with well.begin() as session:
        session.execute(update(Alert).where(this).values(since=now() - timedelta(seconds=alerts.SILENT_S + 1)))
    silent = _unwell(well)
    with well.begin() as session:
        session.execute(delete(Alert).where(this))

    assert silent == _unwell(well) == {service}


def test_a_photo_or_an_answer_that_waits_for_too_long_is_not(well: Database) -> None:
    late = now() - timedelta(seconds=alerts.LATE_S + 1)
    with well.begin() as session:
        chat, person = people.chat(session, "test", "room"), people.person(session, "test", "1")
        photo = Message(platform="test", chat_id=chat.id, person_id=person.id, platform_id="1", payload=None)
        photo.state, photo.received_at = "waiting", late
        session.add(photo)
    waiting = _unwell(well)
    with well.begin() as session:
        session.execute(update(Message).values(state="answered"))
        session.add(Answer(platform="test", chat_id=chat.id, revision=1, created_at=late))

    assert waiting == {"photos"}
    assert _unwell(well) == {"answers"}


def test_a_broker_and_a_database_that_are_away_are_said_so_and_not_where_they_are(settings: Settings) -> None:
    from dataclasses import replace

    away = replace(
        settings,
        broker_url="redis://:hushhush@127.0.0.1:1/0",
        database_url="postgresql://ann:hushhush@127.0.0.1:1/birds",
    )
    database = Database(away.database)

    is_well, parts = health.Health(away, database).look()
    database.close()

    assert not is_well
    assert parts == {"database": {"ok": False}, "broker": {"ok": False}}


def test_it_is_looked_at_once_however_many_ask(well: Database, settings: Settings) -> None:
    looking = health.Health(settings, well, fresh_s=3600)
    before = looking.look()
    with well.begin() as session:
        session.execute(delete(Alert))

    assert looking.look() == before


def test_anybody_may_ask_and_reads_which_part_it_is(place: Served) -> None:
    with httpx.Client(base_url=place.url) as stranger:
        answer = stranger.get("/healthz")

    told: dict[str, Any] = answer.json()
    # The tests' house has a worker of its own kind, and nobody else.
    assert answer.status_code == 503
    assert not told["ok"]
    assert told["parts"]["database"] == {"ok": True}
    assert not told["parts"]["trainer"]["ok"]
    assert answer.headers["cache-control"] == "no-store"
    assert str(Path.home()) not in answer.text
