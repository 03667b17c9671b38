"""Telegram: updates come in by long polling or a webhook, answers go out; the one file that knows its Bot API.

No update is confirmed before `host.receive` returned. There is no throttle here: Telegram's limits are unspecified and
move (about 30 messages a second in all, 20 a minute in a group), its 429 names the wait, the bot puts the answer off
for that long, and sends one answer a chat at a time, so that a chat that was told to wait waits. A throttle of our own
would be slower when idle and wrong when busy. Only steps of progress, which newer ones always follow, are dropped when
they come too fast, so that a training does not use up its group's share.

A send whose answer was lost may be repeated: the Bot API has no key against that, hence the long read timeout.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import mimetypes
import os
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any

import httpx
import telegram
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from bot.messages import Attachment, Choice, Host, Incoming, Platform, Reply
from snaplabel.errors import NotStored, PlatformError, SettingsError, SnaplabelError
from snaplabel.settings import Settings

if TYPE_CHECKING:
    from starlette.applications import Starlette

# RetryAfter otherwise warns, wherever it is raised, that it will hold a timedelta one day.
os.environ.setdefault("PTB_TIMEDELTA", "true")

log = logging.getLogger(__name__)

WANTED = ["message", "callback_query"]
POLL_S = 30
LONGEST_PAUSE_S = 30.0
STEP_S, STEP_IN_A_GROUP_S = 1.0, 5.0
LONGEST_TEXT, LONGEST_CAPTION, LONGEST_TITLE, LONGEST_NAME, LONGEST_DATA = 4096, 1024, 256, 64, 64
HEAVIEST_FILE, HEAVIEST_UPDATE = 20 << 20, 1 << 20
GOOD_SIDE_PX = 512
WEBHOOK_CONNECTIONS = 4
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105
STYLES = {"good": "success", "danger": "danger"}
NO_PREVIEW = telegram.LinkPreviewOptions(is_disabled=True)
# What a person may send that is no photo: field of the message → what we call it.
UNUSABLE = {"animation": "animation", "video": "video", "video_note": "video", "voice": "voice", "audio": "audio"} | {
    kind: kind
    for kind in ("sticker", "poll", "venue", "location", "contact", "dice", "game", "story", "checklist", "paid_media")
}
# Telegram's words when a message is fine but the picture in it is not.
PICTURE_TROUBLE = (
    "no media in the message",
    "image_process_failed",
    "photo_invalid",
    "photo_ext",
    "too big for a photo",
    "to send photos",
)


def connect(settings: Settings, host: Host) -> Platform:
    """The platform; nothing is sent before `run`."""
    return Telegram(settings, host)


class Telegram:
    """A `Platform`. pause_s: the first wait after trouble; it doubles up to LONGEST_PAUSE_S."""

    name = "telegram"

    def __init__(self, settings: Settings, host: Host, *, pause_s: float = 1.0) -> None:
        # These print every address, and the token is a part of each.
        for talkative in ("httpx", "httpcore", "telegram"):
            logging.getLogger(talkative).setLevel(logging.WARNING)
        self._settings, self._host, self._pause_s = settings, host, pause_s
        # One TLS context for both: each holds all root certificates.
        shared = {"verify": httpx.create_ssl_context()}
        self._polls = HTTPXRequest(connection_pool_size=1, read_timeout=10, connect_timeout=10, httpx_kwargs=shared)
        # All in all less than a claimed answer stays ours (delivery.CLAIM_S).
        self._calls = HTTPXRequest(
            connection_pool_size=16,
            connect_timeout=5,
            pool_timeout=5,
            read_timeout=20,
            write_timeout=20,
            media_write_timeout=20,
            httpx_kwargs=shared,
        )
        self._bot = telegram.Bot(
            settings.telegram_token,
            base_url=f"{settings.telegram_api_url}/bot",
            base_file_url=f"{settings.telegram_api_url}/file/bot",
            request=self._calls,
            get_updates_request=self._polls,
        )
        self._username = ""
        self._steps: dict[tuple[str, str], float] = {}
        self._errands: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take updates in until cancelled. Sending goes on working afterwards, until `close`."""
        await self._polls.initialize()
        menus = None
        try:
            with self._refusals():
                try:
                    me = await self._bot.get_me()
                except InvalidToken:
                    raise SettingsError(
                        "Telegram refuses SNAPLABEL_TELEGRAM_TOKEN: copy it again from @BotFather "
                        "(or SNAPLABEL_TELEGRAM_API_URL is no Bot API server)."
                    ) from None
            self._username = me.username or ""
            if me.can_read_all_group_messages is False:
                log.warning(
                    "telegram: privacy mode is on, so the bot sees photos only in groups where it is an admin. "
                    "Switch it off with /setprivacy at @BotFather, then add the bot to its groups again."
                )
            menus = asyncio.create_task(self._show_menus())
            await (self._listen() if self._settings.telegram_webhook_url else self._poll())
        finally:
            if menus is not None:
                menus.cancel()
            await self._polls.shutdown()

    async def close(self) -> None:
        """Close all connections."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)
        await asyncio.gather(self._calls.shutdown(), self._polls.shutdown())

    # Updates in.

    async def _poll(self) -> None:
        offset, pause_s, trouble, webhook_may_be_set = 0, self._pause_s, "", True
        while True:
            try:
                if webhook_may_be_set:
                    await self._bot.delete_webhook()
                    webhook_may_be_set = False
                found = await self._updates(offset)
                await self._take_in(found)
            except InvalidToken:
                raise PlatformError("Telegram takes the token no more.") from None
            except Exception as error:
                webhook_may_be_set = isinstance(error, Conflict) and "webhook" in str(error).lower()
                if (now := self._trouble(error)) != trouble:
                    log.warning("telegram: %s Trying again, with growing patience.", now)
                trouble = now
                wished_s = _seconds(error) if isinstance(error, RetryAfter) else 0.0
                await asyncio.sleep(max(pause_s, wished_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if trouble:
                log.info("telegram: updates come in again")
            pause_s, trouble = self._pause_s, ""
            if found:
                offset = found[-1]["update_id"] + 1

    async def _updates(self, offset: int) -> list[dict[str, Any]]:
        """Updates as they came, because Bot.get_updates drops a whole batch over one that it can't read.

        Spelt "get_Updates" so that the library takes it for none of its methods and still uses the poll's connection.
        """
        wishes = {"offset": offset, "timeout": POLL_S, "allowed_updates": WANTED}
        found: list[dict[str, Any]] = await self._bot.do_api_request(
            "get_Updates", api_kwargs=wishes, read_timeout=POLL_S + 10
        )
        return found

    async def _take_in(self, found: Sequence[dict[str, Any]]) -> None:
        """Have updates written down, all or none, but for one that can't be understood. Raises what `receive` does."""
        posts, presses = [], []
        for raw in found:
            try:
                update = telegram.Update.de_json(raw, self._bot)
                post = post_of(update, self._username)
            except Exception as error:
                number, kind = raw.get("update_id"), type(error).__name__
                log.warning("telegram: update %s can't be understood and is left out (%s)", number, kind)
                continue
            if post is not None:
                posts.append(post)
            if update.callback_query is not None:
                presses.append(update.callback_query.id)
        if posts:
            await self._host.receive(posts)
        for press in presses:
            errand = asyncio.create_task(self._acknowledge(press))
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)

    async def _acknowledge(self, press: str) -> None:
        """Stop the button's spinning; a press that is too old has stopped by itself."""
        with contextlib.suppress(TelegramError):
            await self._bot.answer_callback_query(press)

    def _trouble(self, error: Exception) -> str:
        """What is in the way of updates, in a sentence."""
        if isinstance(error, Conflict):
            if "webhook" in str(error).lower():
                return "A webhook was set for this token; it is removed."
            return "Another program polls with this token: stop one of the two."
        if isinstance(error, TelegramError):
            return f"Telegram can't be reached: {self._said(error)}."
        # Errors of others may quote what people wrote.
        why = str(error) if isinstance(error, SnaplabelError) else type(error).__name__
        return f"Updates could not be written down, so Telegram keeps them: {why}"

    async def _listen(self) -> None:
        """Serve the webhook: Telegram sends an update again until we answer 200."""
        import uvicorn

        class Server(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # The process has its own handlers.

        secret = secrets.token_urlsafe(32)
        address = (self._settings.web_host, self._settings.telegram_webhook_port)
        try:
            # Bound here, because uvicorn ends the whole process when a port is taken.
            door = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        except OSError as error:
            raise PlatformError(f"SNAPLABEL_TELEGRAM_WEBHOOK_PORT {address[1]}: {error.strerror}.") from error
        config = uvicorn.Config(
            self._webhook(secret), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[door]))
        try:
            with self._refusals():
                await self._bot.set_webhook(
                    self._settings.telegram_webhook_url,
                    secret_token=secret,
                    allowed_updates=WANTED,
                    max_connections=WEBHOOK_CONNECTIONS,
                )
            await asyncio.wait((serving,))
        finally:
            server.should_exit = True
            await serving

    def _webhook(self, secret: str) -> "Starlette":
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import Response
        from starlette.routing import Route

        async def take(request: Request) -> Response:
            given = request.headers.get(SECRET_HEADER, "")
            if not hmac.compare_digest(given.encode(), secret.encode()):
                return Response(status_code=403)
            body = b""
            async for part in request.stream():
                body += part
                if len(body) > HEAVIEST_UPDATE:
                    return Response(status_code=413)
            try:
                update = json.loads(body)
            except ValueError:
                update = None
            if not isinstance(update, dict):
                return Response(status_code=400)
            try:
                await self._take_in([update])
            except Exception as error:
                log.warning("telegram: %s", self._trouble(error))
                return Response(status_code=500)
            return Response()

        # Any path: a proxy in front of us may have rewritten it, and the secret tells.
        return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])

    # Answers out.

    async def fetch(self, attachment: Attachment) -> bytes:
        """A file's bytes. A link that has expired is asked for once more."""
        file_id = str(attachment.handle["file_id"])
        with self._refusals():
            for _ in range(2):
                file = await self._bot.get_file(file_id)
                if (file.file_size or 0) > HEAVIEST_FILE:
                    raise PlatformError("file is too big", permanent=True)
                # The library takes any 404 for a bad token; after getFile went well it is the link.
                with contextlib.suppress(InvalidToken):
                    return bytes(await file.download_as_bytearray())
        raise PlatformError("file is gone", permanent=True)

    async def send(self, chat: str, reply: Reply, *, reply_to: str | None, nonce: str) -> str:
        """Send a message. nonce: unused, the Bot API has nothing like it."""
        picture = await self._picture(reply)
        where: dict[str, Any] = {"chat_id": int(chat), "reply_markup": _keyboard(reply), "parse_mode": "HTML"}
        if reply_to and reply_to.isdecimal():
            where["reply_parameters"] = telegram.ReplyParameters(int(reply_to), allow_sending_without_reply=True)
        with self._refusals():
            if picture is not None:
                try:
                    words = formatted(reply, LONGEST_CAPTION)
                    sent = await self._bot.send_photo(photo=picture, filename="picture.png", caption=words, **where)
                    return str(sent.message_id)
                except BadRequest as error:
                    if _reason(error, PICTURE_TROUBLE) is None:
                        raise
            where["link_preview_options"] = NO_PREVIEW
            sent = await self._bot.send_message(text=formatted(reply, LONGEST_TEXT) or "…", **where)
            return str(sent.message_id)

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        """Make a message show this. A picture that is there stays, unless there is a new one."""
        if self._is_passing(chat, message, reply):
            return
        picture = await self._picture(reply)
        which: dict[str, Any] = {"chat_id": int(chat), "message_id": int(message), "reply_markup": _keyboard(reply)}
        caption = formatted(reply, LONGEST_CAPTION)
        trouble = None
        with self._refusals():
            if picture is not None:
                media = telegram.InputMediaPhoto(picture, caption, "HTML", filename="picture.png")
                trouble = await _tried(self._bot.edit_message_media(media, **which), PICTURE_TROUBLE)
                if trouble is None:
                    return
            # Whether the message has a picture only Telegram knows, and says so when asked for the wrong one.
            words = formatted(reply, LONGEST_TEXT) or "…"
            text = self._bot.edit_message_text(words, parse_mode="HTML", link_preview_options=NO_PREVIEW, **which)
            if await _tried(text, ("no text in the message",)):
                await _tried(self._bot.edit_message_caption(caption=caption, parse_mode="HTML", **which))
        if trouble == "no media in the message":  # An old Bot API server, which adds none to a text.
            await self.send(chat, Reply(picture=reply.picture), reply_to=message, nonce="")

    async def busy(self, chat: str) -> None:
        with contextlib.suppress(TelegramError):
            await self._bot.send_chat_action(int(chat), "typing")

    def _is_passing(self, chat: str, message: str, reply: Reply) -> bool:
        """Whether this is a step of progress so soon after another one that only the next one need be shown."""
        if reply.progress is None:
            self._steps.pop((chat, message), None)
            return False
        now, last = time.monotonic(), self._steps.get((chat, message))
        if last is not None and now - last < (STEP_IN_A_GROUP_S if chat.startswith("-") else STEP_S):
            return True
        self._steps[chat, message] = now
        return False

    async def _picture(self, reply: Reply) -> bytes | None:
        """The picture's bytes; None without one, or when it is not in the store any more: the words matter more."""
        try:
            return await self._host.read(reply.picture) if reply.picture else None
        except NotStored:
            return None
        except SnaplabelError as error:
            raise PlatformError(str(error)) from error

    async def _show_menus(self) -> None:
        """Show each the commands that they may use. A menu that can't be set is no reason not to work."""
        known = [
            (command.who, telegram.BotCommand(command.name, command.sentence[:256])) for command in self._host.commands
        ]
        every, common = [each for _, each in known], [each for who, each in known if who == "everyone"]
        menus: list[tuple[list[telegram.BotCommand], telegram.BotCommandScope]] = [
            (common, telegram.BotCommandScopeAllPrivateChats()),
            (common, telegram.BotCommandScopeAllGroupChats()),
        ]
        for admin in self._settings.admins:
            platform, _, number = admin.partition(":")
            if platform == self.name and number.isdecimal():
                menus.append((every, telegram.BotCommandScopeChat(int(number))))
        for commands, scope in menus:
            try:
                await self._bot.set_my_commands(commands, scope=scope)
            except TelegramError as error:
                # An admin who never wrote to the bot is "chat not found".
                log.info("telegram: no menu for %s: %s", scope.type, self._said(error))

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn Telegram's errors into ours."""
        try:
            yield
        except RetryAfter as error:
            raise PlatformError("Telegram asks for patience", retry_after_s=_seconds(error)) from error
        except ChatMigrated as error:
            raise PlatformError("this group became a supergroup with another id", permanent=True) from error
        except (BadRequest, Forbidden) as error:
            # A file can be on its way between Telegram's own servers.
            passes = _reason(error, ("temporarily unavailable",)) is not None
            raise PlatformError(self._said(error), permanent=not passes) from error
        except TelegramError as error:
            raise PlatformError(self._said(error)) from error

    def _said(self, error: TelegramError) -> str:
        """Telegram's words, short enough for a log, and never with the token in them."""
        return str(error).replace(self._settings.telegram_token, "…")[:200]


