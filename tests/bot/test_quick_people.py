"""People who are quicker than our books: they reply to an answer whose number we have not written down yet."""

import pytest

from bot import delivery
from bot.conversation import NotYet
from bot.reception import handle
from snaplabel.tables import Message
from tests.bot.room import ADMIN, Room

NAMES = ["test"]


def _claimed(room: Room) -> delivery.Outgoing:
    """A photo's answer, on its way."""
    room.photo()
    room.look("sure", Juventus=0.9)
    delivery.compose(room.database, room.settings, NAMES)
    (out,) = delivery.claim(room.database, NAMES)
    return out


def _unhandled(room: Room) -> int:
    with room.database.read() as session:
        return session.query(Message.id).filter_by(state="received").one()[0]


def test_a_correction_of_an_answer_that_is_still_being_sent_waits_for_it(room: Room) -> None:
    out = _claimed(room)
    with pytest.raises(NotYet):
        room.say("Newcastle", ADMIN, reply_to="a77")

    delivery.sent(room.database, out, "a77")
    handle(room.database, room.settings, _unhandled(room), None)

    assert room.label_of("1") == "Newcastle"


def test_a_correction_of_an_answer_whose_sending_failed_half_way_waits_for_it(room: Room) -> None:
    out = _claimed(room)
    delivery.put_off(room.database, out, None)

    with pytest.raises(NotYet):
        room.say("Newcastle", ADMIN, reply_to="a77")


def test_a_reply_to_somebody_else_is_let_be_once_nothing_is_on_its_way(room: Room) -> None:
    delivery.sent(room.database, _claimed(room), "a77")

    room.say("Newcastle", ADMIN, reply_to="somebody's words")

    assert room.label_of("1") is None
    assert len(room.answers()) == 1
