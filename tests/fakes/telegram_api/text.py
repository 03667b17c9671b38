"""Telegram's rules for text: entities, HTML, lengths, buttons (after MessageEntity.cpp in tdlib/td)."""

from __future__ import annotations

import html
import re

from .errors import Json, bad_request

LONGEST_TEXT = 4096
LONGEST_CAPTION = 1024
BIGGEST_CALLBACK_DATA = 64

_COMMAND = re.compile(r"(?<![\w/<>])/([a-zA-Z0-9_]{1,64})(?:@([a-zA-Z0-9_]{3,32}))?(?![\w/<>])")
_TOKEN = re.compile(
    r"<(?P<slash>/?)(?P<name>[^<>\s/]*)(?P<rest>[^<>]*)(?P<end>>?)|&(?:lt|gt|amp|quot|#\d+|#x[\da-fA-F]+);"
)
_ATTRIBUTE = re.compile(r"([\w-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))")
_TAGS = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline", "ins": "underline",
    "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough", "tg-spoiler": "spoiler",
    "span": "spoiler", "code": "code", "pre": "pre", "blockquote": "blockquote", "a": "text_link",
    "tg-emoji": "custom_emoji",
}  # fmt: skip
_ACTIONS = {"url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "callback_game", "pay"}


def utf16_length(text: str) -> int:
    """Return the length in UTF-16 code units, in which Telegram counts entity offsets."""
    return len(text.encode("utf-16-le")) // 2


def commands_in(text: str) -> list[Json]:
    """Return the bot_command entities of a text that a person wrote."""
    return [
        {"type": "bot_command", "offset": utf16_length(text[: found.start()]), "length": len(found.group())}
        for found in _COMMAND.finditer(text)
    ]


def is_command_for(text: str, username: str) -> bool:
    """Say whether a text opens with a command that may be meant for the bot of that name."""
    found = _COMMAND.match(text)
    return found is not None and (found.group(2) or username).lower() == username.lower()


def formatted(text: str, parse_mode: str, entities: list[Json], limit: int, what: str) -> tuple[str, list[Json]]:
    """Return what people see of a bot's text, and its entities.

    what: "message" or "message caption", for the refusal when more than `limit` characters are left after parsing.
    Raises ApiError for unreadable markup. Markdown is refused, because the stand-in cannot judge it.
    """
    if parse_mode.lower() == "html":
        text, entities = _parse_html(text)
    elif parse_mode:
        raise bad_request(f"unsupported parse_mode (the stand-in reads HTML only, not {parse_mode})")
    shown = text.strip()
    if len(shown) > limit:
        raise bad_request(f"{what} is too long")
    lead = utf16_length(text[: len(text) - len(text.lstrip())])
    return shown, [{**entity, "offset": entity["offset"] - lead} for entity in entities] or commands_in(shown)


def _parse_html(source: str) -> tuple[str, list[Json]]:
    shown, entities, position = "", [], 0
    open_tags: list[tuple[str, int, Json]] = []
    for token in _TOKEN.finditer(source):
        shown += source[position : token.start()]
        position = token.end()
        if token["name"] is None:
            shown += html.unescape(token.group())
            continue
        where = f"at byte offset {len(source[: token.start()].encode())}"
        name = token["name"].lower()
        if token["slash"]:
            if not open_tags:
                raise _unreadable(f"Unexpected end tag {where}")
            opened, offset, extra = open_tags.pop()
            if name not in ("", opened):
                raise _unreadable(f'Unmatched end tag {where}, expected "</{opened}>", found "</{name}>"')
            if length := utf16_length(shown) - offset:
                entities.append({"type": _TAGS[opened], "offset": offset, "length": length, **extra})
            continue
        if name not in _TAGS:
            raise _unreadable(f'Unsupported start tag "{name}" {where}')
        if not token["end"]:
            raise _unreadable(f"Unclosed start tag {where}")
        given = {key.lower(): html.unescape(a or b or c) for key, a, b, c in _ATTRIBUTE.findall(token["rest"])}
        if name == "span" and given.get("class") != "tg-spoiler":
            raise _unreadable(f'Tag "span" must have class "tg-spoiler" {where}')
        extra = {"url": given.get("href", "")} if name == "a" else {}
        open_tags.append((name, utf16_length(shown), extra))
    if open_tags:
        raise _unreadable(f'Can\'t find end tag corresponding to start tag "{open_tags[-1][0]}"')
    return shown + source[position:], sorted(entities, key=lambda entity: (entity["offset"], -entity["length"]))


def _unreadable(reason: str) -> Exception:
    return bad_request(f"can't parse entities: {reason}")


def check_markup(markup: Json | None) -> Json | None:
    """Return the reply markup if Telegram would take it; None for no inline keyboard worth keeping."""
    if not markup:
        return None
    if "inline_keyboard" not in markup:
        return markup
    for row in markup["inline_keyboard"]:
        for button in row:
            if not button.get("text"):
                raise bad_request('can\'t parse inline keyboard button: Field "text" must be non-empty')
            if not _ACTIONS & button.keys():
                reason = "Text buttons are unallowed in the inline keyboard"
                raise bad_request(f"can't parse inline keyboard button: {reason}")
            if not 0 < len(button.get("callback_data", "-").encode()) <= BIGGEST_CALLBACK_DATA:
                raise bad_request("BUTTON_DATA_INVALID")
    rows = [row for row in markup["inline_keyboard"] if row]
    return {"inline_keyboard": rows} if rows else None
