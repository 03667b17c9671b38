"""Each alert begins when it should and ends when it should; signs of life are told from silence."""

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from snaplabel import alerts, home, metrics, people, trainings
from snaplabel.alerts import LATE_S, MANY_ERRORS, MANY_PHOTOS, MANY_TRIES, SILENT_S, Pulse
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Message, TrainingRun

LATE = timedelta(seconds=LATE_S + 1)


def _message(database: Database, **values: Any) -> int:
    with database.begin() as session:
        chat, person = people.chat(session, "test", "room"), people.person(session, "test", "1")
        message = Message(
            platform="test",
            chat_id=chat.id,
            person_id=person.id,
            platform_id=os.urandom(8).hex(),
            payload=None,
            **values,
        )
        session.add(message)
        session.flush()
        return message.id


def _answer(database: Database, **values: Any) -> int:
    with database.begin() as session:
        chat = people.chat(session, "test", "room")
        answer = Answer(platform="test", chat_id=chat.id, content={}, revision=1, **values)
        session.add(answer)
        session.flush()
        return answer.id


def _change(database: Database, table: Any, number: int, **values: Any) -> None:
    with database.begin() as session:
        session.execute(update(table).where(table.id == number).values(**values))


def _look(database: Database) -> set[str]:
    """What is open after a look."""
    with database.read() as session:
        found = alerts.look(session, ["test"])
    alerts.settle(database, found)
    return _open(database)


def _open(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(Alert.kind).where(Alert.over_at.is_(None))))


@pytest.mark.parametrize("state", ["received", "waiting", "classified"])
def test_answers_that_stop_are_an_alert_until_the_photo_is_answered(database: Database, state: str) -> None:
    late = _message(database, state=state, received_at=now() - LATE)
    _message(database, state=state)

    begun = _look(database)
    _change(database, Message, late, state="answered")
    ended = _look(database)

    assert (begun, ended) == ({"late:test"}, set())


def test_a_photo_of_the_day_before_yesterday_is_no_alert(database: Database) -> None:
    _message(database, state="waiting", received_at=now() - timedelta(days=2))

    assert _look(database) == set()


@pytest.mark.parametrize("trouble", [{"created_at": now() - LATE}, {"attempts": MANY_TRIES, "platform_id": "7"}])
def test_answers_that_cannot_be_sent_are_an_alert_until_they_are(database: Database, trouble: dict[str, Any]) -> None:
    stuck = _answer(database, **trouble)

    begun = _look(database)
    _change(database, Answer, stuck, shown=1, platform_id="7")
    ended = _look(database)

    assert (begun, ended) == ({"unsent:test"}, set())


def test_an_answer_that_nobody_can_get_any_more_is_no_alert(database: Database) -> None:
    _answer(database, created_at=now() - LATE, state="gone")

    assert _look(database) == set()


def test_photos_that_fail_one_after_another_are_an_alert_for_a_while(database: Database) -> None:
    failed = [
        _message(database, state="failed", failure="trouble", answered_at=now(), received_at=now())
        for _ in range(MANY_PHOTOS)
    ]
    _message(database, state="failed", failure="too-small", answered_at=now())

    begun = _look(database)
    _change(database, Message, failed[0], answered_at=now() - timedelta(hours=1))
    ended = _look(database)

    assert (begun, ended) == ({"failing:test"}, set())


def test_a_training_that_failed_by_itself_is_an_alert_until_one_goes_well(database: Database) -> None:
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        run = trainings.ask(session, classifier_id, "refit", "corrections")
        trainings.finish(session, run.id, "failed", failure="no")
    begun = _look(database)

    with database.begin() as session:
        run = trainings.ask(session, classifier_id, "refit", "corrections")
    meanwhile = _look(database)
    with database.begin() as session:
        trainings.finish(session, run.id, "done")
    ended = _look(database)

    kind = f"training:{classifier_id}:refit"
    assert (begun, meanwhile, ended) == ({kind}, {kind}, set())


def test_a_training_that_somebody_watches_fails_without_an_alert(database: Database) -> None:
    with database.begin() as session:
        run = trainings.ask(session, people.make_classifier(session).id, "fine_tune", "command")
        trainings.finish(session, run.id, "failed", failure="no")

    assert _look(database) == set()


