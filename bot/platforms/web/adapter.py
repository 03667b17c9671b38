"""The web chat as a Platform: what the house may ask of it, and what its routes share."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from bot.messages import Attachment, Host, Incoming, Reply
from bot.platforms.web import room, server, upload
from bot.platforms.web.door import (
    PHOTOS_A_MINUTE,
    POSTS_A_MINUTE,
    SLOW_DOWN,
    Door,
    Limiter,
    Refused,
    Visitor,
    web_token,
)
from bot.platforms.web.live import Live
from bot.platforms.web.room import PLATFORM, ROOM, Item, Shot, Shown, stamp
from snaplabel.database import now
from snaplabel.errors import NotStored, PlatformError, StoreError
from snaplabel.settings import Settings
from snaplabel.store import photo_key
from snaplabel.voices import REFUSALS

T = TypeVar("T")
UPLOADS_AT_A_TIME = 8  # Each holds at most one file, 20 MB, in memory.
KEPT_PICTURES = 128


class Web:
    """One room for everybody with a link, and the API. port: where it listens, None while it does not."""

    name = PLATFORM

    def __init__(self, settings: Settings, host: Host) -> None:
        self.settings = settings
        self.host = host
        self.door = Door(web_token(settings))
        self.live = Live()
        self.port: int | None = None
        self.photos_allowed = Limiter(PHOTOS_A_MINUTE)
        self.posts_allowed = Limiter(POSTS_A_MINUTE)
        self.uploading = asyncio.Semaphore(UPLOADS_AT_A_TIME)
        self._pictures: OrderedDict[str, bytes] = OrderedDict()

    async def run(self) -> None:
        """Serve until cancelled. Raises SettingsError when the address can't be had."""
        listener = server.listen(self.settings.web_host, self.settings.web_port)
        self.port = listener.getsockname()[1]
        try:
            await server.serve(self, listener)
        finally:
            listener.close()
            self.port = None

    async def fetch(self, attachment: Attachment) -> bytes:
        try:
            return await self.host.read(str(attachment.handle["key"]))
        except NotStored as error:
            raise PlatformError("the upload is not in the store any more", permanent=True) from error
        except StoreError as error:
            raise PlatformError(str(error)) from error

    async def send(self, chat: str, reply: Reply, *, reply_to: str | None, nonce: str) -> str:
        answer = f"a{nonce}"
        if chat == ROOM:
            self._show(answer, reply, reply_to, is_new=True)
        return answer

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        if chat == ROOM:
            self._show(message, reply, None, is_new=False)

    async def busy(self, chat: str) -> None:
        """Nothing: the page shows by itself that an answer is awaited."""

    def _show(self, answer: str, reply: Reply, reply_to: str | None, *, is_new: bool) -> None:
        self.live.shows(answer, reply)
        shown = Shown(answer, stamp(now()), reply_to, room.drawn(answer, reply))
        self.live.tell("answer", {**asdict(shown), "is_new": is_new})

    async def ask(self, query: Callable[..., T], *args: object) -> T:
        """What a query on a session finds, looked up in a thread."""

        def look() -> T:
            with self.host.database.read() as session:
                return query(session, *args)

        return await asyncio.to_thread(look)

    async def picture(self, sha256: str) -> bytes:
        """A stored photo, coded anew for a page; the last ones are kept. Raises NotStored, StoreError, ImageError."""
        found = self._pictures.pop(sha256, None)
        if found is None:
            found = await asyncio.to_thread(room.as_shown, await self.host.read(photo_key(sha256)))
        self._pictures[sha256] = found
        if len(self._pictures) > KEPT_PICTURES:
            self._pictures.popitem(last=False)
        return found

    async def post(self, visitor: Visitor, posts: list[Incoming], text: str, reply_to: str | None) -> Item:
        """Hand posts of one message to the house, then show them on every page."""
        await self.host.receive(posts)
        first = posts[0]
        photos = tuple(Shot(post.position) for post in posts if post.kind == "photo")
        kind = "photos" if photos else "text"
        item = Item(kind, first.message, stamp(now()), visitor.public, visitor.name, text, reply_to, photos)
        if text:
            self.live.said(item)
        self.live.tell("post", item.to_json())
        return item

    async def upload(self, request: Request, client: str | None) -> tuple[list[Attachment], dict[str, str]]:
        """The files of a form, in the store already, and its fields. client: whose photos are counted, None: nobody's.

        Raises Refused, StoreError.
        """
        stream, kind = request.stream(), request.headers.get("content-type", "")
        attachments: list[Attachment] = []
        fields: dict[str, str] = {}
        try:
            async with self.uploading:
                async for part in upload.parts(stream, kind):
                    if part.filename is None:
                        fields[part.name] = part.data.decode("utf-8", "replace")
                    elif part.filename or part.data:
                        if client is not None and not self.photos_allowed.allows(client):
                            raise Refused(429, SLOW_DOWN)
                        attachments.append(await self.keep(bytes(part.data), part.filename))
        except ClientDisconnect:
            raise Refused(400, upload.GARBLED) from None
        except Refused as error:
            if error.status in (413, 429):
                with contextlib.suppress(ClientDisconnect, Refused):
                    await upload.drain(stream)
            raise
        if not attachments:
            raise Refused(400, REFUSALS["empty"])
        return attachments, fields

    async def keep(self, data: bytes, name: str = "") -> Attachment:
        return Attachment({"key": await self.host.keep(data)}, name[:100], len(data))
