"""The front door: what it answers, what it returns, and that it opens quickly."""

import argparse
import importlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import migrations
from snaplabel import __version__, cli, logs, people, up
from snaplabel.errors import SettingsError
from snaplabel.settings import Settings, read

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working directory of their own, and none of this machine's settings."""
    for name in [name for name in os.environ if name.startswith("SNAPLABEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def _subcommands() -> dict[str, argparse.ArgumentParser]:
    actions = cli.parser()._subparsers
    assert actions is not None
    found: dict[str, argparse.ArgumentParser] = actions._group_actions[0].choices  # type: ignore[assignment]
    return found


def test_every_command_of_the_parser_has_a_function_and_the_other_way_round() -> None:
    assert set(_subcommands()) == set(cli.COMMANDS)


@pytest.mark.parametrize("target", sorted(set(cli.COMMANDS.values())))
def test_every_function_can_be_imported(target: str) -> None:
    module, _, name = target.partition(":")

    assert callable(getattr(importlib.import_module(module), name))


def test_help_is_quick_and_needs_no_database_library() -> None:
    code = "import sys; from snaplabel.cli import main; main(['--help']); print('sqlalchemy' in sys.modules)"
    durations = []
    for _ in range(3):
        began = time.perf_counter()
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
        durations.append(time.perf_counter() - began)

    assert ran.stdout.splitlines()[-1] == "False"
    assert min(durations) < 0.3


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0

    assert capsys.readouterr().out == f"snaplabel {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["fly"],
        ["rollback", "newest"],
        ["promote"],
        ["bot"],
        ["up", "--port", "70000"],
        ["revert", "somebody"],
        ["train", "--full", "--epochs", "0"],
        ["review", "--limit", "0"],
        ["acts", "--limit", "0"],
        ["train", "--full", "--rate", "fast"],
    ],
)
def test_wrong_usage_is_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2

    assert "usage: snaplabel" in capsys.readouterr().err


def test_a_recipe_of_ones_own_is_for_the_whole_network(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--epochs", "3"]) == 2

    assert "add --full" in capsys.readouterr().err


def test_a_wrong_setting_is_2_and_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNAPLABEL_WEB_PORT", "many")

    assert cli.main(["models"]) == 2

    err = capsys.readouterr().err
    assert err == "snaplabel: SNAPLABEL_WEB_PORT must be a number, 0 or more; it is 'many'.\n"


def test_a_failure_is_1_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", "not-there"]) == 1

    assert capsys.readouterr().err == "snaplabel: There is no not-there.\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPLABEL_LOG_LEVEL", "DEBUG")

    assert cli.main(["import", "not-there"]) == 1

    assert "Traceback" in capsys.readouterr().err


def test_a_service_without_a_broker_says_that_nothing_is_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snaplabel import services

    monkeypatch.setattr(services, "BROKER_WITHIN_S", 0.0)
    with pytest.raises(Exception, match="No `snaplabel up` is running"):
        services.need_broker(read(), within_s=0.0)


def test_migrate_makes_the_home_for_its_owner_only(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate"]) == 0
    assert cli.main(["migrate"]) == 0

    assert home.stat().st_mode & 0o777 == 0o700
    assert capsys.readouterr().out == "The database is up to date now.\nThe database is up to date.\n"


def test_output_into_a_closed_pipe_is_no_failure() -> None:
    shell = f"{sys.executable} -m snaplabel doctor --quick | true"

    ran = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")


def _line(message: str, secrets: tuple[str, ...] = (), *, error: Exception | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("bot.run", logging.INFO, __file__, 1, message, (), info)
    return logs.OneLine("bot", secrets).format(record)


def test_a_log_record_is_one_line_whatever_is_in_it() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        line = _line("photo 7\nfailed", error=error)

    assert "\n" not in line
    assert "photo 7 ⏎ failed" in line
    assert "ValueError: two" in line


def test_a_log_record_holds_no_secret() -> None:
    assert "123:hushhush" not in _line("GET /bot123:hushhush/getMe", ("123:hushhush",))


def test_an_unknown_log_level_is_a_wrong_setting(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(SettingsError, match="SNAPLABEL_LOG_LEVEL"):
        logs.configure(replace(settings, log_level="loud"), "bot")


def test_a_command_that_is_mistyped_brings_up_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2

    assert "there is no command 'trian'; did you mean 'train'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("status", "did you mean 'models' or 'doctor'?"),
        ("stats", "`snaplabel --help` lists what there is."),
    ],
)
def test_a_command_that_is_like_no_other_brings_up_none_by_its_letters(
    command: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command]) == 2

    assert f"there is no command {command!r}; {hint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "usage"),
    [
        (["train", "--fulll"], "usage: snaplabel train [-h] [--classifier NAME] [--full]"),
        (["review", "keep", "1", "--fulll"], "usage: snaplabel review keep [-h]"),
        (["label", "archive", "ant", "--fulll"], "usage: snaplabel label archive [-h]"),
        (["--fulll"], "usage: snaplabel [-h] [--version] COMMAND"),
    ],
)
def test_an_option_that_is_not_there_brings_up_the_usage_of_its_own_command(
    argv: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2

    said = capsys.readouterr().err
    assert said.startswith(usage)
    assert "unrecognized arguments: --fulll" in said


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("SNAPLABEL_BACKBONE", "resnet81", "SNAPLABEL_BACKBONE: torchvision has no classification network 'resnet81'"),
        ("SNAPLABEL_WEIGHTS", "soup.pth", "SNAPLABEL_WEIGHTS: soup.pth is no file that torch saved"),
        ("SNAPLABEL_LOG_LEVEL", "LOUD", "SNAPLABEL_LOG_LEVEL is 'LOUD'; it can be DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_a_training_that_cannot_go_well_is_refused_before_any_work(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    sentence: str,
) -> None:
    Path("soup.pth").write_text("carrots")
    monkeypatch.setenv(setting, value)

    assert cli.main(["train", "--full"]) == 2

    assert sentence in capsys.readouterr().err
    assert not home.exists()


def test_an_unknown_backbone_is_named_by_the_option_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--full", "--backbone", "nosuchnet"]) == 2

    assert "--backbone: torchvision has no classification network 'nosuchnet'" in capsys.readouterr().err


def test_a_home_that_is_up_is_not_migrated_down(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate"]) == 0

    with up.alone(home):
        refused = cli.main(["migrate", "--down", "0002"])
    is_untouched = migrations.is_current(read().database)
    allowed = cli.main(["migrate", "--down", "0002"])

    said = capsys.readouterr()
    assert (refused, is_untouched, allowed) == (1, True, 0)
    assert f"snaplabel is up in {home} (process {os.getpid()}). Stop that one first." in said.err
    assert "The database is back at 0002.\nThe next command of this version may bring it up to date again" in said.out


@pytest.mark.parametrize(("name", "option"), [("default", ""), ("my birds", " --classifier 'my birds'")])
def test_a_classifier_other_than_the_default_one_is_named(name: str, option: str) -> None:
    assert people.option(name) == option
