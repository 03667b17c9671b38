"""What Telegram refuses: its errors in our words, and those of them that a caller expects."""

import contextlib
from collections.abc import Awaitable, Iterator
from datetime import timedelta

from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, RetryAfter, TelegramError

from snaplabel.errors import PlatformError

# Telegram's words when a message is fine but the picture in it is not.
PICTURE_TROUBLE = (
    "no media in the message",
    "image_process_failed",
    "photo_invalid",
    "photo_ext",
    "too big for a photo",
    "to send photos",
)


@contextlib.contextmanager
def in_our_words(token: str) -> Iterator[None]:
    """Turn Telegram's errors into ours."""
    try:
        yield
    except RetryAfter as error:
        raise PlatformError("Telegram asks for patience", retry_after_s=seconds(error)) from error
    except ChatMigrated as error:
        raise PlatformError("this group became a supergroup with another id", permanent=True) from error
    except (BadRequest, Forbidden) as error:
        # A file can be on its way between Telegram's own servers.
        passes = reason(error, ("temporarily unavailable",)) is not None
        raise PlatformError(said(error, token), permanent=not passes) from error
    except TelegramError as error:
        raise PlatformError(said(error, token)) from error


async def tried(call: Awaitable[object], expected: tuple[str, ...] = ()) -> str | None:
    """None when an edit went well, or nothing was to be changed; else which of the expected refusals came."""
    try:
        await call
    except BadRequest as error:
        if reason(error, ("message is not modified",)):
            return None
        if (found := reason(error, expected)) is None:
            raise
        return found
    return None


def reason(error: TelegramError, reasons: tuple[str, ...]) -> str | None:
    """Which of these is what Telegram said; its capitals come and go."""
    return next((one for one in reasons if one in str(error).lower()), None)


def kind_of(error: Exception) -> str:
    """What to tell admins of trouble with updates; "" of what is not Telegram's doing, or mended by itself."""
    if isinstance(error, Conflict):
        return "" if "webhook" in str(error).lower() else "conflict"
    return "away" if isinstance(error, TelegramError) else ""


def seconds(error: RetryAfter) -> float:
    """For how long Telegram wants to be left alone."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def said(error: TelegramError, token: str) -> str:
    """Telegram's words, short enough for a log, and never with the token in them."""
    return str(error).replace(token, "…")[:200]
