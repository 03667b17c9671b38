"""An update of Telegram's becomes a post of ours."""

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import replace

import telegram

from bot.messages import Attachment, Incoming

LONGEST_TEXT, LONGEST_NAME, LONGEST_DATA = 4096, 64, 64
HEAVIEST_FILE = 20 << 20
GOOD_SIDE_PX = 512
# Whose name anonymous admins, channels and their copies come under; whoever made one an admin would let in every group.
SHARED = {1087968824, 136817688, 777000}
# What a person may send that is no photo: field of the message → what we call it.
UNUSABLE = {"animation": "animation", "video": "video", "video_note": "video", "voice": "voice", "audio": "audio"} | {
    kind: kind
    for kind in ("sticker", "poll", "venue", "location", "contact", "dice", "game", "story", "checklist", "paid_media")
}


def post_of(update: telegram.Update, username: str) -> Incoming | None:
    """The post in an update, None for what is not meant for us. username: ours, without the @."""
    if update.callback_query is not None:
        return _press(update.callback_query)
    message = update.message
    if message is None or message.is_automatic_forward or (author := _author(message)) is None:
        return None
    text = "" if _is_borrowed(message) else message.text or message.caption or ""
    if command := re.match(r"/(\w+)@(\w+)", text):
        if command[2].lower() != username.lower():
            return None
        text = f"/{command[1]}{text[command.end() :]}"
    replied = message.reply_to_message
    post = Incoming(
        platform="telegram",
        chat=str(message.chat.id),
        message=str(message.message_id),
        person=author[0],
        kind="text",
        name=_clean(author[1], LONGEST_NAME),
        text=_clean(text, LONGEST_TEXT),
        album=message.media_group_id,
        # In a forum every post replies to the one that opened its topic.
        reply_to=str(replied.message_id) if replied is not None and replied.forum_topic_created is None else None,
        is_private=message.chat.type == "private",
    )
    if message.photo:
        size = _best(message.photo)
        return replace(post, kind="photo", attachment=Attachment({"file_id": size.file_id}, size=size.file_size or 0))
    if message.document is not None and message.animation is None:
        return _file(post, message.document)
    if message.text is not None:
        return post
    what = next((name for field, name in UNUSABLE.items() if getattr(message, field)), None)
    # What is left are service messages: somebody joined, something was pinned.
    return replace(post, kind="unusable", what=what) if what else None


def _press(query: telegram.CallbackQuery) -> Incoming | None:
    if query.message is None or query.data is None:
        return None
    under, chat = str(query.message.message_id), query.message.chat
    return Incoming(
        platform="telegram",
        chat=str(chat.id),
        message=f"press:{query.id}",
        person=str(query.from_user.id),
        kind="press",
        name=_clean(query.from_user.first_name, LONGEST_NAME),
        data=_clean(query.data, LONGEST_DATA),
        reply_to=under,
        token=under,
        is_private=chat.type == "private",
    )


def _author(message: telegram.Message) -> tuple[str, str] | None:
    """Id and name of who wrote this; None for channels' posts and other bots.

    Anonymous admins and channels come with the id of a bot of Telegram's that they share with all others.
    """
    if message.chat.type == "channel":
        return None
    if message.sender_chat is not None:
        return f"chat:{message.sender_chat.id}", message.sender_chat.title or ""
    if message.from_user is None or message.from_user.is_bot:
        return None
    if message.from_user.id in SHARED:
        return f"chat:{message.chat.id}", message.from_user.first_name
    return str(message.from_user.id), message.from_user.first_name


def _is_borrowed(message: telegram.Message) -> bool:
    """Whether the words are somebody else's: an admin who forwards "/retrain" or "#wrong" has not said it."""
    origin, sender = message.forward_origin, message.from_user
    if isinstance(origin, telegram.MessageOriginUser) and sender is not None:
        return origin.sender_user.id != sender.id
    return origin is not None


def _best(sizes: Sequence[telegram.PhotoSize]) -> telegram.PhotoSize:
    """The smallest size with enough pixels for any backbone, else the largest."""
    enough = [size for size in sizes if min(size.width, size.height) >= GOOD_SIDE_PX]
    if enough:
        return min(enough, key=lambda size: size.width * size.height)
    return max(sizes, key=lambda size: size.width * size.height)


def _file(post: Incoming, document: telegram.Document) -> Incoming:
    """A post with a file: a photo if it says that it is one."""
    kind = document.mime_type or ""
    named = mimetypes.guess_type(document.file_name or "")[0] or ""
    if not (kind.startswith("image/") or named.startswith("image/")):
        return replace(post, kind="unusable", what="document")
    size = document.file_size or 0
    if size > HEAVIEST_FILE:
        return replace(post, kind="unusable", what="too-heavy")
    name = _clean(document.file_name or "", 255)
    return replace(post, kind="photo", attachment=Attachment({"file_id": document.file_id}, name, size))


def _clean(text: str, limit: int) -> str:
    """At most `limit` characters, none of which a database refuses."""
    return text[:limit].replace("\0", "").encode("utf-8", "replace").decode()
