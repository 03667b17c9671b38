"""Guilds, their roles and members, and channels of three kinds: text, thread, direct message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import wire
from .world import ALL_PERMISSIONS, EVERYDAY_PERMISSIONS, Event, Intent, Permission, World

if TYPE_CHECKING:
    from .messages import Message
    from .people import User

TEXT, DM, THREAD = 0, 1, 11


@dataclass(eq=False)
class Role:
    """A role; the one whose id is the guild's is @everyone."""

    id: int
    name: str
    permissions: Permission
    position: int
    is_mentionable: bool = False
    is_managed: bool = False

    @property
    def mention(self) -> str:
        """The text that mentions this role."""
        return f"<@&{self.id}>"


@dataclass(eq=False)
class Member:
    """A user's place in a guild."""

    user: User
    roles: list[Role]
    nick: str | None = None
    joined_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Overwrite:
    """What a channel allows or denies to one role or member, over what the guild says."""

    is_role: bool
    allow: Permission = Permission.NONE
    deny: Permission = Permission.NONE


@dataclass(eq=False)
class Channel:
    """A place for messages. `guild` is None in a direct message, `recipient` None everywhere else."""

    _world: World = field(repr=False)
    id: int
    kind: int
    name: str = ""
    guild: Guild | None = field(default=None, repr=False)
    recipient: User | None = field(default=None, repr=False)
    parent: Channel | None = field(default=None, repr=False)
    owner: User | None = field(default=None, repr=False)
    overwrites: dict[int, Overwrite] = field(default_factory=dict, repr=False)
    posts: list[Message] = field(default_factory=list, repr=False)
    """Every message ever, deleted ones included, oldest first."""

    @property
    def messages(self) -> list[Message]:
        """What can be read here now, oldest first, with everybody's ephemeral messages among it."""
        return [message for message in self.posts if not message.is_deleted]

    @property
    def from_bot(self) -> list[Message]:
        """Those of `messages` that the bot wrote."""
        return [message for message in self.messages if message.author is self._world.bot]

    def seen_by(self, user: User) -> list[Message]:
        """Return what one person sees: an ephemeral message only if it is theirs."""
        return [message for message in self.messages if message.visible_to in (None, user)]

    def permissions_of(self, user: User) -> Permission:
        """Return what a user may do here; nothing for a stranger."""
        if self.guild is None:
            is_mine = user in (self.recipient, self._world.bot)
            return EVERYDAY_PERMISSIONS if is_mine else Permission.NONE
        member = self.guild.members.get(user.id)
        allowed = self.guild.permissions_of(user)
        if member is None or Permission.ADMINISTRATOR in allowed:
            return allowed
        overwrites = (self.parent or self).overwrites
        for group in ([self.guild.id], [role.id for role in member.roles], [user.id]):
            found = [overwrites[each] for each in group if each in overwrites]
            for overwrite in found:
                allowed &= ~overwrite.deny
            for overwrite in found:
                allowed |= overwrite.allow
        return allowed if Permission.VIEW_CHANNEL in allowed else Permission.NONE

    def allow(self, who: User | Role, permissions: Permission) -> None:
        """Grant permissions here to a member or role; the bot hears of it."""
        self._overwrite(who, permissions, Permission.NONE)

    def deny(self, who: User | Role, permissions: Permission) -> None:
        """Take permissions away here from a member or role; the bot hears of it."""
        self._overwrite(who, Permission.NONE, permissions)

    def _overwrite(self, who: User | Role, allow: Permission, deny: Permission) -> None:
        with self._world.changing():
            overwrite = self.overwrites.setdefault(who.id, Overwrite(isinstance(who, Role)))
            overwrite.allow = (overwrite.allow | allow) & ~deny
            overwrite.deny = (overwrite.deny | deny) & ~allow
            self._announce("CHANNEL_UPDATE")

    def thread(self, name: str, owner: User, thread_id: int | None = None) -> Channel:
        """Open a public thread below this channel; one that hangs on a message has that message's id."""
        with self._world.changing():
            thread_id = thread_id or self._world.ids.next()
            thread = Channel(self._world, thread_id, THREAD, name, guild=self.guild, parent=self, owner=owner)
            self._world.channels[thread.id] = thread
            thread._announce("THREAD_CREATE")
        return thread

    def delete(self) -> None:
        """Remove the channel and all that was said in it."""
        with self._world.changing():
            self._world.channels.pop(self.id, None)
            for message in self.messages:
                message.is_deleted = True
            self._announce("THREAD_DELETE" if self.kind == THREAD else "CHANNEL_DELETE")

    def _announce(self, name: str) -> None:
        guild_id = self.guild.id if self.guild else None
        self._world.publish(Event(name, lambda _: wire.channel_json(self), Intent.GUILDS, guild_id))


