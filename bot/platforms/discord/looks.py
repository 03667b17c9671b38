"""A reply of ours becomes Discord's markdown, buttons and menus; commands and forms get their looks here too."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import discord

from bot.messages import Choice, Command, Reply

# What people read here and on no other platform.
CORRECT, CORRECT_FIELD = "Correct this photo", "Label"
CHOOSE = "Choose…"
THANKS = "Thank you, I'll take a look."
NOT_WRITTEN = "I can't write that down right now. Please try again in a minute."

# Custom ids that begin so: a menu, and a form whose message's id follows.
MENU_ID, CORRECT_ID = "menu:", "correct:"
LONGEST_CONTENT, LONGEST_TITLE = 2000, 256
BUTTON_LABEL, OPTION_LABEL, ROWS, BUTTONS_A_ROW, OPTIONS_A_MENU, MOST_BUTTONS = 80, 100, 5, 5, 25, 12
STYLES = {"good": discord.ButtonStyle.success, "danger": discord.ButtonStyle.danger}
# Kinds of commands and of their options, and where they are offered.
SLASH, ON_A_MESSAGE, TEXT_OPTION, IN_GUILD, IN_DM = 1, 3, 3, 0, 1
# A link, a character that Discord's markdown would take for its own, or one that it does at the start of a line.
MARKS = re.compile(r"(?m)(https?://[^\s<>]+)|^[ \t]*([#>-])|[\\*_~`|\[<]")


def formatted(reply: Reply) -> str:
    """The words of a reply in Discord's markdown, as long as a message may be."""
    title = _cut(_escaped(" ".join(reply.title.split())), LONGEST_TITLE)
    title = f"**{title}**" if title else ""
    text = _cut(_escaped(reply.text), LONGEST_CONTENT - _length(title) - 1)
    left = LONGEST_CONTENT - _length(title) - _length(text) - len("\n\n```\n\n```")
    table = reply.table.replace("``", "`\u200b`")
    if _length(table) > left:
        # Whole lines only; too few of them say nothing.
        table = _cut(table, left - 2).rpartition("\n")[0] + "\n…" if left > LONGEST_TITLE else ""
    table = f"```\n{table}\n```" if table else ""
    return "\n".join(part for part in (title, text, table) if part) or "…"


def _escaped(text: str) -> str:
    """Text that Discord shows as it is: no markdown, no mentions, and links without a preview."""

    def escape(found: re.Match[str]) -> str:
        if found[1]:
            return f"<{found[1]}>"
        return f"{found[0][:-1]}\\{found[0][-1]}"

    return discord.utils.escape_mentions(MARKS.sub(escape, text))


def _length(text: str) -> int:
    """Length in UTF-16 units, in which apps count; never fewer than characters."""
    return len(text.encode("utf-16-le", "replace")) // 2


def _cut(text: str, limit: int) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * limit:
        return text
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip().rstrip("\\") + "…"


def components(reply: Reply) -> discord.ui.View | None:
    """The choices as rows of buttons; when these are too many, those of the commonest kind as menus.

    The view is stopped: discord.py would else keep it, and we tell presses apart by their custom id.
    """
    unique: dict[str, Choice] = {}
    for choice in (choice for row in reply.choices for choice in row):
        unique.setdefault(choice.data, choice)
    rows = [
        [unique.pop(choice.data) for choice in row[n : n + BUTTONS_A_ROW] if choice.data in unique]
        for row in reply.choices
        for n in range(0, len(row), BUTTONS_A_ROW)
    ]
    rows = [row for row in rows if row]
    every = [choice for row in rows for choice in row]
    menus: list[list[Choice]] = []
    if len(rows) > ROWS or len(every) > MOST_BUTTONS:
        kinds = Counter(_kind(choice) for choice in every if choice.style == "plain")
        commonest = kinds.most_common(1)[0][0] if kinds else None
        listed = [choice for choice in every if choice.style == "plain" and _kind(choice) == commonest]
        others = [choice for choice in every if choice not in listed]
        rows = [others[n : n + BUTTONS_A_ROW] for n in range(0, len(others), BUTTONS_A_ROW)][: ROWS - 1]
        menus = [listed[n : n + OPTIONS_A_MENU] for n in range(0, len(listed), OPTIONS_A_MENU)][: ROWS - len(rows)]
    if not rows and not menus:
        return None
    view = discord.ui.View(timeout=None)
    for n, menu in enumerate(menus):
        options = [discord.SelectOption(label=_cut(each.text, OPTION_LABEL) or "…", value=each.data) for each in menu]
        view.add_item(discord.ui.Select(custom_id=f"{MENU_ID}{n}", placeholder=CHOOSE, options=options, row=n))
    for n, row in enumerate(rows, start=len(menus)):
        for each in row:
            label, style = _cut(each.text, BUTTON_LABEL) or "…", STYLES.get(each.style, discord.ButtonStyle.secondary)
            view.add_item(discord.ui.Button(label=label, custom_id=each.data, style=style, row=n))
    view.stop()
    return view


def filename(reply: Reply) -> str:
    """What the picture's file is called: apps show an attachment by its ending."""
    return f"picture{PurePosixPath(reply.picture or '').suffix or '.png'}"


def _kind(choice: Choice) -> str:
    return choice.data.partition(":")[0]


def form(target: str) -> discord.ui.Modal:
    """Asks what a photo shows. It carries the message's id, so it may be sent in after a restart."""
    modal = discord.ui.Modal(title=CORRECT, custom_id=f"{CORRECT_ID}{target}")
    field: discord.ui.TextInput[discord.ui.Modal] = discord.ui.TextInput(custom_id="label", max_length=64)
    modal.add_item(discord.ui.Label(text=CORRECT_FIELD, component=field))
    modal.stop()
    return modal


def menu_of(commands: Sequence[Command]) -> list[dict[str, Any]]:
    """All commands as they are registered, that of a message's own menu among them."""
    menu = [_command(each) for each in commands]
    menu.append({"type": ON_A_MESSAGE, "name": CORRECT, "contexts": [IN_GUILD, IN_DM]})
    return menu


def are_same(menu: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> bool:
    """Whether two lists of registered commands say the same, in whatever order."""
    return sorted(map(_outline, menu)) == sorted(map(_outline, other))


def _command(command: Command) -> dict[str, Any]:
    """A command as it is registered. Those for admins are shown to who may manage the guild; we check again."""
    shown: dict[str, Any] = {"type": SLASH, "name": command.name, "description": command.sentence[:100]}
    shown["contexts"] = [IN_GUILD, IN_DM]
    if command.argument:
        option = {"type": TEXT_OPTION, "name": command.argument, "description": command.argument, "required": False}
        shown["options"] = [option]
    if command.who != "everyone":
        shown["default_member_permissions"] = str(discord.Permissions(manage_guild=True).value)
    return shown


def _outline(command: dict[str, Any]) -> tuple[str, ...]:
    """What of a registered command we care about."""
    options = [f"{each['type']} {each['name']} {each['description']}" for each in command.get("options") or []]
    contexts = ",".join(map(str, sorted(command.get("contexts") or [])))
    needed = str(command.get("default_member_permissions") or "")
    return (command["name"], str(command.get("type", 1)), command.get("description") or "", needed, contexts, *options)
