"""How messages come, change and go, whom they mention, and what the bot hears of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import wire
from .cdn import Attachment
from .errors import ApiError, Form, Json
from .forms import COMPONENTS_V2, walk
from .messages import (
    HAS_SNAPSHOT,
    LOADING,
    PLAIN,
    REPLY,
    SUPPRESS_EMBEDS,
    SUPPRESS_NOTIFICATIONS,
    Mentions,
    Message,
    Version,
)
from .places import DM, Channel
from .world import Event, Intent, Permission, World

if TYPE_CHECKING:
    from .interactions import Interaction
    from .people import User

_MENTION = re.compile(r"<@(!|&)?(\d+)>|@(everyone|here)\b")
PARSE_ALL: Json = {"parse": ["users", "roles", "everyone"], "replied_user": True}
"""What a bot's message may ping when it does not say: everything."""
PARSE_USERS: Json = {"parse": ["users"], "replied_user": True}
"""What an interaction's answer may ping when it does not say."""


@dataclass
class Draft:
    """What somebody wants to say, before it is a message.

    allowed_mentions: as on the wire; it decides who is mentioned and pinged.
    """

    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    files: Sequence[Attachment] = ()
    reply_to: Message | None = None
    forwarded: Message | None = None
    allowed_mentions: Json = field(default_factory=lambda: PARSE_ALL)
    flags: int = 0
    nonce: str | None = None


def post(
    world: World,
    channel: Channel,
    author: User,
    draft: Draft,
    *,
    interaction: Interaction | None = None,
    kind: int | None = None,
    visible_to: User | None = None,
) -> Message:
    """Put a message into a channel and tell the bot. The caller holds the lock and has checked permissions."""
    if kind is None:
        kind = REPLY if draft.reply_to else PLAIN
    message = Message(
        world.ids.next(),
        channel,
        author,
        draft.content,
        draft.embeds,
        draft.components,
        list(draft.files),
        draft.reply_to,
        draft.forwarded,
        kind,
        draft.flags | (HAS_SNAPSHOT if draft.forwarded else 0),
        draft.nonce,
        visible_to,
        allowed_mentions=draft.allowed_mentions,
        interaction=interaction,
    )
    message.mentions = _mentions(message, draft.allowed_mentions)
    if not message.flags & (SUPPRESS_NOTIFICATIONS | LOADING):
        message.pings = _pinged(message)
    for file in draft.files:
        file.is_ephemeral = file.is_ephemeral or visible_to is not None
        world.cdn.keep(file)
    channel.posts.append(message)
    world.messages[message.id] = message
    _announce(world, "MESSAGE_CREATE", message)
    return message


def edit(world: World, message: Message, change: Json, files: Sequence[Attachment] = ()) -> None:
    """Apply the fields of an edit as on the wire: what is absent stays. Nobody is pinged by an edit.

    `attachments` lists what to keep; without it the old ones stay. Raises ApiError if nothing remains.
    """
    kept = message.attachments
    if change.get("attachments") is not None:
        wanted = {str(each.get("id")) for each in change["attachments"]}
        kept = [each for each in message.attachments if str(each.id) in wanted]
    content = (change["content"] or "").strip() if "content" in change else message.content
    embeds = list(change["embeds"] or []) if "embeds" in change else message.embeds
    components = list(change["components"] or []) if "components" in change else message.components
    if not (content or embeds or components or kept or files):
        raise ApiError(400, 50006, "Cannot send an empty message")
    if not message.is_loading:
        message.versions.append(Version(message.content, message.embeds, message.components, message.attachments))
        message.edited_at = datetime.now(UTC)
    message.content, message.embeds, message.components = content, embeds, components
    message.attachments = [*kept, *files]
    message.flags = (message.flags & ~LOADING) | ((change.get("flags") or 0) & (COMPONENTS_V2 | SUPPRESS_EMBEDS))
    if "content" in change:
        message.mentions = _mentions(message, change.get("allowed_mentions") or PARSE_ALL)
    for file in files:
        file.is_ephemeral = message.is_ephemeral
        world.cdn.keep(file)
    _announce(world, "MESSAGE_UPDATE", message)


def delete(world: World, message: Message) -> None:
    """Take a message away and tell the bot."""
    message.is_deleted = True
    channel = message.channel
    payload = {"id": str(message.id), "channel_id": str(channel.id)}
    if channel.guild and not message.is_ephemeral:
        payload["guild_id"] = str(channel.guild.id)
    _publish(world, "MESSAGE_DELETE", message, payload)


