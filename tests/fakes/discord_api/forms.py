"""The limits that Discord puts on what a bot sends: messages, components, modals, commands.

Limits from the public documentation (resources/message, components/reference, interactions/application-commands).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .errors import Form, Json

CONTENT_LIMIT = 2000
NONCE_LIMIT = 25
EMBEDS_LIMIT = 10
EMBED_CHARACTERS_LIMIT = 6000
COMPONENTS_V2 = 1 << 15
EPHEMERAL = 1 << 6
ROW, BUTTON, TEXT_INPUT, LABEL = 1, 2, 4, 18
SELECTS = (3, 5, 6, 7, 8)
LINK_STYLE, PREMIUM_STYLE = 5, 6
_COMMAND_NAME = re.compile(r"[-_'\w]{1,32}")


def walk(components: list[Json]) -> Iterator[Json]:
    """Yield every component, also those inside rows, sections, containers and labels."""
    for component in components:
        yield component
        yield from walk(component.get("components", []))
        yield from walk([component[key] for key in ("accessory", "component") if key in component])


def check_message(body: Json, prefix: str = "") -> None:
    """Raise ApiError 50035 if a message breaks a limit; `prefix` is `data.` in an interaction's answer."""
    form = Form()
    form.length(f"{prefix}content", body.get("content"), 0, CONTENT_LIMIT)
    nonce = body.get("nonce")
    form.length(f"{prefix}nonce", None if nonce is None else str(nonce), 0, NONCE_LIMIT)
    _check_embeds(form, body.get("embeds") or [], f"{prefix}embeds")
    _check_allowed_mentions(form, body.get("allowed_mentions") or {}, f"{prefix}allowed_mentions")
    is_v2 = bool((body.get("flags") or 0) & COMPONENTS_V2)
    if is_v2:
        for name in ("content", "embeds"):
            if body.get(name):
                words = f"The '{name}' field cannot be used when using MessageFlags.IS_COMPONENTS_V2"
                form.refuse(f"{prefix}{name}", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", words)
    _check_components(form, body.get("components") or [], f"{prefix}components", is_v2)
    form.close()


def _check_allowed_mentions(form: Form, allowed: Json, path: str) -> None:
    for kind in ("users", "roles"):
        if kind in allowed.get("parse", []) and allowed.get(kind):
            words = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            form.refuse(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", words)


def _check_embeds(form: Form, embeds: list[Json], path: str) -> None:
    form.length(path, embeds, 0, EMBEDS_LIMIT)
    characters = 0
    for index, embed in enumerate(embeds):
        place = f"{path}.{index}"
        limited: list[tuple[str, Any, int, int]] = [
            ("title", embed.get("title"), 0, 256),
            ("description", embed.get("description"), 0, 4096),
            ("footer.text", (embed.get("footer") or {}).get("text"), 0, 2048),
            ("author.name", (embed.get("author") or {}).get("name"), 0, 256),
        ]
        form.length(f"{place}.fields", embed.get("fields") or [], 0, 25)
        for number, each in enumerate(embed.get("fields") or []):
            limited.append((f"fields.{number}.name", each.get("name"), 1, 256))
            limited.append((f"fields.{number}.value", each.get("value"), 1, 1024))
        for name, value, shortest, longest in limited:
            form.length(f"{place}.{name}", value, shortest, longest)
            characters += len(value or "")
    if characters > EMBED_CHARACTERS_LIMIT:
        form.refuse(path, "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {EMBED_CHARACTERS_LIMIT}")


def _check_components(form: Form, components: list[Json], path: str, is_v2: bool) -> None:
    seen: set[str] = set()
    if not is_v2:
        form.length(path, components, 0, 5)
    for index, component in enumerate(components):
        if not is_v2 and component.get("type") != ROW:
            form.refuse(f"{path}.{index}.type", "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (1,).')
        else:
            _check_component(form, component, f"{path}.{index}", seen)


def _check_component(form: Form, component: Json, path: str, seen: set[str]) -> None:
    kind = component.get("type")
    children = component.get("components", [])
    if kind == ROW:
        form.length(f"{path}.components", children, 1, 5)
        width = 0
        for index, child in enumerate(children):
            width += 5 if child.get("type") in SELECTS else 1
            if width > 5 and index < 5:
                words = "The specified component exceeds the maximum width"
                form.refuse(f"{path}.components.{index}", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", words)
    if kind == BUTTON:
        form.length(f"{path}.label", component.get("label"), 0, 80)
        if not component.get("label") and not component.get("emoji") and component.get("style") != PREMIUM_STYLE:
            form.refuse(f"{path}.label", "BASE_TYPE_REQUIRED", "This field is required")
        if component.get("style") == LINK_STYLE:
            form.length(f"{path}.url", component.get("url"), 1, 512)
    if kind in SELECTS:
        form.length(f"{path}.placeholder", component.get("placeholder"), 0, 150)
        if kind == 3:
            _check_options(form, component.get("options"), f"{path}.options")
    if kind in (*SELECTS, TEXT_INPUT) or (kind == BUTTON and component.get("style") not in (LINK_STYLE, PREMIUM_STYLE)):
        custom_id = component.get("custom_id")
        form.length(f"{path}.custom_id", custom_id, 1, 100)
        if custom_id in seen:
            words = "Component custom id cannot be duplicated"
            form.refuse(f"{path}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", words)
        seen.add(str(custom_id))
    for index, child in enumerate(children):
        _check_component(form, child, f"{path}.components.{index}", seen)
    for key in ("accessory", "component"):
        if key in component:
            _check_component(form, component[key], f"{path}.{key}", seen)


def _check_options(form: Form, options: list[Json] | None, path: str) -> None:
    form.length(path, options, 1, 25)
    seen: set[str] = set()
    for index, option in enumerate(options or []):
        form.length(f"{path}.{index}.label", option.get("label"), 1, 100)
        form.length(f"{path}.{index}.value", option.get("value"), 1, 100)
        form.length(f"{path}.{index}.description", option.get("description"), 0, 100)
        if option.get("value") in seen:
            words = "The specified option value is already used"
            form.refuse(f"{path}.{index}.value", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", words)
        seen.add(str(option.get("value")))


def check_modal(data: Json) -> None:
    """Raise ApiError 50035 if a modal breaks a limit."""
    form = Form()
    form.length("data.custom_id", data.get("custom_id"), 1, 100)
    form.length("data.title", data.get("title"), 1, 45)
    form.length("data.components", data.get("components"), 1, 5)
    seen: set[str] = set()
    for index, component in enumerate(data.get("components") or []):
        path = f"data.components.{index}"
        if component.get("type") == LABEL:
            form.length(f"{path}.label", component.get("label"), 1, 45)
            form.length(f"{path}.description", component.get("description"), 0, 100)
        for number, child in enumerate(component.get("components", [])):
            form.length(f"{path}.components.{number}.label", child.get("label"), 1, 45)
        for child in walk([component]):
            if child.get("type") == TEXT_INPUT:
                form.length(f"{path}.value", child.get("value"), 0, 4000)
                form.length(f"{path}.placeholder", child.get("placeholder"), 0, 100)
        _check_component(form, component, path, seen)
    form.close()


def check_commands(commands: list[Json]) -> None:
    """Raise ApiError 50035 if a list of application commands breaks a limit."""
    form = Form()
    seen: set[tuple[int, str]] = set()
    form.length("commands", commands, 0, 100)
    for index, command in enumerate(commands):
        kind, name = command.get("type", 1), command.get("name") or ""
        _check_name(form, f"{index}.name", name, is_typed=kind == 1)
        if kind == 1:
            form.length(f"{index}.description", command.get("description"), 1, 100)
            _check_command_options(form, command.get("options") or [], f"{index}.options")
        elif command.get("description"):
            form.refuse(
                f"{index}.description",
                "APPLICATION_COMMAND_INVALID_DESCRIPTION",
                "Context menu commands cannot have description",
            )
        if (kind, name) in seen:
            words = "Application command names must be unique"
            form.refuse(str(index), "APPLICATION_COMMANDS_DUPLICATE_NAME", words)
        seen.add((kind, name))
    form.close()


def _check_name(form: Form, path: str, name: str, is_typed: bool) -> None:
    form.length(path, name, 1, 32)
    if is_typed and (not _COMMAND_NAME.fullmatch(name) or name != name.lower()):
        form.refuse(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def _check_command_options(form: Form, options: list[Json], path: str) -> None:
    form.length(path, options, 0, 25)
    was_optional = False
    for index, option in enumerate(options):
        place = f"{path}.{index}"
        _check_name(form, f"{place}.name", option.get("name") or "", is_typed=True)
        form.length(f"{place}.description", option.get("description"), 1, 100)
        form.length(f"{place}.choices", option.get("choices"), 0, 25)
        if option.get("required") and was_optional:
            words = "Required options must be placed before non-required options"
            form.refuse(place, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", words)
        was_optional = was_optional or not option.get("required")
        _check_command_options(form, option.get("options") or [], f"{place}.options")
