"""A Telegram group's own admins: the bot asks Telegram at each act, over real HTTP; only Telegram is a stand-in."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.platforms.telegram.adapter import Telegram
from bot.run import Bot
from snaplabel import acts, home, labels, people
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.tables import Act, Chat, Person
from tests.fakes.telegram_api import Chat as Group
from tests.fakes.telegram_api import TelegramApi, User

pytestmark = pytest.mark.real


class Place:
    """A bot at work in a thread, a group that it trusts, and its people."""

    def __init__(self, telegram: TelegramApi, settings: Settings) -> None:
        self.telegram = telegram
        self.owner, self.boss, self.max = (telegram.person(name) for name in ("Anna", "Boss", "Max"))
        self.group = telegram.supergroup("Squirrels", self.owner, self.boss, self.max)
        self.group.set_status(self.boss, "administrator", by=self.owner)
        self.settings = replace(
            settings,
            telegram_token=telegram.token,
            telegram_api_url=telegram.url,
            admins=(f"telegram:{self.owner.id}",),
        )
        home.prepare(self.settings)
        self.database = Database(self.settings.database)
        with self.database.begin() as session:
            people.make_classifier(session)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._up = threading.Event()
        self._thread.start()
        assert self._up.wait(30)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        bot = Bot(self.settings)
        platform = Telegram(bot.settings, bot, pause_s=0.05)
        bot.platforms = {"telegram": platform}
        running = asyncio.create_task(bot.run())
        self._up.set()
        await self._end.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bot.close()
        await platform.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the bot did not stop"
        self.database.close()

    def says(self, who: User, text: str, group: Group | None = None) -> str:
        """Somebody writes; what the bot answers."""
        place = group or self.group
        before = len(place.from_bot)
        who.send_text(place, text)
        self.telegram.wait_for(lambda: len(place.from_bot) > before)
        return place.from_bot[-1].shown

    def label(self, name: str) -> None:
        with self.database.begin() as session:
            labels.make(session, people.make_classifier(session).id, name)

    def trust(self) -> None:
        assert "count" in self.says(self.owner, "/roles on")

    def asked(self, whom: User | None = None) -> int:
        """How often Telegram was asked who somebody is."""
        numbers = [int(call.arguments["user_id"]) for call in self.telegram.calls_of("getChatMember")]
        return len(numbers) if whom is None else numbers.count(whom.id)

    def acts(self) -> list[tuple[str, str]]:
        with self.database.read() as session:
            query = select(Act.verb, Person.platform_id).join(Person, Person.id == Act.person_id).order_by(Act.id)
            return [(verb, number) for verb, number in session.execute(query)]

    def eventually(self, truth: Callable[[], object]) -> None:
        self.telegram.wait_for(lambda: bool(truth()))


@pytest.fixture
def place(settings: Settings, tmp_path: Path) -> Iterator[Place]:
    with TelegramApi() as telegram:
        found = Place(telegram, settings)
        try:
            yield found
        finally:
            found.close()


def test_telegram_is_asked_at_each_act_and_not_before(place: Place) -> None:
    place.label("grey")
    refused = place.says(place.boss, "/label alias grey = silver")
    asked_before = place.asked()
    place.trust()
    allowed = place.says(place.boss, "/label alias grey = silver")
    place.group.set_status(place.boss, "member", by=place.owner)
    demoted = place.says(place.boss, "/label unalias silver")

    assert "Only the admins" in refused
    assert asked_before == 0
    assert "another name of grey" in allowed
    assert "Only the admins" in demoted
    assert place.asked() == 2
    assert place.acts() == [("roles", str(place.owner.id)), ("alias", str(place.boss.id))]


def test_whoever_was_demoted_between_a_button_and_its_press_presses_in_vain(place: Place) -> None:
    place.trust()
    place.label("grey")
    question = place.says(place.boss, "/label archive grey")
    place.group.set_status(place.boss, "member", by=place.owner)

    before = len(place.group.from_bot)
    place.boss.press(place.group.from_bot[-1], "Put away 0 photos")
    place.eventually(lambda: len(place.group.from_bot) > before)

    assert "Archive grey?" in question
    assert "Only the admins" in place.group.from_bot[-1].shown
    assert ("archive", str(place.boss.id)) not in place.acts()


def test_a_look_up_that_fails_is_a_no(place: Place) -> None:
    place.trust()
    place.telegram.fail_next("getChatMember", 500)

    assert "Only the admins" in place.says(place.boss, "/retrain")
    assert place.asked() == 1


def test_anonymous_admins_and_forwarded_commands_are_nobodys_acts(place: Place) -> None:
    place.trust()

    anonymous = place.says(place.group.voice, "/retrain")
    private = place.telegram.private_chat(place.max)
    written = place.max.send_text(private, "/retrain full")
    forwarded = place.boss.forward(written, place.group)
    last = place.says(place.max, "/status")

    assert "Only the admins" in anonymous
    assert forwarded.forward_origin is not None
    assert "No photo is waiting" in last
    assert place.asked(place.boss) == place.asked(place.owner) == 0
    assert place.acts() == [("roles", str(place.owner.id))]


def test_the_admin_of_a_foreign_group_takes_nothing_over(place: Place) -> None:
    place.trust()
    stranger = place.telegram.person("Stranger")
    foreign = place.telegram.supergroup("Foreign", stranger)
    foreign.set_status(stranger, "creator")

    answers = [place.says(stranger, text, foreign) for text in ("/roles on", "/retrain", "/use default", "/acts")]

    assert all("Only the admins" in answer for answer in answers)
    assert place.asked() == 0
    with place.database.read() as session:
        assert session.scalars(select(Chat.platform_id).where(Chat.trusts_roles)).all() == [str(place.group.id)]
        assert [act.verb for act in acts.recent(session)] == ["roles"]
