"""What exists at Telegram, network aside: people, chats, messages, files, and which of it the bot is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

from .errors import Json
from .files import Shelf
from .people import BLOCKED, LEFT, Chat, Message, Press, User
from .shape import chat_json, gone_json, member_json, message_json, user_json
from .text import is_command_for
from .updates import UpdateQueue

T = TypeVar("T")
_MESSAGE_LIFETIME_S = 86_400.0
_PRESS_LIFETIME_S = 150.0


class World:
    """Everything behind the Bot API. One lock guards it: tests write from their thread, the server from its own.

    privacy_mode: as BotFather's /setprivacy; on, a bot in a group (unless an admin there) is told only of
    commands and of replies to itself. BotFather's default is on; here it is off.
    """

    def __init__(self, *, username: str = "snap_stand_in_bot", name: str = "Snap", privacy_mode: bool = False) -> None:
        self.changed = threading.Condition()
        self.files = Shelf()
        self.updates = UpdateQueue(self.now)
        self.chats: dict[int, Chat] = {}
        self.users: dict[int, User] = {}
        self.presses: dict[str, Press] = {}
        self.privacy_mode = privacy_mode
        self._skipped_s = 0.0
        # Beyond 32 bits, as today's accounts are: a column that is too narrow must fail here.
        self._user_ids = count(7_000_000_001)
        self._group_ids = count(4_000_001)
        self._supergroup_ids = count(1_002_000_000_001)
        self._account_message_ids = count(1)
        self._ids = count(1)
        self.bot = self._add_user(name, username, None, is_bot=True)

    def now(self) -> float:
        """Return Telegram's unix time."""
        return time.time() + self._skipped_s

    def pass_time(self, seconds: float) -> None:
        """Move Telegram's clock: links expire after 1 h, presses after 150 s, unconfirmed messages after 24 h."""
        with self.changed:
            self._skipped_s += seconds

    def new_id(self) -> str:
        """Return an id as opaque to a bot as Telegram's, and larger than 32 bits."""
        return str((1 << 62) + next(self._ids))

    def person(self, first_name: str, *, username: str | None = None, language_code: str | None = "en") -> User:
        return self._add_user(first_name, username, language_code)

    def other_bot(self, first_name: str, username: str) -> User:
        """Return a bot that is not the one under test, which is never told what bots say."""
        return self._add_user(first_name, username, None, is_bot=True)

    def redeliver(self, last: int = 1) -> None:
        """Give the bot its last updates again, though confirmed, as Telegram does after trouble of its own."""
        with self.changed:
            self.updates.put_again(last)

    def private_chat(self, user: User) -> Chat:
        """Return the chat between a person and the bot; it counts as started."""
        with self.changed:
            if user.id not in self.chats:
                members = {user.id: "member", self.bot.id: "member"}
                self.chats[user.id] = Chat(self, user.id, "private", user.first_name, user.username, members)
            return self.chats[user.id]

    def group(self, title: str, *people: User, bot: str = "member") -> Chat:
        """Return a basic group. The first person owns it; bot: the bot's status (LEFT: not there)."""
        return self._add_chat(-next(self._group_ids), "group", title, people, bot, None)

    def supergroup(self, title: str, *people: User, bot: str = "member", username: str | None = None) -> Chat:
        """Return a supergroup, in which message ids start again at 1."""
        return self._add_chat(-next(self._supergroup_ids), "supergroup", title, people, bot, username)

    def channel(self, title: str, *people: User, bot: str = "administrator", username: str | None = None) -> Chat:
        """Return a channel; post with `channel.voice`."""
        return self._add_chat(-next(self._supergroup_ids), "channel", title, people, bot, username)

    def upgrade(self, group: Chat) -> Chat:
        """Turn a basic group into a supergroup with a new id, and tell the bot in both chats."""
        with self.changed:
            people = [self.users[id] for id, status in group.members.items() if id != self.bot.id and status != LEFT]
            larger = self.supergroup(group.title, *people, bot=group.members[self.bot.id])
            larger.members = dict(group.members)
            self.say(group, people[0], extra={"migrate_to_chat_id": larger.id})
            self.say(larger, larger.voice, extra={"migrate_from_chat_id": group.id})
            group.upgraded_to = larger
            return larger

    def wait_for(self, look: Callable[[], T], timeout_s: float = 5.0) -> T:
        """Return what `look` returns as soon as that is true.

        Looks again whenever something changes here, and every 0.05 s for what changes elsewhere. `look` runs
        without the lock, so that it may ask a bot that is just then talking to this world.
        Raises TimeoutError with the story so far.
        """
        deadline = time.monotonic() + timeout_s
        while not (seen := look()):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError(f"not seen within {timeout_s:g} s; this is what was:\n{self.story()}")
            with self.changed:
                self.changed.wait(min(left_s, 0.05))
        return seen

    def story(self) -> str:
        """Return every chat as text, for a failing test's message."""
        lines = []
        for chat in self.chats.values():
            lines.append(f"{chat.kind} {chat.title} ({chat.id})")
            for message in chat.log:
                what = [f"[{message.media.kind}]"] if message.media else []
                what += [message.shown, str(message.buttons or ""), "(deleted)" if message.is_deleted else ""]
                lines.append(f"  {message.id} {message.who}: {' '.join(filter(None, what))}")
        return "\n".join(lines)

    def say(self, chat: Chat, sender: User, **content: Any) -> Message:
        """Add a message to a chat and tell the bot of it, if bots are told. content: fields of Message."""
        with self.changed:
            if sender is not self.bot:
                self._check_present(chat, sender)
            message = Message(
                chat=chat,
                id=self._next_message_id(chat),
                sender=None if sender.speaks_as or chat.kind == "channel" else sender,
                sender_chat=sender.speaks_as or (chat if chat.kind == "channel" else None),
                is_from_bot=sender is self.bot,
                date=int(self.now()),
                **content,
            )
            message.remember(message.date)
            chat.log.append(message)
            if sender is not self.bot:
                self._tell_message(message, "channel_post" if chat.kind == "channel" else "message")
            if chat.kind == "channel" and chat.linked_group:
                self._forward_to_discussion(message, chat.linked_group)
            self.changed.notify_all()
            return message

    def edit(self, message: Message, **content: Any) -> None:
        """Change a message's fields; the bot is told if people did it."""
        with self.changed:
            for name, value in content.items():
                setattr(message, name, value)
            message.edit_date = int(self.now())
            message.remember(message.edit_date)
            if not message.is_from_bot:
                is_post = message.chat.kind == "channel"
                self._tell_message(message, "edited_channel_post" if is_post else "edited_message")
            self.changed.notify_all()

    def delete(self, message: Message) -> None:
        with self.changed:
            message.is_deleted = True
            self.changed.notify_all()

    def press(self, user: User, message: Message, data: str) -> Press:
        """Tell the bot of a press on a button of its message."""
        with self.changed:
            press = Press(self.new_id(), user, message, data, self.now())
            self.presses[press.id] = press
            seen = gone_json(message) if message.is_deleted else message_json(message)
            query = {"id": press.id, "from": user_json(user), "chat_instance": str(message.chat.id * 31), "data": data}
            self.updates.put("callback_query", {**query, "message": seen}, f"press {user.id}", _PRESS_LIFETIME_S)
            return press

    def change_member(self, chat: Chat, user: User, status: str, by: User | None) -> None:
        """Set somebody's status and tell the bot: by an update of its own, and as a line in the group's history."""
        with self.changed:
            if by is None:
                owners = [self.users[id] for id, rank in chat.members.items() if rank == "creator"]
                by = owners[0] if user is self.bot and owners else user
            old = chat.members.get(user.id, LEFT)
            chat.members[user.id] = status
            told = "my_chat_member" if user is self.bot else "chat_member"
            change: Json = {"chat": chat_json(chat), "from": user_json(by), "date": int(self.now())}
            change |= {"old_chat_member": member_json(user, old), "new_chat_member": member_json(user, status)}
            if user is self.bot or chat.members.get(self.bot.id) == "administrator":
                self.updates.put(told, change, f"chat {chat.id}", _MESSAGE_LIFETIME_S)
            was_there, is_there = (each not in (LEFT, BLOCKED) for each in (old, status))
            if chat.kind in ("group", "supergroup") and is_there and not was_there:
                self.say(chat, by, extra={"new_chat_members": [user_json(user)]})
            self.changed.notify_all()

    def origin_of(self, message: Message, hide_author: bool) -> Json:
        """Return the forward_origin of a copy of `message`."""
        if message.forward_origin:
            return message.forward_origin
        if message.sender_chat and message.chat.kind == "channel":
            post = {"chat": chat_json(message.chat), "message_id": message.id}
            return {"type": "channel", "date": message.date, **post}
        if message.sender_chat:
            return {"type": "chat", "date": message.date, "sender_chat": chat_json(message.sender_chat)}
        assert message.sender is not None, "only channel posts have no sender"
        if hide_author:
            return {"type": "hidden_user", "date": message.date, "sender_user_name": message.sender.first_name}
        return {"type": "user", "date": message.date, "sender_user": user_json(message.sender)}

    def _add_user(self, name: str, username: str | None, language_code: str | None, *, is_bot: bool = False) -> User:
        with self.changed:
            user = User(self, next(self._user_ids), name, username, language_code, is_bot)
            self.users[user.id] = user
            return user

    def _add_chat(
        self, id: int, kind: str, title: str, people: tuple[User, ...], bot: str, username: str | None
    ) -> Chat:
        with self.changed:
            members = {person.id: "member" for person in people} | {self.bot.id: bot}
            if people:
                members[people[0].id] = "creator"
            self.chats[id] = Chat(self, id, kind, title, username, members)
            return self.chats[id]

    def _next_message_id(self, chat: Chat) -> int:
        # Private chats and basic groups share the account's counter; others count for themselves, so that
        # the same message id turns up in many chats.
        chat.last_message_id = (
            next(self._account_message_ids) if chat.kind in ("private", "group") else chat.last_message_id + 1
        )
        return chat.last_message_id

    def _check_present(self, chat: Chat, sender: User) -> None:
        if chat.upgraded_to:
            raise ValueError(f"{chat.title} has become a supergroup; write there")
        if chat.kind == "private" and chat.members[self.bot.id] == BLOCKED:
            raise ValueError(f"{sender.first_name} has blocked the bot and cannot write to it")
        if sender.speaks_as is None and chat.members.get(sender.id, LEFT) in (LEFT, BLOCKED):
            raise ValueError(f"{sender.first_name} is not in {chat.title}")

    def _tell_message(self, message: Message, kind: str) -> None:
        if self._bot_is_told(message):
            self.updates.put(kind, message_json(message), f"chat {message.chat.id}", _MESSAGE_LIFETIME_S)

    def _bot_is_told(self, message: Message) -> bool:
        chat = message.chat
        status = chat.members.get(self.bot.id, LEFT)
        if status in (LEFT, BLOCKED) or (message.sender and message.sender.is_bot):
            return False
        if not self.privacy_mode or status == "administrator" or chat.kind in ("private", "channel") or message.extra:
            return True
        answers_bot = message.reply_to is not None and message.reply_to.is_from_bot
        return answers_bot or is_command_for(message.text, self.bot.username or "")

    def _forward_to_discussion(self, post: Message, group: Chat) -> None:
        content = {"text": post.text, "caption": post.caption, "entities": post.entities, "media": post.media}
        copied = {**content, "forward_origin": self.origin_of(post, False), "extra": {"is_automatic_forward": True}}
        self.say(group, post.chat.voice, **copied)
