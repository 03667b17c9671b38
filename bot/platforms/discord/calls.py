"""Calls to Discord that may be refused: its errors become ours, in words that no log need hide."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable

import aiohttp
import discord

from bot.platforms.discord.posts import HEAVIEST_FILE
from snaplabel.errors import PlatformError, SnaplabelError

log = logging.getLogger(__name__)

CONNECT_S = 10.0


@contextlib.asynccontextmanager
async def asked(within_s: float) -> AsyncIterator[None]:
    """Turn Discord's errors into ours, that of being too slow too."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except discord.RateLimited as error:
        raise PlatformError("Discord asks for patience", retry_after_s=error.retry_after) from error
    except discord.HTTPException as error:
        # Without a code of Discord's own it was something in between that refused.
        permanent = 400 <= error.status < 500 and error.status not in (401, 408, 429) and error.code != 0
        raise PlatformError(said(error), permanent=permanent, retry_after_s=_retry_after_s(error)) from error
    except (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError) as error:
        raise PlatformError(said(error)) from error


async def quietly(call: Awaitable[object]) -> None:
    """Answer an interaction, if it is not too late for that."""
    try:
        async with asyncio.timeout(CONNECT_S):
            await call
    except (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError) as error:
        log.info("discord: an interaction could not be acknowledged: %s", said(error))


async def download(session: aiohttp.ClientSession, url: str) -> bytes | None:
    """A file's bytes; None when the link has expired."""
    async with session.get(url) as answer:
        if answer.status in (403, 404, 410):
            return None
        if answer.status != 200:
            raise PlatformError(f"Discord's files can't be had: {answer.status}")
        data = bytearray()
        async for part in answer.content.iter_chunked(1 << 16):
            data += part
            if len(data) > HEAVIEST_FILE:
                raise PlatformError("the file is too heavy", permanent=True)
        return bytes(data)


def said(error: BaseException) -> str:
    """An error in words short enough for a log, and without addresses, which hold tokens."""
    if isinstance(error, discord.HTTPException):
        return f"Discord says {error.status}, code {error.code}: {error.text}"[:200]
    if isinstance(error, SnaplabelError):
        return str(error)
    return type(error).__name__


def _retry_after_s(error: discord.HTTPException) -> float | None:
    try:
        return float(error.response.headers["Retry-After"]) if error.status == 429 else None
    except (KeyError, ValueError):
        return None
