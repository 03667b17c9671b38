"""Votes that disagree: what the chat shows, who decides, and how admins hear of it."""

from datetime import timedelta

from sqlalchemy import select

from snaplabel import corrections, people, standing
from snaplabel.tables import Answer, Chat, Correction
from tests.bot.room import ADMIN, MEMBER, OTHER, Room
from tests.snaplabel.test_labels import photo_of


def _disputed(room: Room, seed: int = 1) -> str:
    """A photo of which Max says Newcastle and Olga says Botafogo."""
    photo = room.photo(seed)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", MEMBER, reply_to=photo)
    room.say("Botafogo", OTHER, reply_to=photo)
    return photo


def _told(room: Room, chat: str) -> list[str]:
    with room.database.read() as session:
        query = select(Answer).join(Chat, Chat.id == Answer.chat_id).where(Chat.platform_id == chat)
        return [answer.content["text"] for answer in session.scalars(query.order_by(Answer.id))]


def test_the_answer_says_who_says_what_and_offers_each_label(room: Room) -> None:
    photo = _disputed(room)

    assert room.label_of(photo) == "Newcastle", "what was said first counts until then"
    assert room.shown().title == "Newcastle"
    assert room.shown().text == "Max says Newcastle, Olga says Botafogo: an admin decides."
    assert room.buttons() == ["Newcastle", "Botafogo", "Change…", "Take back"]


def test_an_admins_press_decides(room: Room) -> None:
    photo = _disputed(room)

    room.press(room.last(), "Botafogo", ADMIN)

    assert room.label_of(photo) == "Botafogo"
    assert "an admin decides" not in room.shown().text


def test_a_members_press_is_one_more_vote(room: Room) -> None:
    photo = _disputed(room)

    room.press(room.last(), "Botafogo", "4")

    assert room.label_of(photo) == "Botafogo"
    assert room.shown().text == "Olga and somebody say Botafogo, Max says Newcastle: an admin decides."


def test_disagreeing_with_an_admin_is_a_question_and_no_change(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)
    room.say("Botafogo", ADMIN, reply_to=photo)

    room.say("Newcastle", OTHER, reply_to=photo)

    assert room.label_of(photo) == "Botafogo"
    assert room.shown().text == "Anna says Botafogo, Olga says Newcastle: an admin decides."


def test_an_admin_hears_of_it_in_private_once_an_hour(room: Room) -> None:
    room.say("/status", ADMIN, chat="anna", is_private=True)
    before = len(_told(room, "anna"))

    _disputed(room, 1)
    _disputed(room, 2)
    within = _told(room, "anna")[before:]
    with room.database.begin() as session:
        for answer in session.scalars(select(Answer)):
            answer.created_at -= timedelta(hours=1)
    _disputed(room, 3)

    assert within == ["1 photo awaits your word: /review"]
    assert _told(room, "anna")[before:] == [*within, "3 photos await your word: /review"]


def test_only_admins_and_only_private_chats_are_told(room: Room) -> None:
    room.say("/status", MEMBER, chat="max", is_private=True)
    room.say("/status", ADMIN, chat="another group")

    _disputed(room)

    assert not any("await" in text for chat in ("max", "another group", "room") for text in _told(room, chat))


def test_an_admin_whose_chat_is_about_something_else_is_told_where(room: Room) -> None:
    room.say("/status", ADMIN, chat="anna", is_private=True)
    with room.database.begin() as session:
        birds = people.make_classifier(session, "birds")
        session.scalars(select(Chat).where(Chat.platform_id == "anna")).one().classifier_id = birds.id

    _disputed(room)

    assert _told(room, "anna")[-1] == "1 photo awaits your word in “default”: /use default, then /review"


def test_who_teaches_very_fast_is_thanked_and_waits(room: Room) -> None:
    first = room.photo(0, MEMBER)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", MEMBER, reply_to=first)
    with room.database.begin() as session:
        vote = session.scalars(select(Correction)).one()
        for n in range(standing.VOTES_AN_HOUR):
            photo = photo_of(1, n, vote.label_id)
            session.add(photo)
            session.flush()
            session.add(Correction(photo_id=photo.id, person_id=vote.person_id, label_id=vote.label_id))

    last = room.photo(99, MEMBER)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", MEMBER, reply_to=last)
    waits, shown = room.label_of(last), room.shown().text
    room.say("Newcastle", ADMIN, reply_to=last)

    assert waits is None
    assert "You teach fast!" in shown
    assert room.label_of(last) == "Newcastle"


def test_an_admin_confirms_what_a_member_taught_with_one_press(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", MEMBER, reply_to=photo)
    before, asked = _unconfirmed(room), room.buttons()
    room.rings.clear()

    room.press(room.last(), "✓ Newcastle", ADMIN)

    assert (len(before), _unconfirmed(room)) == (1, set())
    assert asked == ["✓ Newcastle", "Change…", "Take back"]
    assert room.buttons() == ["Change…", "Take back"]
    assert room.rings == [("train.learn", 1)]


def _unconfirmed(room: Room) -> set[int]:
    with room.database.read() as session:
        return corrections.unconfirmed(session, 1)