def test_an_alert_is_one_row_however_often_and_by_whomever_it_is_seen(database: Database) -> None:
    _message(database, state="waiting", received_at=now() - LATE)
    _look(database)
    _look(database)

    with pytest.raises(IntegrityError), database.begin() as session:
        session.add(Alert(kind="late:test"))

    with database.read() as session:
        assert [alert.facts["photos"] for alert in session.scalars(select(Alert))] == [1]


@pytest.mark.real
def test_many_who_see_the_same_at_the_same_moment_write_it_once(new_postgres_url: str) -> None:
    from migrations import run

    run.upgrade(new_postgres_url)
    database = Database(new_postgres_url)
    together = threading.Barrier(8)

    def see(number: int) -> None:
        together.wait(10)
        alerts.settle(database, {"late:test": {"platform": "test", "photos": number}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(see, range(8)))

    assert _open(database) == {"late:test"}
    database.close()


def test_a_service_that_beats_was_seen_a_moment_ago(database: Database, settings: Settings) -> None:
    home.make(settings)
    with database.read() as session:
        before = alerts.last_seen(session, "worker")

    Pulse(database, settings, "worker").beat()

    with database.read() as session:
        seen = alerts.last_seen(session, "worker")
    assert before is None
    assert seen is not None
    assert now() - seen < timedelta(seconds=SILENT_S)


def test_a_pulse_writes_no_more_than_it_must(database: Database, settings: Settings) -> None:
    home.make(settings)
    pulse = Pulse(database, settings, "worker")
    pulse.beat()
    long_ago = now() - timedelta(hours=1)
    with database.begin() as session:
        session.execute(update(Alert).values(since=long_ago))

    pulse.beat()

    with database.read() as session:
        assert alerts.last_seen(session, "worker") == long_ago


def test_a_trainer_in_the_middle_of_a_training_is_alive_without_a_tick(database: Database) -> None:
    with database.begin() as session:
        run = trainings.ask(session, people.make_classifier(session).id, "refit", "corrections")
        session.flush()
        trainings.claim(session, run.id)

    with database.read() as session:
        assert alerts.last_seen(session, "trainer") == session.get_one(TrainingRun, run.id).beat_at


def test_a_sign_of_life_ends_the_silence_and_starts_anew(database: Database, settings: Settings) -> None:
    home.make(settings)
    long_ago = now() - timedelta(hours=1)
    with database.begin() as session:
        session.add(Alert(kind="silent:worker", since=long_ago, told_at=now()))

    Pulse(database, settings, "worker").beat()

    with database.read() as session:
        first, second = session.scalars(select(Alert).order_by(Alert.id))
    assert first.over_at is not None
    assert second.over_at is second.told_at is None
    assert second.since > long_ago


def test_a_disk_that_fills_up_is_an_alert_until_there_is_room(database: Database, settings: Settings) -> None:
    home.make(settings)
    free, opened = [900_000_000, 1_100_000_000, 2_000_000_000], []
    pulse = Pulse(database, settings, "bot", free_bytes=lambda _: free.pop(0))

    while free:
        alerts.settle(database, pulse.disk())
        opened.append({kind.partition(":")[0] for kind in _open(database)})

    assert opened == [{"disk"}, {"disk"}, set()]


def test_a_home_that_is_gone_is_no_full_disk(database: Database, settings: Settings) -> None:
    gone = replace(settings, home=settings.home / "nowhere")

    assert Pulse(database, gone, "bot").disk() == {}


@pytest.fixture
def counted() -> Iterator[logging.Logger]:
    """A logger whose errors are counted, as a service's are."""
    logger, handler = logging.getLogger("snaplabel.test"), metrics.Counting()
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


def test_errors_that_pile_up_in_one_process_are_an_alert(
    database: Database, settings: Settings, counted: logging.Logger
) -> None:
    pulse = Pulse(database, settings, "worker")
    for _ in range(MANY_ERRORS - 1):
        counted.error("no")
    counted.warning("not an error")
    few = pulse.errors()

    counted.error("no")
    many = pulse.errors()

    assert few == {"errors:worker": None}
    assert many == {"errors:worker": {"service": "worker", "errors": MANY_ERRORS}}


def test_what_another_process_still_sees_is_not_over_for_it(database: Database) -> None:
    alerts.settle(database, {"errors:worker": {"service": "worker", "errors": 10}})

    alerts.settle(database, {"errors:worker": None}, unseen_for_s=60)
    still = _open(database)
    alerts.settle(database, {"errors:worker": None}, unseen_for_s=0)

    assert (still, _open(database)) == ({"errors:worker"}, set())
