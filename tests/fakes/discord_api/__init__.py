"""A stand-in for Discord: REST API v10, gateway and CDN over real sockets, and the people on the other side.

    with DiscordApi() as discord_api:
        guild = discord_api.guild("Squirrel watchers")
        channel = guild.text_channel("photos")
        anna = guild.join(discord_api.user("anna"))
        ...  # a bot connects: REST below f"{discord_api.url}/api/v10", gateway from GET /gateway/bot
        anna.send(channel, "what is this?", [("squirrel.jpg", jpeg, "image/jpeg")])
        answer = discord_api.wait_for(lambda: channel.from_bot and channel.from_bot[-1])
        anna.press(answer, "Red squirrel")

Rules, limits, error codes and wordings follow Discord's public documentation and issue tracker; where the stand-in
knows less than Discord it refuses (404 with code 0), it never pretends.

Left out on purpose: voice, stickers, polls, forums, categories, emojis of guilds, webhooks that are not an
interaction's, presence and typing events, and Discord's own rate limits (use `limit`).
"""

from .cdn import Attachment
from .errors import NotPossible
from .interactions import Command, Field, Interaction, Modal
from .messages import Button, Menu, Message, Option, Version
from .people import User
from .places import Channel, Guild, Role
from .server import DiscordApi
from .traffic import Call
from .world import EVERYDAY_PERMISSIONS, Intent, Permission

__all__ = [
    "EVERYDAY_PERMISSIONS",
    "Attachment",
    "Button",
    "Call",
    "Channel",
    "Command",
    "DiscordApi",
    "Field",
    "Guild",
    "Intent",
    "Interaction",
    "Menu",
    "Message",
    "Modal",
    "NotPossible",
    "Option",
    "Permission",
    "Role",
    "User",
    "Version",
]
