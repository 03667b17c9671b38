"""Runs the bot: one process, one event loop, any number of platforms; the database work happens in threads."""

import asyncio
import contextlib
import importlib
import logging
import pkgutil
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakValueDictionary

import bot.platforms
from bot import alerting, commands, delivery, hearing, measuring, reception, reporting, rights, sending
from bot.conversation import NotYet
from bot.messages import Attachment, Connect, Host, Incoming, Platform
from snaplabel import logs, queue
from snaplabel.database import Database
from snaplabel.errors import DatabaseError, PlatformError, QueueError, SettingsError, SnaplabelError, StoreError
from snaplabel.loading import uncollected
from snaplabel.settings import Settings
from snaplabel.store import Store

log = logging.getLogger(__name__)

# One person's flood leaves room for everybody else's next photo.
FETCHES_AT_A_TIME, FETCHES_EACH = 4, 3
# Between two looks for answers there are at least so many seconds; and at most, while there is something to do or not:
# news is heard (`hearing.Ear`), but the end of an album or of a wait that a platform asked for is not.
FAST_S, BUSY_S, IDLE_S, SLOW_S = 0.02, 0.25, 1.0, 0.7
RESCUE_EVERY_S = 5.0
INBOX_EVERY_S = 600.0  # Listing a remote store is a call over the network.
NOT_YET_S, NOT_YET_TRIES = 0.25, 120
RESTART_FIRST_S, RESTART_LAST_S = 1.0, 60.0


def available() -> dict[str, Connect]:
    """Every platform there is: the files in bot/platforms that have a `connect`."""
    found = {}
    for module in pkgutil.iter_modules(bot.platforms.__path__):
        found[module.name] = _connect(module.name)
    return found


def _connect(name: str) -> Connect:
    def connect(settings: Settings, host: Host) -> Platform:
        platform: Platform = importlib.import_module(f"bot.platforms.{name}").connect(settings, host)
        return platform

    return connect


def serve(settings: Settings, platforms: Sequence[str]) -> None:
    """Serve these platforms until SIGTERM or SIGINT. Raises SettingsError for one that there is not."""
    there = available()
    for name in platforms:
        if name not in there:
            raise SettingsError(f"There is no platform {name!r}. There are: {', '.join(sorted(there))}.")
    asyncio.run(_serve(settings, {name: there[name] for name in platforms}))


