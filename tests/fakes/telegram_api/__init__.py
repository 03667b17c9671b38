"""A stand-in for Telegram: the Bot API over real HTTP, and the people on the other side of it.

    with TelegramApi() as telegram:
        anna = telegram.person("Anna")
        chat = telegram.private_chat(anna)
        anna.send_photo(chat, jpeg_bytes)
        answer, *_ = telegram.wait_for(lambda: chat.from_bot)
        anna.press(answer, "Yes")

A bot talks to it as to the real one: `base_url=telegram.base_url`, `base_file_url=telegram.base_file_url`,
`token=telegram.token`. Wordings and rules of refusals follow the public sources of Telegram's own server
(tdlib/telegram-bot-api and tdlib/td); where the stand-in knows less than Telegram it refuses, it never pretends.

Left out on purpose: Telegram's own flood limits (use `fail_next(status=429)`), its habit of stretching an empty
short poll to 3 s, inline mode, payments, forum topics, Markdown.
"""

from .files import scaled_jpegs
from .people import BLOCKED, LEFT, Chat, Message, Press, User, Version
from .server import Call, TelegramApi

__all__ = [
    "BLOCKED",
    "LEFT",
    "Call",
    "Chat",
    "Message",
    "Press",
    "TelegramApi",
    "User",
    "Version",
    "scaled_jpegs",
]
