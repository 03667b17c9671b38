"""The browser chat's door: who may come in, as whom, and how often. No web framework; the platform asks here."""

import base64
import contextlib
import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

from snaplabel import labels
from snaplabel.errors import LabelError, SettingsError
from snaplabel.settings import Settings

COOKIE = "snaplabel"
COOKIE_AGE_S = 365 * 24 * 3600
# A page of another site can't send a header of its own choosing without being allowed to.
HEADER = "x-snaplabel"
MAX_NAME = 40
# Where a link leads. Its key stands behind a #, which browsers keep to themselves: no server or proxy can log it.
DOOR = "/door"
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104
PHOTOS_A_MINUTE = 60
POSTS_A_MINUTE = 120
# Whoever has the invite can come in as many people; together they may do as much as this many of them.
PEOPLE_BEHIND_AN_ADDRESS = 10
# Programs have the admin token; the limit is for one that runs wild.
PROGRAM_A_MINUTE = 1200
# People mistype, and a school comes in by one address. Whoever is over it waits, with the right key too.
WRONG_KEYS_A_MINUTE = 20
# Anybody may try tokens at the door, so a given one must be too long to be found.
LEAST_TOKEN = 16
LONGEST_KEY = 500
NOT_INVITED = "You are not in this chat yet. Ask for the invite link."
WRONG_KEY = "This key opens nothing. Perhaps the link was cut off; ask for it again."
SLOW_DOWN = "That is a lot at once. Please wait a minute, then send the rest."
TOO_MANY_KEYS = "Too many wrong keys came from your address. Please wait a minute."
NOT_FROM_HERE = "That did not come from this page, so nothing was done."
# The limiter remembers so many clients, the least recent one goes first.
MAX_CLIENTS = 10_000


def web_token(settings: Settings) -> str:
    """The admin token of the web chat: the given one, or the one kept in the home folder, made when it is not there.

    The front door calls this too, to print the address. Raises SettingsError when the given one is too short, or the
    file can't be read or written.
    """
    if settings.web_token:
        if len(settings.web_token) < LEAST_TOKEN:
            raise SettingsError(f"SNAPLABEL_WEB_TOKEN needs at least {LEAST_TOKEN} letters; empty, and one is made.")
        return settings.web_token
    path = settings.home / "web-token"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _kept_token(path)
        with os.fdopen(handle, "w") as file:
            token = secrets.token_urlsafe()
            file.write(token)
        return token
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read or written: {error.strerror}. Or set SNAPLABEL_WEB_TOKEN."
        ) from error


def _kept_token(path: Path) -> str:
    # Another process may have made the file a moment ago and not have written yet.
    for _ in range(50):
        if token := path.read_text().strip():
            return token
        time.sleep(0.02)
    raise SettingsError(f"{path} is empty. Delete it, and a new token is made.")


class Refused(Exception):
    """A request that is not fulfilled. status: of HTTP; the text is a sentence; more: what else the answer holds."""

    def __init__(self, status: int, sentence: str, **more: Any) -> None:
        super().__init__(sentence)
        self.status = status
        self.more = more


@dataclass(frozen=True)
class Visitor:
    """Somebody with a cookie. person: random and for ever theirs; public: what other pages may know of it."""

    person: str
    name: str = ""
    is_admin: bool = False

    @property
    def public(self) -> str:
        return public_id(self.person)

    def called(self, name: str) -> "Visitor":
        """The same person under another name. Raises LabelError, worded for a person."""
        if not name.strip():
            return replace(self, name="")
        try:
            return replace(self, name=labels.clean(name))
        except LabelError as error:
            raise LabelError(f"A name needs at least one letter and at most {MAX_NAME}.") from error


def public_id(person: str) -> str:
    """What pages call a person by: enough to tell people apart, nothing to pass for one."""
    return hashlib.sha256(f"person {person}".encode()).hexdigest()[:10]


