"""Bytes from strangers → safe, upright RGB; every refusal has a reason. Pillow only: no numpy, no torch."""

import io
import math
import re
import struct
from dataclasses import dataclass
from operator import mul

from PIL import Image, ImageOps

from snaplabel.errors import ImageError
from snaplabel.store import sha256_of

# Pillow's other plugins are where hostile files bite (some .blp take 654 MB). MPO, the phone's JPEG with a second
# picture inside, is opened by the JPEG plugin.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
MAX_BYTES = 20 * 1024 * 1024
# One decoded photo is then at most 150 MB, whatever its file claims.
MAX_PIXELS = 50_000_000
MIN_SIDE = 16
# Larger photos are stored scaled down: no network here looks at more, and a phone's 16 MP cost 5 MB each.
STORED_SIDE = 1280
HASH_BITS_APART = 8
COLOURS_APART = 14.0
ORIENTATION = 0x0112  # EXIF tag
REASONS = ("empty", "too-heavy", "no-photo", "broken", "too-large", "too-small")
Image.MAX_IMAGE_PIXELS = None  # Our own check below refuses sooner, and without a warning printed at a thread.


@dataclass(frozen=True)
class Prepared:
    """A photo ready to be stored.

    data: JPEG without metadata (no EXIF, no GPS), upright, at most STORED_SIDE pixels a side.
    sha256: of the bytes as they came, so that the same file is known again.
    phash: 64-bit perceptual hash as a signed integer. colours: 4×4 mean RGB, 48 bytes.
    """

    data: bytes
    sha256: str
    phash: int
    colours: bytes
    width: int
    height: int


def prepare(data: bytes) -> Prepared:
    """A stranger's bytes as a photo to store. Raises ImageError with one of REASONS."""
    image = _open(data)
    keeps = image.format == "JPEG" and image.mode in ("RGB", "L") and max(image.size) <= STORED_SIDE
    keeps = keeps and image.getexif().get(ORIENTATION, 1) in (0, 1)
    rgb = _rgb(image, scale_to=STORED_SIDE)
    stored = _without_metadata(data) if keeps else _as_jpeg(rgb)
    phash, colours = fingerprint(rgb)
    return Prepared(stored, sha256_of(data), phash, colours, rgb.width, rgb.height)


def load(data: bytes, at_least: int = STORED_SIDE) -> Image.Image:
    """Upright RGB of a photo; the shorter side may come scaled down to no less than `at_least` pixels.

    libjpeg scales by 1/2, 1/4 or 1/8 while it decodes, which saves most of the decoding. Raises ImageError.
    """
    image = _open(data)
    return _rgb(image, scale_to=None, at_least=at_least)


def fingerprint(rgb: Image.Image) -> tuple[int, bytes]:
    """Perceptual hash (signed 64 bit) and 4×4 mean colours (48 bytes) of a photo.

    The hash: which of the 64 lowest frequencies of a 32×32 cosine transform lie above their median (Zauner 2010).
    """
    grey = rgb.convert("L").resize((32, 32), Image.Resampling.BOX)
    flat = list(grey.tobytes())
    rows = [[sum(map(mul, wave, flat[y * 32 : y * 32 + 32])) for wave in _WAVES] for y in range(32)]
    columns = list(zip(*rows, strict=True))
    low = [sum(map(mul, wave, column)) for wave in _WAVES for column in columns]
    middle = sorted(low[1:])[31]
    bits = sum(1 << n for n, value in enumerate(low) if value > middle)
    signed = bits - (1 << 64) if bits >> 63 else bits
    return signed, rgb.resize((4, 4), Image.Resampling.BOX).tobytes()


_WAVES = [[math.cos(math.pi / 32 * (x + 0.5) * u) for x in range(32)] for u in range(8)]


