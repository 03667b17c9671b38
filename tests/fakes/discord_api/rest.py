"""The REST routes for the bot itself, for users and guilds."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from . import wire
from .errors import ApiError, Json, missing_access, unknown
from .gateway import Gateway
from .people import User
from .places import THREAD, Guild
from .traffic import BODY, id_in, reply
from .world import Intent, Permission, World


class Rest:
    """Handlers. Each takes the lock for as long as it runs."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self._world = world
        self._gateway = gateway

    def routes(self) -> Sequence[web.RouteDef]:
        """Return the routes below `/api/v10`."""
        table = [
            ("GET", "/gateway", self.gateway),
            ("GET", "/gateway/bot", self.gateway),
            ("GET", "/users/@me", self.me),
            ("GET", "/applications/@me", self.application),
            ("GET", "/oauth2/applications/@me", self.application),
            ("GET", "/users/@me/guilds", self.my_guilds),
            ("POST", "/users/@me/channels", self.open_dm),
            ("GET", "/users/{user}", self.user),
            ("GET", "/guilds/{guild}", self.guild),
            ("GET", "/guilds/{guild}/channels", self.guild_channels),
            ("GET", "/guilds/{guild}/roles", self.guild_roles),
            ("GET", "/guilds/{guild}/members", self.guild_members),
            ("GET", "/guilds/{guild}/members/{user}", self.guild_member),
            ("GET", "/guilds/{guild}/threads/active", self.active_threads),
        ]
        return [web.route(method, f"/api/v10{path}", handler) for method, path, handler in table]

    async def gateway(self, request: web.Request) -> web.Response:
        """Where to connect."""
        shown: Json = {"url": self._gateway.url}
        if request.path.endswith("/bot"):
            left = 1000 - len(self._gateway.identifies)
            limit = {"total": 1000, "remaining": left, "reset_after": 86_400_000, "max_concurrency": 1}
            shown |= {"shards": 1, "session_start_limit": limit}
        return reply(shown)

    async def me(self, request: web.Request) -> web.Response:
        """The bot's own user."""
        return reply({**wire.user_json(self._world.bot), "verified": True, "mfa_enabled": True, "email": None})

    async def application(self, request: web.Request) -> web.Response:
        """The bot's application."""
        return reply(wire.application_json(self._world))

    async def my_guilds(self, request: web.Request) -> web.Response:
        """Partial guilds of the bot."""
        with self._world.changing():
            mine = [each for each in self._world.guilds.values() if self._world.bot.id in each.members]
            shown: list[Json] = [
                {
                    "id": str(each.id),
                    "name": each.name,
                    "icon": None,
                    "owner": False,
                    "permissions": str(int(each.permissions_of(self._world.bot))),
                    "features": [],
                }
                for each in mine
            ]
            return reply(shown)

    async def user(self, request: web.Request) -> web.Response:
        """Anybody."""
        return reply(wire.user_json(self._user(request)))

    async def open_dm(self, request: web.Request) -> web.Response:
        """The direct messages with somebody."""
        with self._world.changing():
            user = self._world.users.get(int(request[BODY].payload["recipient_id"]))
            if user is None:
                raise unknown("User")
            if user is self._world.bot:
                raise ApiError(400, 50007, "Cannot send messages to this user")
            return reply(wire.channel_json(user.dm()))

    async def guild(self, request: web.Request) -> web.Response:
        """One guild."""
        with self._world.changing():
            return reply(wire.guild_json(self._world, self._guild(request)))

    async def guild_channels(self, request: web.Request) -> web.Response:
        """A guild's channels without threads."""
        with self._world.changing():
            found = [each for each in self._guild(request).channels if each.kind != THREAD]
            return reply([wire.channel_json(each) for each in found])

    async def guild_roles(self, request: web.Request) -> web.Response:
        """A guild's roles."""
        return reply([wire.role_json(each) for each in self._guild(request).roles.values()])

    async def guild_members(self, request: web.Request) -> web.Response:
        """A guild's members, by id; only with the privileged intent switched on."""
        with self._world.changing():
            guild = self._guild(request)
            if Intent.GUILD_MEMBERS not in self._world.privileged_intents:
                raise missing_access()
            after, limit = int(request.query.get("after", 0)), int(request.query.get("limit", 1))
            found = [guild.members[each] for each in sorted(guild.members) if each > after]
            return reply([wire.member_json(each) for each in found[:limit]])

    async def guild_member(self, request: web.Request) -> web.Response:
        """One member."""
        with self._world.changing():
            guild = self._guild(request)
            member = guild.members.get(self._user(request).id)
            if member is None:
                raise unknown("Member")
            return reply(wire.member_json(member))

    async def active_threads(self, request: web.Request) -> web.Response:
        """A guild's threads that the bot can see."""
        with self._world.changing():
            threads = [each for each in self._guild(request).channels if each.kind == THREAD]
            seen = [each for each in threads if Permission.VIEW_CHANNEL in each.permissions_of(self._world.bot)]
            return reply({"threads": [wire.channel_json(each) for each in seen], "members": []})

    def _user(self, request: web.Request) -> User:
        asked = request.match_info["user"]
        user = self._world.bot if asked == "@me" else self._world.users.get(id_in(request, "user"))
        if user is None:
            raise unknown("User")
        return user

    def _guild(self, request: web.Request) -> Guild:
        guild = self._world.guilds.get(id_in(request, "guild"))
        if guild is None:
            raise unknown("Guild")
        if self._world.bot.id not in guild.members:
            raise missing_access()
        return guild
