"""A message or an interaction of Discord's becomes posts of ours."""

import mimetypes
import re
from dataclasses import replace
from typing import Any

import discord

from bot.messages import Attachment, Incoming, Kind
from bot.platforms.discord.looks import CORRECT_ID, MENU_ID

Place = (
    discord.TextChannel
    | discord.VoiceChannel
    | discord.StageChannel
    | discord.Thread
    | discord.DMChannel
    | discord.GroupChannel
    | discord.PartialMessageable
)

NAME = "discord"
# A token that begins so belongs to an interaction: its application and its own token follow.
INTERACTION = "interaction:"
HEAVIEST_FILE = 20 << 20
LONGEST_NAME, LONGEST_TEXT, LONGEST_DATA = 64, 4096, 100


def posts_of(message: discord.Message, me: int) -> list[Incoming]:
    """The posts in a message: a photo each, or one for all the rest; none when it is not meant for us."""
    if message.author.bot or message.webhook_id is not None:
        return []
    if message.type not in (discord.MessageType.default, discord.MessageType.reply):
        return []
    in_private, is_reply = is_private(message.channel), message.type is discord.MessageType.reply
    mention = re.compile(rf"<@!?{me}>")
    post = Incoming(
        platform=NAME,
        chat=str(message.channel.id),
        message=str(message.id),
        person=str(message.author.id),
        kind="text",
        name=_clean(message.author.display_name, LONGEST_NAME),
        text=_clean(mention.sub("", message.content).strip(), LONGEST_TEXT),
        reply_to=str(message.reference.message_id) if is_reply and message.reference is not None else None,
        is_private=in_private,
        # Who wrote while we were away comes without roles, and as no admin.
        is_chat_admin=isinstance(message.author, discord.Member) and message.author.guild_permissions.manage_guild,
    )
    files = attachments(message)
    images = [each for each in files if _type(each).startswith("image/")]
    if images:
        photos = [each for each in images if each.size <= HEAVIEST_FILE]
        album = post.message if len(photos) > 1 else None
        posts = [
            replace(post, kind="photo", attachment=_handle(message, each), position=n, album=album)
            for n, each in enumerate(photos)
        ]
        if len(photos) < len(images):
            posts.append(replace(post, kind="unusable", what="too-heavy", position=len(images)))
        return posts
    if files:
        return [replace(post, kind="unusable", what=_what(message, files[0]))]
    if message.stickers:
        return [replace(post, kind="unusable", what="sticker")]
    is_meant = in_private or is_reply or mention.search(message.content) is not None
    return [post] if is_meant and post.text else []


def deletion_of(gone: discord.RawMessageDeleteEvent) -> Incoming:
    return Incoming(
        platform=NAME,
        chat=str(gone.channel_id),
        message=f"deleted:{gone.message_id}",
        person="system",
        kind="deleted",
        reply_to=str(gone.message_id),
        is_private=gone.guild_id is None,
    )


def command_of(interaction: discord.Interaction, data: dict[str, Any]) -> Incoming:
    """A slash command as the text it stands for; its token makes the answer take the place of "thinking…"."""
    argument = " ".join(str(option.get("value", "")) for option in data.get("options", []))
    handle = f"{INTERACTION}{interaction.application_id}:{interaction.token}"
    text = _clean(f"/{data['name']} {argument}".strip(), LONGEST_TEXT)
    return _post(interaction, "text", text=text, token=handle)


def press_of(interaction: discord.Interaction, data: dict[str, Any], under: str) -> Incoming:
    """A pressed button, or what was chosen from a menu. under: the message that it hangs under."""
    chosen = str(data["custom_id"])
    if chosen.startswith(MENU_ID):
        chosen = "".join(data.get("values", [])[:1])
    press = _post(interaction, "press", message=f"press:{interaction.id}", reply_to=under, token=under)
    return replace(press, data=_clean(chosen, LONGEST_DATA))


def form_of(interaction: discord.Interaction, data: dict[str, Any]) -> Incoming:
    """A form that was sent in, as the reply it stands for."""
    target = str(data["custom_id"]).removeprefix(CORRECT_ID)
    return _post(interaction, "text", text=_typed(data), reply_to=target, token=target)


def attachments(message: discord.Message) -> list[discord.Attachment]:
    """A message's files; of one that was forwarded, those of the copy inside it."""
    return [*message.attachments, *(each for copy in message.message_snapshots for each in copy.attachments)]


def is_private(place: Place) -> bool:
    return getattr(place, "guild", None) is None and getattr(place, "guild_id", None) is None


def _handle(message: discord.Message, file: discord.Attachment) -> Attachment:
    where = {"channel": str(message.channel.id), "message": str(message.id), "attachment": str(file.id)}
    return Attachment({**where, "url": file.url}, _clean(file.filename, 255), file.size)


def _type(file: discord.Attachment) -> str:
    return file.content_type or mimetypes.guess_type(file.filename)[0] or ""


def _what(message: discord.Message, file: discord.Attachment) -> str:
    kind = _type(file).partition("/")[0]
    return "voice" if message.flags.voice else kind if kind in ("video", "audio") else "document"


def _post(interaction: discord.Interaction, kind: Kind, **values: Any) -> Incoming:
    """A post that came as an interaction."""
    common: dict[str, Any] = {
        "platform": NAME,
        "chat": str(interaction.channel_id),
        "message": f"{INTERACTION}{interaction.id}",
        "person": str(interaction.user.id),
        "kind": kind,
        "name": _clean(interaction.user.display_name, LONGEST_NAME),
        "is_private": interaction.guild_id is None,
        "is_chat_admin": interaction.guild_id is not None and interaction.permissions.manage_guild,
    }
    return Incoming(**(common | values))


def _typed(component: Any) -> str:
    """What was typed into a form's one field, wherever Discord nests it."""
    if isinstance(component, list):
        return "".join(map(_typed, component))
    if not isinstance(component, dict):
        return ""
    inner = _typed(component.get("components")) + _typed(component.get("component"))
    return inner or _clean(str(component.get("value") or "").strip(), LONGEST_TEXT)


def _clean(text: str, limit: int) -> str:
    """At most `limit` characters, none of which a database refuses."""
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode()
