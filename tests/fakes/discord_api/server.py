"""The stand-in itself: a server in a thread of its own, a world to fill, and the faults to inject."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from . import wire
from .callbacks import Callbacks
from .cdn import Cdn
from .channels import Channels
from .errors import Json
from .gateway import GATEWAY_PATH, Gateway
from .interactions import Command, Interaction, Modal
from .messages import Message
from .people import User
from .places import Guild, Member, Role
from .rest import Rest
from .traffic import REQUEST_LIMIT_BYTES, Call, Handler, Scope, Traffic, route_pattern
from .world import EVERYDAY_PERMISSIONS, PRIVILEGED, Event, Intent, Permission, World

T = TypeVar("T")
TOKEN = "bot-token.of-the.stand-in"


class DiscordApi:
    """Discord on 127.0.0.1: REST and CDN over HTTP, the gateway over a websocket, people as plain methods.

    privileged_intents: those that the bot's owner switched on in the developer portal; IDENTIFY with any other
    privileged intent is refused with close code 4014.
    answer_within_s: the bot's time for the first answer to an interaction; Discord's is 3 s.
    """

    def __init__(
        self, *, token: str = TOKEN, privileged_intents: Intent = PRIVILEGED, answer_within_s: float = 3.0
    ) -> None:
        self.token = token
        self._world = World(privileged_intents, answer_within_s)
        self._world.cdn = Cdn()
        self._world.bot = self._add_user("snaplabel", is_bot=True)
        self._world.owner = self._add_user("owner")
        self.gateway = Gateway(self._world, token)
        self._traffic = Traffic(self._world, token)
        self.url = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and self._traffic.crashes:
            raise AssertionError(f"the stand-in itself went wrong:\n{self._traffic.crashes[0]}")

    def start(self) -> None:
        """Listen on a free port; `url` and `gateway.url` are known afterwards."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), name="discord", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the Discord stand-in did not start")

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._loop and self._stopping and self._thread:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
            self._thread = None

    # What there is.

    @property
    def bot(self) -> User:
        """The bot's own account."""
        return self._world.bot

    @property
    def commands(self) -> list[Command]:
        """The commands that the bot has registered, global and per guild."""
        return list(self._world.commands)

    @property
    def modals(self) -> list[Modal]:
        """Every form that ever popped up, oldest first."""
        return list(self._world.modals)

    @property
    def interactions(self) -> list[Interaction]:
        """Everything that people asked through commands, buttons, menus and forms, oldest first."""
        return list(self._world.interactions)

    @property
    def calls(self) -> list[Call]:
        """Every HTTP request, oldest first."""
        return list(self._traffic.calls)

    @property
    def is_connected(self) -> bool:
        """Whether the bot has a gateway session with a connection."""
        return bool(self.gateway.live)

    def calls_to(self, method: str, path: str) -> list[Call]:
        """Return the requests to a route such as `/channels/*/messages`; `*` is one step, `**` any number."""
        pattern = route_pattern(path)
        return [call for call in self.calls if call.method == method and pattern.fullmatch(call.path)]

    def command(self, name: str) -> Command:
        """Return the registered command with this name; LookupError if there is none."""
        for command in self.commands:
            if command.name == name:
                return command
        raise LookupError(f"no command {name!r}; registered are {[each.name for each in self.commands]}")

    def wait_for(self, predicate: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Return the predicate's first true value; it is asked again after every change. AssertionError if late.

        Nothing changes while the predicate runs, so it must not wait for the bot itself.
        """
        with self._world.changed:
            found = self._world.changed.wait_for(predicate, timeout_s)
            if not found:
                raise AssertionError(f"not within {timeout_s} s; the world is:\n{self._describe()}")
            return found

    def wait_connected(self, timeout_s: float = 10.0) -> None:
        """Wait until the bot has a gateway session (it may still be busy with its own start)."""
        self.wait_for(lambda: self.is_connected, timeout_s)

    # What one can set up.

    def user(self, name: str) -> User:
        """Create an account that is in no guild."""
        with self._world.changing():
            return self._add_user(name)

    def guild(
        self,
        name: str,
        *,
        owner: User | None = None,
        bot_permissions: Permission = EVERYDAY_PERMISSIONS,
        has_bot: bool = True,
    ) -> Guild:
        """Create a guild, with the bot in it unless told otherwise; `bot_permissions` sit in the bot's own role."""
        with self._world.changing():
            id_ = self._world.ids.next()
            guild = Guild(self._world, id_, name, owner or self._world.owner)
            guild.roles[id_] = Role(id_, "@everyone", EVERYDAY_PERMISSIONS, 0)
            guild.members[guild.owner.id] = Member(guild.owner, [])
            self._world.guilds[id_] = guild
            if has_bot:
                self.invite_bot(guild, bot_permissions)
            return guild

    def invite_bot(self, guild: Guild, permissions: Permission = EVERYDAY_PERMISSIONS) -> None:
        """Let the bot into a guild; it gets a GUILD_CREATE."""
        with self._world.changing():
            role = Role(self._world.ids.next(), self.bot.name, permissions, len(guild.roles), is_managed=True)
            guild.roles[role.id] = role
            guild.members[self.bot.id] = Member(self.bot, [role])
            whole = wire.guild_json(self._world, guild, is_event=True)
            self._world.publish(Event("GUILD_CREATE", lambda _: whole, Intent.GUILDS, guild.id))

    # What can go wrong.

    def fail_next(
        self,
        method: str,
        path: str,
        status: int = 500,
        *,
        retry_after_s: float = 0.2,
        scope: Scope = "user",
        times: int = 1,
        code: int = 0,
        message: str = "",
    ) -> None:
        """Refuse the next `times` requests to a route, unheard.

        retry_after_s, scope: for 429; "cloudflare" is the ban page, which is no JSON and names no time.
        code, message: of the JSON error, for other statuses.
        """
        details = {"status": status, "retry_after_s": retry_after_s, "scope": scope, "code": code, "message": message}
        self._traffic.add_fault(method, path, times, "status", **details)

    def never_answer(self, method: str, path: str, times: int = 1) -> None:
        """Leave the next requests to a route hanging, unheard."""
        self._traffic.add_fault(method, path, times, "hang")

    def delay_next(self, method: str, path: str, delay_s: float, times: int = 1) -> None:
        """Make the next requests to a route wait before they are carried out."""
        self._traffic.add_fault(method, path, times, "delay", delay_s=delay_s)

    def cut_before_accept(self, method: str, path: str, times: int = 1) -> None:
        """Drop the connection of the next requests to a route, unheard."""
        self._traffic.add_fault(method, path, times, "cut before")

    def cut_after_accept(self, method: str, path: str, times: int = 1) -> None:
        """Carry out the next requests to a route, then drop the connection instead of answering."""
        self._traffic.add_fault(method, path, times, "cut after")

    def heal(self) -> None:
        """Call off every trouble that has not struck yet."""
        self._traffic.clear_faults()

    def limit(self, method: str, path: str, calls: int, per_s: float) -> None:
        """Give a route an honest rate limit: headers that count down, then 429 until the window ends."""
        self._traffic.add_limit(method, path, calls, per_s)

    def drop_gateway(self, *, resumable: bool = True, code: int | None = None) -> None:
        """End the gateway connection: cut, or closed with `code`; a session not resumable loses its events."""
        self.gateway.drop(resumable=resumable, code=code)

    def refuse_gateway(self, times: int = 1) -> None:
        """Answer the next websocket connections with 503."""
        self.gateway.refusals_left = times

    def send_event(self, name: str, payload: Json) -> None:
        """Dispatch a gateway event exactly as given, however malformed."""
        self.gateway.send_event(name, payload)

    def expire_links(self) -> None:
        """Make every CDN link given out so far answer 404."""
        self._world.cdn.expire_links()

    def expire_interactions(self) -> None:
        """Let the tokens of all interactions so far run out, as after 15 minutes (3 s for unanswered ones)."""
        with self._world.changing():
            for interaction in self._world.interactions:
                interaction.is_expired = True

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Inside the block nothing answers: requests and gateway connections are cut. Sessions can be resumed."""
        self._traffic.is_down = True
        self.gateway.drop()
        try:
            yield
        finally:
            self._traffic.is_down = False

    def _add_user(self, name: str, *, is_bot: bool = False) -> User:
        user = User(self._world, self._world.ids.next(), name, is_bot)
        self._world.users[user.id] = user
        return user

    def _describe(self) -> str:
        lines: list[str] = []
        for channel in self._world.channels.values():
            lines.append(f"#{channel.name or channel.recipient}")
            lines += [f"  {each.author.name}: {_line(each)}" for each in channel.messages[-5:]]
        lines += [f"{call.status} {call.method} {call.path}" for call in self._traffic.calls[-10:]]
        return "\n".join(lines)

    async def _run(self, started: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()

        @web.middleware
        async def watched(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._traffic.handle(request, handler)

        app = web.Application(client_max_size=REQUEST_LIMIT_BYTES, middlewares=[watched])
        for part in (Rest(self._world, self.gateway), Channels(self._world), Callbacks(self._world)):
            app.add_routes(part.routes())
        for folder in ("attachments", "ephemeral-attachments"):
            app.router.add_get(f"/{folder}/{{channel}}/{{attachment}}/{{name}}", self._world.cdn.serve)
        app.router.add_get(GATEWAY_PATH, self.gateway.connect)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = self._world.cdn.base_url = "http://{}:{}".format(*runner.addresses[0][:2])
        self.gateway.url = self.url.replace("http", "ws", 1) + GATEWAY_PATH
        started.set()
        await self._stopping.wait()
        self.gateway.drop()
        await runner.cleanup()


def _line(message: Message) -> str:
    buttons = " ".join(f"[{each.label}]" for each in message.buttons)
    return f"{message.text!r} {[each.filename for each in message.attachments] or ''} {buttons}"
