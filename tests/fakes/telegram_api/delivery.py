"""How updates reach the bot: long polling, or a webhook. Runs in the server's event loop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from .errors import ApiError, Json, bad_request
from .request import Arguments
from .updates import Update
from .world import World

LONGEST_POLL_S = 50
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_BIGGEST_ANSWER = 4 << 20
_WEBHOOK_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
_OTHER_POLL = "terminated by other getUpdates request; make sure that only one bot instance is running"


class Delivery:
    """The asynchronous methods of the Bot API.

    webhook_retry_s: the pause after a webhook refused an update; it doubles up to 2 s (Telegram waits longer).
    """

    def __init__(self, world: World, webhook_retry_s: float) -> None:
        self.methods: dict[str, Callable[[Arguments], Awaitable[Any]]] = {
            "getupdates": self.get_updates,
            "setwebhook": self.set_webhook,
            "deletewebhook": self.delete_webhook,
            "getwebhookinfo": self.get_webhook_info,
        }
        self._world = world
        self._retry_s = webhook_retry_s
        self._loop = asyncio.get_running_loop()
        self._poll: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._webhook: Json = {}
        self._webhook_error: Json = {}
        self._pusher: asyncio.Task[None] | None = None
        world.updates.on_news = self._announce_soon

    async def close(self) -> None:
        """Stop delivering; updates wait. What was set as webhook is kept for the next start."""
        with self._world.changed:
            # Under the lock, so that nobody is just about to wake a loop that is going to close.
            self._world.updates.on_news = lambda: None
        await self._stop_pushing()

    async def get_updates(self, arguments: Arguments) -> list[Json]:
        """Return updates, waiting up to `timeout` seconds for the first one.

        Only a poll that has to wait ends another one that waits, as at Telegram: a short poll disturbs nobody.
        """
        if self._webhook:
            raise ApiError(409, f"Conflict: {_WEBHOOK_ACTIVE}")
        offset, limit = arguments.number("offset"), min(max(arguments.number("limit", 100), 1), 100)
        deadline = self._loop.time() + min(max(arguments.number("timeout"), 0), LONGEST_POLL_S)
        with self._world.changed:
            self._world.updates.allow(arguments.parsed("allowed_updates"))
        while True:
            with self._world.changed:
                updates = self._world.updates.take(offset, limit)
                self._world.changed.notify_all()
            left_s = deadline - self._loop.time()
            if updates or left_s <= 0:
                return _fitting(updates)
            self._end_poll(_OTHER_POLL)
            poll = self._poll = self._loop.create_future()
            try:
                await asyncio.wait_for(poll, left_s)
            except TimeoutError:
                continue
            finally:
                if self._poll is poll:
                    self._poll = None

    async def set_webhook(self, arguments: Arguments) -> bool:
        url, secret = arguments.text("url"), arguments.text("secret_token")
        if not url:
            return await self.delete_webhook(arguments)
        # Telegram insists on HTTPS, its server in local mode does not; the stand-in takes what a test can offer.
        if not re.match(r"https?://\S+$", url):
            raise bad_request("bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise bad_request("secret token contains unallowed characters")
        await self._stop_pushing()
        self._forget(arguments)
        with self._world.changed:
            self._world.updates.allow(arguments.parsed("allowed_updates"))
        self._end_poll("terminated by setWebhook request")
        connections = min(max(arguments.number("max_connections", 40), 1), 100)
        self._webhook = {"url": url, "secret": secret, "max_connections": connections}
        self.resume()
        return True

    async def delete_webhook(self, arguments: Arguments) -> bool:
        await self._stop_pushing()
        self._forget(arguments)
        self._webhook, self._webhook_error = {}, {}
        return True

    async def get_webhook_info(self, arguments: Arguments) -> Json:
        with self._world.changed:
            self._world.updates.forget_expired()
            waiting = len(self._world.updates.pending)
        info = {"url": self._webhook.get("url", ""), "has_custom_certificate": False, "pending_update_count": waiting}
        if self._webhook:
            info["max_connections"] = self._webhook["max_connections"]
        return {**info, **self._webhook_error}

    @property
    def webhook(self) -> Json:
        """What setWebhook stored, for the server's next start."""
        return self._webhook

    def resume(self, webhook: Json | None = None) -> None:
        """Start sending updates to the webhook, if there is one."""
        self._webhook = webhook or self._webhook
        if self._webhook:
            self._pusher = asyncio.create_task(self._push(self._webhook))

    def _announce_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._announce)

    def _announce(self) -> None:
        self._news.set()
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def _end_poll(self, reason: str) -> None:
        if self._poll is not None and not self._poll.done():
            self._poll.set_exception(ApiError(409, f"Conflict: {reason}"))
        self._poll = None

    def _forget(self, arguments: Arguments) -> None:
        if arguments.flag("drop_pending_updates"):
            with self._world.changed:
                self._world.updates.pending.clear()

    async def _stop_pushing(self) -> None:
        if self._pusher is not None:
            self._pusher.cancel()
            await asyncio.gather(self._pusher, return_exceptions=True)
            self._pusher = None

    async def _push(self, webhook: Json) -> None:
        """Send each update until it is taken: in order within a chat, side by side across chats."""
        headers = {"Content-Type": "application/json"}
        if webhook["secret"]:
            headers[SECRET_HEADER] = webhook["secret"]
        busy: set[str] = set()
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session,
            asyncio.TaskGroup() as running,
        ):
            while True:
                self._news.clear()
                with self._world.changed:
                    self._world.updates.forget_expired()
                    waiting = list(self._world.updates.pending)
                for update in waiting:
                    if update.order not in busy and len(busy) < webhook["max_connections"]:
                        busy.add(update.order)
                        running.create_task(self._send(session, webhook["url"], update, busy))
                await self._news.wait()

    async def _send(self, session: aiohttp.ClientSession, url: str, update: Update, busy: set[str]) -> None:
        pause_s = self._retry_s
        while (trouble := await self._try(session, url, update)) is not None:
            self._webhook_error = {"last_error_date": int(self._world.now()), "last_error_message": trouble}
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)
        with self._world.changed:
            self._world.updates.confirm(update)
            self._world.changed.notify_all()
        busy.discard(update.order)
        self._news.set()

    async def _try(self, session: aiohttp.ClientSession, url: str, update: Update) -> str | None:
        """Return None once the webhook has taken the update, else the trouble in Telegram's words."""
        try:
            async with session.post(url, data=json.dumps(update.wire()), allow_redirects=False) as answer:
                await answer.read()
                if 200 <= answer.status < 300:
                    return None
                return f"Wrong response from the webhook: {answer.status} {answer.reason}"
        except TimeoutError:
            return "Read timeout expired"
        except aiohttp.ClientConnectorError:
            return "Connection refused"
        except aiohttp.ClientError:
            return "Connection reset by peer"


def _fitting(updates: list[Update]) -> list[Json]:
    """Return updates as JSON, as many as fit Telegram's 4 MB answer, but never none of some."""
    wires: list[Json] = []
    left = _BIGGEST_ANSWER
    for update in updates:
        left -= 50 + len(json.dumps(update.content))
        if left <= 0 and wires:
            break
        wires.append(update.wire())
    return wires
