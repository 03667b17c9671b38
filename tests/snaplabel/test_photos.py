"""Photos: known again, grouped, and on one side for ever."""

import io
from itertools import product

import numpy as np
from PIL import Image, ImageOps
from sqlalchemy.orm import Session

from demo import shirts
from snaplabel import images, labels, people, photos
from snaplabel.database import Database
from snaplabel.photos import Added


def _picture(seed: int, size: int = 128, quality: int = 90) -> bytes:
    rough = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize((size, size), Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _add(session: Session, data: bytes, label: str | None = None, beside: tuple[int, ...] = ()) -> Added:
    classifier = people.make_classifier(session)
    label_id = labels.make(session, classifier.id, label).id if label else None
    added = photos.add(session, classifier.id, images.prepare(data), label_id=label_id, beside=beside)
    if label_id:
        added.photo.label_id = label_id
    session.flush()
    return added


def test_the_same_bytes_are_the_same_photo(database: Database) -> None:
    with database.begin() as session:
        first, again = _add(session, _picture(1)), _add(session, _picture(1))

    assert first.is_new
    assert not again.is_new
    assert first.photo.id == again.photo.id


def test_planted_near_duplicates_never_change_sides(database: Database) -> None:
    with database.begin() as session:
        for seed in range(60):
            original = _add(session, _picture(seed))
            copy = _add(session, _picture(seed, size=100, quality=45))

            assert copy.near is not None
            assert copy.photo.group_id == original.photo.group_id
            assert copy.photo.split == original.photo.split


def test_photos_of_one_album_share_a_side(database: Database) -> None:
    with database.begin() as session:
        first = _add(session, _picture(0)).photo

        rest = [_add(session, _picture(seed), beside=(first.id,)).photo for seed in range(1, 10)]

    assert {photo.split for photo in rest} == {first.split}


def test_every_label_sends_a_fifth_to_the_exam(database: Database) -> None:
    with database.begin() as session:
        for label in ("cat", "dog"):
            sides = [
                _add(session, _picture((1000 if label == "cat" else 2000) + n), label).photo.split for n in range(20)
            ]

            assert sides.count("exam") == 4


def test_photos_without_a_label_go_to_the_exam_now_and_then(database: Database) -> None:
    with database.begin() as session:
        sides = [_add(session, _picture(seed)).photo.split for seed in range(100)]

    assert 8 <= sides.count("exam") <= 35


def _altered(photo: bytes) -> dict[str, bytes]:
    """A picture as it comes back: cropped by 2 %, saved anew, smaller, all at once; and mirrored, which is another."""
    with Image.open(io.BytesIO(photo)) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    edge = round(0.01 * width)
    cropped = picture.crop((edge, edge, width - edge, height - edge))
    made = {
        "cropped": (cropped, 90),
        "recompressed": (picture, 35),
        "resized": (picture.resize((width // 2, height // 2)), 90),
        "all three": (cropped.resize((width // 2, height // 2)), 50),
        "mirrored": (ImageOps.mirror(picture), 90),
    }
    found = {}
    for name, (image, quality) in made.items():
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality)
        found[name] = out.getvalue()
    return found


def test_a_picture_that_was_cropped_recompressed_and_resized_stays_on_one_side(database: Database) -> None:
    planted: list[tuple[int, str, bytes]] = []
    for number, (club, seed) in enumerate(product(shirts.CLUBS, range(3))):
        photo = shirts.draw(club, seed, size=240)
        copies = [copy for name, copy in _altered(photo).items() if name != "mirrored"]
        planted += [(number, club.name, data) for data in (photo, *copies)]
    sides: dict[int, set[str]] = {}
    groups: dict[str, set[int | None]] = {"lesson": set(), "exam": set()}

    with database.begin() as session:
        for row in np.random.default_rng(0).permutation(len(planted)).tolist():
            number, label, data = planted[row]
            added = _add(session, data, label).photo
            sides.setdefault(number, set()).add(added.split)
            groups[added.split].add(added.group_id)

    assert all(len(side) == 1 for side in sides.values())
    assert groups["lesson"]
    assert groups["exam"]
    assert not groups["lesson"] & groups["exam"]


def test_a_mirrored_picture_is_another_one(database: Database) -> None:
    with database.begin() as session:
        for club in shirts.CLUBS:
            photo = shirts.draw(club, 0, size=240)
            original, mirrored = _add(session, photo), _add(session, _altered(photo)["mirrored"])

            assert mirrored.near is None
            assert mirrored.photo.group_id != original.photo.group_id


def test_hashes_seven_bits_apart_are_found_wherever_the_bits_are(database: Database) -> None:
    rng = np.random.default_rng(0)
    prepared = images.prepare(_picture(1))
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        first = photos.add(session, classifier_id, prepared).photo
        for _ in range(200):
            flipped = sum(1 << int(bit) for bit in rng.choice(63, 7, replace=False))

            assert photos.nearest(session, classifier_id, first.phash ^ flipped, first.colours) is first
