"""The gateway: websockets, sessions, and the events that flow (or fail to flow) through them."""

from __future__ import annotations

import asyncio
import importlib
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from . import wire
from .errors import Json
from .world import PRIVILEGED, Event, Intent, World

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, REQUEST_MEMBERS, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 7, 8, 9, 10, 11
FRAME_LIMIT_BYTES = 4096
GATEWAY_PATH = "/gateway/"
_UNKNOWN_ERROR, _UNKNOWN_OPCODE, _DECODE_ERROR, _NOT_AUTHENTICATED = 4000, 4001, 4002, 4003
_WRONG_TOKEN, _ALREADY_AUTHENTICATED, _WRONG_SEQUENCE, _WRONG_INTENTS = 4004, 4005, 4007, 4013
_DISALLOWED_INTENTS = 4014


@dataclass(eq=False)
class Session:
    """What one IDENTIFY started. It outlives its connection, so that RESUME can replay `log`."""

    id: str
    intents: Intent
    shard: tuple[int, int]
    log: list[str] = field(default_factory=list)
    """Every event so far as JSON text; the first has sequence number 1."""
    link: Link | None = None

    def wants(self, event: Event) -> bool:
        """Whether its intents and its shard include an event."""
        index, count = self.shard
        is_mine = ((event.guild_id or 0) >> 22) % count == index
        return is_mine and (event.intent == Intent.ALWAYS or bool(event.intent & self.intents))

    def dispatch(self, name: str, payload: Json) -> None:
        """Number an event, remember it, and send it if somebody listens."""
        frame = {"op": DISPATCH, "s": len(self.log) + 1, "t": name, "d": payload}
        self.log.append(json.dumps(frame))
        if self.link:
            self.link.put(self.log[-1])


@dataclass(frozen=True)
class _Close:
    """In a link's queue: close with this code, after all that was queued before."""

    code: int


