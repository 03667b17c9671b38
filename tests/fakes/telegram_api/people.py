"""The people, their chats, and what they can do and see there: the side of Telegram that no bot sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .errors import Json
from .files import Media
from .text import commands_in

if TYPE_CHECKING:
    from .world import World

ANONYMOUS_ADMIN_ID = 1087968824
CHANNEL_BOT_ID = 136817688
LINKED_CHANNEL_ID = 777000
LEFT, BLOCKED = "left", "kicked"
"""Two of Telegram's member statuses; the others are creator, administrator, member and restricted."""


@dataclass(frozen=True)
class Version:
    """How a message looked between two edits. date: unix time; photo: the biggest size's bytes."""

    text: str
    photo: bytes | None
    buttons: tuple[tuple[str, ...], ...]
    date: int


@dataclass(eq=False)
class Message:
    """One message as it looks now.

    sender: None for a channel post. sender_chat: the chat that a post or an anonymous admin speaks for.
    reply_to: kept when that message is deleted, though bots are then no longer told of it.
    versions: oldest first; the last one is how it looks now.
    """

    chat: Chat
    id: int
    sender: User | None
    date: int
    text: str = ""
    caption: str = ""
    entities: list[Json] = field(default_factory=list, repr=False)
    media: Media | None = field(default=None, repr=False)
    reply_to: Message | None = field(default=None, repr=False)
    markup: Json | None = field(default=None, repr=False)
    media_group_id: str | None = None
    sender_chat: Chat | None = field(default=None, repr=False)
    forward_origin: Json | None = field(default=None, repr=False)
    extra: Json = field(default_factory=dict, repr=False)
    edit_date: int | None = None
    is_from_bot: bool = False
    is_deleted: bool = False
    reactions: list[str] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list, repr=False)

    @property
    def who(self) -> str:
        """The name above the message: a person's, or that of the chat they speak for."""
        if self.sender:
            return self.sender.first_name
        return self.sender_chat.title if self.sender_chat else self.chat.title

    @property
    def shown(self) -> str:
        """The words a person reads: the text, or the caption below an attachment."""
        return self.text or self.caption

    @property
    def photo(self) -> bytes | None:
        """The biggest size of the photo, as a bot can download it."""
        return self.media.content if self.media and self.media.kind == "photo" else None

    @property
    def document(self) -> bytes | None:
        return self.media.content if self.media and self.media.kind == "document" else None

    @property
    def filename(self) -> str | None:
        return self.media.details.get("file_name") if self.media else None

    @property
    def buttons(self) -> list[list[str]]:
        """The texts of the inline keyboard, row by row."""
        return [[str(button["text"]) for button in row] for row in (self.markup or {}).get("inline_keyboard", [])]

    def remember(self, date: int) -> None:
        """Note how the message looks from `date` on."""
        self.versions.append(Version(self.shown, self.photo, tuple(map(tuple, self.buttons)), date))


@dataclass(eq=False)
class Press:
    """One press of a button. While not `answered` the person sees it spinning."""

    id: str
    user: User
    message: Message
    data: str
    pressed_at: float
    answered: bool = False
    toast: str = ""
    is_alert: bool = False


@dataclass(eq=False)
class Chat:
    """A place to talk. kind: private, group, supergroup or channel. members: status by user id, the bot included."""

    world: World = field(repr=False)
    id: int
    kind: str
    title: str
    username: str | None = None
    members: dict[int, str] = field(default_factory=dict, repr=False)
    log: list[Message] = field(default_factory=list, repr=False)
    actions: list[str] = field(default_factory=list, repr=False)
    upgraded_to: Chat | None = field(default=None, repr=False)
    linked_group: Chat | None = field(default=None, repr=False)
    last_message_id: int = 0

    @property
    def messages(self) -> list[Message]:
        """What people see when they open the chat, oldest first; deleted messages are gone."""
        return [message for message in list(self.log) if not message.is_deleted]

    @property
    def from_bot(self) -> list[Message]:
        """The messages among them that the bot under test wrote."""
        return [message for message in self.messages if message.is_from_bot]

    @property
    def voice(self) -> User:
        """Somebody who speaks in the chat's own name: an anonymous admin of a group, the author of a channel.

        A channel's voice may also speak in a group, as a channel that is a member there.
        """
        return User(self.world, 0, self.title, speaks_as=self)

    def set_status(self, user: User, status: str, by: User | None = None) -> None:
        """Let somebody join, leave, be promoted or thrown out, and tell the bot as Telegram would.

        user: may be `world.bot`, which is then told by my_chat_member. by: who did it; None: they themselves, or
        the group's owner for the bot.
        """
        self.world.change_member(self, user, status, by)


