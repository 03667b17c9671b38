"""Discord: messages come in over the gateway and, after an absence, from the channels' history; answers go out.

The one file that knows discord.py. Nothing here is kept in memory that matters: buttons are told apart by their custom
id, so that they work after a restart, and a mark a channel says up to where its messages were written down. Live
messages and history go through one lock a channel, so a mark never passes a message that was not taken in.
"""

import asyncio
import contextlib
import io
import logging
import mimetypes
import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from sqlalchemy import select

from bot.messages import Attachment, Choice, Command, Host, Incoming, Kind, Platform, Reply
from snaplabel.database import Database
from snaplabel.errors import NotStored, PlatformError, SettingsError, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.tables import Chat

log = logging.getLogger(__name__)

Place = (
    discord.TextChannel
    | discord.VoiceChannel
    | discord.StageChannel
    | discord.Thread
    | discord.DMChannel
    | discord.GroupChannel
    | discord.PartialMessageable
)
IN_GUILDS = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread

HEAVIEST_FILE = 20 << 20
LONGEST_CONTENT, LONGEST_TITLE, LONGEST_NAME, LONGEST_TEXT = 2000, 256, 64, 4096
LONGEST_NONCE, LONGEST_DATA = 25, 100
BUTTON_LABEL, OPTION_LABEL, ROWS, BUTTONS_A_ROW, OPTIONS_A_MENU, MOST_BUTTONS = 80, 100, 5, 5, 25, 12
STYLES = {"good": discord.ButtonStyle.success, "danger": discord.ButtonStyle.danger}
LONGEST_LIMIT_S, FILE_S, CONNECT_S = 30.0, 60.0, 10.0
# Discord wants the first answer to an interaction within 3 s.
SLOW_S = 1.5
# What was said while we were away: not older, and not more a channel.
LONGEST_ABSENCE, MOST_MISSED = timedelta(days=7), 500
MARK_EVERY_S, LAST_PAUSE_S = 5.0, 30.0
MOST_PRIVATE_CHATS, MOST_REMEMBERED = 200, 512
SLASH, ON_A_MESSAGE, TEXT_OPTION, IN_GUILD, IN_DM = 1, 3, 3, 0, 1
# Refusals after which less is tried: https://discord.com/developers/docs/topics/opcodes-and-status-codes
NO_PERMISSION, TOO_LARGE, NO_HISTORY_NO_REPLY, INVALID_FORM = 50013, 40005, 160002, 50035
CORRECT, CORRECT_FIELD, CORRECT_ID = "Correct this photo", "Label", "correct:"
MENU_ID, INTERACTION = "menu:", "interaction:"
CHOOSE = "Choose…"
THANKS = "Thank you, I'll take a look."
NOT_WRITTEN = "I can't write that down right now. Please try again in a minute."
# A link, a character that Discord's markdown would take for its own, or one that it does at the start of a line.
MARKS = re.compile(r"(?m)(https?://[^\s<>]+)|^[ \t]*([#>-])|[\\*_~`|\[<]")


def connect(settings: Settings, host: Host) -> Platform:
    """The platform; nothing is sent before `run`."""
    return Discord(settings, host)


