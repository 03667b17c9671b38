"""Hostile and odd pictures: each ends as the right picture or in a reason, within bounds of memory and time."""

import contextlib
import csv
import importlib.util
import io
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies
from PIL import Image, ImageCms

from snaplabel import darkroom, images
from snaplabel.errors import ImageError
from snaplabel.voices import REFUSALS
from tests.snaplabel import odd_files
from tests.snaplabel.odd_files import encoded

# The bench's own ways of bending files; benchmarks/ is no package.
_found = importlib.util.spec_from_file_location("fuzz", Path(__file__).parents[2] / "benchmarks/fuzz.py")
assert _found is not None
assert _found.loader is not None
fuzz = importlib.util.module_from_spec(_found)
_found.loader.exec_module(fuzz)

# Each takes Pillow minutes or gigabytes when it is let.
BOMBS: list[tuple[str, Callable[[], bytes], str]] = [
    ("a header of 30,000 × 30,000, PNG", lambda: odd_files.png(30_000, 30_000), "too-large"),
    ("the same, BMP", lambda: odd_files.bmp(30_000, 30_000), "too-large"),
    ("the same, GIF", lambda: odd_files.gif(30_000, 30_000), "too-large"),
    ("the same, WebP", lambda: odd_files.webp(16_383, 16_383), "too-large"),
    ("43 bytes that fill 3.6 GB", lambda: odd_files.gif(64, 60_000), "too-large"),
    ("a thousand scans over 36 million pixels", lambda: odd_files.scans(6_000, 6_000, 1_000), "too-hard"),
    ("two million empty segments", lambda: odd_files.padded_jpeg(8_000_000, b"\xff\xe5\0\2"), "broken"),
    ("eight million bytes of padding", lambda: odd_files.padded_jpeg(8_000_000, b"\xff"), "broken"),
    ("600,000 empty chunks", lambda: odd_files.png(64, 64, chunks=odd_files.chunk(b"tIME", b"") * 600_000), "broken"),
    ("runs of one pixel", lambda: odd_files.bmp(6_000, 4_000, runs=b"\1\1" * 4_000_000), "too-large"),
    ("a line of 3 million pixels", lambda: odd_files.png(3_000_000, 16), "too-thin"),
]


