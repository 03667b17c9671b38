"""The Bot API's methods that read, apart from updates; each public name is one method, spelt in snake case."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import ApiError, Json, bad_request
from .people import LEFT, Chat, User
from .request import Arguments
from .sending import Sending
from .shape import chat_json, member_json, user_json

_MOST_COMMANDS = 100
_MOST_TOAST = 200
_TAKEN_AS_READ = frozenset({
    "setmyname", "setmydescription", "setmyshortdescription", "setchatmenubutton", "setmydefaultadministratorrights",
    "pinchatmessage", "unpinchatmessage", "unpinallchatmessages", "logout", "close",
})  # fmt: skip
"""Methods that only answer True here."""


class Methods(Sending):
    """Answers calls out of a World; the caller holds the world's lock."""

    def call(self, method: str, arguments: Arguments) -> Any:
        """Return the result of a method, named as in the Bot API (in any case, as there). 404 if there is none."""
        if method.lower() in _TAKEN_AS_READ:
            return True
        name = self._names.get(method.lower())
        if name is None:
            raise ApiError(404, "Not Found")
        return getattr(self, name)(arguments)

    def get_me(self, arguments: Arguments) -> Json:
        abilities = {
            "can_join_groups": True,
            "can_read_all_group_messages": not self._world.privacy_mode,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }
        return {**user_json(self._world.bot), **abilities}

    def get_file(self, arguments: Arguments) -> Json:
        return self._world.files.link(arguments.text("file_id"), self._world.now())

    def get_chat(self, arguments: Arguments) -> Json:
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        full = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": dict.fromkeys(gifts, True)}
        return {**chat_json(self._chat(arguments)), **full}

    def get_chat_member(self, arguments: Arguments) -> Json:
        chat, user = self._chat(arguments), self._world.users.get(arguments.number("user_id"))
        if user is None:
            raise bad_request("user not found")
        return member_json(user, chat.members.get(user.id, LEFT))

    def get_chat_administrators(self, arguments: Arguments) -> list[Json]:
        chat = self._chat(arguments)
        if chat.kind == "private":
            raise bad_request("there are no administrators in the private chat")
        ranks = [(self._world.users[id], status) for id, status in chat.members.items()]
        # Other bots are left out, as Telegram does.
        return [
            member_json(user, status)
            for user, status in ranks
            if status in ("creator", "administrator") and (not user.is_bot or user is self._world.bot)
        ]

    def get_chat_member_count(self, arguments: Arguments) -> int:
        return sum(status not in (LEFT, "kicked") for status in self._chat(arguments).members.values())

    def leave_chat(self, arguments: Arguments) -> bool:
        self._chat(arguments).set_status(self._world.bot, LEFT)
        return True

    def answer_callback_query(self, arguments: Arguments) -> bool:
        press = self._world.presses.get(arguments.text("callback_query_id"))
        if press is None or self._world.now() > press.pressed_at + self.answer_within_s:
            raise bad_request("query is too old and response timeout expired or query ID is invalid")
        if len(arguments.text("text")) > _MOST_TOAST:
            raise bad_request("MESSAGE_TOO_LONG")
        press.answered, press.toast = True, arguments.text("text")
        press.is_alert = arguments.flag("show_alert")
        return True

    def set_my_commands(self, arguments: Arguments) -> bool:
        commands = arguments.parsed("commands") or []
        if len(commands) > _MOST_COMMANDS:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not re.fullmatch(r"/?[a-z0-9_]{1,32}", command["command"]):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[self._commands_key(arguments)] = commands
        return True

    def get_my_commands(self, arguments: Arguments) -> list[Json]:
        return self.commands.get(self._commands_key(arguments), [])

    def delete_my_commands(self, arguments: Arguments) -> bool:
        self.commands.pop(self._commands_key(arguments), None)
        return True

    def commands_shown_to(self, user: User, chat: Chat) -> list[str]:
        """Return the names in the menu that this person sees in this chat (the Bot API's order of scopes)."""
        is_admin = chat.members.get(user.id) in ("creator", "administrator")
        everywhere = "all_private_chats" if chat.kind == "private" else "all_group_chats"
        scopes: list[tuple[bool, Json]] = [
            (True, {"type": "chat_member", "chat_id": chat.id, "user_id": user.id}),
            (is_admin, {"type": "chat_administrators", "chat_id": chat.id}),
            (True, {"type": "chat", "chat_id": chat.id}),
            (is_admin and chat.kind != "private", {"type": "all_chat_administrators"}),
            (True, {"type": everywhere}),
            (True, {"type": "default"}),
        ]
        for scope in (scope for applies, scope in scopes if applies):
            for language in (user.language_code or "", ""):
                if commands := self.commands.get((json.dumps(scope, sort_keys=True), language)):
                    return [command["command"] for command in commands]
        return []

    @staticmethod
    def _commands_key(arguments: Arguments) -> tuple[str, str]:
        scope = arguments.parsed("scope") or {"type": "default"}
        return json.dumps(scope, sort_keys=True), arguments.text("language_code")

    _names = {
        "getme": "get_me",
        "getfile": "get_file",
        "getchat": "get_chat",
        "getchatmember": "get_chat_member",
        "getchatadministrators": "get_chat_administrators",
        "getchatmembercount": "get_chat_member_count",
        "leavechat": "leave_chat",
        "answercallbackquery": "answer_callback_query",
        "setmycommands": "set_my_commands",
        "getmycommands": "get_my_commands",
        "deletemycommands": "delete_my_commands",
        "sendmessage": "send_message",
        "sendphoto": "send_photo",
        "senddocument": "send_document",
        "sendmediagroup": "send_media_group",
        "sendchataction": "send_chat_action",
        "editmessagetext": "edit_message_text",
        "editmessagecaption": "edit_message_caption",
        "editmessagemedia": "edit_message_media",
        "editmessagereplymarkup": "edit_message_reply_markup",
        "deletemessage": "delete_message",
        "setmessagereaction": "set_message_reaction",
    }
