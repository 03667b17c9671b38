"""Photos: known again, grouped, and on one side for ever."""

import io

import numpy as np
from PIL import Image
from sqlalchemy.orm import Session

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
