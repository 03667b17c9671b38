"""A million hostile pictures: how `snaplabel.images` takes files that are bent, cut and spliced; prints a table.

benchmarks/fuzz.py --inputs N --seed S --json FILE. Each input is a valid small picture of some format with some of its
bytes changed. It must become a photo or an ImageError with a known reason; anything else is written to --keep and makes
the exit code 1. The slowest input and the most memory are told.
"""

import argparse
import io
import json
import random
import resource
import struct
import sys
import time
import traceback
import warnings
import zlib
from collections import Counter
from pathlib import Path

from PIL import Image

from snaplabel import images
from snaplabel.errors import ImageError

INTERESTING = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def seeds() -> dict[str, bytes]:
    """A small valid file of every kind that comes in, by name."""
    width, height = 24, 20
    rgb = Image.frombytes("RGB", (width, height), random.Random(1).randbytes(width * height * 3))
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    grey16 = Image.frombytes("I;16", (width, height), random.Random(2).randbytes(width * height * 2))
    palette = rgb.quantize(16)
    frames = [rgb, rgb.transpose(Image.Transpose.ROTATE_180)]
    made = {
        "jpeg": _file(rgb, "JPEG", exif=exif, comment=b"hello", quality=60),
        "jpeg progressive": _file(rgb, "JPEG", progressive=True, icc_profile=b"junk" * 8),
        "jpeg grey": _file(rgb.convert("L"), "JPEG", restart_marker_blocks=1),
        "jpeg cmyk": _file(rgb.convert("CMYK"), "JPEG"),
        "mpo": _file(rgb, "MPO", save_all=True, append_images=frames[1:]),
        "png": _file(rgb, "PNG", exif=exif, icc_profile=b"junk" * 8),
        "png 16 bit": _file(grey16, "PNG"),
        "png palette": _file(palette, "PNG", transparency=3, bits=4),
        "png alpha": _file(rgb.convert("LA"), "PNG"),
        "png one bit": _file(rgb.convert("1"), "PNG", transparency=0),
        "apng": _file(rgb, "PNG", save_all=True, append_images=frames[1:]),
        "gif": _file(palette, "GIF", transparency=2, interlace=1, comment=b"hello"),
        "gif animated": _file(rgb, "GIF", save_all=True, append_images=frames[1:], disposal=2),
        "webp": _file(rgb, "WEBP", exif=exif, quality=50),
        "webp lossless": _file(rgb.convert("RGBA"), "WEBP", lossless=True),
        "webp animated": _file(rgb, "WEBP", save_all=True, append_images=frames[1:]),
        "bmp": _file(rgb, "BMP"),
        "bmp palette": _file(palette, "BMP"),
        "bmp runs": _runs(width, height),
        "avif": _file(rgb, "AVIF", exif=exif, speed=10, quality=50),
        "avif alpha": _file(rgb.convert("RGBA"), "AVIF", speed=10, quality=50),
    }
    for name, data in made.items():
        images.prepare(data)  # A seed that is refused would teach nothing.
        assert len(data) < 10_000, name
    return made


def bent(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """The file with one to eight things done to it; PNG chunks get right checksums again half of the time."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        # Headers are short, and most of what goes wrong goes wrong there.
        end = len(found) if chance.random() < 0.5 else min(len(found), 160)
        at = chance.randrange(max(1, end))
        kind = chance.randrange(9)
        if kind <= 1 and found:
            found[at] ^= 1 << chance.randrange(8)
        elif kind == 2 and found:
            found[at] = chance.choice(INTERESTING)
        elif kind == 3:
            found[at : at + 4] = struct.pack(chance.choice("<>") + "I", chance.choice((0, 1, 30_000, 2**31, 2**32 - 1)))
        elif kind == 4:
            found[at : at + 2] = struct.pack(chance.choice("<>") + "H", chance.choice((0, 1, 4096, 30_000, 65_535)))
        elif kind == 5:
            del found[at : len(found) if chance.random() < 0.3 else at + chance.randrange(1, 40)]
        elif kind == 6:
            size = chance.randrange(1, 60)
            found[at:at] = found[at : at + size] * chance.randrange(1, 5)
        elif kind == 7:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            found[at : at + chance.choice((0, 30))] = other[start : start + chance.randrange(1, 300)]
        else:
            found[at:at] = chance.randbytes(chance.randrange(1, 30))
    if found[:4] == b"\x89PNG" and chance.random() < 0.5:
        return _with_checksums(bytes(found))
    return bytes(found)


def outcome(data: bytes) -> str:
    """ "photo", or the reason why not. Raises whatever should not have come."""
    try:
        made = images.prepare(data)
    except ImageError as error:
        if error.reason not in images.REASONS:
            raise
        return error.reason
    stored = images.load(made.data)
    assert stored.mode == "RGB"
    assert min(stored.size) >= images.MIN_SIDE
    assert max(stored.size) <= images.STORED_SIDE
    kept = Image.open(io.BytesIO(made.data)).info
    assert not {"exif", "comment", "icc_profile", "xmp"} & set(kept)
    return "photo"


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def _runs(width: int, height: int) -> bytes:
    """A run-length coded BMP."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    rows = (bytes([width - 4, 7, 0, 4, 1, 2, 3, 4, 0, 0])) * height + b"\0\1"
    colours = bytes(1024)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(rows), 0, 0, 54 + 1024) + header + colours + rows


def _with_checksums(png: bytes) -> bytes:
    at, parts = 8, [png[:8]]
    while at + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, at)
        body = png[at + 4 : at + 8 + size]
        parts.append(png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + size
    return b"".join(parts)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--inputs", type=int, default=100_000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", default="", help="formats whose name begins so")
    asked.add_argument("--json", type=Path)
    asked.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    wanted = asked.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    chance, known = random.Random(wanted.seed), seeds()
    names, others = [name for name in known if name.startswith(wanted.only)], list(known.values())
    table: dict[str, Counter[str]] = {name: Counter() for name in names}
    slowest_s, slowest, found = 0.0, "", 0
    began = time.monotonic()
    for number in range(wanted.inputs):
        name = names[number % len(names)]
        data = bent(known[name], chance, others)
        before = time.process_time()
        try:
            table[name][outcome(data)] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found += 1
            table[name]["FOUND"] += 1
            wanted.keep.mkdir(exist_ok=True)
            (wanted.keep / f"{wanted.seed}-{number}.bin").write_bytes(data)
            if found <= 20:
                traceback.print_exc()
        took_s = time.process_time() - before
        if took_s > slowest_s:
            slowest_s, slowest = took_s, f"{name}, input {number}"
        if number % 50_000 == 49_999:
            print(f"{number + 1} inputs, {found} found, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1 << 20)
    columns = ["photo", *images.REASONS, "FOUND"]
    columns = [each for each in columns if any(row[each] for row in table.values())]
    print(f"{'':18}" + "".join(f"{each:>11}" for each in columns))
    for name, row in table.items():
        print(f"{name:18}" + "".join(f"{row[each]:>11}" for each in columns))
    worst = f"slowest {slowest_s:.2f} s of CPU ({slowest}); {memory_mb} MB"
    print(f"{wanted.inputs} inputs in {seconds:.0f} s, {found} found; {worst}")
    if wanted.json:
        about = {"inputs": wanted.inputs, "found": found, "slowest_s": slowest_s, "memory_mb": memory_mb}
        wanted.json.write_text(json.dumps({**about, "outcomes": table}, indent=1))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
