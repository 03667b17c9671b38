"""Discord: messages come in over the gateway and, after an absence, from the channels' history; answers go out.

The one place that knows discord.py. Nothing here is kept in memory that matters: buttons are told apart by their custom
id, so that they work after a restart, and a mark a channel says up to where its messages were written down. Live
messages and history go through one lock a channel, so a mark never passes a message that was not taken in.
"""

from bot.messages import Host, Platform
from snaplabel.settings import Settings


def connect(settings: Settings, host: Host) -> Platform:
    """The platform; nothing is sent before `run`."""
    from bot.platforms.discord.adapter import Discord

    return Discord(settings, host)
