"""Nothing that may take long is done on the event loop: that all of this folder's tests notice it is shown here."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot import delivery, hearing
from bot.platforms.web import room as pictures
from bot.run import Bot
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.tables import Classifier
from tests.bot.room import Room, picture


def a_query(bot: Bot) -> object:
    return delivery.compose(bot.database, bot.settings, ["test"])


def a_file(bot: Bot) -> object:
    return bot.store.put("inbox/1", b"bytes")


def a_picture(_bot: Bot) -> object:
    return pictures.as_shown(picture())


@pytest.mark.parametrize("blocks", [a_query, a_file, a_picture])
def test_a_call_that_blocks_is_noticed_on_the_loop_and_not_in_a_thread(
    nothing_blocks_the_loop: set[str], settings: Settings, room: Room, blocks: Callable[[Bot], object]
) -> None:
    bot = Bot(settings)
    bot.database, bot.store = room.database, room.store

    def directly(_: tuple[str, ...]) -> Awaitable[float]:
        blocks(bot)
        raise asyncio.CancelledError

    async def in_a_thread(_: tuple[str, ...]) -> float:
        await asyncio.to_thread(blocks, bot)
        raise asyncio.CancelledError

    # `_every` is the bot's own coroutine, and calls its step on the loop.
    async def run(step: Callable[[tuple[str, ...]], Awaitable[float]]) -> set[str]:
        with contextlib.suppress(asyncio.CancelledError):
            await bot._every(step, ("test",), 0.0)
        return set(nothing_blocks_the_loop)

    from_a_thread, from_the_loop = asyncio.run(run(in_a_thread)), asyncio.run(run(directly))
    nothing_blocks_the_loop.clear()  # These were meant.

    assert not from_a_thread
    assert from_the_loop
    assert all(place.startswith("bot/run.py:") for place in from_the_loop)


def test_an_ear_hears_a_commit_and_a_wait_ends_without_one(database: Database) -> None:
    ear = hearing.Ear(database)

    async def hear() -> tuple[int, int]:
        listening = asyncio.create_task(ear.listen())
        await ear.wait(0, 60.0)  # That there is a database at all is the first news.
        before = ear.heard
        await asyncio.to_thread(write, database)
        await ear.wait(before, 60.0)
        after = ear.heard
        await ear.wait(after, 0.0)
        listening.cancel()
        return before, after

    before, after = asyncio.run(hear())

    assert after > before


@pytest.mark.parametrize("turns", range(4))
def test_a_loop_that_is_cancelled_while_it_hears_news_ends(database: Database, turns: int) -> None:
    """One that went on would keep the bot from stopping."""
    ear = hearing.Ear(database)

    async def follow() -> None:
        while True:
            await ear.wait(ear.heard, 60.0)

    async def hear() -> bool:
        following = asyncio.create_task(follow())
        await asyncio.sleep(0.01)
        ear.tell()
        for _ in range(turns):  # How far the news has come.
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.wait([following], timeout=1.0)
        return following.done()

    assert asyncio.run(hear())


def write(database: Database) -> None:
    with database.begin() as session:
        session.add(Classifier(name="birds"))


def test_an_ear_outlives_a_database_that_was_away(tmp_path: Path, empty_database: Path) -> None:
    """A file that can't be opened at first is heard as soon as it can."""
    late = Database(f"sqlite:///{tmp_path / 'folder' / 'late.db'}")
    ear = hearing.Ear(late, again_s=0.01)

    async def hear() -> int:
        listening = asyncio.create_task(ear.listen())
        await ear.wait(0, 0.1)
        in_vain = ear.heard
        await asyncio.to_thread(move_in, empty_database, tmp_path / "folder")
        await ear.wait(in_vain, 60.0)
        listening.cancel()
        return in_vain

    assert asyncio.run(hear()) == 0
    assert ear.heard > 0
    late.close()


def move_in(source: Path, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(source, folder / "late.db")
