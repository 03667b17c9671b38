"""Posts in, fairly: somebody's flood of photos holds up nobody else's."""

import asyncio
from typing import cast

import pytest

from bot.messages import Attachment, Incoming, Platform
from bot.run import Bot
from snaplabel import home
from snaplabel.errors import PlatformError
from snaplabel.settings import Settings


class Slow:
    """A platform that has lost every photo, and takes a while to say so; `asked` tells in which order."""

    name = "test"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fetch(self, attachment: Attachment) -> bytes:
        self.asked.append(str(attachment.handle["id"]))
        await asyncio.sleep(0.01)
        raise PlatformError("gone", permanent=True)

    async def busy(self, chat: str) -> None:
        pass

    async def manages(self, chat: str, person: str) -> bool:
        return False


def _posts(person: str, count: int) -> list[Incoming]:
    names = [f"{person}-{n}" for n in range(count)]
    return [Incoming("test", "room", name, person, "photo", attachment=Attachment({"id": name})) for name in names]


@pytest.mark.parametrize("flooders", [1, 2])
def test_a_photo_sent_after_a_flood_is_fetched_among_the_next(settings: Settings, flooders: int) -> None:
    home.prepare(settings)
    platform = Slow()

    async def serve() -> None:
        bot = Bot(settings)
        bot.platforms = {"test": cast(Platform, platform)}
        for flooder in range(flooders):
            await bot.receive(_posts(f"flood{flooder}", 60))
        while not platform.asked:
            await asyncio.sleep(0.01)
        await bot.receive(_posts("late", 1))
        before = len(platform.asked)
        while "late-0" not in platform.asked:
            await asyncio.sleep(0.01)
        assert platform.asked.index("late-0") - before < 20
        await bot.close()

    asyncio.run(serve())