class Discord:
    """A `Platform`.

    settle_s: how long no further guild must come before discord.py is ready. pause_s: the first wait before what could
    not be written down is offered again; it doubles. call_s: for one call with all of discord.py's own tries; two of
    them are less than a claimed answer stays ours (delivery.CLAIM_S). away_s: after so long without a connection a new
    one is made, because discord.py's own patience grows to 17 minutes.
    """

    name = "discord"

    def __init__(
        self,
        settings: Settings,
        host: Host,
        *,
        settle_s: float = 2.0,
        pause_s: float = 1.0,
        call_s: float = 20.0,
        away_s: float = 60.0,
    ) -> None:
        # Below this level discord.py prints what people write and the tokens of interactions.
        logging.getLogger("discord").setLevel(logging.WARNING)
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        self._settings, self.host, self._call_s = settings, host, call_s
        self.settle_s, self.pause_s, self.away_s = settle_s, pause_s, away_s
        self.thinking: dict[str, asyncio.Event] = {}
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._pictures: OrderedDict[str, str] = OrderedDict()

    async def run(self) -> None:
        """Take posts in until cancelled or until the connection is beyond repair."""
        Route.BASE = self._settings.discord_api_url.rstrip("/")
        client = Client(self)
        try:
            async with client, asyncio.timeout(self.away_s) as client.patience:
                await client.start(self._settings.discord_token)
        except discord.LoginFailure:
            raise SettingsError(
                "Discord refuses SNAPLABEL_DISCORD_TOKEN: copy it again from the application's Bot page."
            ) from None
        except discord.PrivilegedIntentsRequired:
            raise SettingsError(
                "Discord keeps messages from us: switch on Message Content Intent on the application's Bot page in "
                "the developer portal (SNAPLABEL_DISCORD_TOKEN is right)."
            ) from None
        except TimeoutError:
            raise PlatformError("Discord can't be reached.") from None
        except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
            raise PlatformError(f"Discord can't be reached: {_said(error)}.") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # discord.py ends so when its first connection is refused, and on an event that it can't read.
            log.warning("discord: the connection broke over a %s", type(error).__name__, exc_info=True)
            raise PlatformError("Discord sent something that can't be understood.") from error
        finally:
            self._connected.clear()
            self._client = None

    def use(self, client: "Client") -> None:
        """From now on answers go out through this one."""
        self._client = client
        self._connected.set()

    # Answers out.

    async def fetch(self, attachment: Attachment) -> bytes:
        """A file's bytes. Links expire after a day; the message, asked for again, has a fresh one."""
        client, handle = await self._line(), attachment.handle
        async with _asked(FILE_S):
            data = await _download(client, str(handle["url"]))
            if data is None:
                place = client.get_partial_messageable(int(handle["channel"]))
                message = await place.fetch_message(int(handle["message"]))
                fresh = (each.url for each in _attachments(message) if str(each.id) == handle["attachment"])
                if url := next(fresh, None):
                    data = await _download(client, url)
        if data is None:
            raise PlatformError("the file is gone", permanent=True)
        return data

    async def send(self, chat: str, reply: Reply, *, reply_to: str | None, nonce: str) -> str:
        """Send a message. Discord itself returns the first message when a nonce comes again within minutes."""
        client = await self._line()
        if reply_to and reply_to.startswith(INTERACTION):
            sent = await self._answer(client, reply_to, reply)
            if sent is not None:
                return sent
        more: dict[str, Any] = {}
        if reply_to and reply_to.isdecimal():
            more["reference"] = discord.MessageReference(
                message_id=int(reply_to), channel_id=int(chat), fail_if_not_exists=False
            )
        place = client.get_partial_messageable(int(chat))

        async def post(**what: Any) -> discord.Message:
            files = what.pop("attachments", None)
            return await place.send(nonce=nonce[:LONGEST_NONCE], suppress_embeds=True, files=files, **what)

        async with _asked(self._call_s):
            message = await self._show(post, reply, more)
        if message.content.strip() != formatted(reply).strip():
            # The nonce was used by a try that we took for failed, and the answer has changed since.
            await self.edit(chat, str(message.id), reply)
        return str(message.id)

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        """Make a message show this. A picture that is there stays, unless there is a new one."""
        client = await self._line()
        partial = client.get_partial_messageable(int(chat)).get_partial_message(int(message))
        if self._pictures.get(message) == reply.picture:
            reply = replace(reply, picture=None)
        async with _asked(self._call_s):
            await self._show(partial.edit, reply, {})

    async def busy(self, chat: str) -> None:
        with contextlib.suppress(PlatformError):
            client = await self._line()
            async with _asked(self._call_s):
                await client.get_partial_messageable(int(chat)).typing()

    async def _answer(self, client: "Client", handle: str, reply: Reply) -> str | None:
        """Answer a slash command where Discord shows "thinking…"; None if it is too late for that (15 minutes)."""
        application, _, token = handle.removeprefix(INTERACTION).partition(":")
        if not token:
            return None
        async with _asked(self._call_s):
            if deferred := self.thinking.get(token):
                await deferred.wait()
            hook = discord.Webhook.partial(int(application), token, client=client)

            async def put(**what: Any) -> discord.Message:
                return await hook.edit_message(cast(int, "@original"), **what)

            try:
                return str((await self._show(put, reply, {})).id)
            except discord.HTTPException as error:
                if error.status not in (401, 403, 404):
                    raise
        return None

    async def _show(
        self, show: Callable[..., Awaitable[discord.Message]], reply: Reply, more: dict[str, Any]
    ) -> discord.Message:
        """Send or edit. What a place does not allow (pictures, replies) is left out: the words matter most."""
        what = {**more, "content": formatted(reply), "view": components(reply)}
        picture = await self._picture(reply)
        while True:
            if picture is not None:
                what["attachments"] = [discord.File(io.BytesIO(picture), "picture.png")]
            try:
                message = await show(**what)
            except discord.HTTPException as error:
                if "reference" in what and error.code in (NO_HISTORY_NO_REPLY, INVALID_FORM):
                    del what["reference"]
                elif picture is not None and (error.code in (NO_PERMISSION, TOO_LARGE) or error.status == 413):
                    picture = None
                    del what["attachments"]
                else:
                    raise
            else:
                if picture is not None and reply.picture:
                    self._pictures[str(message.id)] = reply.picture
                    while len(self._pictures) > MOST_REMEMBERED:
                        self._pictures.popitem(last=False)
                return message

    async def _picture(self, reply: Reply) -> bytes | None:
        """The picture's bytes; None without one, or when it is not in the store any more."""
        try:
            return await self.host.read(reply.picture) if reply.picture else None
        except NotStored:
            return None
        except SnaplabelError as error:
            raise PlatformError(str(error)) from error

    async def _line(self) -> "Client":
        """The client, as soon as it is logged in."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(CONNECT_S, self._call_s)):
                await self._connected.wait()
        if self._client is None or self._client.is_closed():
            raise PlatformError("Discord is not connected")
        return self._client


class Client(discord.Client):
    """One login: what comes in is written down. The events are discord.py's, by name."""

    def __init__(self, desk: Discord) -> None:
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
        self._caught_up: set[int] = set()
        self._marked_at: dict[int, float] = {}
        self._recent: deque[int] = deque(maxlen=MOST_REMEMBERED)

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

    # The connection.

    async def on_connect(self) -> None:
        """A new session: whatever was said since the last one must be looked up."""
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
        post = Incoming(
            platform=Discord.name,
            chat=str(gone.channel_id),
            message=f"deleted:{gone.message_id}",
            person="system",
            kind="deleted",
            reply_to=str(gone.message_id),
            is_private=gone.guild_id is None,
        )
        with contextlib.suppress(SnaplabelError):
            await self._host.receive([post])

    async def _attend(self, place: Place, live: discord.Message | None = None) -> None:
        """Take in what a channel holds that we don't know yet, then a live message; again until it is written."""
        pause_s = self._desk.pause_s
        async with self._locks.setdefault(place.id, asyncio.Lock()):
            while not self.is_closed():
                try:
                    if place.id not in self._caught_up:
                        await self._catch_up(place, live)
                    if live is not None:
                        await self._take_in(live)
                    return
                except Exception as error:
                    if not self.is_closed():
                        log.warning("discord: channel %d can't be written down yet: %s", place.id, _said(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _catch_up(self, place: Place, live: discord.Message | None) -> None:
        """Take in what was said since the mark. Where there is none, now is the beginning."""
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
        self._caught_up.add(place.id)

    async def _since(self, place: Place) -> int | None:
        """The last message that was taken in here; None: this channel was there before us."""
        guild = None if isinstance(place, discord.DMChannel | discord.GroupChannel) else place.guild
        newest = 0 if guild is None else await self._newest_mark(guild)
        mark = await self._host.last_seen(Discord.name, str(place.id))
        if mark is not None:
            return int(mark)
        # A thread has the id of the message that it hangs on, which may be much older.
        born = place.id if place.created_at is None else discord.utils.time_snowflake(place.created_at)
        return place.id if 0 < newest < born else None

    async def _newest_mark(self, guild: discord.Guild) -> int:
        """The last message seen anywhere in a guild when this session began: channels made since then are all new."""
        async with self._surveying:
            if guild.id not in self._newest:
                marks = [await self._host.last_seen(Discord.name, str(place.id)) for place in _readable(guild)]
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
        if posts or (is_due and not _is_private(message.channel)):
            await self._mark(message.channel.id, message.id)
            self._marked_at[message.channel.id] = time.monotonic()

    async def _mark(self, channel: int, message: int) -> None:
        await self._host.mark_seen(Discord.name, str(channel), str(message))

    # Interactions in.

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        data = cast(dict[str, Any], interaction.data or {})
        if interaction.type is discord.InteractionType.application_command:
            if data.get("type", SLASH) == ON_A_MESSAGE:
                await _quietly(_open_form(interaction, str(data["target_id"])))
            else:
                await self._command(interaction, data)
        elif interaction.type is discord.InteractionType.component and interaction.message is not None:
            under, chosen = str(interaction.message.id), str(data["custom_id"])
            if chosen.startswith(MENU_ID):
                chosen = "".join(data.get("values", [])[:1])
            press = _post(interaction, "press", message=f"press:{interaction.id}", reply_to=under, token=under)
            await self._hand_in(
                interaction, replace(press, data=_clean(chosen, LONGEST_DATA)), interaction.response.defer
            )
        elif interaction.type is discord.InteractionType.modal_submit:
            target = str(data["custom_id"]).removeprefix(CORRECT_ID)
            said = _post(interaction, "text", text=_typed(data), reply_to=target, token=target)

            async def thank() -> None:
                await interaction.response.send_message(THANKS, ephemeral=True)

            await self._hand_in(interaction, said, thank)

    async def _command(self, interaction: discord.Interaction, data: dict[str, Any]) -> None:
        """Show "thinking…", which `Discord.send` makes the answer."""
        argument = " ".join(str(option.get("value", "")) for option in data.get("options", []))
        handle = f"{INTERACTION}{interaction.application_id}:{interaction.token}"
        text = _clean(f"/{data['name']} {argument}".strip(), LONGEST_TEXT)
        post = _post(interaction, "text", text=text, token=handle)
        thinking = self._desk.thinking[interaction.token] = asyncio.Event()
        try:
            await self._hand_in(interaction, post, interaction.response.defer)
        finally:
            # The answer may be ready before Discord knows that there will be one.
            thinking.set()
            del self._desk.thinking[interaction.token]

    async def _hand_in(
        self, interaction: discord.Interaction, post: Incoming, acknowledge: Callable[[], Awaitable[object]]
    ) -> None:
        """Write a post down, then acknowledge it; but first acknowledge it when writing takes too long."""
        writing = asyncio.ensure_future(self._host.receive([post]))
        await asyncio.wait((writing,), timeout=SLOW_S)
        if not writing.done():
            await _quietly(acknowledge())
        try:
            await writing
        except Exception as error:
            log.warning("discord: interaction %d could not be written down: %s", interaction.id, _said(error))
            if interaction.response.is_done():
                await _quietly(interaction.followup.send(NOT_WRITTEN, ephemeral=True))
            else:
                await _quietly(interaction.response.send_message(NOT_WRITTEN, ephemeral=True))
        else:
            if not interaction.response.is_done():
                await _quietly(acknowledge())

    async def _register(self) -> None:
        """Register the commands, if Discord has not got them already."""
        wanted = [_command(each) for each in self._host.commands]
        wanted.append({"type": ON_A_MESSAGE, "name": CORRECT, "contexts": [IN_GUILD, IN_DM]})
        try:
            number = self.application_id or 0
            there = cast(list[dict[str, Any]], await self.http.get_global_commands(number))
            if sorted(map(_outline, there)) != sorted(map(_outline, wanted)):
                await self.http.bulk_upsert_global_commands(number, wanted)
        except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
            log.warning("discord: the commands could not be registered: %s", _said(error))


# A message becomes ours.


def posts_of(message: discord.Message, me: int) -> list[Incoming]:
    """The posts in a message: a photo each, or one for all the rest; none when it is not meant for us."""
    if message.author.bot or message.webhook_id is not None:
        return []
    if message.type not in (discord.MessageType.default, discord.MessageType.reply):
        return []
    is_private, is_reply = _is_private(message.channel), message.type is discord.MessageType.reply
    mention = re.compile(rf"<@!?{me}>")
    post = Incoming(
        platform=Discord.name,
        chat=str(message.channel.id),
        message=str(message.id),
        person=str(message.author.id),
        kind="text",
        name=_clean(message.author.display_name, LONGEST_NAME),
        text=_clean(mention.sub("", message.content).strip(), LONGEST_TEXT),
        reply_to=str(message.reference.message_id) if is_reply and message.reference is not None else None,
        is_private=is_private,
    )
    attachments = _attachments(message)
    images = [each for each in attachments if _type(each).startswith("image/")]
    if images:
        photos = [each for each in images if each.size <= HEAVIEST_FILE]
        album = post.message if len(photos) > 1 else None
        posts = [
            replace(post, kind="photo", attachment=_handle(message, each), position=n, album=album)
            for n, each in enumerate(photos)
        ]
        if len(photos) < len(images):
            posts.append(replace(post, kind="unusable", what="too-heavy", position=len(images)))
        return posts
    if attachments:
        return [replace(post, kind="unusable", what=_what(message, attachments[0]))]
    if message.stickers:
        return [replace(post, kind="unusable", what="sticker")]
    is_meant = is_private or is_reply or mention.search(message.content) is not None
    return [post] if is_meant and post.text else []


def _attachments(message: discord.Message) -> list[discord.Attachment]:
    """A message's files; of one that was forwarded, those of the copy inside it."""
    return [*message.attachments, *(each for copy in message.message_snapshots for each in copy.attachments)]


def _handle(message: discord.Message, file: discord.Attachment) -> Attachment:
    where = {"channel": str(message.channel.id), "message": str(message.id), "attachment": str(file.id)}
    return Attachment({**where, "url": file.url}, _clean(file.filename, 255), file.size)


def _type(file: discord.Attachment) -> str:
    return file.content_type or mimetypes.guess_type(file.filename)[0] or ""


def _what(message: discord.Message, file: discord.Attachment) -> str:
    kind = _type(file).partition("/")[0]
    return "voice" if message.flags.voice else kind if kind in ("video", "audio") else "document"


def _post(interaction: discord.Interaction, kind: Kind, **values: Any) -> Incoming:
    """A post that came as an interaction."""
    common: dict[str, Any] = {
        "platform": Discord.name,
        "chat": str(interaction.channel_id),
        "message": f"{INTERACTION}{interaction.id}",
        "person": str(interaction.user.id),
        "kind": kind,
        "name": _clean(interaction.user.display_name, LONGEST_NAME),
        "is_private": interaction.guild_id is None,
    }
    return Incoming(**(common | values))


def _typed(component: Any) -> str:
    """What was typed into a form's one field, wherever Discord nests it."""
    if isinstance(component, list):
        return "".join(map(_typed, component))
    if not isinstance(component, dict):
        return ""
    inner = _typed(component.get("components")) + _typed(component.get("component"))
    return inner or _clean(str(component.get("value") or "").strip(), LONGEST_TEXT)


def _is_private(place: Place) -> bool:
    return getattr(place, "guild", None) is None and getattr(place, "guild_id", None) is None


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
        rows = session.execute(query.where(Chat.platform == Discord.name, Chat.is_private)).all()
    latest = sorted(rows, key=lambda row: int(row.seen_message_id or 0), reverse=True)
    return [int(row.platform_id) for row in latest[:MOST_PRIVATE_CHATS]]


def _clean(text: str, limit: int) -> str:
    """At most `limit` characters, none of which a database refuses."""
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode()


# A reply becomes Discord's.


def formatted(reply: Reply) -> str:
    """The words of a reply in Discord's markdown, as long as a message may be."""
    title = _cut(_escaped(" ".join(reply.title.split())), LONGEST_TITLE)
    title = f"**{title}**" if title else ""
    text = _cut(_escaped(reply.text), LONGEST_CONTENT - _length(title) - 1)
    left = LONGEST_CONTENT - _length(title) - _length(text) - len("\n\n```\n\n```")
    table = reply.table.replace("``", "`\u200b`")
    if _length(table) > left:
        # Whole lines only; too few of them say nothing.
        table = _cut(table, left - 2).rpartition("\n")[0] + "\n…" if left > LONGEST_TITLE else ""
    table = f"```\n{table}\n```" if table else ""
    return "\n".join(part for part in (title, text, table) if part) or "…"


def _escaped(text: str) -> str:
    """Text that Discord shows as it is: no markdown, no mentions, and links without a preview."""

    def escape(found: re.Match[str]) -> str:
        if found[1]:
            return f"<{found[1]}>"
        return f"{found[0][:-1]}\\{found[0][-1]}"

    return discord.utils.escape_mentions(MARKS.sub(escape, text))


def _length(text: str) -> int:
    """Length in UTF-16 units, in which apps count; never fewer than characters."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _cut(text: str, limit: int) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip().rstrip("\\") + "…"


def components(reply: Reply) -> discord.ui.View | None:
    """The choices as rows of buttons; when these are too many, those of the commonest kind as menus.

    The view is stopped: discord.py would else keep it, and we tell presses apart by their custom id.
    """
    unique: dict[str, Choice] = {}
    for choice in (choice for row in reply.choices for choice in row):
        unique.setdefault(choice.data, choice)
    rows = [
        [unique.pop(choice.data) for choice in row[n : n + BUTTONS_A_ROW] if choice.data in unique]
        for row in reply.choices
        for n in range(0, len(row), BUTTONS_A_ROW)
    ]
    rows = [row for row in rows if row]
    every = [choice for row in rows for choice in row]
    menus: list[list[Choice]] = []
    if len(rows) > ROWS or len(every) > MOST_BUTTONS:
        kinds = Counter(_kind(choice) for choice in every if choice.style == "plain")
        commonest = kinds.most_common(1)[0][0] if kinds else None
        listed = [choice for choice in every if choice.style == "plain" and _kind(choice) == commonest]
        others = [choice for choice in every if choice not in listed]
        rows = [others[n : n + BUTTONS_A_ROW] for n in range(0, len(others), BUTTONS_A_ROW)][: ROWS - 1]
        menus = [listed[n : n + OPTIONS_A_MENU] for n in range(0, len(listed), OPTIONS_A_MENU)][: ROWS - len(rows)]
    if not rows and not menus:
        return None
    view = discord.ui.View(timeout=None)
    for n, menu in enumerate(menus):
        options = [discord.SelectOption(label=_cut(each.text, OPTION_LABEL) or "…", value=each.data) for each in menu]
        view.add_item(discord.ui.Select(custom_id=f"{MENU_ID}{n}", placeholder=CHOOSE, options=options, row=n))
    for n, row in enumerate(rows, start=len(menus)):
        for each in row:
            label, style = _cut(each.text, BUTTON_LABEL) or "…", STYLES.get(each.style, discord.ButtonStyle.secondary)
            view.add_item(discord.ui.Button(label=label, custom_id=each.data, style=style, row=n))
    view.stop()
    return view


def _kind(choice: Choice) -> str:
    return choice.data.partition(":")[0]


def _command(command: Command) -> dict[str, Any]:
    """A command as it is registered. Those for admins are shown to who may manage the guild; we check again."""
    shown: dict[str, Any] = {"type": SLASH, "name": command.name, "description": command.sentence[:100]}
    shown["contexts"] = [IN_GUILD, IN_DM]
    if command.argument:
        option = {"type": TEXT_OPTION, "name": command.argument, "description": command.argument, "required": False}
        shown["options"] = [option]
    if command.who == "admins":
        shown["default_member_permissions"] = str(discord.Permissions(manage_guild=True).value)
    return shown


def _outline(command: dict[str, Any]) -> tuple[str, ...]:
    """What of a registered command we care about."""
    options = [f"{each['type']} {each['name']} {each['description']}" for each in command.get("options") or []]
    contexts = ",".join(map(str, sorted(command.get("contexts") or [])))
    needed = str(command.get("default_member_permissions") or "")
    return (command["name"], str(command.get("type", 1)), command.get("description") or "", needed, contexts, *options)


async def _open_form(interaction: discord.Interaction, target: str) -> None:
    """Ask what a photo shows. The form carries the message's id, so it may be sent in after a restart."""
    form = discord.ui.Modal(title=CORRECT, custom_id=f"{CORRECT_ID}{target}")
    field: discord.ui.TextInput[discord.ui.Modal] = discord.ui.TextInput(custom_id="label", max_length=64)
    form.add_item(discord.ui.Label(text=CORRECT_FIELD, component=field))
    form.stop()
    await interaction.response.send_modal(form)


# Calls and their refusals.


async def _download(client: Client, url: str) -> bytes | None:
    """A file's bytes; None when the link has expired."""
    assert client.downloads is not None
    async with client.downloads.get(url) as answer:
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


@contextlib.asynccontextmanager
async def _asked(within_s: float) -> AsyncIterator[None]:
    """Turn Discord's errors into ours, that of being too slow too."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except discord.RateLimited as error:
        raise PlatformError("Discord asks for patience", retry_after_s=error.retry_after) from error
    except discord.HTTPException as error:
        # Without a code of Discord's own it was something in between that refused.
        permanent = 400 <= error.status < 500 and error.status not in (401, 408, 429) and error.code != 0
        raise PlatformError(_said(error), permanent=permanent, retry_after_s=_retry_after_s(error)) from error
    except (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError) as error:
        raise PlatformError(_said(error)) from error


async def _quietly(call: Awaitable[object]) -> None:
    """Answer an interaction, if it is not too late for that."""
    try:
        async with asyncio.timeout(CONNECT_S):
            await call
    except (discord.DiscordException, aiohttp.ClientError, OSError, RuntimeError) as error:
        log.info("discord: an interaction could not be acknowledged: %s", _said(error))


def _retry_after_s(error: discord.HTTPException) -> float | None:
    try:
        return float(error.response.headers["Retry-After"]) if error.status == 429 else None
    except (KeyError, ValueError):
        return None


def _said(error: BaseException) -> str:
    """An error in words short enough for a log, and without addresses, which hold tokens."""
    if isinstance(error, discord.HTTPException):
        return f"Discord says {error.status}, code {error.code}: {error.text}"[:200]
    if isinstance(error, SnaplabelError):
        return str(error)
    return type(error).__name__
