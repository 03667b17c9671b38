"""The Discord adapter: keeps a client running, fetches, sends and edits."""

import asyncio
import contextlib
import io
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import aiohttp
import discord
from discord.http import Route
from sqlalchemy import select

from bot.messages import PRIVATE, Attachment, Host, Reply
from bot.platforms.discord.calls import CONNECT_S, asked, download, said
from bot.platforms.discord.client import Client
from bot.platforms.discord.looks import components, filename, formatted
from bot.platforms.discord.posts import INTERACTION, NAME, attachments
from snaplabel.database import Database
from snaplabel.errors import NotStored, PlatformError, SettingsError, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat

log = logging.getLogger(__name__)

FILE_S = 60.0
LONGEST_NONCE = 25
# How much of a channel's history, from a post on, is searched for an answer that may have been sent.
MOST_LOOKED_AT = 300
# Which picture a message shows is remembered of so many.
MOST_PICTURES = 512
# Refusals after which less is tried: https://discord.com/developers/docs/topics/opcodes-and-status-codes
NO_PERMISSION, TOO_LARGE, NO_HISTORY_NO_REPLY, INVALID_FORM = 50013, 40005, 160002, 50035


class Discord:
    """A `Platform`.

    settle_s: how long no further guild must come before discord.py is ready. pause_s: the first wait before what could
    not be written down is offered again; it doubles. call_s: for one call with all of discord.py's own tries; two of
    them are less than a claimed answer stays ours (settings.lease_s). away_s: after so long without a connection a new
    one is made, because discord.py's own patience grows to 17 minutes.
    """

    name = NAME

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
        self._private: dict[str, int] = {}

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
            raise PlatformError(f"Discord can't be reached: {said(error)}.") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # discord.py ends so when its first connection is refused, and on an event that it can't read.
            log.warning("discord: the connection broke over a %s", type(error).__name__, exc_info=True)
            raise PlatformError("Discord sent something that can't be understood.") from error
        finally:
            self._connected.clear()
            self._client = None

    def use(self, client: Client) -> None:
        """From now on answers go out through this one."""
        self._client = client
        self._connected.set()

    # Answers out.

    async def fetch(self, attachment: Attachment) -> bytes:
        """A file's bytes. Links expire after a day; the message, asked for again, has a fresh one."""
        client, handle = await self._line(), attachment.handle
        assert client.downloads is not None
        async with asked(FILE_S):
            data = await download(client.downloads, str(handle["url"]))
            if data is None:
                place = client.get_partial_messageable(int(handle["channel"]))
                message = await place.fetch_message(int(handle["message"]))
                fresh = (each.url for each in attachments(message) if str(each.id) == handle["attachment"])
                if url := next(fresh, None):
                    data = await download(client.downloads, url)
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
        place = client.get_partial_messageable(await self._channel(client, chat))

        async def post(**what: Any) -> discord.Message:
            files = what.pop("attachments", None)
            return await place.send(nonce=nonce[:LONGEST_NONCE], suppress_embeds=True, files=files, **what)

        async with asked(self._call_s):
            message = await self._show(post, reply, more)
        if message.content.strip() != formatted(reply).strip():
            # The nonce was used by a try that we took for failed, and the answer has changed since.
            await self.edit(chat, str(message.id), reply)
        return str(message.id)

    async def find(self, chat: str, answer: int, reply: Reply, *, reply_to: str | None) -> str | None:
        """The message in the channel's history that a send left: the nonce is remembered for a few minutes only."""
        if not reply_to or not reply_to.isdecimal():
            return None
        client = await self._line()
        known = await asyncio.to_thread(_ours, self.host.database, chat)
        place = client.get_partial_messageable(await self._channel(client, chat))
        async with asked(self._call_s):
            try:
                async for message in place.history(after=discord.Object(int(reply_to)), limit=MOST_LOOKED_AT):
                    about = message.reference.message_id if message.reference is not None else None
                    is_ours = client.user is not None and message.author.id == client.user.id
                    if is_ours and about == int(reply_to) and str(message.id) not in known:
                        return str(message.id)
            except (discord.Forbidden, discord.NotFound):
                pass  # We may send here and not read.
        return None

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        """Make a message show this. A picture that is there stays, unless the reply says something of pictures."""
        client = await self._line()
        place = client.get_partial_messageable(await self._channel(client, chat))
        partial = place.get_partial_message(int(message))
        if self._pictures.get(message) == reply.picture:
            reply = replace(reply, picture=None)
        async with asked(self._call_s):
            await self._show(partial.edit, reply, {})

    async def busy(self, chat: str) -> None:
        with contextlib.suppress(PlatformError):
            client = await self._line()
            async with asked(self._call_s):
                await client.get_partial_messageable(int(chat)).typing()

    async def manages(self, chat: str, person: str) -> bool:
        """Discord says it with every message and interaction; of what is read from a channel's history it does not."""
        return False

    async def _answer(self, client: Client, handle: str, reply: Reply) -> str | None:
        """Answer a slash command where Discord shows "thinking…"; None if it is too late for that (15 minutes)."""
        application, _, token = handle.removeprefix(INTERACTION).partition(":")
        if not token:
            return None
        async with asked(self._call_s):
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
        if reply.picture is not None:
            # Without bytes, a picture that is there goes all the same: it belongs to other words.
            what["attachments"] = []
        while True:
            if picture is not None:
                what["attachments"] = [discord.File(io.BytesIO(picture), filename(reply))]
            try:
                message = await show(**what)
            except discord.HTTPException as error:
                if "reference" in what and error.code in (NO_HISTORY_NO_REPLY, INVALID_FORM):
                    del what["reference"]
                elif picture is not None and (error.code in (NO_PERMISSION, TOO_LARGE) or error.status == 413):
                    picture, what["attachments"] = None, []
                else:
                    raise
            else:
                if reply.picture is not None:
                    self._pictures[str(message.id)] = reply.picture if picture is not None else ""
                    while len(self._pictures) > MOST_PICTURES:
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

    async def _channel(self, client: Client, chat: str) -> int:
        """The channel of a chat; the private one with somebody is opened when it is first needed."""
        if not chat.startswith(PRIVATE):
            return int(chat)
        if chat not in self._private:
            person = chat.removeprefix(PRIVATE)
            if not person.isdecimal():
                raise PlatformError("there is no such person", permanent=True)
            async with asked(self._call_s):
                opened = await client.http.start_private_message(int(person))
            self._private[chat] = int(opened["id"])
        return self._private[chat]

    async def _line(self) -> Client:
        """The client, as soon as it is logged in."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(CONNECT_S, self._call_s)):
                await self._connected.wait()
        if self._client is None or self._client.is_closed():
            raise PlatformError("Discord is not connected")
        return self._client


def _ours(database: Database, chat: str) -> set[str]:
    """The messages of ours in a channel that are known, as far as they can matter."""
    here = select(Chat.id).where(Chat.platform == NAME, Chat.platform_id == chat).scalar_subquery()
    query = select(Answer.platform_id).where(Answer.chat_id == here, Answer.platform_id.is_not(None))
    query = query.order_by(Answer.created_at.desc())
    with database.read() as session:
        return {str(number) for number in session.scalars(query.limit(2 * MOST_LOOKED_AT))}
