"""Settings: read once by an entry point, passed inward as a value; importing this module reads nothing."""

import difflib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from snaplabel.errors import SettingsError

PREFIX = "SNAPLABEL_"
PLACEHOLDERS = {"changeme", "change-me", "token", "your-token", "your_token", "todo", "xxx", "secret"}


# What the URLs may begin with; anything else would fail later, deep inside a library.
KINDS = {
    "database_url": ("sqlite:", "postgresql:", "postgresql+psycopg:", "postgres:"),
    "web_url": ("https://", "http://"),
    "broker_url": ("redis:", "rediss:", "redis+socket:", "sentinel:", "amqp:", "amqps:"),
}


# What these may be, whatever their case where they are upper case.
CHOICES = {"log_level": ("DEBUG", "INFO", "WARNING", "ERROR"), "log_format": ("text", "json")}


def _setting(default: Any, sentence: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"sentence": sentence, "secret": secret}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """All settings: each is the variable SNAPLABEL_<NAME>, or SNAPLABEL_<NAME>_FILE holding a path to read."""

    home: Path = _setting(None, "Folder for everything that is kept: database, photos, models, embedded Redis.")
    database_url: str = _setting("", "SQLAlchemy URL; empty: SQLite in the home folder.", secret=True)
    broker_url: str = _setting("", "Redis or RabbitMQ URL; empty: a private Redis in the home folder.", secret=True)
    store_url: str = _setting("", "Folder or s3://bucket/prefix for photos and models; empty means the home folder.")
    telegram_token: str = _setting("", "Token from @BotFather; empty means no Telegram.", secret=True)
    telegram_api_url: str = _setting("https://api.telegram.org", "Bot API server, for a local one.")
    telegram_webhook_url: str = _setting("", "Public https address for a webhook; empty means long polling.")
    telegram_webhook_port: int = _setting(8443, "Port on which the webhook listens.")
    discord_token: str = _setting("", "Token of the Discord application's bot; empty means no Discord.", secret=True)
    discord_api_url: str = _setting("https://discord.com/api/v10", "Discord's API, for an HTTP proxy.")
    admins: tuple[str, ...] = _setting((), "Who may train, publish and make labels: telegram:123,discord:456.")
    backbone: str = _setting("mobilenet_v2", "A torchvision classification network to start from.")
    weights: Path | None = _setting(None, "Local .safetensors or .pth weights instead of the download.")
    web_host: str = _setting("127.0.0.1", "Address on which the web chat listens.")
    web_port: int = _setting(8080, "Port of the web chat.")
    web_url: str = _setting("", "Address by which people reach the web chat, as https://birds.example.org.")
    web_token: str = _setting("", "Admin token of the web chat and its API; empty means one is made.", secret=True)
    refit_after_s: float = _setting(1.0, "Seconds without a new correction before the head is refitted.")
    fine_tune_every_h: float = _setting(24.0, "Hours between fine-tunes when something new was taught; 0: never.")
    fine_tune_after: int = _setting(100, "New labels after which a fine-tune starts by itself; 0: never.")
    votes_needed: float = _setting(0.5, "Weight of votes that accepts a correction; a newcomer's vote weighs 0.5.")
    lease_s: float = _setting(60.0, "Seconds after which what a process began and did not end is begun again.")
    photo_days: int = _setting(0, "Days after which photos and posts from chats are erased; lessons stay. 0: never.")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR.")
    log_format: str = _setting("text", "text: a line for people; json: a line for programs.")
    metrics_host: str = _setting("127.0.0.1", "Address on which each service shows its metrics.")
    metrics_port: int = _setting(0, "Port of a service's metrics; `up` takes this one and the next two; 0: none.")

    @property
    def database(self) -> str:
        """SQLAlchemy URL that is used in the end; PostgreSQL goes through psycopg 3."""
        if not self.database_url:
            return f"sqlite:///{self.home / 'snaplabel.db'}"
        for plain in ("postgres://", "postgresql://"):
            if self.database_url.startswith(plain):
                return "postgresql+psycopg://" + self.database_url.removeprefix(plain)
        return self.database_url

    @property
    def store(self) -> str:
        """fsspec URL (or folder) that is used in the end."""
        return self.store_url or str(self.home / "store")

    @property
    def downloads(self) -> Path:
        """Folder of the pretrained weights that were fetched."""
        return self.home / "downloads"

    @property
    def platforms(self) -> tuple[str, ...]:
        """Chat platforms that these settings switch on; the web chat always is."""
        names = [name for name in ("telegram", "discord") if getattr(self, f"{name}_token")]
        return (*names, "web")

    def secrets(self) -> dict[str, str]:
        """Variable name to value, for every secret that is set."""
        return {
            PREFIX + f.name.upper(): str(getattr(self, f.name))
            for f in fields(self)
            if f.metadata["secret"] and getattr(self, f.name)
        }

    def environment(self) -> dict[str, str]:
        """The same settings as environment variables, for a child process."""
        found = {}
        for f in fields(self):
            value = getattr(self, f.name)
            found[PREFIX + f.name.upper()] = (
                ",".join(value) if isinstance(value, tuple) else str("" if value is None else value)
            )
        return found


