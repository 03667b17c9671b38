"""Bytes from strangers → safe, upright RGB; every refusal has a reason. Pillow only: no numpy, no torch."""

import io
import math
import warnings
from dataclasses import dataclass
from operator import mul

from PIL import Image

from snaplabel import jpeg
from snaplabel.errors import ImageError
from snaplabel.store import sha256_of

# Pillow's other plugins are where hostile files bite (some .blp take 654 MB). MPO, the phone's JPEG with a second
# picture inside, is opened by the JPEG plugin.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
# An iPhone's photos when they are sent as files: the one library that reads them died of its 14,880th bent file.
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MAX_BYTES = 20 * 1024 * 1024
# The largest picture of a 50-megapixel phone. Decoded it takes 200 MB, and only strips of it are copied.
MAX_PIXELS = 8192 * 6144
# WebP and AVIF take 10 to 16 bytes a pixel while they decode, a JPEG in several scans up to 9.
MAX_PIXELS_ELSEWHERE = 25_000_000
# Run-length coded BMPs are decoded in Python, pixel by pixel.
MAX_PIXELS_RUNS = 4_000_000
STRIP_PIXELS = 1 << 20
# Each scan of a progressive JPEG goes over all its pixels; encoders make about ten, a hostile file has thousands.
MAX_SCANS = 64
# How often a decoder may ask for more bytes: a file of two million empty pieces is read piece by piece, in Python.
MAX_READS = 400_000
MIN_SIDE = 16
# Larger photos are stored scaled down: no network here looks at more, and a phone's 16 MP cost 5 MB each.
STORED_SIDE = 1280
HASH_BITS_APART = 8
COLOURS_APART = 14.0
ORIENTATION = 0x0112  # EXIF tag
# The longer side may be so many times the shorter: of a thinner strip too little is left when it is scaled down.
THINNEST = STORED_SIDE // MIN_SIDE
REASONS = ("empty", "too-heavy", "no-photo", "broken", "too-large", "too-small", "too-thin", "too-hard", "heic")
# A GIF of 43 bytes can make Pillow fill 3.6 GB while it only opens it, so its own check is on, and in earnest.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    """A stranger's bytes as a photo to store. Raises ImageError with one of REASONS.

    It takes less than 500 MB and some seconds, whatever the file says; `darkroom` sees to it that it can't take more.
    """
    image = _open(data)
    bare = None
    if image.format == "JPEG" and image.mode in ("RGB", "L") and max(image.size) <= STORED_SIDE:
        bare = jpeg.bare(data) if _turned(image) not in UPRIGHT else None
    rgb = _rgb(image, math.ceil(STORED_SIDE * min(image.size) / max(image.size)))
    if max(rgb.size) > STORED_SIDE:
        ratio = STORED_SIDE / max(rgb.size)
        size = (round(rgb.width * ratio), round(rgb.height * ratio))
        rgb = rgb.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    stored = bare or _as_jpeg(rgb)
    phash, colours = fingerprint(rgb)
    return Prepared(stored, sha256_of(data), phash, colours, rgb.width, rgb.height)


def load(data: bytes, at_least: int = STORED_SIDE) -> Image.Image:
    """Upright RGB of a photo; the shorter side may come scaled down to no less than `at_least` pixels.

    libjpeg scales by 1/2, 1/4 or 1/8 while it decodes, which saves most of the decoding. Raises ImageError.
    """
    return _rgb(_open(data), at_least)


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


class _Patient(io.BytesIO):
    """A file that may be read from MAX_READS times."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise ImageError("broken", "too many pieces")
        return super().read(size)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise ImageError("empty")
    if len(data) > MAX_BYTES:
        raise ImageError("too-heavy", f"{len(data)} bytes")
    try:
        image = Image.open(_Patient(data), formats=FORMATS)
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too-large", "by its header") from error
    except Exception as error:  # Pillow's plugins raise ValueError, TypeError, SyntaxError, struct.error, …
        if data[4:8] == b"ftyp" and data[8:12] in HEIF_BRANDS:
            raise ImageError("heic") from error
        known = data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n" or data[:4] in (b"RIFF", b"GIF8")
        raise ImageError("broken" if known else "no-photo", type(error).__name__) from error
    _check(data, image)
    return image


def _check(data: bytes, image: Image.Image) -> None:
    """Raises ImageError where decoding would take too long or too much memory, or be of no use."""
    width, height = image.size
    most = MAX_PIXELS if image.format in ("JPEG", "MPO", "PNG") else MAX_PIXELS_ELSEWHERE
    if image.format in ("JPEG", "MPO"):
        scans = 0
        for marker, start, _ in jpeg.segments(data):
            if marker == jpeg.START_OF_SCAN:
                scans += 1
                is_partial = data[start + 4 : start + 5] != bytes([len(image.getbands())])
                most = MAX_PIXELS_ELSEWHERE if scans > 1 or is_partial else most
            if scans > MAX_SCANS:
                raise ImageError("too-hard", "too many scans")
    if image.format == "BMP" and image.info.get("compression") in (1, 2):
        most = MAX_PIXELS_RUNS
    if width * height > most:
        raise ImageError("too-large", f"{width}×{height}")
    if min(width, height) < MIN_SIDE:
        raise ImageError("too-small", f"{width}×{height}")
    if max(width, height) > THINNEST * min(width, height):
        raise ImageError("too-thin", f"{width}×{height}")


def _rgb(image: Image.Image, shorter: int) -> Image.Image:
    """Upright RGB, on white where it was transparent; scaled down only by whole numbers, its shorter side not below
    `shorter`."""
    try:
        if image.format in ("JPEG", "MPO"):
            # draft() picks the smallest scale whose both sides are at least the size asked for.
            image.draft(None, (shorter, shorter))
        image.load()
        small = _reduced(image, max(1, min(image.size) // (2 * shorter)))
        turned = _turned(image)
        return small.transpose(UPRIGHT[turned]) if turned in UPRIGHT else small
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError("broken", type(error).__name__) from error


def _turned(image: Image.Image) -> int:
    """EXIF's word on how the camera was held; 1 (upright) where there is none that makes sense."""
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # Damaged EXIF is no reason to refuse a whole photo.
        return 1
    return found if isinstance(found, int) else 1


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Opaque RGB, 1/factor of the size. By strips, since whole copies of the largest pictures would not fit."""
    if factor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    rows = factor * max(1, STRIP_PIXELS // image.width // factor)
    for top in range(0, image.height, rows):
        strip = _opaque(image.crop((0, top, image.width, min(image.height, top + rows))))
        small.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return small


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, on white where it was transparent."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # convert() clips 16-bit grey at 255; the upper byte is what an 8-bit file would hold.
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _as_jpeg(rgb: Image.Image) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", rgb.size, rgb.tobytes()).save(out, "JPEG", quality=92)
    return out.getvalue()
