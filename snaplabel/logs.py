"""Logging for services: one line per record on stderr, with ids and never with a secret in it."""

import logging
import time
from collections.abc import Iterable

from snaplabel.errors import SettingsError
from snaplabel.settings import Settings

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# At INFO they write a line for each request, with addresses that hold a bot's token.
TALKATIVE = ("httpx", "httpcore", "urllib3", "asyncio", "multipart", "PIL", "fsspec", "botocore", "discord.gateway")


class OneLine(logging.Formatter):
    """A record as one line: tracebacks are folded, and every secret is blotted out wherever it came from."""

    converter = staticmethod(time.gmtime)

    def __init__(self, service: str, secrets: Iterable[str] = ()) -> None:
        super().__init__(f"%(asctime)sZ %(levelname)-7s {service:<8} %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._secrets = [secret for secret in secrets if len(secret) >= 6]

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        return " ⏎ ".join(line.strip() if n else line for n, line in enumerate(text.splitlines()))


def configure(settings: Settings, service: str) -> None:
    """Send this process's log to stderr, under the service's name. Raises SettingsError for an unknown level."""
    level = settings.log_level.upper()
    if level not in LEVELS:
        raise SettingsError(f"SNAPLABEL_LOG_LEVEL is {settings.log_level!r}; it can be {', '.join(LEVELS)}.")
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(service, settings.secrets().values()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level != "DEBUG":
        for name in (*TALKATIVE, "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
