"""The stand-in's users, chats and messages as the Bot API writes them in JSON."""

from __future__ import annotations

from .errors import Json
from .people import ANONYMOUS_ADMIN_ID, CHANNEL_BOT_ID, LINKED_CHANNEL_ID, Chat, Message, User

_SPEAKING_BOTS: dict[int, Json] = {
    ANONYMOUS_ADMIN_ID: {"first_name": "Group", "username": "GroupAnonymousBot", "is_bot": True},
    CHANNEL_BOT_ID: {"first_name": "Channel", "username": "Channel_Bot", "is_bot": True},
    LINKED_CHANNEL_ID: {"first_name": "Telegram", "is_bot": False},
}
_RIGHTS = (
    "can_manage_chat", "can_delete_messages", "can_manage_video_chats", "can_restrict_members",
    "can_promote_members", "can_change_info", "can_invite_users", "can_post_stories", "can_edit_stories",
    "can_delete_stories",
)  # fmt: skip


def user_json(user: User) -> Json:
    shaped: Json = {"id": user.id, "is_bot": user.is_bot, "first_name": user.first_name}
    if user.username:
        shaped["username"] = user.username
    if user.language_code and not user.is_bot:
        shaped["language_code"] = user.language_code
    return shaped


def chat_json(chat: Chat) -> Json:
    named = "first_name" if chat.kind == "private" else "title"
    shaped: Json = {"id": chat.id, "type": chat.kind, named: chat.title}
    if chat.username:
        shaped["username"] = chat.username
    return shaped


def message_json(message: Message, *, with_reply: bool = True) -> Json:
    """Return a Message object; a reply is shown one level deep, as at Telegram."""
    shaped: Json = {"message_id": message.id, "date": message.date, "chat": chat_json(message.chat)}
    if sender := _sender_json(message):
        shaped["from"] = sender
    if message.sender_chat:
        shaped["sender_chat"] = chat_json(message.sender_chat)
    if message.media:
        shaped |= message.media.wire()
    for words, entities, text in (("text", "entities", message.text), ("caption", "caption_entities", message.caption)):
        if text:
            shaped[words] = text
            if message.entities:
                shaped[entities] = message.entities
    if message.markup and "inline_keyboard" in message.markup:
        shaped["reply_markup"] = message.markup
    if message.media_group_id:
        shaped["media_group_id"] = message.media_group_id
    if message.edit_date:
        shaped["edit_date"] = message.edit_date
    if message.forward_origin:
        shaped["forward_origin"] = message.forward_origin
    if with_reply and message.reply_to and not message.reply_to.is_deleted:
        shaped["reply_to_message"] = message_json(message.reply_to, with_reply=False)
    return {**shaped, **message.extra}


def _sender_json(message: Message) -> Json | None:
    if message.sender:
        return user_json(message.sender)
    if message.chat.kind == "channel":
        return None
    if message.extra.get("is_automatic_forward"):
        speaker = LINKED_CHANNEL_ID
    else:
        speaker = ANONYMOUS_ADMIN_ID if message.sender_chat is message.chat else CHANNEL_BOT_ID
    return {"id": speaker, **_SPEAKING_BOTS[speaker]}


def gone_json(message: Message) -> Json:
    """Return what a press on a deleted message carries in its place (InaccessibleMessage)."""
    return {"chat": chat_json(message.chat), "message_id": message.id, "date": 0}


def member_json(user: User, status: str) -> Json:
    """Return a ChatMember; administrators get every right, restricted members may only read and write."""
    shaped: Json = {"user": user_json(user), "status": status}
    if status == "creator":
        shaped["is_anonymous"] = False
    elif status == "administrator":
        shaped |= {"can_be_edited": False, "is_anonymous": False, **dict.fromkeys(_RIGHTS, True)}
    elif status == "kicked":
        shaped["until_date"] = 0
    return shaped
