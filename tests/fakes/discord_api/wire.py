"""The pretend world as Discord's JSON. Nothing in here changes anything."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from .cdn import Attachment, picture_size
from .errors import Json
from .world import Permission, World

if TYPE_CHECKING:
    from .interactions import Command, Interaction
    from .messages import Message
    from .people import User
    from .places import Channel, Guild, Member, Role

UPLOAD_LIMIT_BYTES = 10 * 1024 * 1024
_TEXT_CHANNEL, _DM, _THREAD = 0, 1, 11


def iso(moment: datetime) -> str:
    """Return a time as Discord writes it."""
    return moment.isoformat(timespec="microseconds")


def user_json(user: User) -> Json:
    """Return a user object."""
    return {
        "id": str(user.id),
        "username": user.name,
        "global_name": None if user.is_bot else user.name,
        "discriminator": "0000" if user.is_bot else "0",
        "avatar": None,
        "bot": user.is_bot,
        "public_flags": 0,
        "flags": 0,
    }


def member_json(member: Member, *, with_user: bool = True) -> Json:
    """Return a guild member object."""
    shown: Json = {
        "nick": member.nick,
        "avatar": None,
        "roles": [str(role.id) for role in member.roles],
        "joined_at": iso(member.joined_at),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "communication_disabled_until": None,
    }
    return {**shown, "user": user_json(member.user)} if with_user else shown


def role_json(role: Role) -> Json:
    """Return a role object."""
    return {
        "id": str(role.id),
        "name": role.name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": role.position,
        "permissions": str(int(role.permissions)),
        "managed": role.is_managed,
        "mentionable": role.is_mentionable,
        "flags": 0,
    }


def channel_json(channel: Channel) -> Json:
    """Return a channel object: text channel, thread or direct message."""
    last = str(channel.posts[-1].id) if channel.posts else None
    shown: Json = {"id": str(channel.id), "type": channel.kind, "last_message_id": last, "flags": 0}
    if channel.recipient:
        return {**shown, "recipients": [user_json(channel.recipient)]}
    assert channel.guild is not None
    shown |= {"guild_id": str(channel.guild.id), "name": channel.name, "rate_limit_per_user": 0}
    if channel.kind == _THREAD:
        assert channel.parent is not None
        assert channel.owner is not None
        return shown | {
            "parent_id": str(channel.parent.id),
            "owner_id": str(channel.owner.id),
            "message_count": len(channel.messages),
            "total_message_sent": len(channel.posts),
            "member_count": 1,
            "thread_metadata": {
                "archived": False,
                "auto_archive_duration": 1440,
                "archive_timestamp": iso(channel.guild.members[channel.owner.id].joined_at),
                "locked": False,
            },
        }
    overwrites = [
        {"id": str(id_), "type": 0 if each.is_role else 1, "allow": str(int(each.allow)), "deny": str(int(each.deny))}
        for id_, each in channel.overwrites.items()
    ]
    return shown | {
        "position": 0,
        "parent_id": None,
        "topic": None,
        "nsfw": False,
        "permission_overwrites": overwrites,
    }


def guild_json(world: World, guild: Guild, *, is_event: bool = False, shows_members: bool = False) -> Json:
    """Return a guild object; as an event it also carries channels, threads and members."""
    shown: Json = {
        "id": str(guild.id),
        "name": guild.name,
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "description": None,
        "owner_id": str(guild.owner.id),
        "region": "deprecated",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "premium_progress_bar_enabled": False,
        "preferred_locale": "en-US",
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "vanity_url_code": None,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": [role_json(role) for role in guild.roles.values()],
    }
    if not is_event:
        return shown
    bot = guild.members[world.bot.id]
    members = list(guild.members.values()) if shows_members else [bot]
    readable = [each for each in guild.channels if Permission.VIEW_CHANNEL in each.permissions_of(world.bot)]
    return shown | {
        "joined_at": iso(bot.joined_at),
        "large": False,
        "member_count": len(guild.members),
        "members": [member_json(member) for member in members],
        "channels": [channel_json(each) for each in guild.channels if each.kind != _THREAD],
        "threads": [channel_json(each) for each in readable if each.kind == _THREAD],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def attachment_json(world: World, attachment: Attachment) -> Json:
    """Return an attachment object with a link signed just now."""
    url = world.cdn.url(attachment)
    size = picture_size(attachment.content)
    optional: Json = {
        "title": attachment.title,
        "description": attachment.description,
        "content_type": attachment.content_type,
        "width": size[0] if size else None,
        "height": size[1] if size else None,
        "ephemeral": attachment.is_ephemeral or None,
    }
    return {
        "id": str(attachment.id),
        "filename": attachment.filename,
        "size": len(attachment.content),
        "url": url,
        "proxy_url": url,
        **{name: value for name, value in optional.items() if value is not None},
    }


def message_json(
    world: World,
    message: Message,
    *,
    reads_all: bool,
    is_event: bool = False,
    is_nested: bool = False,
) -> Json:
    """Return a message object.

    reads_all: the reader has the message-content intent; without it, words, embeds, files and buttons of other
    people's guild messages are empty unless the message mentions the bot.
    is_event: with `guild_id` and `member`, which REST leaves out.
    """
    channel, guild = message.channel, message.channel.guild
    is_readable = reads_all or guild is None or message.author is world.bot or world.bot in message.mentions.users
    shown: Json = {
        "id": str(message.id),
        "type": message.kind,
        "channel_id": str(channel.id),
        "author": user_json(message.author),
        "content": message.content if is_readable else "",
        "embeds": [_embed_json(world, message, each) for each in message.embeds] if is_readable else [],
        "attachments": [attachment_json(world, each) for each in message.attachments] if is_readable else [],
        "components": message.components if is_readable else [],
        "mentions": [_mentioned_json(guild, user) for user in message.mentions.users],
        "mention_roles": [str(role.id) for role in message.mentions.roles],
        "mention_everyone": message.mentions.everyone,
        "timestamp": iso(message.created_at),
        "edited_timestamp": iso(message.edited_at) if message.edited_at else None,
        "flags": message.flags,
        "pinned": False,
        "tts": False,
    }
    if message.reactions:
        shown["reactions"] = [
            {
                "emoji": {"id": None, "name": emoji},
                "count": len(people),
                "count_details": {"normal": len(people), "burst": 0},
                "me": world.bot in people,
                "me_burst": False,
                "burst_colors": [],
            }
            for emoji, people in message.reactions.items()
        ]
    if is_event:
        shown["channel_type"] = channel.kind
        if guild and not message.is_ephemeral:
            shown["guild_id"] = str(guild.id)
            if message.author.id in guild.members:
                shown["member"] = member_json(guild.members[message.author.id], with_user=False)
    if message.nonce is not None:
        shown["nonce"] = message.nonce
    if message.interaction:
        shown |= _interaction_marks(world, message.interaction)
    pointed = message.reply_to or message.forwarded
    if pointed:
        shown["message_reference"] = {
            "type": 1 if message.forwarded else 0,
            "message_id": str(pointed.id),
            "channel_id": str(pointed.channel.id),
            **({"guild_id": str(pointed.channel.guild.id)} if pointed.channel.guild else {}),
        }
    if message.reply_to and not is_nested:
        gone = message.reply_to.is_deleted
        shown["referenced_message"] = (
            None if gone else message_json(world, message.reply_to, reads_all=reads_all, is_nested=True)
        )
    if message.forwarded:
        whole = message_json(world, message.forwarded, reads_all=is_readable, is_nested=True)
        kept = ("type", "content", "embeds", "attachments", "timestamp", "edited_timestamp", "flags", "components")
        snapshot: Json = {name: whole[name] for name in kept} | {"mentions": [], "mention_roles": []}
        if not is_readable:
            snapshot |= {"content": "", "embeds": [], "attachments": [], "components": []}
        shown["message_snapshots"] = [{"message": snapshot}]
    return shown


def _mentioned_json(guild: Guild | None, user: User) -> Json:
    member = guild.members.get(user.id) if guild else None
    return {**user_json(user), "member": member_json(member, with_user=False)} if member else user_json(user)


def _embed_json(world: World, message: Message, embed: Json) -> Json:
    shown: Json = {"type": "rich", **embed}
    for place in ("image", "thumbnail"):
        url = (embed.get(place) or {}).get("url", "")
        if url.startswith("attachment://"):
            named = [each for each in message.attachments if each.filename == url.removeprefix("attachment://")]
            if named:
                shown[place] = {**embed[place], "url": world.cdn.url(named[0])}
    return shown


def _interaction_marks(world: World, interaction: Interaction) -> Json:
    owners = {"0": str(interaction.channel.guild.id) if interaction.channel.guild else "0"}
    metadata: Json = {
        "id": str(interaction.id),
        "type": interaction.kind,
        "user": user_json(interaction.user),
        "authorizing_integration_owners": owners,
    }
    marks: Json = {"application_id": str(world.bot.id), "webhook_id": str(world.bot.id)}
    if interaction.message:
        metadata["interacted_message_id"] = str(interaction.message.id)
    if interaction.command:
        named = {"id": str(interaction.id), "type": interaction.kind, "name": interaction.command.name}
        marks["interaction"] = {**named, "user": user_json(interaction.user)}
    return {**marks, "interaction_metadata": metadata}


def application_json(world: World) -> Json:
    """Return the application object that the bot sees of itself."""
    return {
        "id": str(world.bot.id),
        "name": world.bot.name,
        "icon": None,
        "description": "",
        "summary": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": 1 << 23,
        "owner": user_json(world.owner),
        "team": None,
        "approximate_guild_count": len(world.guilds),
        "bot": user_json(world.bot),
    }


def command_json(world: World, command: Command) -> Json:
    """Return an application command object."""
    shown: dict[str, Any] = {
        **command.definition,
        "id": str(command.id),
        "application_id": str(world.bot.id),
        "version": str(command.id),
    }
    return {**shown, "guild_id": str(command.guild.id)} if command.guild else shown
