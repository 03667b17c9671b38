"""Uploaded files and the signed, expiring links to them."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
import time
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

LINK_LIFETIME_S = 24 * 3600


@dataclass(eq=False)
class Attachment:
    """A file on a message (or given to a slash command, then `is_ephemeral`).

    title: the name as it was uploaded, when Discord had to change it for `filename`; else None.
    """

    id: int
    channel_id: int
    filename: str
    content: bytes = field(repr=False)
    content_type: str | None
    description: str | None = None
    title: str | None = None
    is_ephemeral: bool = False


def tidy_filename(name: str) -> str:
    """Return the name that Discord stores: spaces become underscores, what is not plain ASCII goes."""
    tidied = re.sub(r"[^A-Za-z0-9_.\-]", "", name.replace(" ", "_"))
    return tidied if tidied.strip("._") else f"unknown{tidied}"


class Cdn:
    """Gives out links with `ex`, `is` and `hm`, and serves the bytes while such a link is fresh."""

    def __init__(self) -> None:
        self.base_url = ""
        self._files: dict[tuple[str, str], Attachment] = {}
        self._key = secrets.token_bytes(16)

    def keep(self, attachment: Attachment) -> None:
        """Make an attachment downloadable."""
        self._files[(str(attachment.channel_id), str(attachment.id))] = attachment

    def url(self, attachment: Attachment) -> str:
        """Return a link that is valid from now on for a day, or until `expire_links`."""
        issued = int(time.time())
        folder = "ephemeral-attachments" if attachment.is_ephemeral else "attachments"
        path = f"/{folder}/{attachment.channel_id}/{attachment.id}/{quote(attachment.filename)}"
        ex, since = f"{issued + LINK_LIFETIME_S:x}", f"{issued:x}"
        return f"{self.base_url}{path}?ex={ex}&is={since}&hm={self._sign(str(attachment.id), ex, since)}&"

    def expire_links(self) -> None:
        """Make every link given out so far answer 404; the files stay, so a fresh link works."""
        self._key = secrets.token_bytes(16)

    async def serve(self, request: web.Request) -> web.Response:
        """Answer a download; a wrong, missing or expired signature gets Discord's 404."""
        attachment = self._files.get((request.match_info["channel"], request.match_info["attachment"]))
        ex, since, mark = (request.query.get(name, "") for name in ("ex", "is", "hm"))
        if attachment is None or not hmac.compare_digest(mark, self._sign(str(attachment.id), ex, since)):
            return web.Response(status=404, text="This content is no longer available.")
        if int(ex, 16) < time.time():
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(
            body=attachment.content,
            headers={"Content-Type": attachment.content_type or "application/octet-stream"},
        )

    def _sign(self, name: str, ex: str, since: str) -> str:
        return hmac.new(self._key, f"{name} {ex} {since}".encode(), hashlib.sha256).hexdigest()


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels of a PNG, GIF or JPEG from its header, else None.

    By hand and not with Pillow, which warns about hostile pictures: here they are welcome.
    """
    if content[:8] == b"\x89PNG\r\n\x1a\n" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:6] in (b"GIF87a", b"GIF89a") and len(content) >= 10:
        width, height = struct.unpack("<HH", content[6:10])
        return width, height
    place = 2
    while content[:2] == b"\xff\xd8" and place + 9 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 2 + length
    return None