@pytest.mark.parametrize(("_what", "make", "reason"), BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(_what: str, make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.prepare(make())

    assert caught.value.reason == reason


def test_every_refusal_has_a_sentence_that_says_what_to_do() -> None:
    assert set(images.REASONS) <= set(REFUSALS)
    assert all(len(REFUSALS[reason]) < 200 for reason in images.REASONS)


# The right picture.


def _picture(width: int = 200, height: int = 150) -> Image.Image:
    """Red above, blue below, with a green corner at the top left."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((30, 30, 200), (0, height // 2, width, height))
    image.paste((30, 160, 30), (0, 0, width // 4, height // 4))
    return image


def _stored(data: bytes) -> Image.Image:
    stored = Image.open(io.BytesIO(images.prepare(data).data))
    stored.load()
    return stored


def _is_the_picture(image: Image.Image, tolerance: int = 30) -> bool:
    asked = {(0.1, 0.1): (30, 160, 30), (0.8, 0.2): (200, 30, 30), (0.5, 0.8): (30, 30, 200)}
    for (x, y), colour in asked.items():
        found = image.getpixel((int(x * image.width), int(y * image.height)))
        assert isinstance(found, tuple)
        if any(abs(a - b) > tolerance for a, b in zip(found, colour, strict=True)):
            return False
    return True


def _clear(image: Image.Image) -> Image.Image:
    """The same with an alpha channel that is clear where it is green."""
    made = image.convert("RGBA")
    made.paste((0, 0, 0, 0), (0, 0, image.width // 4, image.height // 4))
    return made


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ODD: list[tuple[str, Callable[[], bytes]]] = [
    ("CMYK", lambda: encoded(_picture().convert("CMYK"), "JPEG", quality=95)),
    ("CMYK, progressive", lambda: encoded(_picture().convert("CMYK"), "JPEG", progressive=True)),
    ("a real colour profile", lambda: encoded(_picture(), "JPEG", icc_profile=SRGB)),
    ("a colour profile of junk", lambda: encoded(_picture(), "JPEG", icc_profile=b"\xff\xd9junk" * 999)),
    ("a colour profile of junk, PNG", lambda: encoded(_picture(), "PNG", icc_profile=b"junk" * 999)),
    ("EXIF of junk", lambda: odd_files.with_exif(encoded(_picture(), "JPEG"), b"\x00\xff junk " * 99)),
    ("EXIF that ends early", lambda: odd_files.with_exif(encoded(_picture(), "JPEG"), b"II*\0\x08\0\0\0\xff\xff")),
    ("an orientation of 99", lambda: encoded(_picture(), "JPEG", exif=_exif(99))),
    (
        "an animated GIF",
        lambda: encoded(_picture(), "GIF", save_all=True, append_images=[Image.new("RGB", (200, 150))]),
    ),
    (
        "an animated WebP",
        lambda: encoded(_picture(), "WEBP", save_all=True, append_images=[Image.new("RGB", (200, 150))]),
    ),
    (
        "an animated PNG",
        lambda: encoded(_picture(), "PNG", save_all=True, append_images=[Image.new("RGB", (200, 150))]),
    ),
    ("two pictures in one, MPO", lambda: encoded(_picture(), "MPO", save_all=True, append_images=[_picture()])),
    ("a JPEG with a zip behind it", lambda: encoded(_picture(), "JPEG") + _zip()),
    ("a GIF with a script behind it", lambda: encoded(_picture(), "GIF") + b"*/=1;alert(document.cookie);//"),
    ("a PNG with a page behind it", lambda: encoded(_picture(), "PNG") + b"<html><script>alert(1)</script>"),
    ("16-bit colour", lambda: _sixteen_bit_colour()),
    ("a large PNG, by strips", lambda: encoded(_picture(4000, 3000), "PNG", compress_level=1)),
    ("a large JPEG in steps", lambda: encoded(_picture(4000, 3000), "JPEG", progressive=True)),
]


def _exif(turned: int) -> Image.Exif:
    exif = Image.Exif()
    exif[images.ORIENTATION] = turned
    return exif


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("evil.sh", "rm -rf /")
    return out.getvalue()


def _sixteen_bit_colour() -> bytes:
    """The picture as PNG with 16 bits a channel, which Pillow reads and does not write."""
    import struct
    import zlib

    image = _picture()
    rows = b""
    for y in range(image.height):
        row = image.crop((0, y, image.width, y + 1)).tobytes()
        rows += b"\0" + bytes(byte for value in row for byte in (value, value))
    header = struct.pack(">IIBBBBB", image.width, image.height, 16, 2, 0, 0, 0)
    parts = (
        odd_files.chunk(b"IHDR", header),
        odd_files.chunk(b"IDAT", zlib.compress(rows)),
        odd_files.chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("_what", "make"), ODD)
def test_an_odd_file_becomes_the_picture_that_it_shows(_what: str, make: Callable[[], bytes]) -> None:
    given_bytes = make()

    stored = _stored(given_bytes)

    assert (stored.mode, stored.format) == ("RGB", "JPEG")
    assert stored.width / stored.height == pytest.approx(4 / 3, abs=0.01)
    assert _is_the_picture(stored)
    assert not stored.getexif()
    for unwanted in (b"junk", b"PK\x03\x04", b"alert", b"script"):
        assert unwanted not in images.prepare(given_bytes).data


@pytest.mark.parametrize(
    "make",
    [
        lambda: encoded(_clear(_picture()), "PNG"),
        lambda: encoded(_clear(_picture()), "WEBP", lossless=True),
        lambda: encoded(_clear(_picture()), "AVIF", quality=95),
        lambda: encoded(_clear(_picture(4000, 3000)), "PNG"),
        lambda: encoded(_clear(_picture()).quantize(32), "PNG"),
        lambda: encoded(_clear(_picture()), "GIF"),
    ],
)
def test_what_is_clear_is_white_and_the_rest_stays(make: Callable[[], bytes]) -> None:
    stored = _stored(make())

    corner, red, blue = (stored.getpixel((int(x * stored.width), int(y * stored.height))) for x, y in _PLACES)
    assert corner == pytest.approx((255, 255, 255), abs=6)
    assert red == pytest.approx((200, 30, 30), abs=30)
    assert blue == pytest.approx((30, 30, 200), abs=30)


_PLACES = ((0.1, 0.1), (0.8, 0.2), (0.5, 0.8))


def test_sixteen_bit_grey_with_a_clear_value_is_scaled() -> None:
    deep = Image.new("I;16", (60, 40), 0x4000)

    stored = _stored(encoded(deep, "PNG", transparency=0x9000))

    assert stored.getpixel((20, 20)) == pytest.approx((64, 64, 64), abs=2)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("turned", range(1, 9))
def test_every_format_stands_upright_large_or_small(kind: str, turned: int) -> None:
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    is_tried_large = kind in ("JPEG", "PNG") and turned in (3, 6)
    for size in ((200, 150), (3000, 2250)) if is_tried_large else ((200, 150),):
        lying = _picture(*size)
        if turned in images.UPRIGHT:
            lying = lying.transpose(back.get(turned, images.UPRIGHT[turned]))

        stored = _stored(encoded(lying, kind, exif=_exif(turned)))

        assert _is_the_picture(stored)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_where_it_was_taken_is_in_no_stored_byte(kind: str) -> None:
    exif = _exif(1)
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 26.25), 29: "2026:01:02"})
    exif[0x010F] = "CAMERA-MAKER"
    options = {"comment": b"MY-STREET"} if kind in ("GIF", "JPEG") else {}
    if kind != "GIF":
        options["exif"] = exif  # type: ignore[assignment]

    stored = images.prepare(encoded(_picture(), kind, **options)).data

    for secret in (b"CAMERA-MAKER", b"MY-STREET", b"2026:01:02", b"Exif"):
        assert secret not in stored


def test_exif_in_a_segment_of_another_name_goes_too() -> None:
    file = odd_files.with_exif(encoded(_picture(), "JPEG"), b"MY-STREET")

    for marker in (0xE0, 0xE5, 0xEE, 0xEF, 0xFE):
        hidden = file[:2] + bytes([0xFF, marker]) + file[4:]

        assert b"MY-STREET" not in images.prepare(hidden).data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_cut_at_every_tenth_byte_it_is_whole_or_refused(kind: str) -> None:
    whole = encoded(_picture(80, 60), kind)

    for end in range(0, len(whole), 10):
        with contextlib.suppress(ImageError):
            images.load(images.prepare(whole[:end]).data)


@pytest.mark.parametrize("name", ["photo.png", "photo.txt", "photo.exe", "photo"])
def test_the_name_of_a_file_says_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(_picture(), "JPEG"))

    assert _is_the_picture(_stored((tmp_path / name).read_bytes()))


# Whatever bytes.

SEEDS = fuzz.seeds()


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=400, deadline=None)
@given(strategies.sampled_from(sorted(SEEDS)), strategies.integers(0, 2**32))
def test_bent_files_end_as_a_photo_or_a_reason(name: str, seed: int) -> None:
    data = fuzz.bent(SEEDS[name], random.Random(seed), list(SEEDS.values()))

    assert fuzz.outcome(data) in ("photo", *images.REASONS)


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(
    strategies.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP"]),
    strategies.binary(),
)
def test_any_bytes_end_as_a_photo_or_a_reason(head: bytes, rest: bytes) -> None:
    assert fuzz.outcome(head + rest) in ("photo", *images.REASONS)


def test_the_fuzzer_finds_what_is_there_to_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def careless(data: bytes) -> images.Prepared:
        if len(data) % 7 == 0:
            raise ValueError("as Pillow would")
        raise ImageError("broken")

    seeds = fuzz.seeds()
    monkeypatch.setattr(fuzz, "seeds", lambda: seeds)
    monkeypatch.setattr(images, "prepare", careless)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--inputs", "60", "--keep", str(tmp_path / "found")])

    assert fuzz.main() == 1
    assert list((tmp_path / "found").iterdir())


# Memory, measured in a process of its own.

HEAVIEST: list[tuple[str, Callable[[], bytes]]] = [
    ("PNG with alpha", lambda: encoded(Image.new("RGBA", (8192, 6144), (9, 9, 9, 9)), "PNG", compress_level=1)),
    ("lossless WebP", lambda: encoded(Image.new("RGBA", (5000, 5000), (1, 2, 3, 4)), "WEBP", lossless=True, method=0)),
    ("JPEG in scans, CMYK", lambda: encoded(Image.new("CMYK", (5000, 5000)), "JPEG", progressive=True)),
]


@pytest.mark.real
@pytest.mark.skipif(sys.platform != "linux", reason="address space can only be measured and limited on Linux")
@pytest.mark.parametrize(("_what", "make"), HEAVIEST)
def test_the_largest_that_is_accepted_takes_less_than_half_a_gigabyte(
    _what: str, make: Callable[[], bytes], tmp_path: Path
) -> None:
    (tmp_path / "photo").write_bytes(make())
    program = (
        "import sys, resource; resource.setrlimit(resource.RLIMIT_AS, (500 << 20, 500 << 20))\n"
        "from snaplabel import images\n"
        "made = images.prepare(open(sys.argv[1], 'rb').read()); print(max(made.width, made.height))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "photo")], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("1280\n", 0), done.stderr


def test_the_hostile_files_of_others_end_the_same_way_in_the_darkroom(test_data: Path) -> None:
    with (test_data / "bad-images" / "OUTCOMES.tsv").open() as table:
        rows = list(csv.reader(table, delimiter="\t"))[1:]

    outcomes: dict[str, str] = {}
    for name, _, _ in rows:
        try:
            darkroom.prepare((test_data / "bad-images" / name).read_bytes())
            outcomes[name] = "ok"
        except ImageError as error:
            outcomes[name] = error.reason

    # What Pillow can read and we don't: too small, or larger than is of use.
    ours = {name for name, _, with_our_formats in rows if with_our_formats == "ok" and outcomes[name] != "ok"}
    assert {outcomes[name] for name in ours} <= {"too-small", "too-large", "too-thin"}
    assert all(outcomes[name] != "ok" for name, _, with_our_formats in rows if with_our_formats.endswith("Error"))
    assert "too-hard" not in outcomes.values()


@pytest.mark.filterwarnings("error")
def test_pillow_s_own_guard_is_on() -> None:
    assert images.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(), pytest.raises(ImageError, match="too-large"):
        images.prepare(odd_files.gif(64, 8_000))
