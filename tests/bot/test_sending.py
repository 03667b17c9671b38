"""Answers out, one at a time: what is in doubt is looked for, what is final stays so, and no record is forgotten."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from bot import answers, delivery, sending
from bot.messages import Attachment, Reply
from snaplabel import people
from snaplabel.database import Database, now
from snaplabel.errors import PlatformError
from snaplabel.tables import Answer

NAMES = ("test",)


@dataclass
class Wall:
    """A platform on which messages stay. troubles: what the next sends raise; heard: whether they arrive anyway."""

    name: str = "test"
    messages: dict[str, str] = field(default_factory=dict)
    troubles: list[PlatformError] = field(default_factory=list)
    heard: bool = False
    searches: int = 0

    async def run(self) -> None:
        raise AssertionError("nothing comes in here")

    async def fetch(self, attachment: Attachment) -> bytes:
        raise AssertionError("nothing comes in here")

    async def send(self, chat: str, reply: Reply, *, reply_to: str | None, nonce: str) -> str:
        message = f"m{len(self.messages) + 1}"
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble is None or self.heard:
            self.messages[message] = reply.text
        if trouble is not None:
            raise trouble
        return message

    async def find(self, chat: str, answer: int, reply: Reply, *, reply_to: str | None) -> str | None:
        self.searches += 1
        return next(iter(self.messages), None)

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        self.messages[message] = reply.text

    async def busy(self, chat: str) -> None:
        raise AssertionError("nobody types here")

    async def manages(self, chat: str, person: str) -> bool:
        return False


def _say(database: Database, text: str, chat: str = "room") -> int:
    with database.begin() as session:
        return answers.say(session, people.chat(session, "test", chat), Reply(text=text)).id


def _answer(database: Database, answer_id: int) -> Answer:
    with database.read() as session:
        return session.get_one(Answer, answer_id)


def _pass_time(database: Database) -> None:
    """All waits and leases are over."""
    with database.begin() as session:
        session.execute(update(Answer).values(not_before=now() - timedelta(seconds=1)))
        over = now() - timedelta(seconds=1)
        session.execute(update(Answer).where(Answer.claimed_until.is_not(None)).values(claimed_until=over))


def _bring(wall: Wall, database: Database) -> list[bool]:
    """Bring what can be claimed now."""
    return [asyncio.run(sending.bring(wall, database, out)) for out in delivery.claim(database, NAMES)]


def test_a_message_that_arrived_though_its_send_failed_is_not_sent_again(database: Database) -> None:
    number, wall = _say(database, "Red"), Wall(troubles=[PlatformError("the line was cut")], heard=True)

    first = _bring(wall, database)
    _pass_time(database)
    second = _bring(wall, database)

    assert (first, second) == ([False], [True])
    assert (wall.messages, _answer(database, number).platform_id) == ({"m1": "Red"}, "m1")


def test_a_bot_that_died_between_send_and_record_leaves_one_message(database: Database) -> None:
    number, wall = _say(database, "Red"), Wall()
    (out,) = delivery.claim(database, NAMES)
    asyncio.run(wall.send(out.chat, out.reply, reply_to=None, nonce="once"))

    _pass_time(database)
    brought = _bring(wall, database)

    assert (brought, wall.messages, wall.searches) == ([True], {"m1": "Red"}, 1)
    assert _answer(database, number).platform_id == "m1"


def test_what_was_never_tried_is_sent_without_a_search(database: Database) -> None:
    _say(database, "Red")
    wall = Wall()

    brought = _bring(wall, database)

    assert (brought, wall.searches) == ([True], 0)


def test_a_platform_that_asks_for_patience_has_not_taken_the_message(database: Database) -> None:
    number, wall = _say(database, "Red"), Wall(troubles=[PlatformError("slower", retry_after_s=7.0)] * 5)

    for _ in range(5):
        _bring(wall, database)
        at_once = _bring(wall, database)
        wait_s = (_answer(database, number).not_before - now()).total_seconds()
        _pass_time(database)

    assert at_once == []
    assert 5 < wait_s <= 7
    assert (wall.searches, _answer(database, number).attempts) == (0, 0)


def test_doubt_outlives_a_platform_that_asks_for_patience(database: Database) -> None:
    _say(database, "Red")
    wall = Wall(troubles=[PlatformError("the line was cut"), PlatformError("slower", retry_after_s=1.0)])

    for _ in range(2):
        _bring(wall, database)
        _pass_time(database)
    brought = _bring(wall, database)

    assert (brought, wall.searches) == ([True], 2)


def test_answers_of_a_chat_that_must_wait_keep_their_order_and_others_go_on(database: Database) -> None:
    for text in ("one", "two", "three"):
        _say(database, text)
    _say(database, "elsewhere", chat="other")
    wall = Wall(troubles=[PlatformError("slower", retry_after_s=60.0)])

    _bring(wall, database)
    while_it_waits = list(wall.messages.values())
    _bring(wall, database)
    _pass_time(database)
    while _bring(wall, database):
        pass

    assert while_it_waits == ["elsewhere"]
    assert list(wall.messages.values()) == ["elsewhere", "one", "two", "three"]


def test_a_refusal_for_good_is_recorded_and_never_tried_again(database: Database) -> None:
    number, wall = _say(database, "Red"), Wall(troubles=[PlatformError("we were blocked", permanent=True)])

    _bring(wall, database)
    _pass_time(database)
    with database.begin() as session:
        is_news = answers.show(session, session.get_one(Answer, number), Reply(text="Blue"))

    assert _bring(wall, database) == []
    assert (_answer(database, number).state, is_news, wall.messages) == ("gone", False, {})


def test_an_answer_that_is_still_being_sent_is_not_claimed_however_long_it_takes(database: Database) -> None:
    number = _say(database, "Red")
    delivery.claim(database, NAMES, lease_s=0)
    _pass_time(database)

    still_ours = delivery.claim(database, NAMES, ours=[number])
    left_behind = delivery.claim(database, NAMES)

    assert still_ours == []
    assert [out.is_doubtful for out in left_behind] == [True]


def test_a_database_that_is_away_is_waited_for_because_only_we_know_what_was_sent(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(Database):
        """Fails as one does whose server was killed. left: so many times."""

        left = 2

        def begin(self):  # type: ignore[no-untyped-def]
            if self.left:
                self.left -= 1
                raise OperationalError("UPDATE answer", {}, Exception("server closed the connection"))
            return super().begin()

    monkeypatch.setattr(sending, "FIRST_PAUSE_S", 0.001)
    number, wall = _say(database, "Red"), Wall()
    (out,) = delivery.claim(database, NAMES)
    away = Away(database.url)

    asyncio.run(sending.bring(wall, away, out))
    away.close()

    assert (_answer(database, number).platform_id, wall.messages) == ("m1", {"m1": "Red"})
