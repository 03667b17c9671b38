"""What people fill in, as an interaction's data: the options of commands, the questions of forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import wire
from .cdn import Attachment, tidy_filename
from .errors import Json, NotPossible
from .forms import LABEL, ROW, TEXT_INPUT
from .interactions import CHAT_INPUT, MESSAGE_COMMAND, Command, Modal
from .places import Channel
from .world import World

if TYPE_CHECKING:
    from .messages import Message

SUBCOMMAND, SUBCOMMAND_GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, NUMBER, FILE = 1, 2, 3, 4, 5, 6, 7, 10, 11


def slash_data(
    world: World, command: Command, path: Sequence[str], given: Mapping[str, Any], focused: str | None, channel: Channel
) -> Json:
    """Return the data of a slash command from what a person filled in; NotPossible if the app would not send it.

    path: the names of subcommand group and subcommand. focused: the option being typed, for autocomplete.
    """
    resolved: Json = {}
    options, shell = command.options, []
    for name in path:
        found = [each for each in options if each["name"] == name and each["type"] in (SUBCOMMAND, SUBCOMMAND_GROUP)]
        if not found:
            raise NotPossible(f"/{command.name} has no subcommand {name!r}")
        shell.append(found[0])
        options = found[0].get("options") or []
    if any(each["type"] in (SUBCOMMAND, SUBCOMMAND_GROUP) for each in options):
        raise NotPossible(f"/{command.name} wants one of {[each['name'] for each in options]}")
    known = {each["name"]: each for each in options}
    if stray := set(given) - set(known):
        raise NotPossible(f"/{command.name} has no options {sorted(stray)}; it has {sorted(known)}")
    missing = [each["name"] for each in options if each.get("required") and each["name"] not in given]
    if missing and focused is None:
        raise NotPossible(f"/{command.name} wants {missing} filled in")
    filled: list[Json] = []
    for name, value in given.items():
        filled.append(_filled(world, known[name], value, resolved, channel, is_typing=focused == name))
    for each in reversed(shell):
        filled = [{"name": each["name"], "type": each["type"], "options": filled}]
    data: Json = {"id": str(command.id), "name": command.name, "type": CHAT_INPUT, "options": filled}
    if command.guild:
        data["guild_id"] = str(command.guild.id)
    return {**data, "resolved": resolved} if resolved else data


def _filled(world: World, option: Json, value: Any, resolved: Json, channel: Channel, *, is_typing: bool) -> Json:
    shown: Json = {"name": option["name"], "type": option["type"], "value": value}
    if is_typing:
        return {**shown, "value": str(value), "focused": True}
    choices = {each["name"]: each["value"] for each in option.get("choices") or []}
    if choices:
        if value not in choices and value not in choices.values():
            raise NotPossible(f"{option['name']} offers {sorted(choices)}, not {value!r}")
        shown["value"] = choices.get(value, value)
    expected = {STRING: str, INTEGER: int, BOOLEAN: bool, NUMBER: (int, float)}.get(option["type"])
    if expected and not isinstance(shown["value"], expected):  # type: ignore[arg-type]
        raise NotPossible(f"{option['name']} does not take {value!r}")
    if option["type"] == USER:
        resolved.setdefault("users", {})[str(value.id)] = wire.user_json(value)
        member = channel.guild.members.get(value.id) if channel.guild else None
        if member:
            shown_member = wire.member_json(member, with_user=False)
            shown_member["permissions"] = str(int(channel.permissions_of(value)))
            resolved.setdefault("members", {})[str(value.id)] = shown_member
        shown["value"] = str(value.id)
    elif option["type"] == CHANNEL:
        resolved.setdefault("channels", {})[str(value.id)] = {**wire.channel_json(value), "permissions": "0"}
        shown["value"] = str(value.id)
    elif option["type"] == FILE:
        name, content, content_type = value
        file = Attachment(world.ids.next(), channel.id, tidy_filename(name), content, content_type, is_ephemeral=True)
        world.cdn.keep(file)
        resolved.setdefault("attachments", {})[str(file.id)] = wire.attachment_json(world, file)
        shown["value"] = str(file.id)
    return shown


def message_command_data(world: World, command: Command, message: Message) -> Json:
    """Return the data of a command used on a message; the message is readable without any intent."""
    seen = wire.message_json(world, message, reads_all=True)
    data: Json = {
        "id": str(command.id),
        "name": command.name,
        "type": MESSAGE_COMMAND,
        "target_id": str(message.id),
        "resolved": {"messages": {str(message.id): seen}},
    }
    return {**data, "guild_id": str(command.guild.id)} if command.guild else data


def submit_data(modal: Modal, answers: Mapping[str, str | Sequence[str]]) -> Json:
    """Return the data of a submitted modal; `answers` by label or custom_id.

    NotPossible if Discord's app would not send it.
    """
    values: dict[str, str | list[str]] = {}
    named = {field.label: field for field in modal.fields} | {field.custom_id: field for field in modal.fields}
    if stray := set(answers) - set(named):
        raise NotPossible(f"the form has no {sorted(stray)}; it has {[each.label for each in modal.fields]}")
    filled = {named[name].custom_id: answer for name, answer in answers.items()}
    for each in modal.fields:
        answer = filled.get(each.custom_id, each.value if each.kind == TEXT_INPUT else ())
        if each.kind == TEXT_INPUT:
            if not isinstance(answer, str) or (each.is_required and not answer):
                raise NotPossible(f"{each.label!r} must be filled in")
            if answer and not each.shortest <= len(answer) <= each.longest:
                raise NotPossible(f"{each.label!r} takes {each.shortest} to {each.longest} characters")
            values[each.custom_id] = answer
        else:
            chosen = [answer] if isinstance(answer, str) else list(answer)
            by_label = dict(each.options)
            values[each.custom_id] = [by_label.get(label, label) for label in chosen]

    def answered(component: Json) -> Json:
        if component["type"] == ROW:
            return {"type": ROW, "components": [answered(child) for child in component["components"]]}
        if component["type"] == LABEL:
            return {"type": LABEL, "id": component.get("id", 0), "component": answered(component["component"])}
        custom_id = component.get("custom_id")
        if custom_id is None:
            return {"type": component["type"], "id": component.get("id", 0)}
        key = "value" if component["type"] == TEXT_INPUT else "values"
        return {"type": component["type"], "custom_id": custom_id, key: values.get(custom_id, "")}

    return {"custom_id": modal.custom_id, "components": [answered(each) for each in modal.components]}
