"""What all parts of the stand-in share: the lock, the ids, and the registers of everything that exists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntFlag
from typing import TYPE_CHECKING

from .errors import Json

if TYPE_CHECKING:
    from .cdn import Cdn
    from .interactions import Command, Interaction, Modal
    from .messages import Message
    from .people import User
    from .places import Channel, Guild

DISCORD_EPOCH_MS = 1_420_070_400_000


class Permission(IntFlag):
    """The permissions that the stand-in looks at; other bits pass through unread."""

    NONE = 0
    KICK_MEMBERS = 1 << 1
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    MANAGE_ROLES = 1 << 28
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    SEND_MESSAGES_IN_THREADS = 1 << 38


ALL_PERMISSIONS = Permission((1 << 53) - 1)
EVERYDAY_PERMISSIONS = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.MENTION_EVERYONE
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)
"""What @everyone has in a new guild; Discord really lets everybody, bots included, ping @everyone by default."""


class Intent(IntFlag):
    """The gateway intents that decide which events a session gets."""

    ALWAYS = 0
    GUILDS = 1 << 0
    GUILD_MEMBERS = 1 << 1
    GUILD_PRESENCES = 1 << 8
    GUILD_MESSAGES = 1 << 9
    GUILD_MESSAGE_REACTIONS = 1 << 10
    DIRECT_MESSAGES = 1 << 12
    DIRECT_MESSAGE_REACTIONS = 1 << 13
    MESSAGE_CONTENT = 1 << 15


PRIVILEGED = Intent.GUILD_MEMBERS | Intent.GUILD_PRESENCES | Intent.MESSAGE_CONTENT


@dataclass(frozen=True)
class Event:
    """Something that the gateway tells a bot.

    payload: makes the JSON; its argument says whether the session may read what other people wrote.
    intent: the session needs one of these bits; ALWAYS needs none.
    guild_id: decides the shard; None (direct messages) is shard 0.
    """

    name: str
    payload: Callable[[bool], Json]
    intent: Intent = Intent.ALWAYS
    guild_id: int | None = None


class Snowflakes:
    """Ids that hold their time and always grow, also within one millisecond."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Return an id that is bigger than every earlier one."""
        now_ms = int(time.time() * 1000) - DISCORD_EPOCH_MS
        self._last = max(self._last + 1, now_ms << 22)
        return self._last


def time_of(snowflake: int) -> datetime:
    """Return the moment that an id was made, in UTC."""
    return datetime.fromtimestamp(((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000, UTC)


class World:
    """Everything that exists. Tests and the server's thread both change it, so every change takes the lock.

    privileged_intents: what the owner switched on in the developer portal.
    answer_within_s: how long a bot has for its first answer, before people read that the interaction failed.
    """

    def __init__(self, privileged_intents: Intent, answer_within_s: float) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.ids = Snowflakes()
        self.privileged_intents = privileged_intents
        self.answer_within_s = answer_within_s
        self.users: dict[int, User] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.messages: dict[int, Message] = {}
        self.commands: list[Command] = []
        self.interactions: list[Interaction] = []
        self.modals: list[Modal] = []
        self.publish: Callable[[Event], None] = lambda event: None
        self.bot: User
        self.owner: User
        self.cdn: Cdn

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock; at the end wake everybody who waits for a change."""
        with self.changed:
            try:
                yield
            finally:
                self.changed.notify_all()

    def reads_content(self) -> bool:
        """Whether REST shows other people's words: that hangs on the portal alone, not on IDENTIFY."""
        return Intent.MESSAGE_CONTENT in self.privileged_intents
