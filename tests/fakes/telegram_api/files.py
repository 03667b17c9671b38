"""Files as Telegram keeps them: photos in several sizes, download links that expire."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import count

from PIL import Image, ImageOps

from .errors import Json, bad_request

BIGGEST_DOWNLOAD = 20 << 20
"""Bytes; getFile refuses more (MAX_DOWNLOAD_FILE_SIZE in telegram-bot-api)."""
BIGGEST_PHOTO_UPLOAD = 10 << 20
LINK_LIFETIME_S = 3600.0
"""Telegram promises "at least 1 hour"; the stand-in keeps the promise and not a second more."""
_FOLDERS = {"voice": "voice", "sticker": "stickers"}
LONGEST_SIDES = (90, 320, 800, 1280)
"""Pixels: Telegram's photo sizes s, m, x and y. Phones shrink what is bigger; nothing is ever enlarged."""


@dataclass(eq=False)
class StoredFile:
    """One downloadable file. `link_expires_at` is unix time; 0 means that nobody asked for a link yet."""

    file_id: str
    unique_id: str
    content: bytes = field(repr=False)
    path: str
    width: int = 0
    height: int = 0
    link_expires_at: float = 0.0

    def wire(self) -> Json:
        """Return the fields that every file object of the Bot API has."""
        return {"file_id": self.file_id, "file_unique_id": self.unique_id, "file_size": len(self.content)}


@dataclass(eq=False)
class Media:
    """The attachment of one message.

    kind: the name of its field in the Bot API ("photo", "document", …).
    files: for a photo its sizes, smallest first; else exactly one.
    details: the fields beside the file (file_name, mime_type, duration, …).
    """

    kind: str
    files: list[StoredFile]
    details: Json = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The biggest version's bytes."""
        return self.files[-1].content

    def wire(self) -> Json:
        """Return the message fields of this attachment."""
        if self.kind == "photo":
            return {"photo": [{**file.wire(), "width": file.width, "height": file.height} for file in self.files]}
        described = {**self.files[-1].wire(), **self.details}
        # A GIF is announced twice, for bots older than the animation field.
        return {"animation": described, "document": described} if self.kind == "animation" else {self.kind: described}


class Shelf:
    """All files by id and by path. Ids look like Telegram's, and say nothing about the content."""

    def __init__(self) -> None:
        self._by_id: dict[str, StoredFile] = {}
        self._by_path: dict[str, StoredFile] = {}
        self._media_by_id: dict[str, Media] = {}
        self._numbers = count(1)

    def keep(self, content: bytes, folder: str, ending: str, width: int = 0, height: int = 0) -> StoredFile:
        """Store content as a new file; the same bytes sent twice are two files, as at Telegram."""
        number = next(self._numbers)
        file = StoredFile(
            file_id=f"AgACAgIAAxkBAAI{number:06d}{folder[:3]}-Q_stand_in",
            unique_id=f"AQAD{number:06d}eHk",
            content=content,
            path=f"{folder}/file_{number}{ending}",
            width=width,
            height=height,
        )
        self._by_id[file.file_id] = self._by_path[file.path] = file
        return file

    def photo(self, picture: bytes, *, as_is: bool = False) -> Media:
        """Store a compressed photo.

        as_is: keep the bytes unread as the one and only size, for pictures that no phone would have produced.
        Raises OSError if `picture` is not an image and not `as_is`.
        """
        sizes = [(picture, 640, 480)] if as_is else scaled_jpegs(picture)
        files = [self.keep(content, "photos", ".jpg", width, height) for content, width, height in sizes]
        return self._catalogue(Media("photo", files))

    def uploaded_photo(self, picture: bytes) -> Media:
        """Store the photo that a bot uploads, or refuse it as Telegram does."""
        if len(picture) > BIGGEST_PHOTO_UPLOAD:
            limit = f"too big for a photo; the maximum size is {BIGGEST_PHOTO_UPLOAD} bytes"
            raise bad_request(f"file of size {len(picture)} bytes is {limit}")
        try:
            with Image.open(io.BytesIO(picture)) as image:
                width, height = image.size
            if width + height > 10_000 or max(width, height) > 20 * min(width, height):
                raise bad_request("PHOTO_INVALID_DIMENSIONS")
            return self.photo(picture)
        except OSError as error:
            raise bad_request("IMAGE_PROCESS_FAILED") from error

    def other(self, kind: str, content: bytes, ending: str, details: Json) -> Media:
        """Store anything that is not a compressed photo."""
        return self._catalogue(Media(kind, [self.keep(content, _FOLDERS.get(kind, f"{kind}s"), ending)], details))

    def sent_before(self, kind: str, file_id: str) -> Media | None:
        """Return the attachment of that kind that a bot names by a file id, to send it again."""
        media = self._media_by_id.get(file_id)
        return media if media is not None and media.kind == kind else None

    def link(self, file_id: str, now: float) -> Json:
        """Return getFile's answer and keep its link alive for an hour."""
        file = self._by_id.get(file_id)
        if file is None:
            raise bad_request("invalid file_id")
        if len(file.content) > BIGGEST_DOWNLOAD:
            raise bad_request("file is too big")
        file.link_expires_at = now + LINK_LIFETIME_S
        return {**file.wire(), "file_path": file.path}

    def download(self, path: str, now: float) -> bytes | None:
        """Return the content behind a link; None if the link is unknown or has expired."""
        file = self._by_path.get(path)
        return file.content if file is not None and now < file.link_expires_at else None

    def expire_links(self) -> None:
        """Make every link given out so far answer 404; asking getFile again revives it."""
        for file in self._by_path.values():
            file.link_expires_at = 0.0

    def _catalogue(self, media: Media) -> Media:
        self._media_by_id |= dict.fromkeys((file.file_id for file in media.files), media)
        return media


def scaled_jpegs(picture: bytes) -> list[tuple[bytes, int, int]]:
    """Return (JPEG, width, height) for each size Telegram would offer, smallest first.

    Upright and without metadata, as a phone sends them. Raises OSError if `picture` is not an image.
    """
    with Image.open(io.BytesIO(picture)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    longest = max(upright.size)
    sides = [side for side in LONGEST_SIDES if side < longest]
    if longest <= LONGEST_SIDES[-1]:
        sides.append(longest)
    sizes = []
    for side in sides:
        scaled = upright.copy()
        scaled.thumbnail((side, side))
        jpeg = io.BytesIO()
        scaled.save(jpeg, "JPEG", quality=87)
        sizes.append((jpeg.getvalue(), *scaled.size))
    return sizes
