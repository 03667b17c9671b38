"""A photo's answer is counted when its chat first shows it: once, whatever is edited later or was answered before."""

import logging
from datetime import timedelta

import pytest
from sqlalchemy import update

from bot import delivery
from bot.measuring import Measuring
from snaplabel import metrics
from snaplabel.database import now
from snaplabel.tables import Message
from tests.bot.room import ADMIN, Room


def _counted() -> float:
    samples = (sample for metric in metrics.ANSWER_S.collect() for sample in metric.samples)
    return sum(one.value for one in samples if one.name.endswith("_count") and one.labels["platform"] == "test")


def test_an_answer_is_counted_and_logged_once_however_often_it_is_edited(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shown, before = list[int](), _counted()
    measuring = Measuring(room.database)
    room.hears = lambda out: (shown.append(out.id), measuring.shown(out))  # type: ignore[assignment,func-returns-value]
    message = room.photo()

    room.work(Juventus=0.9, Newcastle=0.1)
    room.say("Newcastle", ADMIN, reply_to=message)
    room.deliver()

    assert len(shown) == 2
    assert len(set(shown)) == 1
    assert _counted() - before == 1
    assert len([record for record in caplog.records if "answered after" in record.message]) == 1


def _show(room: Room, measuring: Measuring) -> tuple[int, float]:
    """How many messages of ours were sent or edited now, and how many photos' answers were counted with them."""
    before, room.hears = _counted(), measuring.shown
    return len(room.deliver()), _counted() - before


def test_a_photo_that_was_told_to_wait_is_counted_with_its_answer(room: Room) -> None:
    measuring = Measuring(room.database)
    room.photo()
    with room.database.begin() as session:
        session.execute(update(Message).values(received_at=now() - timedelta(seconds=delivery.PATIENCE_S + 1)))
    delivery.reassure(room.database, room.settings, ["test"])
    waiting = _show(room, measuring)

    with room.database.begin() as session:
        session.execute(update(Message).values(state="classified", failure="trouble"))

    assert (waiting, _show(room, measuring)) == ((1, 0), (1, 1))


def test_what_was_answered_before_this_process_began_is_not_counted_again(room: Room) -> None:
    message = room.photo()
    room.work(Juventus=0.9, Newcastle=0.1)

    measuring = Measuring(room.database)
    room.say("Newcastle", ADMIN, reply_to=message)

    assert _show(room, measuring) == (1, 0)


def test_a_text_is_answered_without_being_a_photo(room: Room) -> None:
    room.say("/help")

    assert _show(room, Measuring(room.database)) == (1, 0)
