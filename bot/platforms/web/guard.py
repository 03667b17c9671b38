"""Who asks, and may they: every route of the page and the API lets people and programs in through here."""

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import BaseModel, Field

from bot.platforms.web import door
from bot.platforms.web.door import Refused, Visitor
from bot.platforms.web.room import API, ROOM

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

HOW_TO_ASK = "Send the admin token: Authorization: Bearer <token>."
NOT_THE_ONE = (
    "This is not the admin token. It is SNAPLABEL_WEB_TOKEN, or else what web-token in the home folder holds: "
    "Authorization: Bearer <token>."
)
BEARER = HTTPBearer(auto_error=False, description="The admin token of the web chat (SNAPLABEL_WEB_TOKEN).")
COOKIE = APIKeyCookie(name=door.COOKIE, auto_error=False, description="The page's, for whoever was let in at the door.")
# Dependencies that do nothing but say in the OpenAPI document what is asked for.
Token = Annotated[object, Security(BEARER)]
Session = Annotated[object, Security(COOKIE)]


class Key(BaseModel):
    """What somebody shows at the door: the admin token, or the invite."""

    key: str = Field(max_length=door.LONGEST_KEY)


class Guard:
    """The checks that routes depend on; each raises Refused."""

    def __init__(self, web: "Web") -> None:
        self._web = web

    def member(self, request: Request) -> Visitor:
        """Somebody with a cookie."""
        visitor = self._web.door.open(request.cookies.get(door.COOKIE))
        if visitor is None:
            raise Refused(401, door.NOT_INVITED)
        return visitor

    def poster(self, request: Request) -> Visitor:
        """A member who may do one thing more, asked by the page itself."""
        visitor = self.member(request)
        self.posts(request, visitor.person)
        return visitor

    def posts(self, request: Request, person: str) -> None:
        """Count one post of a person, which must come from the page itself."""
        if not door.is_same_origin(request.headers):
            raise Refused(403, door.NOT_FROM_HERE)
        web = self._web
        if not (web.posts_allowed.allows(person) and web.posts_of_address.allows(address(request))):
            raise Refused(429, door.SLOW_DOWN)

    def owner(self, request: Request, _token: Token) -> None:
        """A program with the admin token; what it does is counted."""
        if not self.is_program(request):
            raise Refused(401, HOW_TO_ASK)

    def guest(self, request: Request, _token: Token, _session: Session) -> str:
        """Who may look, a program or a member: returns the chat whose model is meant."""
        if self.is_program(request):
            return API
        self.member(request)
        return ROOM

    def is_program(self, request: Request) -> bool:
        """Whether a request carries the admin token. A wrong one is refused, cookie or not, and counted."""
        header = request.headers.get("authorization", "")
        # A proxy's own password comes as "Basic" and is none of our business.
        if not header or header.lower().startswith("basic "):
            return False
        self._may_try(request)
        if not self._web.door.is_bearer(header):
            self._web.wrong_keys.allows(address(request))
            raise Refused(401, NOT_THE_ONE)
        if request.method == "POST" and not self._web.program_allowed.allows(API):
            raise Refused(429, door.SLOW_DOWN)
        return True

    def welcome(self, request: Request, key: str) -> Visitor:
        """Whom the door lets in with this key."""
        if not door.is_same_origin(request.headers):
            raise Refused(403, door.NOT_FROM_HERE)
        self._may_try(request)
        known = self._web.door.open(request.cookies.get(door.COOKIE))
        if self._web.door.is_token(key):
            return self._web.door.welcome(known, as_admin=True)
        if self._web.door.is_invite(key):
            return self._web.door.welcome(known, as_admin=False)
        self._web.wrong_keys.allows(address(request))
        raise Refused(401, door.WRONG_KEY)

    def _may_try(self, request: Request) -> None:
        # Once over the limit the right key opens nothing either: else an answer would still tell a guess from a key.
        if self._web.wrong_keys.is_over(address(request)):
            raise Refused(429, door.TOO_MANY_KEYS)


def address(request: Request) -> str:
    """Where a request came from. Behind a proxy it is what the proxy says, if uvicorn trusts it
    (FORWARDED_ALLOW_IPS; by default one on this machine)."""
    return door.address_of(request.client.host) if request.client is not None else ""


def header_of(error: Refused) -> dict[str, Any]:
    """The headers that belong to a refusal, beside its sentence (RFC 9110, RFC 6585)."""
    return {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}.get(error.status, {})
