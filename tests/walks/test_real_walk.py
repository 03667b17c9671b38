"""The story with real photos and a network that has seen the world: ants and bees, on both networks."""

from pathlib import Path

import pytest

from tests.fakes.discord_api import DiscordApi
from tests.fakes.telegram_api import TelegramApi
from tests.walks import test_discord_walk, test_telegram_walk
from tests.walks.conftest import NewHouse
from tests.walks.house import House, wait_for
from tests.walks.story import walk

pytestmark = pytest.mark.real


def _taught(new_house: NewHouse, test_data: Path, weights: Path, **settings: str) -> House:
    house = new_house(backbone="mobilenet_v2", weights=str(weights), **settings)
    house.run("import", str(test_data / "ants-bees" / "train"))
    house.run("train")
    return house


def _asked(test_data: Path) -> list[tuple[str, bytes]]:
    paths = sorted((test_data / "ants-bees" / "test").glob("*/*.jpg"))
    return [(path.parent.name, path.read_bytes()) for path in paths]


def test_150_photos_over_telegram(new_house: NewHouse, test_data: Path, weights: Path) -> None:
    with TelegramApi(username="snap_bot", name="Snap") as telegram:
        admin = telegram.person("Anna")
        who = f"telegram:{admin.id}"
        house = _taught(
            new_house, test_data, weights, telegram_token=telegram.token, telegram_api_url=telegram.url, admins=who
        )
        house.up()

        walk(house, test_telegram_walk.Group(telegram, admin), _asked(test_data))


def test_150_photos_over_discord(new_house: NewHouse, test_data: Path, weights: Path) -> None:
    with DiscordApi() as api:
        group = test_discord_walk.Group(api)
        who, address = f"discord:{group.anna.id}", f"{api.url}/api/v10"
        house = _taught(new_house, test_data, weights, discord_token=api.token, discord_api_url=address, admins=who)
        house.up()
        wait_for(lambda: api.is_connected and len(api.commands) > 1, "a connection and the commands")

        walk(house, group, _asked(test_data))