def bands(phash: int) -> tuple[int, int, int, int]:
    """The four 16-bit parts of a hash: two hashes at most three bits apart share one for certain."""
    unsigned = phash & 0xFFFF_FFFF_FFFF_FFFF
    return (unsigned & 0xFFFF, unsigned >> 16 & 0xFFFF, unsigned >> 32 & 0xFFFF, unsigned >> 48)


def bits_apart(one: int, other: int) -> int:
    return ((one ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def near(one: tuple[int, bytes], other: tuple[int, bytes]) -> bool:
    """Whether two fingerprints are of the same picture: rescaled, recompressed, a little brighter.

    The colours count too, since two football shirts in front of the same wall differ in nothing else.
    """
    if bits_apart(one[0], other[0]) > HASH_BITS_APART:
        return False
    return sum(abs(a - b) for a, b in zip(one[1], other[1], strict=True)) / 48 <= COLOURS_APART


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ImageError("empty")
    if len(data) > MAX_BYTES:
        raise ImageError("too-heavy", f"{len(data)} bytes")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's plugins raise ValueError, TypeError, SyntaxError, struct.error, …
        known = data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n" or data[:4] in (b"RIFF", b"GIF8")
        raise ImageError("broken" if known else "no-photo", type(error).__name__) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError("too-large", f"{width}×{height}")
    if min(width, height) < MIN_SIDE:
        raise ImageError("too-small", f"{width}×{height}")
    return image


def _rgb(image: Image.Image, scale_to: int | None, at_least: int = 0) -> Image.Image:
    try:
        if image.format in ("JPEG", "MPO"):
            side = at_least
            if scale_to:  # The longer side must not fall below scale_to.
                side = math.ceil(scale_to * min(image.size) / max(image.size))
            # draft() picks the smallest scale whose both sides are at least the size asked for.
            image.draft(None, (side, side))
        image.load()
        if image.mode.startswith("I;16"):
            # convert() clips 16-bit grey at 255; the upper byte is what an 8-bit file would hold.
            image = image.point(lambda value: value * (1 / 256)).convert("L")
        if image.mode == "I":
            image = image.point(lambda value: value * (1 / 256)).convert("L")
        if scale_to and max(image.size) > scale_to and image.mode in ("RGB", "L"):
            image = _scaled(image, scale_to)
        image = ImageOps.exif_transpose(image)
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        rgb = image.convert("RGB")
        return _scaled(rgb, scale_to) if scale_to else rgb
    except MemoryError:
        raise
    except Exception as error:
        raise ImageError("broken", type(error).__name__) from error


def _scaled(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) <= side:
        return image
    ratio = side / max(image.size)
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    scaled = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    scaled.info = image.info
    if ORIENTATION in image.getexif():
        scaled.getexif()[ORIENTATION] = image.getexif()[ORIENTATION]
    return scaled


def _as_jpeg(rgb: Image.Image) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", rgb.size, rgb.tobytes()).save(out, "JPEG", quality=92)
    return out.getvalue()


def _without_metadata(jpeg: bytes) -> bytes:
    """The JPEG file without its APP1–APP13, APP15 and comment segments: same pixels, no EXIF, GPS, XMP or thumbnails.

    APP0 (JFIF) and APP14 (Adobe, which says how colours are coded) stay. Source: ITU-T T.81, B.1.1.4.
    Bytes after the end of the picture (polyglots, a second picture) go too.
    """
    kept, at, in_scan = [jpeg[:2]], 2, False
    while segment := _MARKER.search(jpeg, at):
        # After a start of scan come coded pixels, where a byte FF is always followed by 00 or a restart mark;
        # anywhere else what lies between two segments is junk.
        kept.append(jpeg[at : segment.start()] if in_scan else b"")
        at = segment.start()
        marker = jpeg[at + 1]
        if marker == 0xD9:
            break
        (length,) = struct.unpack_from(">H", jpeg.ljust(at + 4), at + 2)
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(jpeg[at : at + 2 + length])
        at += 2 + length
        in_scan = marker == 0xDA
    return b"".join((*kept, b"\xff\xd9"))


_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
