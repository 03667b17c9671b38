"""Answers out, fairly: thousands of one chat or one person hold nobody else up."""

from sqlalchemy import func, select

from bot import answers, delivery
from bot.messages import Reply
from snaplabel import people
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Message

MANY = 1200


def _unshown(database: Database, chat: str, count: int) -> None:
    with database.begin() as session:
        here = people.chat(session, "test", chat)
        for n in range(count):
            answers.say(session, here, Reply(text=f"{chat} {n}"))


def _looked_at(database: Database, count: int, *, person: str, chat: str = "room", album: str | None = None) -> None:
    """Posts that the worker could make nothing of: their answers are words alone."""
    with database.begin() as session:
        here, who = people.chat(session, "test", chat), people.person(session, "test", person, "")
        for n in range(count):
            session.add(
                Message(
                    platform="test",
                    chat_id=here.id,
                    platform_id=f"{person}-{album}-{n}",
                    person_id=who.id,
                    album=album,
                    payload={},
                    state="classified",
                    failure="lost",
                )
            )


def _answered(database: Database, person: str) -> int:
    with database.read() as session:
        who = people.person(session, "test", person, "").id
        here = Message.person_id == who, Message.answered_at.is_not(None)
        return session.scalar(select(func.count()).select_from(Message).where(*here)) or 0


def _send_all(database: Database) -> int:
    claimed = delivery.claim(database, ("test",))
    for out in claimed:
        delivery.sent(database, out, f"m{out.id}")
    return len(claimed)


def test_a_chat_with_thousands_of_unsent_answers_hides_no_other_chat(database: Database) -> None:
    _unshown(database, "flood", MANY)
    _unshown(database, "quiet", 1)

    claimed = delivery.claim(database, ("test",))

    assert [out.reply.text for out in claimed] == ["flood 0", "quiet 0"]


def test_who_comes_after_a_flood_in_the_same_chat_is_answered_in_the_next_round(
    database: Database, settings: Settings
) -> None:
    _looked_at(database, MANY, person="1")
    delivery.compose(database, settings, ("test",))
    _looked_at(database, 1, person="2")

    sent = 0
    while _answered(database, "2") == 0:
        delivery.compose(database, settings, ("test",))
        sent += _send_all(database)
        assert sent < 200

    assert _answered(database, "1") < 300


def test_a_flood_is_answered_to_its_end(database: Database, settings: Settings) -> None:
    _looked_at(database, 300, person="1")

    for _ in range(400):
        delivery.compose(database, settings, ("test",))
        _send_all(database)

    assert _answered(database, "1") == 300


def test_albums_that_are_not_whole_hide_no_photo_behind_them(database: Database, settings: Settings) -> None:
    for n in range(30):
        _looked_at(database, 9, person="1", album=f"album {n}")
        _still_comes(database, f"album {n}")
    _looked_at(database, 1, person="2")

    delivery.compose(database, settings, ("test",))

    assert _answered(database, "2") == 1
    assert _answered(database, "1") == 0


def _still_comes(database: Database, album: str) -> None:
    with database.begin() as session:
        chat, who = people.chat(session, "test", "room"), people.person(session, "test", "1", "")
        session.add(
            Message(
                platform="test",
                chat_id=chat.id,
                platform_id=album,
                person_id=who.id,
                album=album,
                payload={},
                position=9,
            )
        )


def test_in_a_flood_a_few_are_told_that_their_photos_are_safe(database: Database, settings: Settings) -> None:
    _looked_at(database, 100, person="1")
    with database.begin() as session:
        for message in session.scalars(select(Message)):
            message.state, message.failure, message.received_at = "waiting", None, now().replace(year=2020)
    _looked_at(database, 1, person="2", chat="another")
    with database.begin() as session:
        last = session.scalars(select(Message).order_by(Message.id.desc()).limit(1)).one()
        last.state, last.failure, last.received_at = "waiting", None, now().replace(year=2020)

    for _ in range(5):
        delivery.reassure(database, settings, ("test",))

    with database.read() as session:
        count = (
            select(Chat.platform_id, func.count()).join(Answer, Answer.chat_id == Chat.id).group_by(Chat.platform_id)
        )
        told = {chat: times for chat, times in session.execute(count)}  # noqa: C416
    assert told == {"room": delivery.KIND_WORDS, "another": 1}