# An update becomes ours.


def post_of(update: telegram.Update, username: str) -> Incoming | None:
    """The post in an update, None for what is not meant for us. username: ours, without the @."""
    if update.callback_query is not None:
        return _press(update.callback_query)
    message = update.message
    if message is None or message.is_automatic_forward or (author := _author(message)) is None:
        return None
    text = "" if _is_borrowed(message) else message.text or message.caption or ""
    if command := re.match(r"/(\w+)@(\w+)", text):
        if command[2].lower() != username.lower():
            return None
        text = f"/{command[1]}{text[command.end() :]}"
    replied = message.reply_to_message
    post = Incoming(
        platform=Telegram.name,
        chat=str(message.chat.id),
        message=str(message.message_id),
        person=author[0],
        kind="text",
        name=_clean(author[1], LONGEST_NAME),
        text=_clean(text, LONGEST_TEXT),
        album=message.media_group_id,
        # In a forum every post replies to the one that opened its topic.
        reply_to=str(replied.message_id) if replied is not None and replied.forum_topic_created is None else None,
        is_private=message.chat.type == "private",
    )
    if message.photo:
        size = _best(message.photo)
        return replace(post, kind="photo", attachment=Attachment({"file_id": size.file_id}, size=size.file_size or 0))
    if message.document is not None and message.animation is None:
        return _file(post, message.document)
    if message.text is not None:
        return post
    what = next((name for field, name in UNUSABLE.items() if getattr(message, field)), None)
    # What is left are service messages: somebody joined, something was pinned.
    return replace(post, kind="unusable", what=what) if what else None


