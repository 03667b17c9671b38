"""What is there to learn from, and what is remembered of what was learnt from."""

from typing import Any

import numpy as np
from sqlalchemy import select

from snaplabel.database import now
from snaplabel.tables import Label, Photo, TrainingPhoto
from trainer import dataset


def _read(planted: Any) -> dataset.Dataset:
    with planted.database.read() as session:
        return dataset.read(session, planted.classifier_id)


def test_only_readable_photos_with_a_label_in_use_are_learnt_from(planted: Any) -> None:
    ant, bee, wasp = planted.photo("ant"), planted.photo("bee"), planted.photo("wasp")
    planted.photo(None)
    with planted.database.begin() as session:
        session.get_one(Photo, bee).unreadable = "broken"
        session.get_one(Label, session.get_one(Photo, wasp).label_id).archived_at = now()

    found = _read(planted)

    assert found.photo_ids.tolist() == [ant]
    assert [name for _, name in found.labels] == ["ant"]


def test_the_fingerprint_changes_with_a_label_and_comes_back_with_it(planted: Any) -> None:
    photo_id = planted.photo("ant")
    planted.photo("bee")
    before = _read(planted).fingerprint

    planted.relabel(photo_id, "bee")
    changed = _read(planted).fingerprint
    planted.relabel(photo_id, "ant")

    assert changed != before
    assert _read(planted).fingerprint == before


def test_photos_of_one_group_are_known_as_such(planted: Any) -> None:
    first = planted.photo("ant")
    planted.photo("ant", group=first)

    found = _read(planted)

    assert found.groups.tolist() == [first, first]


def test_a_missing_embedding_is_noticed(planted: Any) -> None:
    ids = planted.photos(3, "ant")
    planted.embed([ids[0], ids[2]], "tiny", lambda _: None)
    data = _read(planted)

    with planted.database.read() as session:
        vectors, there = dataset.embeddings(session, data, planted.classifier_id, "tiny")

    assert there.tolist() == [True, False, True]
    assert vectors.shape == (2, 16)
    assert vectors.dtype == np.float32


def test_only_what_changed_is_written_of_the_training_data(planted: Any) -> None:
    kept, moved = planted.photo("ant"), planted.photo("ant")
    planted.photo("ant", split="exam")
    with planted.database.begin() as session:
        first = dataset.record(session, dataset.read(session, planted.classifier_id), planted.classifier_id, 1)
    planted.relabel(moved, "bee")

    with planted.database.begin() as session:
        second = dataset.record(session, dataset.read(session, planted.classifier_id), planted.classifier_id, 2)
        third = dataset.record(session, dataset.read(session, planted.classifier_id), planted.classifier_id, 3)

    with planted.database.read() as session:
        query = select(TrainingPhoto).order_by(TrainingPhoto.photo_id, TrainingPhoto.first_version)
        rows = [(row.photo_id, row.first_version, row.last_version) for row in session.scalars(query)]
    assert (first, second, third) == (2, 2, 0)
    assert rows == [(kept, 1, None), (moved, 1, 1), (moved, 2, None)]
