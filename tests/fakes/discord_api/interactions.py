"""Interactions: commands, presses, choices and modals on their way from a person to the bot, and what came back."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import wire
from .errors import Json, NotPossible
from .forms import LABEL, SELECTS, TEXT_INPUT
from .places import Channel, Guild
from .world import Event, Permission, World

if TYPE_CHECKING:
    from .messages import Message
    from .people import User

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL_SUBMIT = 2, 3, 4, 5
CHAT_INPUT, MESSAGE_COMMAND = 1, 3


@dataclass(eq=False)
class Command:
    """A registered application command.

    kind: 1 slash, 2 on a user, 3 on a message. guild: None for a global one.
    default_member_permissions: what a member needs; None is nothing, 0 administrators only.
    definition: the JSON as the bot registered it.
    """

    id: int
    name: str
    kind: int
    guild: Guild | None
    definition: Json = field(repr=False)

    @property
    def description(self) -> str:
        """The line below its name in the picker; empty in context menus."""
        return str(self.definition.get("description") or "")

    @property
    def options(self) -> list[Json]:
        """Its options, as on the wire."""
        return list(self.definition.get("options") or [])

    @property
    def default_member_permissions(self) -> Permission | None:
        """What a member needs to see it."""
        needed = self.definition.get("default_member_permissions")
        return None if needed is None else Permission(int(needed))

    def is_offered_to(self, user: User, channel: Channel) -> bool:
        """Whether Discord's app shows it to a person in a place."""
        if channel.guild is None:
            contexts = self.definition.get("contexts")
            in_dms = 1 in contexts if contexts else self.definition.get("dm_permission") in (None, True)
            return self.guild is None and in_dms
        if self.guild not in (None, channel.guild):
            return False
        contexts = self.definition.get("contexts")
        allowed, needed = channel.permissions_of(user), self.default_member_permissions
        if Permission.ADMINISTRATOR in allowed:
            return not contexts or 0 in contexts
        if needed == Permission.NONE or (needed is not None and needed not in allowed):
            return False
        return Permission.USE_APPLICATION_COMMANDS in allowed and (not contexts or 0 in contexts)


@dataclass(frozen=True)
class Field:
    """One question of a modal. kind: 4 text, 3 select menu (then `options` are (label, value) pairs)."""

    label: str
    custom_id: str
    kind: int
    value: str = ""
    is_required: bool = True
    shortest: int = 0
    longest: int = 4000
    options: tuple[tuple[str, str], ...] = ()


@dataclass(eq=False)
class Modal:
    """A form that popped up on somebody's screen."""

    custom_id: str
    title: str
    user: User
    fields: list[Field]
    opened_by: Interaction = field(repr=False)
    components: list[Json] = field(repr=False)
    is_submitted: bool = False


@dataclass(eq=False)
class Interaction:
    """One thing that a person asked of the bot.

    kind: 2 command, 3 component, 4 autocomplete, 5 modal. message: the one whose component was used.
    answer_type: the callback type of the bot's first answer (4 message, 5 thinking, 6 noted, 7 edit, 8 choices,
    9 modal); None until then. response: what `@original` stands for. modal, choices: what the answer brought.
    """

    _world: World = field(repr=False)
    id: int
    token: str = field(repr=False)
    kind: int
    user: User
    channel: Channel
    data: Json
    message: Message | None = None
    command: Command | None = None
    asked_at_s: float = field(default_factory=time.monotonic, repr=False)
    answer_type: int | None = None
    answered_after_s: float | None = None
    response: Message | None = None
    followups: list[Message] = field(default_factory=list)
    modal: Modal | None = None
    choices: list[Json] | None = None
    is_expired: bool = False
    """Whether its token has run out; tests set it through `DiscordApi.expire_interactions`."""

    @property
    def has_failed(self) -> bool:
        """Whether the person reads "This interaction failed": no answer within 3 s."""
        waited_s = time.monotonic() - self.asked_at_s
        return self.answer_type is None and waited_s > self._world.answer_within_s

    def wait_answered(self, timeout_s: float = 5.0) -> Interaction:
        """Return itself as soon as the bot has given its first answer; AssertionError if it does not."""
        with self._world.changed:
            if not self._world.changed.wait_for(lambda: self.answer_type is not None, timeout_s):
                raise AssertionError(f"The bot left an interaction unanswered for {timeout_s} s: {self.data}")
        return self


def ask(
    world: World,
    user: User,
    channel: Channel,
    kind: int,
    data: Json,
    *,
    message: Message | None = None,
    command: Command | None = None,
) -> Interaction:
    """Send an interaction to the bot. The caller holds the lock."""
    if channel not in world.channels.values() or Permission.VIEW_CHANNEL not in channel.permissions_of(user):
        raise NotPossible(f"{user.name} cannot be in this channel")
    interaction = Interaction(
        world, world.ids.next(), secrets.token_urlsafe(64), kind, user, channel, data, message, command
    )
    world.interactions.append(interaction)
    guild = channel.guild
    payload: Json = {
        "id": str(interaction.id),
        "application_id": str(world.bot.id),
        "type": kind,
        "token": interaction.token,
        "version": 1,
        "data": data,
        "channel_id": str(channel.id),
        "channel": {**wire.channel_json(channel), "permissions": str(int(channel.permissions_of(user)))},
        "app_permissions": str(int(channel.permissions_of(world.bot))),
        "locale": user.locale,
        "entitlements": [],
        "authorizing_integration_owners": {"0": str(guild.id) if guild else "0"},
        "context": 0 if guild else 1,
        "attachment_size_limit": wire.UPLOAD_LIMIT_BYTES,
    }
    if guild:
        member = wire.member_json(guild.members[user.id])
        payload |= {
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "member": {**member, "permissions": str(int(channel.permissions_of(user)))},
        }
    else:
        payload["user"] = wire.user_json(user)
    if message:
        payload["message"] = wire.message_json(world, message, reads_all=True)
    world.publish(Event("INTERACTION_CREATE", lambda _: payload, guild_id=guild.id if guild else None))
    return interaction


def find_command(world: World, user: User, channel: Channel, name: str, kind: int) -> Command:
    """Return the command that a person would find in a place; a guild's own one wins over a global one."""
    named = [each for each in world.commands if each.name == name and each.kind == kind]
    offered = [each for each in named if each.is_offered_to(user, channel)]
    if not offered:
        why = "is not offered to them here" if named else "is not registered"
        raise NotPossible(f"{user.name} can't use {name!r}: it {why}")
    return next((each for each in offered if each.guild), offered[0])


def open_modal(interaction: Interaction, data: Json) -> Modal:
    """Return the form that a bot's answer (type 9) shows."""
    fields = []
    for component in data["components"]:
        holders = [component] if component["type"] == LABEL else component.get("components", [])
        for holder in holders:
            inner = holder["component"] if holder["type"] == LABEL else holder
            if inner["type"] != TEXT_INPUT and inner["type"] not in SELECTS:
                continue
            options = tuple((each["label"], each["value"]) for each in inner.get("options") or [])
            fields.append(
                Field(
                    holder.get("label") or "",
                    inner["custom_id"],
                    inner["type"],
                    inner.get("value") or "",
                    inner.get("required", True),
                    inner.get("min_length") or 0,
                    inner.get("max_length") or 4000,
                    options,
                )
            )
    return Modal(data["custom_id"], data["title"], interaction.user, fields, interaction, data["components"])
