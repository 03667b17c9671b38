"""Files that are odd or hostile, written byte by byte: what no library would save."""

import io
import struct
import zlib

from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def png(width: int, height: int, *, chunks: bytes = b"", rows: int = 1) -> bytes:
    """A PNG whose header says so much and which holds `rows` black rows; more chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * (1 + 3 * width) * rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gif(screen: int, frame: int) -> bytes:
    """A GIF of 43 bytes: a square screen, and a frame on it that Pillow fills with the background while it opens it."""
    head = b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"!\xf9\x04\x08\0\0\0\0"
    return head + control + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x4c\x01\x00;"


def bmp(width: int, height: int, *, runs: bytes | None = None) -> bytes:
    """A BMP with 256 colours whose header says so much; runs: its pixels, run-length coded."""
    kind = 1 if runs is not None else 0
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, kind, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024) + (runs or b"")


def webp(width: int, height: int) -> bytes:
    """A WebP of nothing but a header that says so much."""
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + size + bytes(80)


def scans(width: int, height: int, more: int) -> bytes:
    """A progressive JPEG with its last scan so many times more."""
    file = encoded(Image.new("RGB", (width, height)), "JPEG", progressive=True)
    last = file[file.rfind(b"\xff\xda") : -2]
    return file[:-2] + last * more + b"\xff\xd9"


def padded_jpeg(size: int, padding: bytes) -> bytes:
    """A JPEG with so many bytes of padding behind its first two."""
    file = encoded(Image.new("RGB", (64, 64)), "JPEG")
    return file[:2] + padding * (size // len(padding)) + file[2:]


def with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """A JPEG with these bytes for EXIF."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 8 + len(exif)) + b"Exif\0\0" + exif + jpeg[2:]
