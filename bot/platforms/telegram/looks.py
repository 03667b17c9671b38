"""A reply of ours becomes Telegram's HTML and keyboard."""

import functools
import io
from html import escape
from pathlib import PurePosixPath

import telegram
from PIL import Image

from bot.messages import Choice, Reply

LONGEST_TITLE = 256
NO_PICTURE_PX, NO_PICTURE_COLOUR = (640, 64), "#7f9a94"
STYLES = {"good": "success", "danger": "danger"}


def formatted(reply: Reply, limit: int) -> str:
    """The words of a reply as HTML, of which `limit` characters can be seen."""
    title = _cut(reply.title, LONGEST_TITLE)
    left = limit - _length(title) - 1
    text = _cut(reply.text, left)
    left -= _length(text) + 1
    table = reply.table
    if _length(table) > left:
        # Whole lines only; too few of them say nothing.
        table = _cut(table, left - 2).rpartition("\n")[0] + "\n…" if left > LONGEST_TITLE else ""
    parts = (f"<b>{escape(title)}</b>" if title else "", escape(text), f"<pre>{escape(table)}</pre>" if table else "")
    return "\n".join(part for part in parts if part)


def _length(text: str) -> int:
    """Length in UTF-16 units, in which Telegram counts; never fewer than characters."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _cut(text: str, limit: int) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def keyboard(reply: Reply) -> telegram.InlineKeyboardMarkup | None:
    def button(choice: Choice) -> telegram.InlineKeyboardButton:
        style = STYLES.get(choice.style)
        return telegram.InlineKeyboardButton(_cut(choice.text, 64), callback_data=choice.data, style=style)

    rows = [[button(choice) for choice in row] for row in reply.choices if row]
    return telegram.InlineKeyboardMarkup(rows) if rows else None


def filename(reply: Reply) -> str:
    """What the picture's file is called: Telegram refuses one whose ending it doesn't know."""
    return f"picture{PurePosixPath(reply.picture or '').suffix or '.png'}"


@functools.cache
def no_picture() -> bytes:
    """A calm strip as PNG, in place of a picture that is to go."""
    out = io.BytesIO()
    Image.new("RGB", NO_PICTURE_PX, NO_PICTURE_COLOUR).save(out, "PNG")
    return out.getvalue()
