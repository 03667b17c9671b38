"""People, and what they can do with their thumbs: write, press, choose, fill in, change their mind."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import filling, interactions, posting, wire
from .cdn import Attachment, tidy_filename
from .errors import Json, NotPossible
from .forms import BUTTON, CONTENT_LIMIT
from .interactions import Interaction, Modal
from .messages import Menu, Message
from .places import DM, THREAD, Channel
from .posting import Draft
from .world import Permission, World

File = tuple[str, bytes, str | None]
"""(filename, content, content type); Discord leaves the type out for files it does not know: None."""
FILES_LIMIT = 10


@dataclass(eq=False)
class User:
    """An account. Each method is one thing a person does; NotPossible if Discord's app would not let them."""

    _world: World = field(repr=False)
    id: int
    name: str
    is_bot: bool = False
    locale: str = "en-US"
    accepts_dms: bool = True

    @property
    def mention(self) -> str:
        """The text that mentions this user."""
        return f"<@{self.id}>"

    def dm(self) -> Channel:
        """Return the direct messages between this user and the bot, opened when needed."""
        with self._world.changing():
            for channel in self._world.channels.values():
                if channel.kind == DM and channel.recipient is self:
                    return channel
            channel = Channel(self._world, self._world.ids.next(), DM, recipient=self)
            self._world.channels[channel.id] = channel
            return channel

    def send(
        self,
        channel: Channel,
        text: str = "",
        attachments: Sequence[File] = (),
        reply_to: Message | None = None,
        *,
        pings_author: bool = True,
    ) -> Message:
        """Write a message. pings_author: the @ switch that the app shows on a reply, on by default."""
        with self._world.changing():
            self._need(channel, Permission.SEND_MESSAGES)
            if attachments:
                self._need(channel, Permission.ATTACH_FILES)
            if len(text) > CONTENT_LIMIT or len(attachments) > FILES_LIMIT or not (text or attachments):
                raise NotPossible("a message holds 1 to 2000 characters and up to 10 files")
            if reply_to and (reply_to.is_deleted or reply_to.channel is not channel):
                raise NotPossible("a reply points at a message of the same channel")
            allowed = {**posting.PARSE_ALL, "replied_user": pings_author}
            files = self._upload(channel, attachments)
            return posting.post(
                self._world, channel, self, Draft(text, files=files, reply_to=reply_to, allowed_mentions=allowed)
            )

    def edit(self, message: Message, text: str) -> None:
        """Change the words of one's own message."""
        with self._world.changing():
            if message.author is not self or message.is_deleted:
                raise NotPossible("people edit only their own messages")
            posting.edit(self._world, message, {"content": text})

    def delete(self, message: Message) -> None:
        """Delete one's own message, or anybody's with the permission for it."""
        with self._world.changing():
            self._see(message)
            if message.author is not self and message.visible_to is not self:
                self._need(message.channel, Permission.MANAGE_MESSAGES)
            posting.delete(self._world, message)

    def forward(self, message: Message, channel: Channel) -> Message:
        """Forward a message: a frozen copy of it inside an empty message of one's own."""
        with self._world.changing():
            self._see(message)
            self._need(channel, Permission.SEND_MESSAGES)
            return posting.post(self._world, channel, self, Draft(forwarded=copy.copy(message)))

    def react(self, message: Message, emoji: str) -> None:
        """Add a reaction."""
        with self._world.changing():
            self._see(message)
            posting.react(self._world, message, self, emoji, is_added=True)

    def unreact(self, message: Message, emoji: str) -> None:
        """Take one's reaction back."""
        with self._world.changing():
            posting.react(self._world, message, self, emoji, is_added=False)

    def open_thread(self, start: Channel | Message, name: str) -> Channel:
        """Open a thread in a channel, or on a message (then its id is the message's, as in Discord)."""
        with self._world.changing():
            channel = start.channel if isinstance(start, Message) else start
            self._need(channel, Permission.CREATE_PUBLIC_THREADS)
            return channel.thread(name, self, start.id if isinstance(start, Message) else None)

    def press(self, message: Message, label: str) -> Interaction:
        """Press the button with this label (or emoji, or custom_id)."""
        with self._world.changing():
            self._see(message)
            named = [each for each in message.buttons if label in (each.label, each.emoji, each.custom_id)]
            if not named:
                raise NotPossible(f"there is no button {label!r}; there are {[each.label for each in message.buttons]}")
            button = named[0]
            if button.is_disabled or button.custom_id is None:
                raise NotPossible(f"the button {label!r} is disabled or a link")
            return self._use(message, {"custom_id": button.custom_id, "component_type": BUTTON})

    def choose(self, message: Message, *chosen: str | User, menu: str | None = None) -> Interaction:
        """Choose from a select menu by label or value (people in a menu of users).

        menu: placeholder or custom_id, where a message has several.
        """
        with self._world.changing():
            self._see(message)
            menus = [each for each in message.menus if menu in (None, each.placeholder, each.custom_id)]
            if len(menus) != 1 or menus[0].is_disabled:
                raise NotPossible(f"{len(menus)} menus match, or it is disabled: {message.menus}")
            data = self._chosen(message, menus[0], chosen)
            return self._use(message, data)

    def press_stale(self, message: Message, custom_id: str) -> Interaction:
        """Press a button that is no longer (or never was) on a message, as an old or forged client can."""
        with self._world.changing():
            return self._use(message, {"custom_id": custom_id, "component_type": BUTTON})

    def slash(self, channel: Channel, name: str, options: Mapping[str, Any] | None = None) -> Interaction:
        """Use a slash command; subcommands after a space: `"model rollback"`.

        options: by name; a choice by its name or value, a User or Channel as it is, a file as a File.
        """
        with self._world.changing():
            command_name, *path = name.split()
            command = interactions.find_command(self._world, self, channel, command_name, interactions.CHAT_INPUT)
            data = filling.slash_data(self._world, command, path, options or {}, None, channel)
            return interactions.ask(self._world, self, channel, interactions.COMMAND, data, command=command)

    def type_option(
        self, channel: Channel, name: str, option: str, typed: str, options: Mapping[str, Any] | None = None
    ) -> Interaction:
        """Type into an option with autocomplete; the suggestions come as the interaction's `choices`."""
        with self._world.changing():
            command_name, *path = name.split()
            command = interactions.find_command(self._world, self, channel, command_name, interactions.CHAT_INPUT)
            given = {**(options or {}), option: typed}
            data = filling.slash_data(self._world, command, path, given, option, channel)
            return interactions.ask(self._world, self, channel, interactions.AUTOCOMPLETE, data, command=command)

    def context(self, message: Message, name: str) -> Interaction:
        """Use a command from the menu of a message ("Apps" in Discord)."""
        with self._world.changing():
            self._see(message)
            if message.is_ephemeral:
                raise NotPossible("ephemeral messages have no such menu")
            channel = message.channel
            command = interactions.find_command(self._world, self, channel, name, interactions.MESSAGE_COMMAND)
            data = filling.message_command_data(self._world, command, message)
            return interactions.ask(self._world, self, channel, interactions.COMMAND, data, command=command)

    def submit(self, modal: Modal, answers: Mapping[str, str | Sequence[str]] | None = None) -> Interaction:
        """Fill in a form, by label or custom_id, and send it; what is not named keeps its default."""
        with self._world.changing():
            if modal.user is not self or modal.is_submitted:
                raise NotPossible("this form is not open on this person's screen")
            data = filling.submit_data(modal, answers or {})
            modal.is_submitted = True
            opened_by = modal.opened_by
            return interactions.ask(
                self._world,
                self,
                opened_by.channel,
                interactions.MODAL_SUBMIT,
                data,
                message=opened_by.message,
            )

    def _use(self, message: Message, data: Json) -> Interaction:
        return interactions.ask(self._world, self, message.channel, interactions.COMPONENT, data, message=message)

    def _chosen(self, message: Message, menu: Menu, chosen: Sequence[str | User]) -> Json:
        if not menu.fewest <= len(chosen) <= menu.most:
            raise NotPossible(f"the menu takes {menu.fewest} to {menu.most} choices")
        data: Json = {"custom_id": menu.custom_id, "component_type": menu.kind}
        if menu.kind == 5:
            people = [each for each in chosen if isinstance(each, User)]
            resolved: Json = {"users": {str(each.id): wire.user_json(each) for each in people}}
            if guild := message.channel.guild:
                shown = {str(each.id): guild.members[each.id] for each in people if each.id in guild.members}
                resolved["members"] = {
                    each: {**wire.member_json(member, with_user=False), "permissions": "0"}
                    for each, member in shown.items()
                }
            return {**data, "values": [str(each.id) for each in people], "resolved": resolved}
        if menu.kind != 3:
            raise NotPossible("the stand-in's people know menus of text and of users only")
        values = {each.label: each.value for each in menu.options} | {each.value: each.value for each in menu.options}
        if stray := [each for each in chosen if each not in values]:
            raise NotPossible(f"the menu has no {stray}; it has {[each.label for each in menu.options]}")
        return {**data, "values": [values[each] for each in chosen if isinstance(each, str)]}

    def _upload(self, channel: Channel, files: Sequence[File]) -> list[Attachment]:
        return [upload(self._world, channel, name, content, kind) for name, content, kind in files]

    def _see(self, message: Message) -> None:
        is_theirs = message.visible_to in (None, self)
        if message.is_deleted or not is_theirs or Permission.VIEW_CHANNEL not in message.channel.permissions_of(self):
            raise NotPossible(f"{self.name} does not see this message")

    def _need(self, channel: Channel, permission: Permission) -> None:
        if channel.kind == THREAD and permission == Permission.SEND_MESSAGES:
            permission = Permission.SEND_MESSAGES_IN_THREADS
        if permission not in channel.permissions_of(self):
            raise NotPossible(f"{self.name} may not do this in {channel.name or 'this direct message'}")


def upload(
    world: World,
    channel: Channel,
    name: str,
    content: bytes,
    content_type: str | None,
    description: str | None = None,
) -> Attachment:
    """Return a file as Discord stores it, under a tidied name."""
    filename = tidy_filename(name)
    title = name.rpartition(".")[0] if filename != name else None
    return Attachment(world.ids.next(), channel.id, filename, content, content_type, description, title)
