"""Bytes from strangers: upright RGB, or a reason."""

import contextlib
import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from snaplabel import images
from snaplabel.errors import ImageError


def _encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def _half_red(width: int = 80, height: int = 60) -> Image.Image:
    image = Image.new("RGB", (width, height), "blue")
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def _is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return pixel[0] > 200 and pixel[2] < 60


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_accepted_format_becomes_the_same_picture(kind: str) -> None:
    prepared = images.prepare(_encoded(_half_red(), kind))

    stored = Image.open(io.BytesIO(prepared.data))
    assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", (80, 60))
    assert _is_red(stored.getpixel((10, 30)))


@pytest.mark.parametrize("turned", range(1, 9))
def test_a_photo_taken_sideways_stands_upright(turned: int) -> None:
    flips = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    lying = _half_red()
    for flip in flips[turned]:
        lying = lying.transpose(flip)
    exif = Image.Exif()
    exif[images.ORIENTATION] = turned

    prepared = images.prepare(_encoded(lying, exif=exif))

    stored = Image.open(io.BytesIO(prepared.data))
    assert stored.size == (80, 60)
    assert _is_red(stored.getpixel((10, 30)))
    assert stored.getexif().get(images.ORIENTATION, 1) == 1


def test_where_a_photo_was_taken_is_not_stored() -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = 1
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "Camera maker"
    given = _encoded(_half_red(), exif=exif, comment=b"my street")

    stored = images.prepare(given).data

    assert b"Camera maker" in given
    assert b"Camera maker" not in stored
    assert b"my street" not in stored
    assert not Image.open(io.BytesIO(stored)).getexif()


def test_a_small_jpeg_keeps_its_very_pixels() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    given = _encoded(_half_red(), exif=exif)

    stored = images.prepare(given).data

    assert Image.open(io.BytesIO(stored)).tobytes() == Image.open(io.BytesIO(given)).tobytes()


def test_what_hangs_behind_a_jpeg_is_not_stored() -> None:
    stored = images.prepare(_encoded(_half_red(), progressive=True) + b"PK\x03\x04 a zip, or a second picture").data

    assert b"PK" not in stored
    Image.open(io.BytesIO(stored)).load()


def test_a_phones_photo_is_stored_smaller() -> None:
    prepared = images.prepare(_encoded(_half_red(4000, 3000)))

    assert (prepared.width, prepared.height) == (1280, 960)


def test_transparent_parts_become_white() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))

    stored = Image.open(io.BytesIO(images.prepare(_encoded(clear, "PNG")).data))

    assert stored.getpixel((20, 20)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    deep = Image.new("I;16", (40, 40), 0x4000)

    stored = Image.open(io.BytesIO(images.prepare(_encoded(deep, "PNG")).data))

    assert stored.getpixel((20, 20)) == pytest.approx((64, 64, 64), abs=2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 and so on", "no-photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no-photo"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "heic"),
        (b"II*\0\x08\0\0\0", "no-photo"),
        (_encoded(_half_red())[:-300], "broken"),
        (_encoded(Image.new("RGB", (1, 1)), "PNG"), "too-small"),
        (b"\xff\xd8\xff" + b"x" * 100, "broken"),
        (b"x" * (images.MAX_BYTES + 1), "too-heavy"),
    ],
)
def test_what_is_no_photo_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        images.prepare(data)

    assert caught.value.reason == reason


def test_a_bomb_is_refused_by_its_header() -> None:
    header = bytearray(_encoded(Image.new("L", (20, 20)), "BMP"))
    header[18:26] = (30_000).to_bytes(4, "little") * 2

    with pytest.raises(ImageError, match="too-large"):
        images.prepare(bytes(header))


def test_a_photo_cut_anywhere_is_refused_or_whole() -> None:
    whole = _encoded(_half_red(200, 150), quality=90)

    for end in range(0, len(whole) - 2, 10):
        with contextlib.suppress(ImageError):
            images.prepare(whole[:end])


def test_near_duplicates_are_known_and_others_are_not() -> None:
    one = _half_red(200, 150)
    other = one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    smaller = _encoded(one.resize((120, 90)), quality=40)

    first, again, mirrored = (images.prepare(data) for data in (_encoded(one), smaller, _encoded(other)))

    assert images.near((first.phash, first.colours), (again.phash, again.colours))
    assert not images.near((first.phash, first.colours), (mirrored.phash, mirrored.colours))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_hostile_files_end_in_a_photo_or_a_reason(test_data: Path) -> None:
    with (test_data / "bad-images" / "OUTCOMES.tsv").open() as table:
        names = [row[0] for row in list(csv.reader(table, delimiter="\t"))[1:]]

    outcomes = {}
    for name in names:
        try:
            images.prepare((test_data / "bad-images" / name).read_bytes())
            outcomes[name] = "ok"
        except ImageError as error:
            outcomes[name] = error.reason

    assert len(outcomes) >= 140
    assert set(outcomes.values()) <= {"ok", *images.REASONS}
    assert list(outcomes.values()).count("ok") > 20
