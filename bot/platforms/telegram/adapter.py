"""The Telegram adapter: polls or listens, fetches, sends and edits."""

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import httpx
import telegram
from telegram.error import BadRequest, Conflict, InvalidToken, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from bot.messages import PRIVATE, Attachment, Host, Reply
from bot.platforms.telegram import refusals, traces
from bot.platforms.telegram.looks import filename, formatted, keyboard, no_picture
from bot.platforms.telegram.posts import HEAVIEST_FILE, LONGEST_TEXT, post_of
from snaplabel.errors import NotStored, PlatformError, SettingsError, SnaplabelError
from snaplabel.settings import Settings

# RetryAfter otherwise warns, wherever it is raised, that it will hold a timedelta one day.
os.environ.setdefault("PTB_TIMEDELTA", "true")

log = logging.getLogger(__name__)

WANTED = ["message", "callback_query"]
POLL_S = 30
LONGEST_PAUSE_S = 30.0
# Telegram gives as many at once where no limit is asked for.
MOST_UPDATES = 100
HEARD_WITHIN_S, HEARD_AGAIN_S = 10.0, 0.5
STEP_S, STEP_IN_A_GROUP_S = 1.0, 5.0
LONGEST_CAPTION = 1024
WEBHOOK_CONNECTIONS = 4
NO_PREVIEW = telegram.LinkPreviewOptions(is_disabled=True)


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
        # All in all less than a claimed answer stays ours (settings.lease_s).
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
        # What was said before this moment is written down; by a clock that only grows.
        self._heard_until = 0.0
        self._steps: dict[tuple[str, str], float] = {}
        # What keeps updates from coming, as a key of words.TROUBLE; "" while they come.
        self.trouble = ""
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
                began = time.monotonic()
                found = await self._updates(offset)
                await self._take_in(found)
                if len(found) < MOST_UPDATES:
                    self._heard_until = began
            except InvalidToken:
                raise PlatformError("Telegram takes the token no more.") from None
            except Exception as error:
                webhook_may_be_set = isinstance(error, Conflict) and "webhook" in str(error).lower()
                if (now := self._trouble(error)) != trouble:
                    log.warning("telegram: %s Trying again, with growing patience.", now)
                trouble = now
                self.trouble = refusals.kind_of(error)
                wished_s = refusals.seconds(error) if isinstance(error, RetryAfter) else 0.0
                await asyncio.sleep(max(pause_s, wished_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if trouble:
                log.info("telegram: updates come in again")
            pause_s, trouble, self.trouble = self._pause_s, "", ""
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
        from bot.platforms.telegram import webhook

        secret = secrets.token_urlsafe(32)
        door = webhook.door(self._settings.web_host, self._settings.telegram_webhook_port)
        server = webhook.server(secret, self._heard)
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

    async def _heard(self, update: dict[str, Any]) -> bool:
        """Take in an update of the webhook; whether it is written down."""
        try:
            await self._take_in([update])
        except Exception as error:
            log.warning("telegram: %s", self._trouble(error))
            return False
        return True

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
        where: dict[str, Any] = {"chat_id": _chat_id(chat), "reply_markup": keyboard(reply), "parse_mode": "HTML"}
        if reply_to and reply_to.isdecimal():
            where["reply_parameters"] = telegram.ReplyParameters(int(reply_to), allow_sending_without_reply=True)
        with self._refusals():
            if picture is not None:
                try:
                    words = formatted(reply, LONGEST_CAPTION)
                    name = filename(reply)
                    sent = await self._bot.send_photo(photo=picture, filename=name, caption=words, **where)
                    return str(sent.message_id)
                except BadRequest as error:
                    if refusals.reason(error, refusals.PICTURE_TROUBLE) is None:
                        raise
            where["link_preview_options"] = NO_PREVIEW
            sent = await self._bot.send_message(text=formatted(reply, LONGEST_TEXT) or "…", **where)
            return str(sent.message_id)

    async def find(self, chat: str, answer: int, reply: Reply, *, reply_to: str | None) -> str | None:
        """The message that a send left whose answer was lost; see `traces`."""
        await self._hear_out()
        numbers = await asyncio.to_thread(traces.candidates, self._host.database, chat, answer)
        for number in numbers:
            with self._refusals():
                # Whatever the message holds, this leaves all of it but the buttons, which are to be these anyway.
                buttons = self._bot.edit_message_reply_markup(_chat_id(chat), number, reply_markup=keyboard(reply))
                try:
                    await refusals.tried(buttons)
                except BadRequest:
                    continue  # "Message to edit not found", "message can't be edited": it is not ours.
                log.info("telegram: an answer whose sending was in doubt is there already")
                return str(number)
        return None

    async def _hear_out(self) -> None:
        """Return once all that was said before this moment is written down; else ids of others' posts look unknown.

        Raises PlatformError when that takes too long: better a late answer than a second one.
        """
        moment = time.monotonic()
        with self._refusals():
            while time.monotonic() < moment + HEARD_WITHIN_S:
                # A poll confirms what the one before brought, and that only after it was written down.
                if self._heard_until >= moment or not (await self._bot.get_webhook_info()).pending_update_count:
                    return
                await asyncio.sleep(HEARD_AGAIN_S)
        raise PlatformError("posts are still to come in")

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        """Make a message show this. A picture that is there stays, unless the reply says something of pictures."""
        if self._is_passing(chat, message, reply):
            return
        picture = await self._picture(reply)
        which: dict[str, Any] = {"chat_id": _chat_id(chat), "message_id": int(message), "reply_markup": keyboard(reply)}
        caption = formatted(reply, LONGEST_CAPTION)
        trouble = None
        with self._refusals():
            if picture is not None:
                media = telegram.InputMediaPhoto(picture, caption, "HTML", filename=filename(reply))
                trouble = await refusals.tried(self._bot.edit_message_media(media, **which), refusals.PICTURE_TROUBLE)
                if trouble is None:
                    return
            # Whether the message has a picture only Telegram knows, and says so when asked for the wrong one.
            words = formatted(reply, LONGEST_TEXT) or "…"
            text = self._bot.edit_message_text(words, parse_mode="HTML", link_preview_options=NO_PREVIEW, **which)
            if await refusals.tried(text, ("no text in the message",)):
                bare = None
                if reply.picture is not None:
                    # The picture that is there belongs to other words, and Telegram lets none be taken away.
                    media = telegram.InputMediaPhoto(no_picture(), caption, "HTML", filename="picture.png")
                    bare = await refusals.tried(self._bot.edit_message_media(media, **which), refusals.PICTURE_TROUBLE)
                if reply.picture is None or bare is not None:
                    await refusals.tried(self._bot.edit_message_caption(caption=caption, parse_mode="HTML", **which))
        if trouble == "no media in the message":  # An old Bot API server, which adds none to a text.
            await self.send(chat, Reply(picture=reply.picture), reply_to=message, nonce="")

    async def busy(self, chat: str) -> None:
        with contextlib.suppress(TelegramError):
            await self._bot.send_chat_action(int(chat), "typing")

    async def manages(self, chat: str, person: str) -> bool:
        """Whether somebody is the creator or an administrator of a chat at this moment; what can't be told is no."""
        if not person.isdecimal():
            return False  # An anonymous admin or a channel, whose id many share.
        try:
            member = await self._bot.get_chat_member(int(chat), int(person))
        except TelegramError as error:
            log.info("telegram: a role could not be looked up, and does not count: %s", self._said(error))
            return False
        return member.status in (member.OWNER, member.ADMINISTRATOR)

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

    def _refusals(self) -> AbstractContextManager[None]:
        return refusals.in_our_words(self._settings.telegram_token)

    def _said(self, error: TelegramError) -> str:
        return refusals.said(error, self._settings.telegram_token)


def _chat_id(chat: str) -> int:
    """A chat as Telegram counts it. The private chat with somebody has their own number."""
    try:
        return int(chat.removeprefix(PRIVATE))
    except ValueError:
        raise PlatformError("there is no such chat", permanent=True) from None
