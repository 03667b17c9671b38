"""The REST routes for channels, messages, threads and reactions."""

from __future__ import annotations

import copy
import mimetypes
import time
from collections.abc import Sequence

from aiohttp import web

from . import posting, wire
from .cdn import Attachment
from .errors import ApiError, Form, Json, missing_access, missing_permissions, unknown
from .forms import COMPONENTS_V2, EPHEMERAL, check_message
from .messages import SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS, Message
from .people import upload
from .places import DM, THREAD, Channel
from .posting import PARSE_ALL, Draft
from .traffic import BODY, Body, id_in, reply
from .world import Permission, World

NONCE_MEMORY_S = 300.0
"""Discord says "the past few minutes"."""


def draft_of(
    world: World, channel: Channel, body: Body, payload: Json, mentions: Json, *, may_hide: bool = False
) -> Draft:
    """Return what a bot wants to say. The payload has been checked; `mentions` is the default for allowed_mentions."""
    allowed = payload.get("allowed_mentions")
    nonce = payload.get("nonce")
    # An ephemeral message can only be an interaction's answer; elsewhere Discord overlooks the flag.
    settable = SUPPRESS_EMBEDS | SUPPRESS_NOTIFICATIONS | COMPONENTS_V2 | (EPHEMERAL if may_hide else 0)
    return Draft(
        (payload.get("content") or "").strip(),
        list(payload.get("embeds") or []),
        list(payload.get("components") or []),
        uploads_of(world, channel, body, payload),
        allowed_mentions=mentions if allowed is None else allowed,
        flags=(payload.get("flags") or 0) & settable,
        nonce=None if nonce is None else str(nonce),
    )


def uploads_of(world: World, channel: Channel, body: Body, payload: Json) -> list[Attachment]:
    """Return the files of a form; `attachments` in the payload may name and describe files[n] under the id n."""
    described = {str(each.get("id")): each for each in payload.get("attachments") or []}
    files = []
    for number, (name, content, _) in sorted(body.files.items()):
        if len(content) > wire.UPLOAD_LIMIT_BYTES:
            raise ApiError(413, 40005, "Request entity too large")
        more = described.get(str(number), {})
        name = more.get("filename") or name
        # Discord looks at the name and the bytes itself; discord.py says application/octet-stream to everything.
        kind = mimetypes.guess_type(name)[0]
        files.append(upload(world, channel, name, content, kind, more.get("description")))
    return files


