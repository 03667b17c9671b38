"""The REST routes for commands, and for a bot's answers to interactions: callbacks and follow-ups."""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiohttp import web

from . import interactions, posting, wire
from .channels import draft_of, uploads_of
from .errors import ApiError, Form, Json, unknown
from .forms import EPHEMERAL, check_commands, check_message, check_modal
from .interactions import AUTOCOMPLETE, COMPONENT, MODAL_SUBMIT, Command, Interaction
from .messages import CONTEXT_ANSWER, LOADING, PLAIN, REPLY, SLASH_ANSWER, Message
from .places import Guild
from .posting import PARSE_USERS, Draft
from .traffic import BODY, id_in, reply
from .world import World

MESSAGE, THINKING, NOTED, UPDATE, CHOICES, MODAL = 4, 5, 6, 7, 8, 9
_TAKES_EDIT = (NOTED, UPDATE)


class Callbacks:
    """Handlers. Each takes the lock for as long as it runs."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes below `/api/v10`."""
        hook = "/webhooks/{webhook}/{token}"
        table = [
            ("POST", "/interactions/{interaction}/{token}/callback", self.answer),
            ("POST", hook, self.follow_up),
            ("GET", hook + "/messages/{message}", self.message),
            ("PATCH", hook + "/messages/{message}", self.edit),
            ("DELETE", hook + "/messages/{message}", self.delete),
        ]
        for place in ("/applications/{app}/commands", "/applications/{app}/guilds/{guild}/commands"):
            table += [
                ("GET", place, self.commands),
                ("PUT", place, self.replace_commands),
                ("POST", place, self.add_command),
                ("DELETE", place + "/{command}", self.remove_command),
            ]
        return [web.route(method, f"/api/v10{path}", handler) for method, path, handler in table]

    async def answer(self, request: web.Request) -> web.Response:
        """The first answer to an interaction: in time, only once, and of a kind that fits."""
        with self._world.changing():
            world, body = self._world, request[BODY]
            asked = self._interaction(request.match_info["token"])
            if asked is None or str(asked.id) != request.match_info["interaction"]:
                raise unknown("interaction")
            if asked.answer_type is not None:
                raise ApiError(400, 40060, "Interaction has already been acknowledged.")
            waited_s = time.monotonic() - asked.asked_at_s
            if asked.is_expired or waited_s > world.answer_within_s:
                raise unknown("interaction")
            payload: Json = body.payload or {}
            kind, data = payload.get("type", 0), payload.get("data") or {}
            self._check_kind(asked, kind)
            if kind in (MESSAGE, UPDATE):
                check_message(data, "data.")
            if kind == MESSAGE:
                draft = draft_of(world, asked.channel, body, data, PARSE_USERS, may_hide=True)
                if not (draft.content or draft.embeds or draft.files or draft.components):
                    raise ApiError(400, 50006, "Cannot send an empty message")
                asked.response = self._post(asked, draft)
            elif kind == THINKING:
                flags = ((data.get("flags") or 0) & EPHEMERAL) | LOADING
                asked.response = self._post(asked, Draft(flags=flags))
            elif kind in _TAKES_EDIT:
                asked.response = asked.message
                if kind == UPDATE and asked.message:
                    files = uploads_of(world, asked.channel, body, data)
                    posting.edit(world, asked.message, data, files)
            elif kind == CHOICES:
                asked.choices = list(data.get("choices") or [])
            else:
                check_modal(data)
                asked.modal = interactions.open_modal(asked, data)
                world.modals.append(asked.modal)
            asked.answer_type, asked.answered_after_s = kind, waited_s
            if request.query.get("with_response", "").lower() not in ("1", "true"):
                return reply(None, 204)
            return reply(self._receipt(asked, kind))

    async def follow_up(self, request: web.Request) -> web.Response:
        """One more message; right after "thinking…" it becomes that answer instead."""
        with self._world.changing():
            asked = self._answered(request)
            payload: Json = request[BODY].payload or {}
            check_message(payload)
            if asked.answer_type == THINKING and asked.response and asked.response.is_loading:
                files = uploads_of(self._world, asked.channel, request[BODY], payload)
                posting.edit(self._world, asked.response, payload, files)
                return reply(self._shown(asked.response))
            draft = draft_of(self._world, asked.channel, request[BODY], payload, PARSE_USERS, may_hide=True)
            if not (draft.content or draft.embeds or draft.files or draft.components):
                raise ApiError(400, 50006, "Cannot send an empty message")
            draft.reply_to = asked.response
            posted = self._post(asked, draft, kind=REPLY if asked.response else PLAIN)
            asked.followups.append(posted)
            return reply(self._shown(posted))

    async def message(self, request: web.Request) -> web.Response:
        """`@original`, or one of the follow-ups."""
        with self._world.changing():
            return reply(self._shown(self._owned(request)))

    async def edit(self, request: web.Request) -> web.Response:
        """Edit `@original` or a follow-up; this is also how "thinking…" becomes an answer."""
        with self._world.changing():
            message = self._owned(request)
            payload: Json = request[BODY].payload or {}
            check_message(payload)
            files = uploads_of(self._world, message.channel, request[BODY], payload)
            posting.edit(self._world, message, payload, files)
            return reply(self._shown(message))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete `@original` or a follow-up."""
        with self._world.changing():
            posting.delete(self._world, self._owned(request))
            return reply(None, 204)

    async def commands(self, request: web.Request) -> web.Response:
        """The commands registered globally or for a guild."""
        with self._world.changing():
            return reply([wire.command_json(self._world, each) for each in self._registered(request)])

    async def replace_commands(self, request: web.Request) -> web.Response:
        """Register this list and nothing else; a command that stays keeps its id."""
        with self._world.changing():
            old = self._registered(request)
            check_commands(request[BODY].payload)
            guild = self._guild(request)
            new = [self._command(each, guild, old) for each in request[BODY].payload]
            self._world.commands = [each for each in self._world.commands if each not in old] + new
            return reply([wire.command_json(self._world, each) for each in new])

    async def add_command(self, request: web.Request) -> web.Response:
        """Register one more; one of the same name and kind is replaced."""
        with self._world.changing():
            check_commands([request[BODY].payload])
            old = self._registered(request)
            new = self._command(request[BODY].payload, self._guild(request), old)
            self._world.commands = [each for each in self._world.commands if each.id != new.id] + [new]
            is_new = new.id not in [each.id for each in old]
            return reply(wire.command_json(self._world, new), 201 if is_new else 200)

    async def remove_command(self, request: web.Request) -> web.Response:
        """Forget one command."""
        with self._world.changing():
            found = [each for each in self._registered(request) if each.id == id_in(request, "command")]
            if not found:
                raise unknown("application command")
            self._world.commands.remove(found[0])
            return reply(None, 204)

    def _guild(self, request: web.Request) -> Guild | None:
        if id_in(request, "app") != self._world.bot.id:
            raise unknown("Application")
        if "guild" not in request.match_info:
            return None
        guild = self._world.guilds.get(id_in(request, "guild"))
        if guild is None or self._world.bot.id not in guild.members:
            raise ApiError(403, 50001, "Missing Access")
        return guild

    def _registered(self, request: web.Request) -> list[Command]:
        guild = self._guild(request)
        return [each for each in self._world.commands if each.guild is guild]

    def _command(self, definition: Json, guild: Guild | None, old: Sequence[Command]) -> Command:
        whole: Json = {
            "type": 1,
            "description": "",
            "default_member_permissions": None,
            "dm_permission": True,
            "contexts": None,
            "integration_types": [0],
            "nsfw": False,
            **definition,
        }
        same = [each for each in old if (each.name, each.kind) == (whole["name"], whole["type"])]
        id_ = same[0].id if same else self._world.ids.next()
        return Command(id_, whole["name"], whole["type"], guild, whole)

    def _check_kind(self, asked: Interaction, kind: int) -> None:
        if asked.kind == AUTOCOMPLETE:
            fits = kind == CHOICES
        elif kind in _TAKES_EDIT:
            fits = asked.kind in (COMPONENT, MODAL_SUBMIT) and asked.message is not None
        else:
            fits = kind in (MESSAGE, THINKING) or (kind == MODAL and asked.kind != MODAL_SUBMIT)
        if not fits:
            form = Form()
            form.refuse("type", "UNION_TYPE_CHOICES", 'Value of field "type" does not fit this interaction.')
            form.close()

    def _interaction(self, token: str) -> Interaction | None:
        return next((each for each in self._world.interactions if each.token == token), None)

    def _answered(self, request: web.Request) -> Interaction:
        asked = self._interaction(request.match_info["token"])
        if asked is None or asked.answer_type is None or id_in(request, "webhook") != self._world.bot.id:
            raise unknown("Webhook")
        if asked.is_expired:
            raise ApiError(401, 50027, "Invalid Webhook Token")
        return asked

    def _owned(self, request: web.Request) -> Message:
        asked = self._answered(request)
        name = request.match_info["message"]
        found = [asked.response] if name == "@original" else [asked.response, *asked.followups]
        for message in found:
            if message and not message.is_deleted and name in ("@original", str(message.id)):
                return message
        raise unknown("Message")

    def _post(self, asked: Interaction, draft: Draft, kind: int | None = None) -> Message:
        if kind is None and asked.command:
            kind = SLASH_ANSWER if asked.command.kind == interactions.CHAT_INPUT else CONTEXT_ANSWER
        elif kind is None:
            draft.reply_to = asked.message
        visible_to = asked.user if draft.flags & EPHEMERAL else None
        return posting.post(
            self._world, asked.channel, self._world.bot, draft, interaction=asked, kind=kind, visible_to=visible_to
        )

    def _shown(self, message: Message) -> Json:
        return wire.message_json(self._world, message, reads_all=True)

    def _receipt(self, asked: Interaction, kind: int) -> Json:
        receipt: Json = {"id": str(asked.id), "type": asked.kind}
        if kind in (CHOICES, MODAL):
            return {"interaction": receipt}
        assert asked.response is not None
        receipt |= {
            "response_message_id": str(asked.response.id),
            "response_message_loading": asked.response.is_loading,
            "response_message_ephemeral": asked.response.is_ephemeral,
            "channel_id": str(asked.channel.id),
        }
        if kind not in (MESSAGE, UPDATE):
            return {"interaction": receipt, "resource": {"type": kind}}
        return {"interaction": receipt, "resource": {"type": kind, "message": self._shown(asked.response)}}