def _press(query: telegram.CallbackQuery) -> Incoming | None:
    if query.message is None or query.data is None:
        return None
    under, chat = str(query.message.message_id), query.message.chat
    return Incoming(
        platform=Telegram.name,
        chat=str(chat.id),
        message=f"press:{query.id}",
        person=str(query.from_user.id),
        kind="press",
        name=_clean(query.from_user.first_name, LONGEST_NAME),
        data=_clean(query.data, LONGEST_DATA),
        reply_to=under,
        token=under,
        is_private=chat.type == "private",
    )


def _author(message: telegram.Message) -> tuple[str, str] | None:
    """Id and name of who wrote this; None for channels' posts and other bots.

    Anonymous admins and channels come with the id of a bot of Telegram's that they share with all others.
    """
    if message.chat.type == "channel":
        return None
    if message.sender_chat is not None:
        return f"chat:{message.sender_chat.id}", message.sender_chat.title or ""
    if message.from_user is None or message.from_user.is_bot:
        return None
    return str(message.from_user.id), message.from_user.first_name


def _is_borrowed(message: telegram.Message) -> bool:
    """Whether the words are somebody else's: an admin who forwards "/retrain" or "#wrong" has not said it."""
    origin, sender = message.forward_origin, message.from_user
    if isinstance(origin, telegram.MessageOriginUser) and sender is not None:
        return origin.sender_user.id != sender.id
    return origin is not None


