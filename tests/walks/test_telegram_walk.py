"""Photo to answer, and correction to better model, through Telegram; nothing replaced but Telegram itself."""

from pathlib import Path

import pytest

from tests.fakes.telegram_api import Chat, Message, TelegramApi
from tests.walks.conftest import NewHouse
from tests.walks.house import House, taught_shirts, unseen_shirts, wait_for

pytestmark = pytest.mark.real


def _answer_to(chat: Chat, photo: Message) -> Message | None:
    return next((one for one in chat.from_bot if one.reply_to is not None and one.reply_to.id == photo.id), None)


def _says(chat: Chat, photo: Message) -> str:
    answer = _answer_to(chat, photo)
    return answer.shown if answer is not None else ""


def _walk(house: House, telegram: TelegramApi, photos: list[tuple[str, bytes]]) -> None:
    """The story of the issue: photos, corrections, /retrain, a better model, a refusal and a rollback."""
    anna, max_ = telegram.person("Anna"), telegram.person("Max")
    group = telegram.group("Shirts", anna, max_)

    sent = [(label, max_.send_photo(group, data)) for label, data in photos]
    wait_for(lambda: all(_answer_to(group, photo) for _, photo in sent), "an answer to every photo")
    assert len(group.from_bot) == len(sent), "every photo is answered once"

    first = house.version()
    wrong = [(label, photo) for label, photo in sent if not _says(group, photo).startswith(f"{label}, quite")]
    assert wrong, "an untrained network must get some wrong"
    for label, photo in wrong:
        anna.send_text(group, label.lower(), reply_to=_answer_to(group, photo))
    wait_for(lambda: all(f"Anna said: {label}" in _says(group, photo) for label, photo in wrong), "every receipt")
    wait_for(lambda: house.version() > first and not house.is_training(), "the refit that follows by itself")

    max_.send_text(group, "/retrain")
    wait_for(lambda: "Only the admins" in group.from_bot[-1].shown, "a refusal")
    before = house.models()
    anna.send_text(group, "/retrain")
    wait_for(lambda: "Training done" in group.from_bot[-1].shown or "is live" in group.from_bot[-1].shown, "its end")
    assert max(house.models()) >= max(before)

    for label, photo in wrong[:3]:
        again = max_.send_photo(group, photo.photo or b"")
        wait_for(lambda again=again: _answer_to(group, again), "an answer to a corrected photo")  # type: ignore[misc]
        assert _says(group, again).startswith(label)

    here = house.version()
    anna.send_text(group, "/rollback")
    wait_for(lambda: "Back to v" in group.from_bot[-1].shown, "the rollback", 5)
    assert house.version() < here
    label, data = unseen_shirts(4)[-1]
    late = max_.send_photo(group, data)
    wait_for(lambda: _answer_to(group, late), "an answer by the old version", 5)


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

        _walk(house, _Same(telegram, admin), unseen_shirts())

        assert house.stop() == [0]
        assert process.returncode == 0


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

        _walk(house, _Same(telegram, admin), unseen_shirts())


class _Same:
    """A stand-in whose first "Anna" is the admin that the house was told of."""

    def __init__(self, telegram: TelegramApi, admin: object) -> None:
        self._telegram, self._admin = telegram, admin

    def person(self, name: str) -> object:
        return self._admin if name == "Anna" else self._telegram.person(name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._telegram, name)