@dataclass(eq=False)
class Guild:
    """A server with its people, roles and channels."""

    _world: World = field(repr=False)
    id: int
    name: str
    owner: User
    roles: dict[int, Role] = field(default_factory=dict, repr=False)
    members: dict[int, Member] = field(default_factory=dict, repr=False)

    @property
    def everyone(self) -> Role:
        """The role that all members have."""
        return self.roles[self.id]

    @property
    def channels(self) -> list[Channel]:
        """Text channels and threads, oldest first."""
        return [channel for channel in self._world.channels.values() if channel.guild is self]

    def permissions_of(self, user: User) -> Permission:
        """Return a member's permissions before any channel has its say; nothing for a stranger."""
        member = self.members.get(user.id)
        if member is None:
            return Permission.NONE
        allowed = self.everyone.permissions
        for role in member.roles:
            allowed |= role.permissions
        return ALL_PERMISSIONS if user is self.owner or Permission.ADMINISTRATOR in allowed else allowed

    def text_channel(self, name: str) -> Channel:
        """Open a text channel."""
        with self._world.changing():
            channel = Channel(self._world, self._world.ids.next(), TEXT, name, guild=self)
            self._world.channels[channel.id] = channel
            channel._announce("CHANNEL_CREATE")
        return channel

    def role(self, name: str, permissions: Permission = Permission.NONE, *, is_mentionable: bool = False) -> Role:
        """Create a role that stands above all earlier ones."""
        with self._world.changing():
            role = Role(self._world.ids.next(), name, permissions, len(self.roles), is_mentionable)
            self.roles[role.id] = role
            payload = {"guild_id": str(self.id), "role": wire.role_json(role)}
            self._world.publish(Event("GUILD_ROLE_CREATE", lambda _: payload, Intent.GUILDS, self.id))
        return role

    def join(
        self, user: User, *, roles: Sequence[Role] = (), administrator: bool = False, nick: str | None = None
    ) -> User:
        """Let a user in, or change the roles of one who is in already; returns the user."""
        with self._world.changing():
            given = [*roles, *([self._administrators()] if administrator else [])]
            name = "GUILD_MEMBER_UPDATE" if user.id in self.members else "GUILD_MEMBER_ADD"
            self.members[user.id] = member = Member(user, given, nick)
            payload = {"guild_id": str(self.id), **wire.member_json(member)}
            self._world.publish(Event(name, lambda _: payload, Intent.GUILD_MEMBERS, self.id))
        return user

    def leave(self, user: User) -> None:
        """Let a member go; when it is the bot, it is told that it lost the guild."""
        with self._world.changing():
            del self.members[user.id]
            if user is self._world.bot:
                lost = {"id": str(self.id)}
                self._world.publish(Event("GUILD_DELETE", lambda _: lost, Intent.GUILDS, self.id))
            else:
                payload = {"guild_id": str(self.id), "user": wire.user_json(user)}
                self._world.publish(Event("GUILD_MEMBER_REMOVE", lambda _: payload, Intent.GUILD_MEMBERS, self.id))

    def viewers_of(self, channel: Channel) -> Iterable[User]:
        """Yield the members who can read a channel."""
        for member in self.members.values():
            if Permission.VIEW_CHANNEL in channel.permissions_of(member.user):
                yield member.user

    def _administrators(self) -> Role:
        found = (role for role in self.roles.values() if Permission.ADMINISTRATOR in role.permissions)
        return next(found, None) or self.role("administrators", Permission.ADMINISTRATOR)