def _best(sizes: Sequence[telegram.PhotoSize]) -> telegram.PhotoSize:
    """The smallest size with enough pixels for any backbone, else the largest."""
    enough = [size for size in sizes if min(size.width, size.height) >= GOOD_SIDE_PX]
    if enough:
        return min(enough, key=lambda size: size.width * size.height)
    return max(sizes, key=lambda size: size.width * size.height)


def _file(post: Incoming, document: telegram.Document) -> Incoming:
    """A post with a file: a photo if it says that it is one."""
    kind = document.mime_type or ""
    named = mimetypes.guess_type(document.file_name or "")[0] or ""
    if not (kind.startswith("image/") or named.startswith("image/")):
        return replace(post, kind="unusable", what="document")
    size = document.file_size or 0
    if size > HEAVIEST_FILE:
        return replace(post, kind="unusable", what="too-heavy")
    name = _clean(document.file_name or "", 255)
    return replace(post, kind="photo", attachment=Attachment({"file_id": document.file_id}, name, size))


def _clean(text: str, limit: int) -> str:
    """At most `limit` characters, none of which a database refuses."""
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode()


# A reply becomes Telegram's.


def formatted(reply: Reply, limit: int) -> str:
    """The words of a reply as HTML, of which `limit` characters can be seen."""
    title = _cut(reply.title, LONGEST_TITLE)
    left = limit - _length(title) - 1
    text = _cut(reply.text, left)
    left -= _length(text) + 1
    table = reply.table
    if _length(table) > left:
        # Whole lines only; too few of them say nothing.
        table = _cut(table, left - 2).rpartition("\n")[0] + "\n…" if left > LONGEST_TITLE else ""
    parts = (f"<b>{escape(title)}</b>" if title else "", escape(text), f"<pre>{escape(table)}</pre>" if table else "")
    return "\n".join(part for part in parts if part)


def _length(text: str) -> int:
    """Length in UTF-16 units, in which Telegram counts; never fewer than characters."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _cut(text: str, limit: int) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def _keyboard(reply: Reply) -> telegram.InlineKeyboardMarkup | None:
    def button(choice: Choice) -> telegram.InlineKeyboardButton:
        style = STYLES.get(choice.style)
        return telegram.InlineKeyboardButton(_cut(choice.text, 64), callback_data=choice.data, style=style)

    rows = [[button(choice) for choice in row] for row in reply.choices if row]
    return telegram.InlineKeyboardMarkup(rows) if rows else None


async def _tried(call: Awaitable[object], expected: tuple[str, ...] = ()) -> str | None:
    """None when an edit went well, or nothing was to be changed; else which of the expected refusals came."""
    try:
        await call
    except BadRequest as error:
        if _reason(error, ("message is not modified",)):
            return None
        if (reason := _reason(error, expected)) is None:
            raise
        return reason
    return None


def _reason(error: TelegramError, reasons: tuple[str, ...]) -> str | None:
    """Which of these is what Telegram said; its capitals come and go."""
    return next((reason for reason in reasons if reason in str(error).lower()), None)


def _seconds(error: RetryAfter) -> float:
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)