def react(world: World, message: Message, user: User, emoji: str, *, is_added: bool) -> None:
    """Add or take back a reaction and tell the bot."""
    people = message.reactions.setdefault(emoji, [])
    if (user in people) == is_added:
        return
    (people.append if is_added else people.remove)(user)
    if not people:
        del message.reactions[emoji]
    guild = message.channel.guild
    payload: Json = {
        "user_id": str(user.id),
        "channel_id": str(message.channel.id),
        "message_id": str(message.id),
        "message_author_id": str(message.author.id),
        "emoji": {"id": None, "name": emoji},
        "type": 0,
        "burst": False,
    }
    if guild:
        payload["guild_id"] = str(guild.id)
        if is_added and user.id in guild.members:
            payload["member"] = wire.member_json(guild.members[user.id])
    intent = Intent.GUILD_MESSAGE_REACTIONS if guild else Intent.DIRECT_MESSAGE_REACTIONS
    name = "MESSAGE_REACTION_ADD" if is_added else "MESSAGE_REACTION_REMOVE"
    if Permission.VIEW_CHANNEL in message.channel.permissions_of(world.bot):
        world.publish(Event(name, lambda _: payload, intent, guild.id if guild else None))


def resolve_reference(world: World, channel: Channel, reference: Json, author: User) -> Message | None:
    """Return the message that a reply points at; None if it is gone and `fail_if_not_exists` is false."""
    target = world.messages.get(int(reference.get("message_id") or 0))
    may_read = Permission.READ_MESSAGE_HISTORY in channel.permissions_of(author)
    if target is not None and not target.is_deleted and not target.is_ephemeral and target.channel is channel:
        if not may_read:
            raise ApiError(400, 160002, "Cannot reply without permission to read message history")
        return target
    if reference.get("fail_if_not_exists", True):
        form = Form()
        form.refuse("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        form.close()
    return None


def _announce(world: World, name: str, message: Message) -> None:
    def payload(reads_all: bool) -> Json:
        return wire.message_json(world, message, reads_all=reads_all, is_event=True)

    _publish(world, name, message, payload(True), payload(False))


def _publish(world: World, name: str, message: Message, full: Json, veiled: Json | None = None) -> None:
    channel = message.channel
    # Ephemeral messages really reach the bot dressed as direct messages: no guild_id, the direct-message
    # intent (discord-api-docs issue 4557). A bot that answers everything in "its" direct messages stumbles here.
    is_direct = channel.kind == DM or message.is_ephemeral
    if not message.is_ephemeral and Permission.VIEW_CHANNEL not in channel.permissions_of(world.bot):
        return
    guild_id = None if is_direct or channel.guild is None else channel.guild.id
    intent = Intent.DIRECT_MESSAGES if is_direct else Intent.GUILD_MESSAGES
    shown = full if veiled is None else veiled
    world.publish(Event(name, lambda reads_all: full if reads_all else shown, intent, guild_id))


def _mentions(message: Message, allowed: Json) -> Mentions:
    channel, author = message.channel, message.author
    guild = channel.guild
    parse = allowed.get("parse") or []
    users, roles, everyone = [], [], False
    loud = Permission.MENTION_EVERYONE in channel.permissions_of(author)
    words = [message.content, *(each["content"] for each in walk(message.components) if each["type"] == 10)]
    for mark, digits, crowd in _MENTION.findall("\n".join(words)):
        if crowd:
            everyone = everyone or ("everyone" in parse and loud and guild is not None)
        elif mark == "&":
            role = guild.roles.get(int(digits)) if guild else None
            is_allowed = "roles" in parse or digits in map(str, allowed.get("roles") or [])
            if role and is_allowed and (role.is_mentionable or loud):
                roles.append(role)
        else:
            user = author._world.users.get(int(digits))
            if user and ("users" in parse or digits in map(str, allowed.get("users") or [])):
                users.append(user)
    if message.reply_to and allowed.get("replied_user", False):
        users.append(message.reply_to.author)
    return Mentions(list(dict.fromkeys(users)), list(dict.fromkeys(roles)), everyone)


def _pinged(message: Message) -> list[User]:
    guild = message.channel.guild
    named: list[User] = list(message.mentions.users)
    if guild:
        for member in guild.members.values():
            if message.mentions.everyone or any(role in member.roles for role in message.mentions.roles):
                named.append(member.user)
    elif message.channel.recipient:
        named += [message.channel.recipient]
    readers: Iterable[User] = guild.viewers_of(message.channel) if guild else named
    can_read = {message.visible_to} if message.visible_to else set(readers)
    return [user for user in dict.fromkeys(named) if user is not message.author and user in can_read]
