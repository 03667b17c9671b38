"""The Bot API's methods that write: send, edit, delete."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, Json, bad_request, forbidden
from .files import Media
from .people import BLOCKED, LEFT, Chat, Message
from .request import Arguments
from .shape import message_json
from .text import LONGEST_CAPTION, LONGEST_TEXT, check_markup, formatted
from .world import World

_ACTIONS = frozenset({
    "typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document",
    "choose_sticker", "find_location", "record_video_note", "upload_video_note",
})  # fmt: skip
_DELETABLE_S = 48 * 3600


class Sending:
    """Writes into a World as the bot; the caller holds the world's lock.

    commands: what setMyCommands stored, by (scope as JSON, language code).
    answer_within_s: how long a press may wait for its answer; Telegram gives no number.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.commands: dict[tuple[str, str], list[Json]] = {}
        self.answer_within_s = 900.0

    def send_message(self, arguments: Arguments) -> Json:
        chat = self._chat(arguments, writing=True)
        return self._say(chat, arguments, self._words(arguments))

    def send_photo(self, arguments: Arguments) -> Json:
        chat = self._chat(arguments, writing=True)
        media = self._media("photo", arguments.text("photo"), arguments, "photo")
        return self._say(chat, arguments, {**self._caption(arguments.values, arguments), "media": media})

    def send_document(self, arguments: Arguments) -> Json:
        chat = self._chat(arguments, writing=True)
        media = self._media("document", arguments.text("document"), arguments, "document")
        return self._say(chat, arguments, {**self._caption(arguments.values, arguments), "media": media})

    def send_media_group(self, arguments: Arguments) -> list[Json]:
        chat = self._chat(arguments, writing=True)
        items = arguments.parsed("media") or []
        if not 2 <= len(items) <= 10:
            raise bad_request("there must be from 2 to 10 elements to send")
        if {item.get("type") for item in items} not in ({"photo"}, {"document"}):
            raise bad_request("can't use the media of the specified type in the album")
        # All of it is checked before any of it is sent: an album arrives whole or not at all.
        media = [self._media(item["type"], item.get("media", ""), arguments, "") for item in items]
        captions = [self._caption(item, arguments) for item in items]
        group: Json = {"media_group_id": self._world.new_id()}
        return [
            self._say(chat, arguments, {**caption, **group, "media": one})
            for caption, one in zip(captions, media, strict=True)
        ]

    def send_chat_action(self, arguments: Arguments) -> bool:
        chat = self._chat(arguments, writing=True)
        if arguments.text("action") not in _ACTIONS:
            raise bad_request("wrong parameter action in request")
        chat.actions.append(arguments.text("action"))
        return True

    def edit_message_text(self, arguments: Arguments) -> Json:
        message = self._own_message(arguments)
        words = self._words(arguments)
        if message.media:
            raise bad_request("there is no text in the message to edit")
        return self._edit(message, arguments, words)

    def edit_message_caption(self, arguments: Arguments) -> Json:
        message = self._own_message(arguments)
        if not message.media:
            raise bad_request("there is no caption in the message to edit")
        return self._edit(message, arguments, self._caption(arguments.values, arguments))

    def edit_message_media(self, arguments: Arguments) -> Json:
        """Replace the attachment, or give a text message one; the old caption goes with the old attachment."""
        message = self._own_message(arguments)
        item = arguments.parsed("media") or {}
        if item.get("type") not in ("photo", "document"):
            raise bad_request("the stand-in edits photos and documents only")
        media = self._media(item["type"], item.get("media", ""), arguments, "")
        return self._edit(message, arguments, {**self._caption(item, arguments), "media": media, "text": ""})

    def edit_message_reply_markup(self, arguments: Arguments) -> Json:
        return self._edit(self._own_message(arguments), arguments, {})

    def delete_message(self, arguments: Arguments) -> bool:
        chat = self._chat(arguments)
        message = self._find(chat, arguments.number("message_id"), "delete")
        is_admin = chat.members.get(self._world.bot.id) == "administrator"
        is_young = self._world.now() < message.date + _DELETABLE_S
        if not (is_young and (message.is_from_bot or chat.kind == "private" or is_admin)):
            raise bad_request("message can't be deleted")
        self._world.delete(message)
        return True

    def set_message_reaction(self, arguments: Arguments) -> bool:
        message = self._find(self._chat(arguments), arguments.number("message_id"), "react")
        message.reactions = [reaction["emoji"] for reaction in arguments.parsed("reaction") or []]
        return True

    def _chat(self, arguments: Arguments, *, writing: bool = False) -> Chat:
        wanted = arguments.text("chat_id")
        if not wanted:
            raise bad_request("chat_id is empty")
        named = [chat for chat in self._world.chats.values() if chat.username and f"@{chat.username}" == wanted]
        chat = named[0] if named else self._world.chats.get(arguments.number("chat_id"))
        if chat is None:
            raise bad_request("chat not found")
        if chat.upgraded_to:
            reason = "Bad Request: group chat was upgraded to a supergroup chat"
            raise ApiError(400, reason, {"migrate_to_chat_id": chat.upgraded_to.id})
        status = chat.members.get(self._world.bot.id, LEFT)
        if chat.kind == "private":
            if writing and status == BLOCKED:
                raise forbidden("bot was blocked by the user")
        elif status == BLOCKED:
            raise forbidden(f"bot was kicked from the {chat.kind} chat")
        elif status == LEFT:
            raise forbidden(f"bot is not a member of the {chat.kind} chat")
        return chat

    def _find(self, chat: Chat, message_id: int, verb: str) -> Message:
        for message in chat.log:
            if message.id == message_id and not message.is_deleted:
                return message
        raise bad_request(f"message to {verb} not found")

    def _own_message(self, arguments: Arguments) -> Message:
        message = self._find(self._chat(arguments, writing=True), arguments.number("message_id"), "edit")
        if not message.is_from_bot:
            raise bad_request("message can't be edited")
        return message

    def _words(self, arguments: Arguments) -> Json:
        entities = arguments.parsed("entities") or []
        text = arguments.text("text")
        text, entities = formatted(text, arguments.text("parse_mode"), entities, LONGEST_TEXT, "message")
        if not text:
            raise bad_request("message text is empty")
        return {"text": text, "entities": entities}

    def _caption(self, source: Json, arguments: Arguments) -> Json:
        caption, mode = str(source.get("caption") or ""), str(source.get("parse_mode") or "")
        is_call = source is arguments.values
        entities = (arguments.parsed("caption_entities") if is_call else source.get("caption_entities")) or []
        caption, entities = formatted(caption, mode, entities, LONGEST_CAPTION, "message caption")
        return {"caption": caption, "entities": entities}

    def _media(self, kind: str, given: str, arguments: Arguments, field: str) -> Media:
        """Return what was uploaded under `field` or as attach://name, or was sent before and is named by its id."""
        upload = arguments.files.get(given.removeprefix("attach://") if given.startswith("attach://") else field)
        files = self._world.files
        if upload is not None and kind == "photo":
            return files.uploaded_photo(upload.content)
        if upload is not None:
            ending = f".{upload.filename.rpartition('.')[2]}" if "." in upload.filename else ""
            details = {"file_name": upload.filename, "mime_type": upload.mime}
            return files.other("document", upload.content, ending, details)
        if not given:
            raise bad_request(f"there is no {kind} in the request")
        if given.startswith(("http://", "https://")):
            raise bad_request("failed to get HTTP URL content")
        media = files.sent_before(kind, given)
        if media is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        return media

    def _say(self, chat: Chat, arguments: Arguments, content: Json) -> Json:
        asked = arguments.parsed("reply_parameters") or {}
        wanted = asked.get("message_id") or arguments.number("reply_to_message_id")
        reply_to = None
        if wanted:
            try:
                reply_to = self._find(chat, int(wanted), "be replied")
            except ApiError:
                if not (asked.get("allow_sending_without_reply") or arguments.flag("allow_sending_without_reply")):
                    raise
        markup = check_markup(arguments.parsed("reply_markup"))
        return message_json(self._world.say(chat, self._world.bot, **content, reply_to=reply_to, markup=markup))

    def _edit(self, message: Message, arguments: Arguments, content: Json) -> Json:
        # An edit that names no keyboard takes the old one away.
        changed: dict[str, Any] = {**content, "markup": check_markup(arguments.parsed("reply_markup"))}
        if all(getattr(message, name) == value for name, value in changed.items()):
            same = "specified new message content and reply markup are exactly the same"
            raise bad_request(f"message is not modified: {same} as a current content and reply markup of the message")
        self._world.edit(message, **changed)
        return message_json(message)
