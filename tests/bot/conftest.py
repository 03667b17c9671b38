"""What the bot's tests start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from snaplabel.database import Database
from snaplabel.settings import Settings, read
from tests.bot.browser import Browser, browser, program
from tests.bot.onloop import Watch
from tests.bot.room import Room
from tests.bot.webhouse import Served, served


@pytest.fixture
def room(database: Database, tmp_path: Path, settings: Settings) -> Room:
    """A room whose model knows three clubs."""
    found = Room(database, tmp_path, settings)
    found.model("Juventus", "Newcastle", "Botafogo")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = program()
    if path is None:
        pytest.skip("no Chromium is installed here")
    with browser(path) as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One running web chat for a file's tests, which share its room."""
    home = tmp_path_factory.mktemp("web") / "home"
    with served(read({"SNAPLABEL_HOME": str(home)}, dotenv=home / "no.env")) as found:
        yield found


@pytest.fixture(scope="session")
def _watch() -> Watch:
    watch = Watch()
    watch.attach()
    return watch


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop(_watch: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Whatever a test does with the bot: none of its coroutines may read files, ask the database or open a picture."""
    with _watch.on(tmp_path_factory.getbasetemp()) as found:
        yield found
    assert not found, f"on the event loop, where everybody waits for it: {sorted(found)}"
