"""What the bot's tests start from."""

from pathlib import Path

import pytest

from snaplabel.database import Database
from snaplabel.settings import Settings
from tests.bot.room import Room


@pytest.fixture
def room(database: Database, tmp_path: Path, settings: Settings) -> Room:
    """A room whose model knows three clubs."""
    found = Room(database, tmp_path, settings)
    found.model("Juventus", "Newcastle", "Botafogo")
    return found
