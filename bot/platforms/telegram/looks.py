"""A reply of ours becomes Telegram's HTML and keyboard."""

from html import escape

import telegram

from bot.messages import Choice, Reply

LONGEST_TITLE = 256
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
