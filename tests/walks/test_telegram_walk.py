"""Photo to answer, and correction to better model, through Telegram; nothing replaced but Telegram itself."""

from pathlib import Path
from typing import Literal

import pytest

from tests.fakes.telegram_api import Message, TelegramApi, User
from tests.walks.conftest import NewHouse
from tests.walks.following import expect_followed, wait_until_well
from tests.walks.house import House, taught_shirts, unseen_shirts
from tests.walks.story import walk

pytestmark = pytest.mark.real


class Group:
    """A `Room` on Telegram: what Anna knows better she writes in a reply to the answer."""

    def __init__(self, telegram: TelegramApi, anna: User) -> None:
        self._people = {"Anna": anna, "Max": telegram.person("Max")}
        self._chat = telegram.group("Shirts", *self._people.values())

    def send(self, data: bytes) -> Message:
        return self._people["Max"].send_photo(self._chat, data)

    def answer(self, photo: Message) -> str:
        found = self._answer_to(photo)
        return found.shown if found is not None else ""

    def correct(self, photo: Message, label: str) -> None:
        self._people["Anna"].send_text(self._chat, label.lower(), reply_to=self._answer_to(photo))

    def ask(self, who: Literal["Anna", "Max"], command: str) -> None:
        self._people[who].send_text(self._chat, f"/{command}")

    def said(self) -> list[str]:
        return [message.shown for message in self._chat.from_bot]

    def _answer_to(self, photo: Message) -> Message | None:
        ours = self._chat.from_bot
        return next((one for one in ours if one.reply_to is not None and one.reply_to.id == photo.id), None)


def _telegram_of(house_of: NewHouse, telegram: TelegramApi, admin: int, **settings: str) -> House:
    return house_of(
        telegram_token=telegram.token, telegram_api_url=telegram.url, admins=f"telegram:{admin}", **settings
    )


def test_a_walk_with_everything_in_one_go(new_house: NewHouse, tmp_path: Path) -> None:
    with TelegramApi(username="snap_bot", name="Snap") as telegram:
        admin = telegram.person("Anna")
        house = _telegram_of(new_house, telegram, admin.id)
        house.run("import", str(taught_shirts(tmp_path / "taught")))
        house.run("train")
        process = house.up()

        walk(house, Group(telegram, admin), unseen_shirts())

        parts = wait_until_well(house)
        assert all(part["ok"] for part in parts.values())
        assert set(parts) == {"database", "broker", "worker", "trainer", "scheduler", "photos", "answers"}
        assert house.stop() == [0]
        assert process.returncode == 0
        log = "\n".join(path.read_text() for path in house.folder.glob("*-up.log"))
        expect_followed(log, "Max", "Anna", telegram.token)


def test_a_walk_over_postgres_and_redis_with_a_process_for_each_part(
    new_postgres_url: str, redis_url: str, new_house: NewHouse, tmp_path: Path
) -> None:
    with TelegramApi(username="snap_bot", name="Snap") as telegram:
        admin = telegram.person("Anna")
        house = _telegram_of(new_house, telegram, admin.id, database_url=new_postgres_url, broker_url=redis_url)
        house.run("migrate")
        house.run("import", str(taught_shirts(tmp_path / "taught")))
        house.run("train")
        for part in (("worker",), ("worker",), ("trainer",), ("scheduler",), ("bot", "telegram")):
            house.start(*part)

        walk(house, Group(telegram, admin), unseen_shirts())