def admin_link(settings: Settings, port: int = 0) -> str:
    """The address that makes whoever opens it an admin of the web chat. port: the bound one, 0: the one in settings."""
    return f"{public_place(settings, port)}{DOOR}#{quote(web_token(settings), safe='')}"


def public_place(settings: Settings, port: int = 0, asked: str = "") -> str:
    """Where others reach the page, without a slash at its end. asked: the address by which somebody just reached it.

    The one in settings wins. What is good on this very machine only, localhost, is told to others only when we listen
    nowhere else.
    """
    if settings.web_url:
        return settings.web_url.rstrip("/")
    if asked and not _is_here(urlsplit(asked).hostname or ""):
        return asked.rstrip("/")
    host = settings.web_host
    if host in EVERYWHERE:
        host = _own_address(socket.AF_INET6 if host == "::" else socket.AF_INET)
    elif asked:
        return asked.rstrip("/")
    elif host == "127.0.0.1":
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port or settings.web_port}"


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_address(family: socket.AddressFamily) -> str:
    """This machine's address in its network, else its name. Asks the routes; nothing is sent."""
    somewhere = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # Addresses kept for documentation.
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((somewhere, 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def address_of(client: str) -> str:
    """What counts as one client's address: of IPv6 the network, since each home has 2^64 addresses or more."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # A Unix socket's client has none.
        return client
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


class Door:
    """Tokens, invites and cookies, all made from the one secret: change that, and everybody has to be invited again."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.invite = base64.urlsafe_b64encode(self._derive("invite")[:18]).decode()
        self._seal = URLSafeTimedSerializer(self._derive("cookie"), salt="visitor")

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token)

    def is_invite(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.invite.encode())

    def is_bearer(self, header: str) -> bool:
        """Whether an Authorization header carries the admin token."""
        scheme, _, given = header.partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given.strip())

    def seal(self, visitor: Visitor) -> str:
        """The cookie of a visitor, signed."""
        return str(self._seal.dumps([visitor.person, visitor.name, visitor.is_admin]))

    def open(self, cookie: str | None) -> Visitor | None:
        """Whose cookie this is; None when it is absent, forged, too old or of another token."""
        if not cookie:
            return None
        try:
            person, name, is_admin = self._seal.loads(cookie, max_age=COOKIE_AGE_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return Visitor(str(person), str(name), is_admin is True)

    def welcome(self, visitor: Visitor | None, *, as_admin: bool) -> Visitor:
        """Who somebody is after following a link: the one they were, perhaps promoted, or somebody new."""
        known = visitor or Visitor(secrets.token_hex(16))
        return replace(known, is_admin=known.is_admin or as_admin)

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self._token, f"snaplabel web {purpose}".encode(), "sha256")


def is_same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a page of this very site sent a request. headers: by lower-case name.

    Sec-Fetch-Site can't be set by a page. Browsers leave it out on plain http away from localhost; there the Origin
    must name the host that was asked.
    """
    if HEADER not in headers:
        return False
    if site := headers.get("sec-fetch-site"):
        return site == "same-origin"
    try:
        return bool(headers.get("host")) and urlsplit(headers.get("origin", "")).netloc == headers.get("host")
    except ValueError:  # "http://[": no browser sends that.
        return False


class Limiter:
    """So many things a minute for each client, counted over the last minute."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._seen: dict[str, deque[float]] = {}

    def allows(self, client: str) -> bool:
        """Whether the client may do one more, which is then counted."""
        times = self._seen.pop(client, None) or deque(maxlen=self.per_minute)
        self._seen[client] = times
        if len(self._seen) > MAX_CLIENTS:
            del self._seen[next(iter(self._seen))]
        if self.is_over(client):
            return False
        times.append(time.monotonic())
        return True

    def is_over(self, client: str) -> bool:
        """Whether the client may do no more at the moment; counts nothing."""
        times = self._seen.get(client)
        return times is not None and len(times) == self.per_minute and time.monotonic() - times[0] < 60