def read(environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """Settings from the environment and, below it, from a `.env` file.

    environ: default os.environ. dotenv: default `.env` in the working directory; a file that is absent is fine.
    Raises SettingsError naming the variable that is misspelt, unreadable or a placeholder.
    """
    given = dict(os.environ if environ is None else environ)
    path = Path(".env") if dotenv is None else dotenv
    if path.is_file():
        given = {**_dotenv(path), **given}
    known = {PREFIX + f.name.upper(): f for f in fields(Settings)}
    values: dict[str, Any] = {}
    for variable, f in known.items():
        raw = given.get(variable, "")
        if not raw and given.get(f"{variable}_FILE"):
            raw = _from_file(variable, given[f"{variable}_FILE"])
        if raw:
            values[f.name] = _parse(variable, raw.strip(), f.type, secret=f.metadata["secret"])
    allowed = {*known, *(f"{name}_FILE" for name in known), f"{PREFIX}TEST_DATA"}
    for variable in given:
        if variable.startswith(PREFIX) and variable not in allowed:
            raise SettingsError(_unknown(variable, sorted(known)))
    for name, kinds in KINDS.items():
        if values.get(name) and not values[name].startswith(kinds):
            wanted = ", ".join(f"{kind}…" for kind in kinds)
            raise SettingsError(f"{PREFIX}{name.upper()} is not understood; it begins with one of {wanted}")
    for name, choices in CHOICES.items():
        if values.get(name) and values[name] not in choices and values[name].upper() not in choices:
            raise SettingsError(f"{PREFIX}{name.upper()} is {values[name]!r}; it can be {', '.join(choices)}.")
    if "home" not in values:
        import platformdirs

        values["home"] = Path(platformdirs.user_data_dir("snaplabel"))
    return Settings(**values)


def _unknown(variable: str, known: list[str]) -> str:
    # Without what all begin with, "TELEGRAM_TOKN" would be as near to many as to the right one.
    near = difflib.get_close_matches(variable.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known], n=1)
    hint = f"Did you mean {PREFIX}{near[0]}?" if near else "README.md lists them all."
    return f"{variable} is no setting of snaplabel. {hint}"


def _dotenv(path: Path) -> dict[str, str]:
    """What a `.env` file says. Raises SettingsError naming the file and the line of ours that can't be understood.

    Such lines of other programs are left alone: the file may be theirs. A line is never shown, it may hold a token.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        lines = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path.absolute()} can't be read: {error}.") from error
    for line in lines:
        if line.error and PREFIX in line.original.string:
            begins = line.original.line + line.original.string[: line.original.string.index(PREFIX)].count("\n")
            raise SettingsError(
                f"{path.absolute()}, line {begins}, is not understood; write NAME=value, quotes closed."
            )
    understood = "".join(line.original.string for line in lines if not line.error)
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(understood)).items()}


def _from_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{variable}_FILE names {path}, which can't be read: {error.strerror}.") from error


def _parse(variable: str, raw: str, kind: Any, *, secret: bool) -> Any:
    if secret and raw.lower() in PLACEHOLDERS:
        raise SettingsError(f"{variable} still holds a placeholder. Put the real value there, or leave it empty.")
    try:
        if kind in (int, float):
            number = kind(raw)
            if number < 0:
                raise ValueError(raw)
            return number
    except ValueError as error:
        raise SettingsError(f"{variable} must be a number, 0 or more; it is {raw!r}.") from error
    if kind in (Path, Path | None):
        return Path(raw).expanduser()
    if kind == tuple[str, ...]:
        return _admins(variable, raw)
    return raw


def _admins(variable: str, raw: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in raw.split(",") if part.strip())
    for name in names:
        platform, colon, number = name.partition(":")
        if not (platform and colon and number):
            raise SettingsError(f"{variable} holds {name!r}; write platform:id, as in telegram:123,discord:456.")
    return names
