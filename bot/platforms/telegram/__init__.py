"""Telegram: updates come in by long polling or a webhook, answers go out; the one place that knows its Bot API.

No update is confirmed before `host.receive` returned. There is no throttle here: Telegram's limits are unspecified and
move (about 30 messages a second in all, 20 a minute in a group), its 429 names the wait, the bot puts the answer off
for that long, and sends one answer a chat at a time, so that a chat that was told to wait waits. A throttle of our own
would be slower when idle and wrong when busy. Only steps of progress, which newer ones always follow, are dropped when
they come too fast, so that a training does not use up its group's share.

The Bot API has no key against sending twice. A send whose answer was lost is therefore looked for before it is repeated
(`traces`), and only after a long read timeout, so that it is not still on its way.
"""

from bot.messages import Host, Platform
from snaplabel.settings import Settings


def connect(settings: Settings, host: Host) -> Platform:
    """The platform; nothing is sent before `run`."""
    from bot.platforms.telegram.adapter import Telegram

    return Telegram(settings, host)
