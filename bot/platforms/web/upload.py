"""Uploads of the browser chat, read from the wire a file at a time: what is too large never fills the memory."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from bot.platforms.web.door import Refused
from snaplabel.images import MAX_BYTES
from snaplabel.voices import REFUSALS

MAX_FILES = 10
MAX_FIELD_BYTES = 8 * 1024
MAX_FIELDS = 20
# Of one part's head, all its headers together; browsers need some 200.
MAX_HEAD_BYTES = 8 * 1024
# A sender that says nothing for this long has gone into a tunnel; the page sends again by itself.
SILENCE_S = 30.0
# A whole album of the heaviest photos at 1.4 Mbit/s. Whoever sends a byte now and then keeps no place for ever.
WHOLE_S = 20 * 60.0

TOO_HEAVY = REFUSALS["too-heavy"]
TOO_MANY = f"At most {MAX_FILES} photos at a time, please."
GARBLED = "That upload arrived garbled. Please send it again."
TOO_SLOW = "That upload took too long. Please send it again."
TOO_MUCH_TEXT = "That is too much text for one message."


@dataclass
class Part:
    """One field or file of a form. filename None: a field."""

    name: str = ""
    filename: str | None = None
    data: bytearray = field(default_factory=bytearray)


async def chunks(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Refused after SILENCE_S without a byte, and after WHOLE_S."""
    until = asyncio.get_running_loop().time() + WHOLE_S
    while True:
        try:
            async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + SILENCE_S)):
                chunk = await anext(stream, None)
        except TimeoutError:
            raise Refused(408, TOO_SLOW) from None
        if chunk is None:
            return
        yield chunk


async def whole(stream: AsyncIterator[bytes]) -> bytes:
    """A body that is one file. Raises Refused."""
    data = bytearray()
    async for chunk in chunks(stream):
        if len(data) + len(chunk) > MAX_BYTES:
            raise Refused(413, TOO_HEAVY)
        data += chunk
    return bytes(data)


async def parts(stream: AsyncIterator[bytes], content_type: str) -> AsyncIterator[Part]:
    """The parts of a multipart form, each as soon as it is complete. Raises Refused.

    Only one file is in memory at a time, of at most MAX_BYTES.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Refused(415, "Send photos as a form (multipart/form-data).")
    form = _Form(boundary)
    files = fields = 0
    try:
        async for chunk in chunks(stream):
            for part in form.feed(chunk):
                files += part.filename is not None
                fields += part.filename is None
                if files > MAX_FILES:
                    raise Refused(413, TOO_MANY)
                if fields > MAX_FIELDS:
                    raise Refused(413, TOO_MUCH_TEXT)
                yield part
        if not form.is_whole:
            raise Refused(400, GARBLED)
    except FormParserError:
        raise Refused(400, GARBLED) from None


async def drain(stream: AsyncIterator[bytes]) -> None:
    """Read on and forget, up to a whole album: a browser that is still sending would not hear our answer."""
    left = MAX_FILES * MAX_BYTES
    async for chunk in chunks(stream):
        left -= len(chunk)
        if left < 0:
            return


class _Form:
    """The parser's callbacks, gathered into parts."""

    def __init__(self, boundary: bytes) -> None:
        self.is_whole = False
        self._part = Part()
        self._header = bytearray()
        self._value = bytearray()
        self._head_bytes = 0
        self._done: list[Part] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_begin": self._on_header_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> list[Part]:
        """The parts that this chunk completed."""
        self._parser.write(chunk)
        done, self._done = self._done, []
        return done

    def _on_part_begin(self) -> None:
        self._part = Part()
        self._head_bytes = 0

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        most = MAX_BYTES if self._part.filename is not None else MAX_FIELD_BYTES
        if len(self._part.data) + end - start > most:
            raise Refused(413, TOO_HEAVY if self._part.filename is not None else TOO_MUCH_TEXT)
        self._part.data += data[start:end]

    def _on_part_end(self) -> None:
        self._done.append(self._part)

    def _on_header_begin(self) -> None:
        self._header, self._value = bytearray(), bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._weigh_head(end - start)
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._weigh_head(end - start)
        self._value += data[start:end]

    def _weigh_head(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES:
            raise Refused(413, TOO_MUCH_TEXT)

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            filename = options.get(b"filename")
            self._part.filename = None if filename is None else filename.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.is_whole = True
