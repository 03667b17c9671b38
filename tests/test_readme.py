"""README says what is there: the two commands at its top, every file in its tree, every command in a table."""

from pathlib import Path

from snaplabel import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ROOMS = ("snaplabel", "bot", "worker", "trainer", "demo", "migrations")


def test_the_two_commands_stand_at_the_top() -> None:
    top = README.splitlines()[:20]

    assert any(line.startswith("make demo") for line in top)
    assert any(line.startswith("make test") for line in top)


def test_every_file_of_the_rooms_is_in_the_tree() -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "versions" not in path.parts]

    missing = [
        str(path.relative_to(ROOT)) for path in files if path.name not in ("__init__.py",) and path.name not in README
    ]

    assert missing == []


def test_every_command_is_named() -> None:
    missing = [name for name in cli.COMMANDS if f"`{name}" not in README and f"snaplabel {name}" not in README]

    assert missing == []


def test_every_picture_is_there() -> None:
    pictures = [line.partition("](")[2].partition(")")[0] for line in README.splitlines() if line.startswith("![")]

    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