class Channels:
    """Handlers. Each takes the lock for as long as it runs."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes below `/api/v10`."""
        message = "/channels/{channel}/messages/{message}"
        table = [
            ("GET", "/channels/{channel}", self.channel),
            ("GET", "/channels/{channel}/messages", self.history),
            ("POST", "/channels/{channel}/messages", self.create_message),
            ("GET", message, self.message),
            ("PATCH", message, self.edit_message),
            ("DELETE", message, self.delete_message),
            ("POST", "/channels/{channel}/typing", self.typing),
            ("POST", "/channels/{channel}/threads", self.open_thread),
            ("POST", message + "/threads", self.open_thread),
            ("PUT", "/channels/{channel}/thread-members/@me", self.typing),
            ("GET", message + "/reactions/{emoji}", self.reactions),
            ("PUT", message + "/reactions/{emoji}/@me", self.add_reaction),
            ("DELETE", message + "/reactions/{emoji}/{user}", self.remove_reaction),
        ]
        return [web.route(method, f"/api/v10{path}", handler) for method, path, handler in table]

    async def channel(self, request: web.Request) -> web.Response:
        """One channel."""
        with self._world.changing():
            return reply(wire.channel_json(self._channel(request)))

    async def typing(self, request: web.Request) -> web.Response:
        """Accepted, and otherwise of no consequence: typing, joining a thread."""
        self._channel(request)
        return reply(None, 204)

    async def history(self, request: web.Request) -> web.Response:
        """Messages around a point, newest first; with `after` those nearest to it."""
        with self._world.changing():
            channel = self._channel(request)
            limit = int(request.query.get("limit", 50))
            if not 1 <= limit <= 100:
                form = Form()
                form.refuse("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
                form.close()
            found = [each for each in channel.messages if not each.is_ephemeral]
            if Permission.READ_MESSAGE_HISTORY not in channel.permissions_of(self._world.bot):
                found = []
            if "after" in request.query:
                found = [each for each in found if each.id > int(request.query["after"])][:limit]
            elif "around" in request.query:
                middle = int(request.query["around"])
                before = [each for each in found if each.id < middle][-(limit // 2) :]
                found = before + [each for each in found if each.id >= middle][: limit - len(before)]
            else:
                newest = int(request.query.get("before", 1 << 63))
                found = [each for each in found if each.id < newest][-limit:]
            return reply([self._shown(each) for each in reversed(found)])

    async def message(self, request: web.Request) -> web.Response:
        """One message, with fresh links to its files."""
        with self._world.changing():
            channel = self._channel(request, Permission.READ_MESSAGE_HISTORY)
            return reply(self._shown(self._message(request, channel)))

    async def create_message(self, request: web.Request) -> web.Response:
        """Send; with enforce_nonce a repetition gets the message of the first time."""
        with self._world.changing():
            world, body = self._world, request[BODY]
            payload: Json = body.payload or {}
            channel = self._channel(request, Permission.SEND_MESSAGES)
            allowed = channel.permissions_of(world.bot)
            if body.files and Permission.ATTACH_FILES not in allowed:
                raise missing_permissions()
            if channel.recipient and not channel.recipient.accepts_dms:
                raise ApiError(403, 50007, "Cannot send messages to this user")
            check_message(payload)
            if payload.get("enforce_nonce") and payload.get("nonce") is not None:
                earlier = self._sent_with(str(payload["nonce"]))
                if earlier:
                    # Also when it was deleted since: then the repetition fails, it is not sent anew.
                    if earlier.is_deleted:
                        raise unknown("Message")
                    return reply(self._shown(earlier))
            draft = draft_of(world, channel, body, payload, PARSE_ALL)
            if Permission.EMBED_LINKS not in allowed:
                draft.embeds = []
            self._refer(channel, draft, payload.get("message_reference"))
            if not (draft.content.strip() or draft.embeds or draft.files or draft.components or draft.forwarded):
                raise ApiError(400, 50006, "Cannot send an empty message")
            return reply(self._shown(posting.post(world, channel, world.bot, draft)))

    async def edit_message(self, request: web.Request) -> web.Response:
        """Edit one of the bot's own messages."""
        with self._world.changing():
            channel = self._channel(request)
            message = self._message(request, channel)
            if message.author is not self._world.bot:
                raise ApiError(403, 50005, "Cannot edit a message authored by another user")
            payload: Json = request[BODY].payload or {}
            check_message(payload)
            posting.edit(self._world, message, payload, uploads_of(self._world, channel, request[BODY], payload))
            return reply(self._shown(message))

    async def delete_message(self, request: web.Request) -> web.Response:
        """Delete a message; somebody else's only with the permission, never in direct messages."""
        with self._world.changing():
            channel = self._channel(request)
            message = self._message(request, channel)
            if message.author is not self._world.bot:
                if channel.kind == DM:
                    raise ApiError(403, 50003, "Cannot execute action on a DM channel")
                self._channel(request, Permission.MANAGE_MESSAGES)
            posting.delete(self._world, message)
            return reply(None, 204)

    async def open_thread(self, request: web.Request) -> web.Response:
        """Open a thread in a channel or on a message."""
        with self._world.changing():
            channel = self._channel(request, Permission.CREATE_PUBLIC_THREADS)
            start = self._message(request, channel).id if "message" in request.match_info else None
            if start in self._world.channels:
                raise ApiError(400, 160004, "A thread has already been created for this message")
            return reply(wire.channel_json(channel.thread(request[BODY].payload["name"], self._world.bot, start)), 201)

    async def reactions(self, request: web.Request) -> web.Response:
        """Who reacted with one emoji."""
        with self._world.changing():
            message = self._message(request, self._channel(request, Permission.READ_MESSAGE_HISTORY))
            return reply([wire.user_json(each) for each in message.reactions.get(request.match_info["emoji"], [])])

    async def add_reaction(self, request: web.Request) -> web.Response:
        """React."""
        with self._world.changing():
            message = self._message(request, self._channel(request, Permission.ADD_REACTIONS))
            emoji = request.match_info["emoji"]
            if emoji.isascii() and ":" not in emoji:
                raise unknown("Emoji")
            posting.react(self._world, message, self._world.bot, emoji, is_added=True)
            return reply(None, 204)

    async def remove_reaction(self, request: web.Request) -> web.Response:
        """Take a reaction back; somebody else's only with the permission."""
        with self._world.changing():
            is_own = request.match_info["user"] == "@me"
            channel = self._channel(request, Permission.NONE if is_own else Permission.MANAGE_MESSAGES)
            user = self._world.bot if is_own else self._world.users.get(id_in(request, "user"))
            if user is None:
                raise unknown("User")
            message, emoji = self._message(request, channel), request.match_info["emoji"]
            posting.react(self._world, message, user, emoji, is_added=False)
            return reply(None, 204)

    def _shown(self, message: Message) -> Json:
        return wire.message_json(self._world, message, reads_all=self._world.reads_content())

    def _sent_with(self, nonce: str) -> Message | None:
        for message in reversed(self._world.messages.values()):
            if message.author is self._world.bot and message.nonce == nonce:
                is_recent = time.time() - message.created_at.timestamp() < NONCE_MEMORY_S
                return message if is_recent else None
        return None

    def _refer(self, channel: Channel, draft: Draft, reference: Json | None) -> None:
        if reference is None:
            return
        if reference.get("type", 0) == 0:
            draft.reply_to = posting.resolve_reference(self._world, channel, reference, self._world.bot)
        else:
            source = self._world.messages.get(int(reference["message_id"]))
            if source is None or source.is_deleted:
                raise unknown("Message")
            draft.forwarded = copy.copy(source)

    def _channel(self, request: web.Request, needed: Permission = Permission.NONE) -> Channel:
        channel = self._world.channels.get(id_in(request, "channel"))
        if channel is None:
            raise unknown("Channel")
        if channel.kind == THREAD and needed == Permission.SEND_MESSAGES:
            needed = Permission.SEND_MESSAGES_IN_THREADS
        allowed = channel.permissions_of(self._world.bot)
        if Permission.VIEW_CHANNEL not in allowed:
            raise missing_access()
        if needed not in allowed:
            raise missing_permissions()
        return channel

    def _message(self, request: web.Request, channel: Channel) -> Message:
        message = self._world.messages.get(id_in(request, "message"))
        # An ephemeral message exists for its interaction's token only; here it is unknown, even to its author.
        if message is None or message.is_deleted or message.is_ephemeral or message.channel is not channel:
            raise unknown("Message")
        return message