@dataclass(eq=False)
class User:
    """A person, or another bot. Every method does what a tap in the app does, and returns at once."""

    world: World = field(repr=False)
    id: int
    first_name: str
    username: str | None = None
    language_code: str | None = "en"
    is_bot: bool = False
    speaks_as: Chat | None = field(default=None, repr=False)

    def send_text(self, chat: Chat, text: str, *, reply_to: Message | None = None) -> Message:
        return self.world.say(chat, self, text=text.strip(), entities=commands_in(text.strip()), reply_to=reply_to)

    def send_photo(
        self,
        chat: Chat,
        picture: bytes,
        caption: str | None = None,
        *,
        reply_to: Message | None = None,
        media_group_id: str | None = None,
        as_is: bool = False,
    ) -> Message:
        """Send a photo the usual, compressed way; what arrives is `Message.photo`, not `picture`.

        as_is: keep the very bytes, whatever they are (a broken picture that no phone would make).
        """
        media = self.world.files.photo(picture, as_is=as_is)
        return self._send_media(chat, media, caption, reply_to, media_group_id)

    def send_album(
        self, chat: Chat, pictures: Sequence[bytes], caption: str | None = None, *, reply_to: Message | None = None
    ) -> list[Message]:
        """Send 2 to 10 photos as one album; the caption is the first one's."""
        if not 2 <= len(pictures) <= 10:
            raise ValueError("an album has 2 to 10 photos")
        photos = [self.world.files.photo(picture) for picture in pictures]
        group_id = self.world.new_id()
        with self.world.changed:
            return [
                self._send_media(chat, photo, None if number else caption, reply_to, group_id)
                for number, photo in enumerate(photos)
            ]

    def send_document(
        self,
        chat: Chat,
        content: bytes,
        filename: str,
        mime: str = "application/octet-stream",
        caption: str | None = None,
        *,
        reply_to: Message | None = None,
    ) -> Message:
        """Send a file uncompressed: its bytes arrive as they are."""
        return self._send_other(chat, "document", content, filename, mime, caption, reply_to)

    def send_sticker(self, chat: Chat, content: bytes = b"RIFF\0\0\0\0WEBP", emoji: str = "🐿") -> Message:
        shape = {"type": "regular", "width": 512, "height": 512, "is_animated": False, "is_video": False}
        media = self.world.files.other("sticker", content, ".webp", {**shape, "emoji": emoji})
        return self._send_media(chat, media, None, None, None)

    def send_voice(self, chat: Chat, content: bytes = b"OggS", duration_s: int = 1) -> Message:
        media = self.world.files.other("voice", content, ".oga", {"duration": duration_s, "mime_type": "audio/ogg"})
        return self._send_media(chat, media, None, None, None)

    def send_video(self, chat: Chat, content: bytes = b"\0\0\0\x18ftypmp42", caption: str | None = None) -> Message:
        return self._send_other(chat, "video", content, "video.mp4", "video/mp4", caption, None)

    def send_animation(self, chat: Chat, content: bytes = b"GIF89a", caption: str | None = None) -> Message:
        """Send a GIF, which Telegram turns into a silent video."""
        return self._send_other(chat, "animation", content, "animation.mp4", "video/mp4", caption, None)

    def press(self, message: Message, text: str) -> Press:
        """Press the button with that text. Raises LookupError, naming what is there, if there is none."""
        rows = [] if message.is_deleted else (message.markup or {}).get("inline_keyboard", [])
        for button in (button for row in rows for button in row):
            if button["text"] == text and "callback_data" in button:
                return self.press_data(message, button["callback_data"])
        raise LookupError(f"no button {text!r} that can be pressed on {message.shown!r}, only {message.buttons}")

    def press_data(self, message: Message, data: str) -> Press:
        """Send a press with any data: a stale view of the message, or a forged client."""
        if self.speaks_as:
            raise ValueError("a press always comes from the real person, even if they write anonymously")
        return self.world.press(self, message, data)

    def edit(self, message: Message, text: str) -> None:
        """Change the text, or the caption of an attachment."""
        self._own(message)
        self.world.edit(message, **({"caption": text} if message.media else {"text": text}), entities=commands_in(text))

    def edit_photo(self, message: Message, picture: bytes) -> None:
        """Put another photo into a message."""
        self._own(message)
        self.world.edit(message, media=self.world.files.photo(picture))

    def delete(self, message: Message) -> None:
        """Delete a message. Telegram never tells bots."""
        self.world.delete(message)

    def forward(self, message: Message, chat: Chat, *, hide_author: bool = False) -> Message:
        """Forward a message into `chat`. hide_author: as privacy settings can ask, only the name is passed on."""
        origin = self.world.origin_of(message, hide_author)
        content = {"text": message.text, "caption": message.caption, "entities": message.entities}
        return self.world.say(chat, self, **content, media=message.media, forward_origin=origin)

    def block_bot(self) -> None:
        """Block the bot: it gets a my_chat_member update, and 403 from then on."""
        self.world.private_chat(self).set_status(self.world.bot, BLOCKED, by=self)

    def unblock_bot(self) -> None:
        self.world.private_chat(self).set_status(self.world.bot, "member", by=self)

    def _send_other(
        self,
        chat: Chat,
        kind: str,
        content: bytes,
        filename: str,
        mime: str,
        caption: str | None,
        reply_to: Message | None,
    ) -> Message:
        details: Json = {"file_name": filename, "mime_type": mime}
        if kind != "document":
            details |= {"width": 320, "height": 240, "duration": 1}
        ending = f".{filename.rpartition('.')[2]}" if "." in filename else ""
        return self._send_media(chat, self.world.files.other(kind, content, ending, details), caption, reply_to, None)

    def _send_media(
        self, chat: Chat, media: Media, caption: str | None, reply_to: Message | None, media_group_id: str | None
    ) -> Message:
        words = (caption or "").strip()
        content = {"media": media, "caption": words, "entities": commands_in(words), "media_group_id": media_group_id}
        return self.world.say(chat, self, **content, reply_to=reply_to)

    def _own(self, message: Message) -> None:
        mine = message.sender_chat is self.speaks_as if self.speaks_as else message.sender is self
        if message.is_deleted or not mine:
            raise ValueError(f"{self.first_name} cannot edit {message.shown!r}")
