"""Logging for services: one line per record on stderr, with ids that follow a photo, and never with a secret in it."""

import contextlib
import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from types import MappingProxyType, TracebackType

from snaplabel import hidden
from snaplabel.errors import SettingsError
from snaplabel.settings import Settings

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("text", "json")
# At INFO they write a line for each request, with addresses that hold a bot's token, or for each task.
TALKATIVE = (
    *("httpx", "httpcore", "urllib3", "asyncio", "multipart", "PIL", "fsspec", "botocore", "discord.gateway"),
    *("celery", "kombu", "amqp"),
)
log = logging.getLogger(__name__)
STAMP = "%Y-%m-%dT%H:%M:%S"

_bound: ContextVar[Mapping[str, object]] = ContextVar("ids", default=MappingProxyType({}))


@contextlib.contextmanager
def about(**ids: object) -> Iterator[None]:
    """Put these ids (message=7, photo=3) on every line logged inside, asyncio's tasks and threads included."""
    before = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(before)


def ids(**found: object) -> dict[str, object]:
    """`extra=` of one log call, for ids that are known at that line only."""
    return {"ids": found}


class OneLine(logging.Formatter):
    """A record as one line: tracebacks are folded, and every secret is blotted out wherever it came from."""

    converter = staticmethod(time.gmtime)

    def __init__(self, service: str, secrets: Iterable[str] = ()) -> None:
        super().__init__(f"%(asctime)sZ %(levelname)-7s {service:<8} %(name)s: %(message)s", STAMP)
        self.service = service
        self._secrets = tuple(secret for secret in secrets if len(secret) >= hidden.LEAST)

    def format(self, record: logging.LogRecord) -> str:
        text = self.blotted(super().format(record))
        return " ⏎ ".join(line.strip() if n else line for n, line in enumerate(text.splitlines()))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return " ".join(
            (super().formatMessage(record), *(f"{name}={value}" for name, value in _ids_of(record).items()))
        )

    def blotted(self, text: str) -> str:
        return hidden.blotted(text, self._secrets)


class Json(OneLine):
    """A record as one JSON object: time, level, service, name, text, the ids, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        found = {"service": self.service, "level": record.levelname, "name": record.name, "text": record.getMessage()}
        if record.exc_info:
            found["traceback"] = self.formatException(record.exc_info)
        # Before it is JSON: a secret with a quote in it would read differently there.
        blotted = {name: self.blotted(value) for name, value in found.items()}
        line = {"time": self.formatTime(record, STAMP) + "Z", **blotted, **_ids_of(record)}
        return json.dumps(line, ensure_ascii=False, default=str)


def _ids_of(record: logging.LogRecord) -> dict[str, object]:
    return {**_bound.get(), **getattr(record, "ids", {})}


def configure(settings: Settings, service: str) -> None:
    """Send this process's log to stderr, under the service's name.

    Raises SettingsError for an unknown level or format.
    """
    level = settings.log_level.upper()
    if level not in LEVELS:
        raise SettingsError(f"SNAPLABEL_LOG_LEVEL is {settings.log_level!r}; it can be {', '.join(LEVELS)}.")
    if settings.log_format not in FORMATS:
        raise SettingsError(f"SNAPLABEL_LOG_FORMAT is {settings.log_format!r}; it can be {' or '.join(FORMATS)}.")
    handler = logging.StreamHandler()
    kind = Json if settings.log_format == "json" else OneLine
    handler.setFormatter(kind(service, hidden.words(settings)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level != "DEBUG":
        for name in (*TALKATIVE, "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def catch_all() -> None:
    """Log what nobody caught, in any thread, like everything else: Python itself would print it with secrets and all.

    For whole processes only, after `configure`: it outlives whoever calls it.
    """

    def uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            log.critical("ended by an error that nobody caught", exc_info=(kind, error, where))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            name = args.thread.name if args.thread is not None else "?"
            log.error("the thread %s ended", name, exc_info=(args.exc_type, args.exc_value, args.exc_traceback))

    sys.excepthook, threading.excepthook = uncaught, in_thread
