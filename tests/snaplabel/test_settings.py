"""Settings come from variables, files and `.env`; what is misspelt, missing or a placeholder is named."""

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from snaplabel.errors import SettingsError
from snaplabel.settings import PREFIX, Settings, read

ROOT = Path(__file__).parents[2]
NO_FILE = Path("/nowhere/.env")
NAMES = [PREFIX + field.name.upper() for field in fields(Settings)]


def test_with_nothing_set_everything_lies_in_the_home_folder() -> None:
    settings = read({}, NO_FILE)

    assert settings.home.is_absolute()
    assert settings.database == f"sqlite:///{settings.home}/snaplabel.db"
    assert settings.store == str(settings.home / "store")
    assert settings.platforms == ("web",)


def test_a_token_switches_its_platform_on() -> None:
    settings = read({"SNAPLABEL_TELEGRAM_TOKEN": "123:abc", "SNAPLABEL_DISCORD_TOKEN": "abc.def"}, NO_FILE)

    assert settings.platforms == ("telegram", "discord", "web")


def test_values_get_their_types() -> None:
    settings = read(
        {
            "SNAPLABEL_HOME": "~/somewhere",
            "SNAPLABEL_WEB_PORT": " 9000 ",
            "SNAPLABEL_VOTES_NEEDED": "1.5",
            "SNAPLABEL_ADMINS": "telegram:1, discord:2",
            "SNAPLABEL_WEIGHTS": "~/net.pth",
        },
        NO_FILE,
    )

    assert settings.home == Path.home() / "somewhere"
    assert (settings.web_port, settings.votes_needed) == (9000, 1.5)
    assert settings.admins == ("telegram:1", "discord:2")
    assert settings.weights == Path.home() / "net.pth"


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("123:from-a-file\n")

    settings = read({"SNAPLABEL_TELEGRAM_TOKEN_FILE": str(secret)}, NO_FILE)

    assert settings.telegram_token == "123:from-a-file"


def test_the_variable_itself_comes_before_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("123:from-a-file")
    given = {"SNAPLABEL_TELEGRAM_TOKEN": "123:given", "SNAPLABEL_TELEGRAM_TOKEN_FILE": str(secret)}

    assert read(given, NO_FILE).telegram_token == "123:given"


def test_a_secret_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SNAPLABEL_WEB_TOKEN_FILE names .*absent"):
        read({"SNAPLABEL_WEB_TOKEN_FILE": str(tmp_path / "absent")}, NO_FILE)


@pytest.mark.parametrize("placeholder", ["changeme", "TOKEN", "your-token", "xxx"])
def test_a_placeholder_is_refused_by_the_variables_name(placeholder: str) -> None:
    with pytest.raises(SettingsError, match="SNAPLABEL_DISCORD_TOKEN still holds a placeholder"):
        read({"SNAPLABEL_DISCORD_TOKEN": placeholder}, NO_FILE)


def test_a_placeholder_in_a_file_is_refused_too(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("changeme\n")

    with pytest.raises(SettingsError, match="SNAPLABEL_DISCORD_TOKEN"):
        read({"SNAPLABEL_DISCORD_TOKEN_FILE": str(secret)}, NO_FILE)


def test_an_unknown_variable_is_refused() -> None:
    with pytest.raises(SettingsError, match="SNAPLABEL_TELEGRAM_TOKN is no setting"):
        read({"SNAPLABEL_TELEGRAM_TOKN": "123:abc"}, NO_FILE)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("TELEGRAM_TOKN", "TELEGRAM_TOKEN"), ("WEBPORT", "WEB_PORT"), ("TOKEN", "WEB_TOKEN"), ("BACKBONES", "BACKBONE")],
)
def test_an_unknown_variable_brings_up_the_near_one(wrong: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"Did you mean SNAPLABEL_{meant}\?$"):
        read({f"SNAPLABEL_{wrong}": "123"}, NO_FILE)


@pytest.mark.parametrize(("name", "value"), [("LOG_LEVEL", "LOUD"), ("LOG_FORMAT", "xml")])
def test_a_word_that_is_no_choice_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SNAPLABEL_{name} is '{value}'; it can be "):
        read({f"SNAPLABEL_{name}": value}, NO_FILE)


