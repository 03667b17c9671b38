"""The web chat as a Platform: what the house may ask of it, and what its routes share."""

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from bot.messages import Attachment, Host, Incoming, Reply
from bot.platforms.web import room, server, upload
from bot.platforms.web.door import (
    PEOPLE_BEHIND_AN_ADDRESS,
    PHOTOS_A_MINUTE,
    POSTS_A_MINUTE,
    PROGRAM_A_MINUTE,
    SLOW_DOWN,
    WRONG_KEYS_A_MINUTE,
    Door,
    Limiter,
    Refused,
    Visitor,
    web_token,
)
from bot.platforms.web.guard import Guard, address
from bot.platforms.web.live import Live
from bot.platforms.web.room import PLATFORM, ROOM, Item, Shot, Shown, stamp
from snaplabel.database import now
from snaplabel.errors import NotStored, PlatformError, StoreError
from snaplabel.settings import Settings
from snaplabel.store import photo_key
from snaplabel.voices import REFUSALS

T = TypeVar("T")
UPLOADS_AT_A_TIME = 8  # Each holds at most one file, 20 MB, in memory.
# So that nobody who sends a byte now and then keeps the others waiting.
UPLOADS_OF_ONE = 3
UPLOADS_OF_PROGRAMS = 6
KEPT_PICTURES = 128


class Web:
    """One room for everybody with a link, and the API. port: where it listens, None while it does not."""

    name = PLATFORM

    def __init__(self, settings: Settings, host: Host) -> None:
        self.settings = settings
        self.host = host
        self.door = Door(web_token(settings))
        self.guard = Guard(self)
        self.live = Live()
        self.port: int | None = None
        self.photos_allowed = Limiter(PHOTOS_A_MINUTE)
        self.posts_allowed = Limiter(POSTS_A_MINUTE)
        self.photos_of_address = Limiter(PEOPLE_BEHIND_AN_ADDRESS * PHOTOS_A_MINUTE)
        self.posts_of_address = Limiter(PEOPLE_BEHIND_AN_ADDRESS * POSTS_A_MINUTE)
        self.program_allowed = Limiter(PROGRAM_A_MINUTE)
        self.wrong_keys = Limiter(WRONG_KEYS_A_MINUTE)
        self._uploading = asyncio.Semaphore(UPLOADS_AT_A_TIME)
        self._programs_uploading = asyncio.Semaphore(UPLOADS_OF_PROGRAMS)
        self._uploads_of: Counter[str] = Counter()
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

    async def find(self, chat: str, answer: int, reply: Reply, *, reply_to: str | None) -> str | None:
        """Never anything: a page shows an answer once, however often it is told of it."""
        return None

    async def edit(self, chat: str, message: str, reply: Reply) -> None:
        if chat == ROOM:
            self._show(message, reply, None, is_new=False)

    async def busy(self, chat: str) -> None:
        """Nothing: the page shows by itself that an answer is awaited."""

    async def manages(self, chat: str, person: str) -> bool:
        """Nobody: here admins come by the admin's link."""
        return False

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

    @contextlib.asynccontextmanager
    async def uploading(self, person: str | None) -> AsyncIterator[None]:
        """A turn to send photos. person None: a program, which waits for its turn. Raises Refused."""
        if person is None:
            async with self._programs_uploading, self._uploading:
                yield
            return
        if self._uploads_of[person] >= UPLOADS_OF_ONE:
            raise Refused(429, SLOW_DOWN)
        self._uploads_of[person] += 1
        try:
            async with self._uploading:
                yield
        finally:
            self._uploads_of[person] -= 1
            self._uploads_of += Counter()  # Forgets who sends nothing.

    async def upload(self, request: Request, person: str | None) -> tuple[list[Attachment], dict[str, str]]:
        """The files of a form, in the store already, and its fields. person: whose photos are counted, None: nobody's.

        Raises Refused, StoreError.
        """
        stream, kind = request.stream(), request.headers.get("content-type", "")
        attachments: list[Attachment] = []
        fields: dict[str, str] = {}
        try:
            async with self.uploading(person):
                async for part in upload.parts(stream, kind):
                    if part.filename is None:
                        fields[part.name] = part.data.decode("utf-8", "replace")
                    elif part.filename or part.data:
                        if person is not None and not self._takes_photo(person, address(request)):
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

    def _takes_photo(self, person: str, address: str) -> bool:
        return self.photos_allowed.allows(person) and self.photos_of_address.allows(address)

    async def keep(self, data: bytes, name: str = "") -> Attachment:
        return Attachment({"key": await self.host.keep(data)}, name[:100], len(data))
