"""Commands, presses and forms: written down first, acknowledged then, within the 3 s that Discord gives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import discord

from bot.messages import Host, Incoming
from bot.platforms.discord.calls import quietly, said
from bot.platforms.discord.looks import NOT_WRITTEN, ON_A_MESSAGE, SLASH, THANKS, form
from bot.platforms.discord.posts import command_of, form_of, press_of

log = logging.getLogger(__name__)

# Discord wants the first answer to an interaction within 3 s.
SLOW_S = 1.5


async def take_in(interaction: discord.Interaction, host: Host, thinking: dict[str, asyncio.Event]) -> None:
    """Hand an interaction to the host. thinking: commands by token, each set once Discord shows "thinking…"."""
    data = cast(dict[str, Any], interaction.data or {})
    if interaction.type is discord.InteractionType.application_command:
        if data.get("type", SLASH) == ON_A_MESSAGE:
            await quietly(interaction.response.send_modal(form(str(data["target_id"]))))
        else:
            await _command(interaction, command_of(interaction, data), host, thinking)
    elif interaction.type is discord.InteractionType.component and interaction.message is not None:
        press = press_of(interaction, data, str(interaction.message.id))
        await _hand_in(interaction, press, host, interaction.response.defer)
    elif interaction.type is discord.InteractionType.modal_submit:

        async def thank() -> None:
            await interaction.response.send_message(THANKS, ephemeral=True)

        await _hand_in(interaction, form_of(interaction, data), host, thank)


async def _command(
    interaction: discord.Interaction, post: Incoming, host: Host, thinking: dict[str, asyncio.Event]
) -> None:
    """Show "thinking…", which `Discord.send` makes the answer."""
    shown = thinking[interaction.token] = asyncio.Event()
    try:
        await _hand_in(interaction, post, host, interaction.response.defer)
    finally:
        # The answer may be ready before Discord knows that there will be one.
        shown.set()
        del thinking[interaction.token]


async def _hand_in(
    interaction: discord.Interaction, post: Incoming, host: Host, acknowledge: Callable[[], Awaitable[object]]
) -> None:
    """Write a post down, then acknowledge it; but first acknowledge it when writing takes too long."""
    writing = asyncio.ensure_future(host.receive([post]))
    await asyncio.wait((writing,), timeout=SLOW_S)
    if not writing.done():
        await quietly(acknowledge())
    try:
        await writing
    except Exception as error:
        log.warning("discord: interaction %d could not be written down: %s", interaction.id, said(error))
        if interaction.response.is_done():
            await quietly(interaction.followup.send(NOT_WRITTEN, ephemeral=True))
        else:
            await quietly(interaction.response.send_message(NOT_WRITTEN, ephemeral=True))
    else:
        if not interaction.response.is_done():
            await quietly(acknowledge())
