"""A send that nobody heard of: the message it left is found in the chat, over real HTTP against the stand-in."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from bot import reception
from bot.messages import PRIVATE, Choice, Incoming, Reply
from bot.platforms.telegram import adapter, traces
from snaplabel import people
from snaplabel.database import Database
from snaplabel.errors import DatabaseError, PlatformError
from snaplabel.tables import Answer
from tests.bot.test_telegram import Desk, desk_at
from tests.fakes.telegram_api import Chat, Message, TelegramApi, User

pytestmark = pytest.mark.real

REPLY = Reply("Red, quite sure", "99 %", choices=((Choice("✓ Red", "ok:1"),),))
Place = Callable[[TelegramApi, User], Chat]
PLACES: list[Place] = [
    lambda telegram, anna: telegram.private_chat(anna),
    lambda telegram, anna: telegram.group("Shirts", anna),
    lambda telegram, anna: telegram.supergroup("Shirts", anna),
]


@pytest.fixture
def telegram() -> Iterator[TelegramApi]:
    with TelegramApi() as api:
        yield api


@pytest.fixture
def desk(telegram: TelegramApi, database: Database) -> Iterator[Desk]:
    with desk_at(telegram) as found:
        found.host.database = database
        yield found


def _write_down(database: Database, *posts: Message) -> None:
    for post in posts:
        kind = {"platform": "telegram", "person": "1", "kind": "text", "text": "x"}
        reception.write_down(database, [Incoming(chat=str(post.chat.id), message=str(post.id), **kind)])  # type: ignore[arg-type]


def _answer(database: Database, to: Message, shown_in: str | None = None) -> int:
    """Our answer to a post, as it is written down; shown_in: the message that is known to show it."""
    with database.begin() as session:
        chat = people.chat(session, "telegram", str(to.chat.id))
        answer = Answer(platform="telegram", chat_id=chat.id, reply_to=str(to.id), revision=1, platform_id=shown_in)
        session.add(answer)
        session.flush()
        return answer.id


def _find(desk: Desk, to: Message, answer: int, reply: Reply = REPLY) -> str | None:
    return desk.do(desk.platform.find(str(to.chat.id), answer, reply, reply_to=str(to.id)))


def _refused(desk: Desk, work: Coroutine[Any, Any, object]) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        desk.do(work)
    return caught.value


@pytest.mark.parametrize("place", PLACES, ids=["private", "group", "supergroup"])
def test_a_message_that_was_cut_off_after_it_arrived_is_found_among_all_others(
    telegram: TelegramApi, desk: Desk, database: Database, place: Place
) -> None:
    anna = telegram.person("Anna")
    max_ = telegram.person("Max")
    chat, elsewhere = place(telegram, anna), telegram.private_chat(max_)
    first = anna.send_text(chat, "one")
    _write_down(database, first)
    _answer(database, first, desk.send(chat, Reply("an earlier answer"), str(first.id)))
    photo = anna.send_text(chat, "two")
    _write_down(database, photo)
    answer = _answer(database, photo)
    anna.send_text(chat, "nobody wrote this one down")
    _write_down(database, max_.send_text(elsewhere, "somebody in another chat"))
    telegram.cut_after_accept("sendMessage")
    _refused(desk, desk.platform.send(str(chat.id), REPLY, reply_to=str(photo.id), nonce="once"))
    later = [anna.send_text(chat, "three") for _ in range(3)]
    _write_down(database, *later)
    before = [message.shown for message in chat.messages]

    found = _find(desk, photo, answer)

    (ours,) = [message for message in chat.from_bot if message.reply_to is photo]
    assert found == str(ours.id)
    assert [message.shown for message in chat.messages] == before
    assert ours.buttons == [["✓ Red"]]


def test_nothing_is_looked_for_while_posts_are_still_to_come_in(
    telegram: TelegramApi, desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "HEARD_WITHIN_S", 0.2)
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    photo = anna.send_text(chat, "one")
    _write_down(database, photo)
    answer = _answer(database, photo)
    desk.posts()
    desk.host.refusals = [DatabaseError("away")] * 1000
    unheard = [anna.send_text(chat, "chatter") for _ in range(2 * traces.MOST)]
    sent = desk.send(chat, REPLY, str(photo.id))

    error = _refused(desk, desk.platform.find(str(chat.id), answer, REPLY, reply_to=str(photo.id)))
    desk.host.refusals.clear()
    desk.posts(1 + len(unheard))
    _write_down(database, *unheard)

    assert not error.permanent
    assert _find(desk, photo, answer) == sent


def test_nothing_is_found_where_nothing_arrived_and_nothing_is_changed(
    telegram: TelegramApi, desk: Desk, database: Database
) -> None:
    anna = telegram.person("Anna")
    chat = telegram.supergroup("Shirts", anna)
    photo = anna.send_text(chat, "one")
    _write_down(database, photo)
    answer = _answer(database, photo)
    telegram.cut_before_accept("sendMessage")
    _refused(desk, desk.platform.send(str(chat.id), REPLY, reply_to=str(photo.id), nonce="once"))

    found = _find(desk, photo, answer)

    assert found is None
    assert [message.shown for message in chat.messages] == ["one"]
    assert len(telegram.calls_of("editMessageReplyMarkup")) == traces.BEYOND


def test_a_message_without_buttons_is_found_too(telegram: TelegramApi, desk: Desk, database: Database) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    photo = anna.send_text(chat, "one")
    _write_down(database, photo)
    answer = _answer(database, photo)
    sent = desk.send(chat, Reply(text="That photo arrived damaged."), str(photo.id))

    found = _find(desk, photo, answer, Reply(text="That photo arrived damaged."))

    assert found == sent


def test_a_message_to_a_person_whose_chat_we_never_saw_is_found_too(
    telegram: TelegramApi, desk: Desk, database: Database
) -> None:
    anna = telegram.person("Anna")
    telegram.private_chat(anna)
    chat = f"{PRIVATE}{anna.id}"
    with database.begin() as session:
        there = people.chat(session, "telegram", chat, is_private=True)
        alert = Answer(platform="telegram", chat_id=there.id, revision=1)
        session.add(alert)
        session.flush()
        answer = alert.id
    sent = desk.do(desk.platform.send(chat, REPLY, reply_to=None, nonce="once"))

    found = desk.do(desk.platform.find(chat, answer, REPLY, reply_to=None))

    assert found == sent


def test_who_blocked_us_meanwhile_is_not_asked_again(telegram: TelegramApi, desk: Desk, database: Database) -> None:
    anna = telegram.person("Anna")
    photo = anna.send_text(telegram.private_chat(anna), "one")
    _write_down(database, photo)
    answer = _answer(database, photo)
    anna.block_bot()

    error = _refused(desk, desk.platform.find(str(photo.chat.id), answer, REPLY, reply_to=str(photo.id)))

    assert error.permanent


def test_only_few_messages_are_asked_for_however_long_the_bot_was_away(
    telegram: TelegramApi, desk: Desk, database: Database
) -> None:
    anna = telegram.person("Anna")
    chat = telegram.supergroup("Shirts", anna)
    photo = anna.send_text(chat, "one")
    _write_down(database, photo)
    answer = _answer(database, photo)
    for _ in range(3 * traces.MOST):
        last = anna.send_text(chat, "chatter")
    _write_down(database, last)

    numbers = traces.candidates(database, str(chat.id), answer)

    assert numbers == list(range(photo.id + 1, photo.id + 1 + traces.MOST))
