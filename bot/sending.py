"""Brings one claimed answer to its chat: sends or edits it, and records what became of it, however long that takes."""

import asyncio
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from bot import delivery
from bot.delivery import Outgoing
from bot.messages import Platform
from snaplabel.database import Database
from snaplabel.errors import PlatformError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 5.0
P = ParamSpec("P")
T = TypeVar("T")


async def bring(platform: Platform, database: Database, out: Outgoing) -> bool:
    """Make the chat show this, or put it off, or give it up for good; whether it is shown."""
    try:
        message = await _show(platform, out)
    except PlatformError as error:
        if error.permanent:
            log.info("answer %d: %s; it is not tried again", out.id, error)
            await _recorded(delivery.refused, database, out)
        else:
            wait_s = await _recorded(delivery.put_off, database, out, error.retry_after_s)
            log.warning("answer %d: %s; again in %.0f s", out.id, error, wait_s)
        return False
    except Exception:
        log.exception("answer %d could not be sent", out.id)
        await _recorded(delivery.put_off, database, out, None)
        return False
    await _recorded(delivery.sent, database, out, message)
    return True


async def _show(platform: Platform, out: Outgoing) -> str:
    """The id of the message that shows it now."""
    message = out.message
    if message is None and out.is_doubtful:
        message = await platform.find(out.chat, out.id, out.reply, reply_to=out.reply_to)
    if message is None:
        return await platform.send(out.chat, out.reply, reply_to=out.reply_to, nonce=f"snaplabel-{out.id}")
    await platform.edit(out.chat, message, out.reply)
    return message


async def _recorded(
    record: Callable[Concatenate[Database, Outgoing, P], T],
    database: Database,
    out: Outgoing,
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Write down what became of an answer; a database that is away is waited for, since only we know it."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await asyncio.to_thread(record, database, out, *args, **kwargs)
        except Exception as error:
            log.warning("answer %d: what became of it can't be recorded yet (%s)", out.id, type(error).__name__)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LAST_PAUSE_S)
