"""A JPEG file piece by piece: what of it is the picture, and what is said beside it. ITU-T T.81, annex B."""

import re
import struct
from collections.abc import Iterator


def bare(jpeg: bytes) -> bytes | None:
    """The JPEG file with nothing but its picture: the same pixels, no EXIF, GPS, XMP, thumbnails or second picture.

    None for a file that is not put together by the book, or that some browser can't show (arithmetic, lossless):
    what others make of it is not for us to guess.
    """
    kept, last, in_scan, frames = [jpeg[:2]], 2, False, 0
    for marker, start, end in segments(jpeg):
        if not in_scan and start != last:
            return None
        kept.append(jpeg[last:start])
        last, in_scan, frames = end, marker == START_OF_SCAN, frames + (marker in FRAMES)
        if marker == END_OF_IMAGE:
            return b"".join((*kept, jpeg[start : start + 2])) if frames == 1 else None
        if marker in FRAMES or marker in TABLES or in_scan:
            kept.append(jpeg[start:end])
        elif marker == 0xE0 and jpeg[start + 4 : start + 9] == b"JFIF\0":
            kept.append(JFIF)
        elif marker == 0xEE and jpeg[start + 4 : start + 9] == b"Adobe" and end - start >= 16:
            # How colours are coded; what may follow is not of use.
            kept.append(b"\xff\xee\0\x0e" + jpeg[start + 4 : start + 16])
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            return None
    return None


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG file, through the end of its picture. ITU-T T.81, B.1.1.4."""
    at = 2
    while found := _MARKER.search(jpeg, at):
        start = found.start()
        marker = jpeg[start + 1]
        (length,) = struct.unpack_from(">H", jpeg.ljust(start + 4), start + 2)
        at = start + 2 + length
        yield marker, start, at
        if marker == END_OF_IMAGE:
            return


START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
# Baseline, extended and progressive; Huffman tables, quantisation tables, restart interval.
FRAMES, TABLES = {0xC0, 0xC1, 0xC2}, {0xC4, 0xDB, 0xDD}
JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
# In coded pixels a byte FF is always followed by 00 or a restart mark.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