class Link:
    """One websocket connection; other threads may `put`."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.session: Session | None = None
        self.socket = socket
        self._transport = request.transport
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[str | _Close] = asyncio.Queue()
        self._compress = _compressor(request.query.get("compress", ""))

    def put(self, frame: str | Json | _Close) -> None:
        """Queue a frame; order is kept, whoever calls."""
        item = json.dumps(frame) if isinstance(frame, dict) else frame
        self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    def cut(self) -> None:
        """Drop the connection without a closing frame, as a lost network does."""
        if self._transport:
            self._loop.call_soon_threadsafe(self._transport.abort)

    async def send_queued(self) -> None:
        """Send what is queued, until the connection ends."""
        while True:
            item = await self._queue.get()
            if isinstance(item, _Close):
                await self.socket.close(code=item.code)
                return
            try:
                if self._compress:
                    await self.socket.send_bytes(self._compress(item.encode()))
                else:
                    await self.socket.send_str(item)
            except ConnectionResetError:
                return


def _compressor(kind: str) -> Callable[[bytes], bytes] | None:
    """Return the transport compression that the client asked for; None for plain text.

    zstd needs a library; a client that asks for it in the same environment has one.
    """
    if kind == "zlib-stream":
        deflate = zlib.compressobj()
        return lambda frame: deflate.compress(frame) + deflate.flush(zlib.Z_SYNC_FLUSH)
    if kind == "zstd-stream":
        try:
            zstd = importlib.import_module("compression.zstd")
        except ImportError:
            zstandard = importlib.import_module("zstandard")
            stream = zstandard.ZstdCompressor().compressobj()
            block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
            return lambda frame: bytes(stream.compress(frame) + stream.flush(block))
        squeeze = zstd.ZstdCompressor()
        return lambda frame: bytes(squeeze.compress(frame, mode=squeeze.FLUSH_BLOCK))
    return None


class Gateway:
    """All sessions of the bot, and the ways to disturb them."""

    def __init__(self, world: World, token: str) -> None:
        self.url = ""
        self.heartbeat_interval_s = 41.25
        self.identifies: list[Intent] = []
        """The intents of every IDENTIFY so far; Discord allows 1000 a day."""
        self.resumes = 0
        self.refusals_left = 0
        self._world = world
        self._token = token
        self._sessions: dict[str, Session] = {}
        self._links: list[Link] = []
        world.publish = self.publish

    @property
    def live(self) -> list[Session]:
        """The sessions that have a connection now."""
        return [session for session in self._sessions.values() if session.link]

    def publish(self, event: Event) -> None:
        """Give an event to every session that wants it, also to those whose connection is away."""
        for session in self._sessions.values():
            if session.wants(event):
                session.dispatch(event.name, event.payload(Intent.MESSAGE_CONTENT in session.intents))

    def drop(self, *, resumable: bool = True, code: int | None = None) -> None:
        """End every connection: cut, or closed with `code`. Unless resumable, the sessions are forgotten."""
        with self._world.changing():
            for link in self._links:
                if code is None:
                    link.cut()
                else:
                    link.put(_Close(code))
                if link.session:
                    link.session.link = None
                link.session = None
            if not resumable:
                self._sessions.clear()

    def ask_to_reconnect(self) -> None:
        """Send RECONNECT (opcode 7), as Discord does before it moves a session."""
        with self._world.changing():
            self._put_to_all({"op": RECONNECT, "d": None})

    def invalidate(self, *, resumable: bool = False) -> None:
        """Send INVALID_SESSION (opcode 9); unless resumable, what was not delivered is gone for good."""
        with self._world.changing():
            self._put_to_all({"op": INVALID_SESSION, "d": resumable})
            if not resumable:
                self._sessions.clear()

    def send_event(self, name: str, payload: Json) -> None:
        """Dispatch an event exactly as given, however wrong it is."""
        with self._world.changing():
            for session in self._sessions.values():
                session.dispatch(name, payload)

    def send_raw(self, text: str) -> None:
        """Send a frame that need not even be JSON."""
        with self._world.changing():
            self._put_to_all(text)

    def _put_to_all(self, frame: str | Json) -> None:
        for link in self._links:
            if link.session:
                link.put(frame)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket until either side ends it."""
        if self.refusals_left > 0:
            self.refusals_left -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse(max_msg_size=FRAME_LIMIT_BYTES)
        await socket.prepare(request)
        link = Link(request, socket)
        with self._world.changing():
            self._links.append(link)
        link.put({"op": HELLO, "d": {"heartbeat_interval": int(self.heartbeat_interval_s * 1000)}})
        sender = asyncio.create_task(link.send_queued())
        try:
            async for frame in socket:
                with self._world.changing():
                    try:
                        received: Json = json.loads(frame.data if frame.type == WSMsgType.TEXT else "")
                        self._receive(link, received["op"], received.get("d") or {})
                    except (ValueError, TypeError, KeyError, AttributeError):
                        link.put(_Close(_DECODE_ERROR))
        finally:
            sender.cancel()
            with self._world.changing():
                self._links.remove(link)
                if link.session:
                    link.session.link = None
                    # A goodbye ends the session; a lost connection, or any other code, keeps it for RESUME.
                    if socket.close_code in (1000, 1001):
                        self._sessions.pop(link.session.id, None)
        return socket

    def _receive(self, link: Link, op: int, data: Json) -> None:
        if op == HEARTBEAT:
            link.put({"op": HEARTBEAT_ACK})
        elif op == IDENTIFY:
            self._identify(link, data)
        elif op == RESUME:
            self._resume(link, data)
        elif op not in (PRESENCE, VOICE, REQUEST_MEMBERS):
            link.put(_Close(_UNKNOWN_OPCODE))
        elif link.session is None:
            link.put(_Close(_NOT_AUTHENTICATED))
        elif op == REQUEST_MEMBERS:
            self._list_members(link.session, data)

    def _identify(self, link: Link, data: Json) -> None:
        intents = Intent(data.get("intents", -1) if data.get("intents", -1) >= 0 else 1 << 31)
        self.identifies.append(intents)
        if link.session:
            return link.put(_Close(_ALREADY_AUTHENTICATED))
        if data.get("token", "").removeprefix("Bot ") != self._token:
            return link.put(_Close(_WRONG_TOKEN))
        if intents >= 1 << 26:
            return link.put(_Close(_WRONG_INTENTS))
        if intents & PRIVILEGED & ~self._world.privileged_intents:
            return link.put(_Close(_DISALLOWED_INTENTS))
        shard = tuple(data.get("shard") or (0, 1))
        session = Session(secrets.token_hex(16), intents, (int(shard[0]), int(shard[1])))
        session.link, link.session = link, session
        self._sessions[session.id] = session
        mine = [each for each in self._world.guilds.values() if self._world.bot.id in each.members]
        mine = [each for each in mine if (each.id >> 22) % session.shard[1] == session.shard[0]]
        ready = {
            "v": 10,
            "user": {**wire.user_json(self._world.bot), "verified": True, "mfa_enabled": True, "email": None},
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "session_type": "normal",
            "guilds": [{"id": str(each.id), "unavailable": True} for each in mine],
            "private_channels": [],
            "presences": [],
            "relationships": [],
            "user_settings": {},
            "application": {"id": str(self._world.bot.id), "flags": 1 << 23},
            "shard": list(session.shard),
            "_trace": [],
        }
        session.dispatch("READY", ready)
        if Intent.GUILDS in intents:
            shows = Intent.GUILD_PRESENCES in intents
            for guild in mine:
                whole = wire.guild_json(self._world, guild, is_event=True, shows_members=shows)
                session.dispatch("GUILD_CREATE", {**whole, "unavailable": False})
        return None

    def _resume(self, link: Link, data: Json) -> None:
        session = self._sessions.get(data.get("session_id", ""))
        if data.get("token", "").removeprefix("Bot ") != self._token:
            return link.put(_Close(_WRONG_TOKEN))
        if session is None:
            return link.put({"op": INVALID_SESSION, "d": False})
        seen = data.get("seq") or 0
        if seen > len(session.log):
            return link.put(_Close(_WRONG_SEQUENCE))
        if session.link:
            session.link.session = None
            session.link.put(_Close(_UNKNOWN_ERROR))
        self.resumes += 1
        session.link, link.session = link, session
        for frame in session.log[seen:]:
            link.put(frame)
        session.dispatch("RESUMED", {"_trace": []})
        return None

    def _list_members(self, session: Session, data: Json) -> None:
        ids = data["guild_id"] if isinstance(data["guild_id"], list) else [data["guild_id"]]
        for guild in (self._world.guilds[int(each)] for each in ids):
            members = list(guild.members.values())
            wanted = data.get("user_ids")
            if wanted is not None:
                wanted = [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
                members = [each for each in members if str(each.user.id) in wanted]
            elif data.get("query"):
                start = data["query"].lower()
                members = [each for each in members if (each.nick or each.user.name).lower().startswith(start)]
            elif Intent.GUILD_MEMBERS not in session.intents:
                members = []
            found = {str(each.user.id) for each in members}
            chunk: Json = {
                "guild_id": str(guild.id),
                "members": [wire.member_json(each) for each in members[: data.get("limit") or None]],
                "chunk_index": 0,
                "chunk_count": 1,
                "not_found": [each for each in wanted or [] if each not in found],
            }
            session.dispatch("GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if "nonce" in data else {}))
