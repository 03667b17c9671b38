"""Where an import reads from: a folder, or a zip whose members are read in memory and never unpacked to disk."""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from snaplabel.errors import ImageError, SnaplabelError
from snaplabel.images import MAX_BYTES

PHOTO_ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif", ".tif", ".tiff"}
# What fastai and torchvision call the parts of a data set: never labels.
PARTS = {"train", "training", "valid", "validation", "val", "test", "testing"}

LIKE_THIS = "A source looks like this: shirts/arsenal/1.jpg, shirts/chelsea/2.jpg."


@dataclass(frozen=True)
class Found:
    """A file that may be a photo. path: as the person knows it. label: its folder's name; None: it lies in none.

    read: its bytes, from any thread. Raises ImageError when it is too heavy or can't be read.
    """

    path: str
    label: str | None
    read: Callable[[], bytes]


@contextmanager
def opened(source: Path) -> Iterator[tuple[list[Found], int]]:
    """Every photo under a folder or in a zip, by path, and how many other files there are.

    Raises SnaplabelError when it is neither a folder nor a zip.
    """
    if source.is_dir():
        yield _in_folder(source)
    elif not source.exists():
        raise SnaplabelError(f"There is no {source}.")
    elif source.suffix.lower() in PHOTO_ENDINGS:
        raise SnaplabelError(
            f"{source} is a single photo. Put it into a folder that is named after its label, as in birds/wren/1.jpg, "
            "and import the folder around that: birds/."
        )
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                yield _in_zip(archive)
        except (zipfile.BadZipFile, OSError) as error:
            raise SnaplabelError(f"{source} is neither a folder nor a zip that can be read: {error}.") from error


def _in_folder(folder: Path) -> tuple[list[Found], int]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    seen = [(path, PurePosixPath(path.relative_to(folder).as_posix())) for path in paths]
    seen = [(path, inside) for path, inside in seen if not _is_hidden(inside)]
    photos = [Found(str(inside), _label(inside), _from_file(path)) for path, inside in seen if _is_photo(inside)]
    return photos, len(seen) - len(photos)


def _in_zip(archive: zipfile.ZipFile) -> tuple[list[Found], int]:
    members = sorted((member for member in archive.infolist() if not member.is_dir()), key=lambda one: one.filename)
    seen = [(member, PurePosixPath(member.filename.replace("\\", "/"))) for member in members]
    seen = [(member, inside) for member, inside in seen if not _is_hidden(inside)]
    photos = [
        Found(str(inside), _label(inside), _from_zip(archive, member)) for member, inside in seen if _is_photo(inside)
    ]
    return photos, len(seen) - len(photos)


def _is_hidden(inside: PurePosixPath) -> bool:
    """What a person never put there: .DS_Store, __MACOSX/, Thumbs.db, …"""
    parts = [part for part in inside.parts if part != ".."]
    return any(part.startswith((".", "__MACOSX")) for part in parts) or inside.name.lower() == "thumbs.db"


def _is_photo(inside: PurePosixPath) -> bool:
    return inside.suffix.lower() in PHOTO_ENDINGS or not inside.suffix


def parts(found: Iterable[Found]) -> list[str]:
    """What an outer folder calls the parts of its data set, as in train/ and test/; all of them are taken in."""
    return sorted({part for one in found for part in PurePosixPath(one.path).parts[:-1] if part.lower() in PARTS})


def _label(inside: PurePosixPath) -> str | None:
    name = inside.parent.name
    return None if not name or name.lower() in PARTS else name


def _from_file(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with path.open("rb") as file:
                return _bounded(file.read(MAX_BYTES + 1))
        except OSError as error:
            raise ImageError("broken", error.strerror or type(error).__name__) from error

    return read


def _from_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if member.flag_bits & 1:
            raise ImageError("broken", "it is encrypted")
        try:
            with archive.open(member) as file:
                # What the member says of its own size is not to be relied on.
                return _bounded(file.read(MAX_BYTES + 1))
        except ImageError:
            raise
        except Exception as error:  # zlib.error, lzma.LZMAError, NotImplementedError, EOFError, BadZipFile, …
            raise ImageError("broken", type(error).__name__) from error

    return read


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise ImageError("too-heavy", f"over {MAX_BYTES // 2**20} MB")
    return data