def test_a_line_of_the_dotenv_file_that_is_not_understood_is_named_and_not_shown(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("# ours\nSNAPLABEL_WEB_PORT=1111\n\nSNAPLABEL_WEB_TOKEN='hush-hush\n")

    with pytest.raises(SettingsError, match=r"\.env, line 4, is not understood") as raised:
        read({}, dotenv)

    assert "hush" not in str(raised.value)


def test_lines_of_other_programs_in_the_dotenv_file_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("THEIRS='open\nSNAPLABEL_WEB_PORT=1111\n")

    settings = read({}, dotenv)

    assert settings.web_port == 1111
    assert caplog.records == []


def test_other_peoples_variables_are_left_alone() -> None:
    read({"PATH": "/bin", "OTHER_TOKEN": "changeme"}, NO_FILE)


@pytest.mark.parametrize("value", ["many", "-1", ""])
def test_a_number_is_a_number(value: str) -> None:
    given = {"SNAPLABEL_WEB_PORT": value}

    if value:
        with pytest.raises(SettingsError, match="SNAPLABEL_WEB_PORT must be a number"):
            read(given, NO_FILE)
    else:
        assert read(given, NO_FILE).web_port == 8080


@pytest.mark.parametrize("value", ["123", "telegram:", ":123"])
def test_an_admin_is_written_with_the_platform(value: str) -> None:
    with pytest.raises(SettingsError, match="SNAPLABEL_ADMINS"):
        read({"SNAPLABEL_ADMINS": value}, NO_FILE)


def test_the_environment_comes_before_the_dotenv_file(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("SNAPLABEL_WEB_PORT=1111\nSNAPLABEL_BACKBONE='resnet18'  # small\n")

    settings = read({"SNAPLABEL_WEB_PORT": "2222"}, dotenv)

    assert (settings.web_port, settings.backbone) == (2222, "resnet18")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_goes_through_psycopg_3(scheme: str) -> None:
    settings = read({"SNAPLABEL_DATABASE_URL": f"{scheme}://me@there/db"}, NO_FILE)

    assert settings.database == "postgresql+psycopg://me@there/db"


def test_secrets_are_not_shown() -> None:
    given = {
        **{name: f"hush-{n}" for n, name in enumerate(NAMES) if name.endswith("_TOKEN")},
        "SNAPLABEL_DATABASE_URL": "postgresql://me:hush@db/snaplabel",
        "SNAPLABEL_BROKER_URL": "redis://:hush@queue:6379/0",
    }

    settings = read(given, NO_FILE)

    assert "hush" not in repr(settings)
    assert settings.secrets() == given


def test_a_child_process_reads_the_same_settings(tmp_path: Path) -> None:
    settings = read(
        {"SNAPLABEL_HOME": str(tmp_path), "SNAPLABEL_ADMINS": "web:1,telegram:2", "SNAPLABEL_TELEGRAM_TOKEN": "1:abc"},
        NO_FILE,
    )

    assert read(settings.environment(), NO_FILE) == settings


def test_zero_is_handed_to_a_child_process_as_zero(tmp_path: Path) -> None:
    # Given the setting that means "never",
    settings = replace(read({"SNAPLABEL_HOME": str(tmp_path)}, NO_FILE), fine_tune_every_h=0.0, fine_tune_after=0)

    again = read(settings.environment(), NO_FILE)

    assert (again.fine_tune_every_h, again.fine_tune_after) == (0.0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_readme_lists_every_setting(name: str) -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not written yet")

    assert re.search(rf"^\| `{name}` \|", readme.read_text(), re.MULTILINE)


def test_readme_lists_no_setting_that_is_gone() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("README.md is not written yet")

    assert set(re.findall(rf"^\| `({PREFIX}\w+)` \|", readme.read_text(), re.MULTILINE)) <= set(NAMES)


def test_every_setting_has_a_sentence() -> None:
    for field in fields(Settings):
        assert field.metadata["sentence"].endswith(".")


@pytest.mark.parametrize(
    ("name", "value"), [("SNAPLABEL_DATABASE_URL", "banana"), ("SNAPLABEL_BROKER_URL", "http://x")]
)
def test_a_url_of_an_unknown_kind_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not understood; it begins with one of"):
        read({name: value}, NO_FILE)


def test_a_public_address_without_its_scheme_is_not_understood() -> None:
    with pytest.raises(SettingsError, match=r"SNAPLABEL_WEB_URL.*https://"):
        read({"SNAPLABEL_WEB_URL": "birds.example.org"}, NO_FILE)
