"""Admins hear of what does not work once, in private; the same message says when it is over."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from bot import alerting, words
from bot.messages import PRIVATE, Reply
from snaplabel import forgetting, people
from snaplabel.alerts import LATE_S, SERVICES, SILENT_S
from snaplabel.database import now
from snaplabel.tables import Alert, Answer, Chat, Message
from tests.bot.room import ADMIN, Room

KINDS: dict[str, dict[str, Any]] = {
    "late:test": {"platform": "test", "photos": 3},
    "unsent:test": {"platform": "test", "answers": 3},
    "failing:test": {"platform": "test", "photos": 3},
    "training:1:refit": {"run": 7, "training": "refit", "classifier": 1},
    "training:1:fine_tune": {"run": 7, "training": "fine_tune", "classifier": 1},
    "silent:worker": {"service": "worker"},
    "silent:trainer": {"service": "trainer"},
    "silent:scheduler": {"service": "scheduler"},
    "disk:ab": {"free_mb": 900},
    "errors:bot": {"service": "bot", "errors": 10},
    **{f"platform:{key}": {"platform": "test", "trouble": key} for key in words.TROUBLE},
}


class Platform:
    """A platform of which only its trouble matters."""

    name = "test"

    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble


def _watch(room: Room, admins: tuple[str, ...] | None = None, **more: Any) -> alerting.Watch:
    room.settings.home.mkdir(exist_ok=True)
    settings = room.settings if admins is None else replace(room.settings, admins=admins)
    return alerting.Watch(room.database, settings, **more)


def _look(watch: alerting.Watch, trouble: str = "") -> None:
    watch.look({"test": Platform(trouble)})  # type: ignore[dict-item]


def _told(room: Room) -> list[tuple[str, str]]:
    """Which chats show what title."""
    with room.database.read() as session:
        query = select(Chat.platform_id, Answer).join(Chat, Chat.id == Answer.chat_id).order_by(Answer.id)
        return [(chat, Reply.from_json(answer.content).title) for chat, answer in session.execute(query)]


def _late(room: Room, is_late: bool = True) -> None:
    """A photo waits for too long, or is answered at last."""
    changed = {"received_at": now() - timedelta(seconds=LATE_S + 5)} if is_late else {"state": "answered"}
    with room.database.begin() as session:
        session.execute(update(Message).where(Message.photo_id.is_not(None)).values(**changed))


def test_an_alert_is_told_once_in_the_chat_where_the_admin_wrote(room: Room) -> None:
    room.say("hello", ADMIN, chat="anna", is_private=True)
    before = _told(room)
    room.photo()
    _late(room)
    watch = _watch(room)

    _look(watch)
    _look(watch)

    assert _told(room) == [*before, ("anna", "Answers have stopped")]


def test_an_admin_who_never_wrote_is_told_in_a_chat_that_the_platform_opens(room: Room) -> None:
    room.photo()
    _late(room)

    _look(_watch(room))

    assert _told(room) == [(PRIVATE + ADMIN, "Answers have stopped")]


def test_every_admin_is_told_on_their_platform_and_without_one_the_log_is(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.photo()
    _late(room)
    _look(_watch(room, admins=()))
    alone = _told(room)
    with room.database.begin() as session:
        session.execute(update(Alert).values(told_at=None, facts={"platform": "test", "photos": 1}))

    _look(_watch(room, admins=("telegram:5", "discord:6")))

    assert alone == []
    assert "late:test" in caplog.text
    with room.database.read() as session:
        query = select(Answer.platform, Chat.platform_id).join(Chat, Chat.id == Answer.chat_id)
        assert {tuple(row) for row in session.execute(query)} == {("telegram", "user:5"), ("discord", "user:6")}


def test_when_it_is_over_the_same_message_says_so(room: Room) -> None:
    room.photo()
    _late(room)
    watch = _watch(room)
    _look(watch)

    _late(room, is_late=False)
    _look(watch)

    assert _told(room) == [(PRIVATE + ADMIN, "Over: answers have stopped")]
    with room.database.read() as session:
        assert Reply.from_json(session.scalars(select(Answer)).one().content).text.startswith("It lasted")


def test_what_comes_back_soon_is_told_in_the_message_that_is_there(room: Room) -> None:
    room.photo(1)
    watch = _watch(room)
    for is_late in (True, False):
        _late(room, is_late)
        _look(watch)

    room.photo(2)
    _late(room)
    _look(watch)

    assert _told(room) == [(PRIVATE + ADMIN, "Answers have stopped")]


def test_what_comes_back_the_next_day_is_told_anew(room: Room) -> None:
    room.photo(1)
    watch = _watch(room)
    for is_late in (True, False):
        _late(room, is_late)
        _look(watch)
    with room.database.begin() as session:
        session.execute(update(Alert).values(over_at=now() - timedelta(days=1)))

    room.photo(2)
    _late(room)
    _look(watch)

    assert [title for _, title in _told(room)] == ["Over: answers have stopped", "Answers have stopped"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_falls_silent_is_told_of_and_forgiven(room: Room, service: str) -> None:
    watch = _watch(room)
    with room.database.begin() as session:
        session.add(Alert(kind=f"silent:{service}", facts={"service": service}))
    _look(watch)
    alive = _told(room)
    with room.database.begin() as session:
        session.execute(update(Alert).values(since=now() - timedelta(seconds=SILENT_S + 1)))

    _look(watch)
    just_begun = _told(room)
    _look(_watch(room, since=now() - timedelta(seconds=SILENT_S + 1)))

    # A bot that has just started can't know whether everybody else has, too.
    assert alive == just_begun == []
    assert _told(room) == [(PRIVATE + ADMIN, f"No {service} works")]


def test_an_admin_who_leaves_takes_the_message_along_and_no_other_is_taken_for_it(room: Room) -> None:
    room.say("/help", ADMIN)
    room.photo()
    _late(room)
    watch = _watch(room)
    _look(watch)
    with room.database.begin() as session:
        answer_id = session.scalars(select(Alert.facts)).one()["answers"][0]
        anna = people.person(session, "test", ADMIN)
        forgetting.forget(session, anna, votes_needed=0.5)
        session.flush()
        room_chat = people.chat(session, "test", "room")
        session.add(Answer(id=answer_id, platform="test", chat_id=room_chat.id, content=Reply("7 photos").to_json()))

    _late(room, is_late=False)
    _look(watch)

    with room.database.read() as session:
        assert session.get_one(Answer, answer_id).content["title"] == "7 photos"
        assert session.scalars(select(Chat.platform_id)).all() == ["room"]


def test_a_platform_in_trouble_is_told_of_when_it_stays_so(room: Room) -> None:
    _look(_watch(room), "conflict")
    at_once = _told(room)

    watch = _watch(room, trouble_s=0.0)
    _look(watch, "conflict")
    begun = _told(room)
    _look(watch)

    assert at_once == []
    assert begun == [(PRIVATE + ADMIN, "Test does not work")]
    assert _told(room) == [(PRIVATE + ADMIN, "Over: test does not work")]


def test_a_platform_that_ends_is_in_trouble_until_it_has_run_for_a_while(room: Room) -> None:
    watch = _watch(room, trouble_s=0.0, well_after_s=0.0)
    watch.fails("test", "off")
    _look(watch)
    begun = _told(room)

    async def run() -> None:
        with watch.running("test"):
            await asyncio.sleep(0.01)

    asyncio.run(run())
    _look(watch)

    assert begun == [(PRIVATE + ADMIN, "Test does not work")]
    assert _told(room) == [(PRIVATE + ADMIN, "Over: test does not work")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_alert_has_words_and_a_line_on_the_page_about_running(kind: str) -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs/running.md").read_text()

    title, text = words.alert(kind, KINDS[kind])

    assert title
    assert text.endswith(".")
    assert f"| `{kind.partition(':')[0]}" in page


def test_an_alert_that_nobody_has_words_for_is_still_told() -> None:
    title, text = words.alert("comet:1", {})

    assert title
    assert "comet:1" in text
