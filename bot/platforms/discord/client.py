"""One login at Discord: the gateway's events, what was said while we were away, and marks of what was written down."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from sqlalchemy import select

from bot.platforms.discord import interactions
from bot.platforms.discord.calls import CONNECT_S, said
from bot.platforms.discord.looks import are_same, menu_of
from bot.platforms.discord.posts import NAME, Place, deletion_of, is_private, posts_of
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.tables import Chat

if TYPE_CHECKING:
    from bot.platforms.discord.adapter import Discord

log = logging.getLogger(__name__)

IN_GUILDS = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

LONGEST_LIMIT_S = 30.0
# What was said while we were away: not older, and not more a channel.
LONGEST_ABSENCE, MOST_MISSED = timedelta(days=7), 500
MARK_EVERY_S, LAST_PAUSE_S = 5.0, 30.0
MOST_PRIVATE_CHATS = 200
# Of so many photos a deletion is told.
MOST_RECENT = 512


class Client(discord.Client):
    """One login: what comes in is written down. The events are discord.py's, by name."""

    def __init__(self, desk: "Discord") -> None:
        wanted = discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)
        super().__init__(
            intents=wanted,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            max_ratelimit_timeout=LONGEST_LIMIT_S,
            guild_ready_timeout=desk.settle_s,
        )
        self.patience = asyncio.timeout(None)
        self.downloads: aiohttp.ClientSession | None = None
        self._desk, self._host = desk, desk.host
        self._registering: asyncio.Task[None] | None = None
        self._locks: dict[int, asyncio.Lock] = {}
        self._surveying = asyncio.Lock()
        self._newest: dict[int, int] = {}
        self._session = 0
        self._caught_up: set[int] = set()
        self._marked_at: dict[int, float] = {}
        self._recent: deque[int] = deque(maxlen=MOST_RECENT)

    async def setup_hook(self) -> None:
        _, gateway, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        self.downloads = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(connect=CONNECT_S, sock_read=CONNECT_S))
        self._registering = asyncio.create_task(self._register())
        self._desk.use(self)

    async def close(self) -> None:
        if self._registering is not None:
            self._registering.cancel()
        if self.downloads is not None:
            await self.downloads.close()
        await super().close()
        _end_heartbeats(asyncio.get_running_loop())

    # The connection.

    async def on_connect(self) -> None:
        """A new session: whatever was said since the last one must be looked up."""
        self._session += 1
        self._caught_up.clear()
        self._newest.clear()
        self._wait_for(None)

    async def on_resumed(self) -> None:
        self._wait_for(None)

    async def on_disconnect(self) -> None:
        if self.patience.when() is None:
            self._wait_for(self._desk.away_s)

    def _wait_for(self, seconds: float | None) -> None:
        with contextlib.suppress(RuntimeError):  # It is over already.
            self.patience.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """A guild as it is after a start or an outage of its own: look up what we missed in it."""
        for place in _readable(guild):
            await self._attend(place)

    on_guild_join = on_guild_available

    async def on_guild_channel_create(self, channel: discord.abc.GuildChannel) -> None:
        if isinstance(channel, IN_GUILDS):
            await self._attend(channel)

    async def on_thread_create(self, thread: discord.Thread) -> None:
        await self._attend(thread)

    async def on_ready(self) -> None:
        """Look up what we missed in direct messages, which Discord does not list."""
        for number in await asyncio.to_thread(_private_chats, self._host.database):
            await self._attend(self.get_partial_messageable(number))

    async def on_error(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        log.exception("discord: %s failed", event)

    # Messages in.

    async def on_message(self, message: discord.Message) -> None:
        await self._attend(message.channel, message)

    async def on_raw_message_delete(self, gone: discord.RawMessageDeleteEvent) -> None:
        """Tell of photos that were deleted just after they came: what is not answered yet need not be."""
        if gone.message_id not in self._recent:
            return
        with contextlib.suppress(SnaplabelError):
            await self._host.receive([deletion_of(gone)])

    async def _attend(self, place: Place, live: discord.Message | None = None) -> None:
        """Take in what a channel holds that we don't know yet, then a live message; again until it is written."""
        pause_s = self._desk.pause_s
        async with self._locks.setdefault(place.id, asyncio.Lock()):
            while not self.is_closed():
                try:
                    while place.id not in self._caught_up:
                        await self._catch_up(place, live)
                    if live is not None:
                        await self._take_in(live)
                    return
                except Exception as error:
                    if not self.is_closed():
                        log.warning("discord: channel %d can't be written down yet: %s", place.id, said(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _catch_up(self, place: Place, live: discord.Message | None) -> None:
        """Take in what was said since the mark. Where there is none, now is the beginning."""
        session = self._session
        since = await self._since(place)
        if since is not None:
            oldest = discord.utils.time_snowflake(datetime.now(UTC) - LONGEST_ABSENCE)
            after = discord.Object(max(since, oldest))
            try:
                history = place.history(after=after, oldest_first=False, limit=MOST_MISSED)
                missed = [message async for message in history]
            except (discord.Forbidden, discord.NotFound):
                missed = []
            for message in reversed(missed):
                await self._take_in(message)
            if missed:
                await self._mark(place.id, missed[0].id)
        elif live is None:
            await self._mark(place.id, getattr(place, "last_message_id", None) or place.id)
        # What was read before another session began lacks what was said in between.
        if session == self._session:
            self._caught_up.add(place.id)

    async def _since(self, place: Place) -> int | None:
        """The last message that was taken in here; None: this channel was there before us."""
        guild = None if isinstance(place, discord.DMChannel | discord.GroupChannel) else place.guild
        newest = 0 if guild is None else await self._newest_mark(guild)
        mark = await self._host.last_seen(NAME, str(place.id))
        if mark is not None:
            return int(mark)
        # A thread has the id of the message that it hangs on, which may be much older.
        born = place.id if place.created_at is None else discord.utils.time_snowflake(place.created_at)
        return place.id if 0 < newest < born else None

    async def _newest_mark(self, guild: discord.Guild) -> int:
        """The last message seen anywhere in a guild when this session began: channels made since then are all new."""
        async with self._surveying:
            if guild.id not in self._newest:
                marks = [await self._host.last_seen(NAME, str(place.id)) for place in _readable(guild)]
                self._newest[guild.id] = max((int(mark) for mark in marks if mark is not None), default=0)
        return self._newest[guild.id]

    async def _take_in(self, message: discord.Message) -> None:
        try:
            posts = posts_of(message, self.user.id if self.user else 0)
        except Exception as error:
            log.warning("discord: message %d can't be understood (%s)", message.id, type(error).__name__)
            posts = []
        if posts:
            await self._host.receive(posts)
        if any(post.kind == "photo" for post in posts):
            self._recent.append(message.id)
        # What is of no use to us may be looked at twice. A private chat is made by its first post, not by a mark.
        last = self._marked_at.get(message.channel.id)
        is_due = last is None or time.monotonic() - last > MARK_EVERY_S
        if posts or (is_due and not is_private(message.channel)):
            await self._mark(message.channel.id, message.id)
            self._marked_at[message.channel.id] = time.monotonic()

    async def _mark(self, channel: int, message: int) -> None:
        await self._host.mark_seen(NAME, str(channel), str(message))

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        await interactions.take_in(interaction, self._host, self._desk.thinking)

    async def _register(self) -> None:
        """Register the commands, if Discord has not got them already."""
        wanted = menu_of(self._host.commands)
        try:
            number = self.application_id or 0
            there = cast(list[dict[str, Any]], await self.http.get_global_commands(number))
            if not are_same(there, wanted):
                await self.http.bulk_upsert_global_commands(number, wanted)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("discord: the commands could not be registered: %s", said(error))


def _readable(guild: discord.Guild) -> Iterable[IN_GUILDS]:
    """Channels and threads whose history we may read."""
    for place in (*guild.channels, *guild.threads):
        with contextlib.suppress(discord.ClientException):  # A thread whose channel we don't see.
            if isinstance(place, IN_GUILDS):
                may = place.permissions_for(guild.me)
                if may.view_channel and may.read_message_history:
                    yield place


def _private_chats(database: Database) -> list[int]:
    """The private chats that we know, the latest first."""
    with database.read() as session:
        query = select(Chat.platform_id, Chat.seen_message_id)
        rows = session.execute(query.where(Chat.platform == NAME, Chat.is_private)).all()
    latest = sorted(rows, key=lambda row: int(row.seen_message_id or 0), reverse=True)
    return [int(row.platform_id) for row in latest[:MOST_PRIVATE_CHATS]]


def _end_heartbeats(loop: asyncio.AbstractEventLoop) -> None:
    """End the heartbeat threads of this loop's connections.

    discord.py forgets one when it is interrupted between a connection's first message and its acceptance; the thread
    would go on beating into a closed connection.
    """
    for thread in threading.enumerate():
        if isinstance(thread, KeepAliveHandler) and thread.ws.loop is loop:
            thread.stop()