async def _serve(settings: Settings, platforms: dict[str, Connect]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    bot = Bot(settings)
    with uncollected():
        bot.platforms = {name: connect(settings, bot) for name, connect in platforms.items()}
    running = asyncio.create_task(bot.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        running.cancel()
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await bot.close()


class Bot:
    """The Host that platforms talk to, and the loops that handle posts and deliver answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database)
        self.store = Store(settings.store)
        self.broker = queue.connect(settings)
        self._bell = queue.Bell(self.broker)
        self.commands = commands.MENU
        self.platforms: dict[str, Platform] = {}
        self._fetching = asyncio.Semaphore(FETCHES_AT_A_TIME)
        self._fetching_for: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()
        self._chats: dict[tuple[str, str], asyncio.Lock] = {}
        self._handling: dict[int, asyncio.Task[None]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._answering: set[int] = set()
        self._busy_until = 0.0
        self._ear = hearing.Ear(self.database)
        self._broker_is_down = False
        self._models: dict[int, int] = {}
        self._alerting = alerting.Watch(self.database, settings)
        self._measuring = measuring.Measuring(self.database)

    # What a platform may ask for (messages.Host).

    async def receive(self, posts: Sequence[Incoming]) -> None:
        """Write posts down; once this returns they are committed. Handling goes on behind it."""
        if not posts:
            return
        ids = await asyncio.to_thread(reception.write_down, self.database, posts)
        for message_id in ids:
            self._start(message_id)

    async def keep(self, data: bytes) -> str:
        """Put bytes that came with a post into the store's inbox; the key they are under, which no other post has."""
        key = reception.inbox_key()
        await asyncio.to_thread(self.store.put, key, data)
        return key

    async def read(self, key: str) -> bytes:
        """The bytes under a key of the store."""
        return await asyncio.to_thread(self.store.get, key)

    async def last_seen(self, platform: str, chat: str) -> str | None:
        """The newest message of a chat that was written down."""
        return await asyncio.to_thread(reception.newest_seen, self.database, platform, chat)

    async def mark_seen(self, platform: str, chat: str, message: str) -> None:
        """Move a chat's mark for `last_seen` to this message."""
        await asyncio.to_thread(reception.mark_seen, self.database, platform, chat, message)

    async def ring(self, task: str, number: int) -> None:
        """Ring for a task after a commit. A broker that is down is no error: the sweeper rings again."""
        try:
            if task == "classify.photo":
                await asyncio.to_thread(self._bell.ring, task, number)
            else:
                await asyncio.to_thread(queue.enqueue, self.broker, task, number)
            self._broker_is_down = False
        except QueueError as error:
            if not self._broker_is_down:
                log.warning("broker: %s Photos are kept, and are looked at when it is back.", error)
            self._broker_is_down = True

    # The loops.

    async def run(self) -> None:
        """Handle what a crash left behind, then serve until cancelled."""
        names = tuple(self.platforms)
        async with asyncio.TaskGroup() as group:
            for platform in self.platforms.values():
                group.create_task(self._keep_running(platform))
            group.create_task(self._ear.listen())
            group.create_task(self._every(self._deliver_once, names, FAST_S))
            group.create_task(self._every(self._watch_once, names, SLOW_S))
            group.create_task(self._every(self._alert_once, names, alerting.EVERY_S))
            group.create_task(self._rescue(names))
            # Everything is loaded, the database is open, and each platform is about to connect or to listen.
            log.info("ready: takes posts from %s", ", ".join(names))

    async def close(self) -> None:
        """Let what is being handled and sent come to its end, for a few seconds."""
        pending = [*self._handling.values(), *self._sending]
        if pending:
            await asyncio.wait(pending, timeout=8)
        self.database.close()

    async def _keep_running(self, platform: Platform) -> None:
        """A platform that ends or fails is started again, with growing patience."""
        patience_s = RESTART_FIRST_S
        while True:
            started = time.monotonic()
            try:
                with self._alerting.running(platform.name):
                    await platform.run()
                log.warning("%s: connection ended; starting it again", platform.name)
            except SettingsError as error:
                self._alerting.fails(platform.name, "off")
                log.error("%s: %s This platform stays off until the bot is started again.", platform.name, error)
                await asyncio.Event().wait()
            except SnaplabelError as error:
                log.warning("%s: %s Trying again in %.0f s.", platform.name, error, patience_s)
            except Exception:
                log.exception("%s: failed; trying again in %.0f s", platform.name, patience_s)
            self._alerting.fails(platform.name, "away")
            if time.monotonic() - started > RESTART_LAST_S:
                patience_s = RESTART_FIRST_S
            await asyncio.sleep(patience_s)
            patience_s = min(patience_s * 2, RESTART_LAST_S)

    async def _every(
        self, step: Callable[[tuple[str, ...]], Awaitable[float]], names: tuple[str, ...], rest_s: float
    ) -> None:
        """Repeat a step, which says how long to wait for news; one that fails is logged and repeated.

        rest_s: seconds between two steps whatever is heard.
        """
        while True:
            heard = self._ear.heard
            try:
                wait_s = await step(names)
                await asyncio.sleep(rest_s)
                await self._ear.wait(heard, wait_s)
            except Exception:
                log.exception("bot: %s failed; going on", getattr(step, "__name__", "a step"))
                await asyncio.sleep(2.0)

    async def _rescue(self, names: tuple[str, ...]) -> None:
        """Handle what was written down and never handled: after a start, and whenever a task of ours was lost."""
        inbox_at = 0.0
        while True:
            try:
                for message_id in await asyncio.to_thread(reception.unhandled, self.database, names):
                    self._start(message_id)
                await asyncio.to_thread(delivery.reassure, self.database, self.settings, names)
                if time.monotonic() >= inbox_at:
                    await asyncio.to_thread(reception.empty_inbox, self.store)
                    inbox_at = time.monotonic() + INBOX_EVERY_S
            except Exception:
                log.exception("bot: looking for unhandled posts failed; going on")
            await asyncio.sleep(RESCUE_EVERY_S)

    # Posts in.

    def _start(self, message_id: int) -> None:
        if message_id not in self._handling:
            task = asyncio.create_task(self._handle(message_id))
            self._handling[message_id] = task
            task.add_done_callback(lambda _: self._handling.pop(message_id, None))

    async def _handle(self, message_id: int) -> None:
        with logs.about(message=message_id):
            await self._handle_it(message_id)

    async def _handle_it(self, message_id: int) -> None:
        try:
            post = await asyncio.to_thread(reception.post_of, self.database, message_id)
            if post is None or post.platform not in self.platforms:
                return
            if post.kind == "photo":
                await self._take_photo(message_id, post)
            else:
                # Posts of one chat are answered in their order; the lock hands itself on first come, first served.
                async with self._chats.setdefault((post.platform, post.chat), asyncio.Lock()):
                    await self._answer(message_id, post)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            passes = isinstance(error, PlatformError | StoreError | DatabaseError)
            if passes:
                log.warning("message %d can't be handled yet (%s)", message_id, type(error).__name__)
            else:
                log.exception("message %d could not be handled", message_id)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(reception.failed, self.database, message_id, passes=passes)

    async def _answer(self, message_id: int, post: Incoming) -> None:
        is_chat_admin = await self._manages(post)
        for _ in range(NOT_YET_TRIES):
            try:
                after = await asyncio.to_thread(
                    reception.handle, self.database, self.settings, message_id, None, is_chat_admin=is_chat_admin
                )
            except NotYet:
                await asyncio.sleep(NOT_YET_S)
                continue
            await self._follow(after)
            return
        raise PlatformError("the photo that this post is about did not arrive")

    async def _take_photo(self, message_id: int, post: Incoming) -> None:
        platform = self.platforms[post.platform]
        assert post.attachment is not None
        of_person = self._fetching_for.setdefault((post.platform, post.person), asyncio.Semaphore(FETCHES_EACH))
        async with of_person, self._fetching:
            data = await self._fetch(platform, post.attachment)
            found = None if data is None else await asyncio.to_thread(reception.check, self.store, data)
            self._busy_until = time.monotonic() + 30.0
            is_chat_admin = await self._manages(post)
            after = await asyncio.to_thread(
                reception.handle, self.database, self.settings, message_id, found, is_chat_admin=is_chat_admin
            )
        reception.tell(after, found)
        await self._follow(after)
        if key := post.attachment.handle.get("key"):
            await asyncio.to_thread(self.store.delete, str(key))
        task = asyncio.create_task(platform.busy(post.chat))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _manages(self, post: Incoming) -> bool:
        """Whether the platform says, now, that a post's author manages the chat; asked only where that gives rights."""
        if not await asyncio.to_thread(rights.is_role_needed, self.database, self.settings, post):
            return False
        return await self.platforms[post.platform].manages(post.chat, post.person)

    async def _fetch(self, platform: Platform, attachment: Attachment) -> bytes | None:
        """An attachment's bytes; None when the platform has them no more. Tries for about a minute."""
        for attempt in range(6):
            try:
                return await platform.fetch(attachment)
            except PlatformError as error:
                if error.permanent:
                    return None
                if attempt == 5:
                    raise
                await asyncio.sleep(error.retry_after_s if error.retry_after_s is not None else 2.0**attempt)
        return None

    async def _follow(self, after: reception.After) -> None:
        for task, number in after.rings:
            await self.ring(task, number)
        if after.erased:
            await asyncio.to_thread(reception.erase, self.store, after.erased)

    # Answers out.

    async def _deliver_once(self, names: tuple[str, ...]) -> float:
        lease_s, ours = self.settings.lease_s, frozenset(self._answering)
        composed, claimed = await asyncio.to_thread(
            delivery.look, self.database, self.settings, names, lease_s=lease_s, ours=ours
        )
        for out in claimed:
            self._answering.add(out.id)
            task = asyncio.create_task(self._send(out))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if composed or claimed:
            self._busy_until = max(self._busy_until, time.monotonic() + 1.0)
        return BUSY_S if time.monotonic() < self._busy_until or self._sending else IDLE_S

    async def _watch_once(self, names: tuple[str, ...]) -> float:
        await asyncio.to_thread(delivery.follow_trainings, self.database, names)
        await asyncio.to_thread(reporting.follow, self.database, names)
        known = self._models
        self._models = await asyncio.to_thread(delivery.follow_models, self.database, self.settings, names, known)
        return RESCUE_EVERY_S

    async def _alert_once(self, names: tuple[str, ...]) -> float:
        await asyncio.to_thread(self._alerting.look, self.platforms)
        return 0.0

    async def _send(self, out: delivery.Outgoing) -> None:
        try:
            is_shown = await sending.bring(self.platforms[out.platform], self.database, out)
        finally:
            self._answering.discard(out.id)
            self._ear.tell()  # It may have changed while it was on its way.
        if is_shown:
            with contextlib.suppress(SnaplabelError):  # Only the log and a count would miss it.
                await asyncio.to_thread(self._measuring.shown, out)
