"""Embeddings in memory are those in the database, whatever came and went since they were read."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from snaplabel.tables import Embedding, Photo
from trainer import dataset
from trainer.kept import Kept


def _embedded(planted: Any, many: int, label: str = "ant") -> list[int]:
    ids: list[int] = planted.photos(many, label)
    planted.embed(ids, planted.current().backbone, lambda _: None)
    return ids


def _read(planted: Any, kept: Kept, backbone: str = "") -> tuple[Any, Any, int]:
    """Vectors, which photos have one, and how many rows of embeddings were read for it."""
    rows: list[int] = []

    def count(_c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "embedding" in statement:
            rows.append(1)

    event.listen(planted.database.engine, "after_cursor_execute", count)
    with planted.database.read() as session:
        data = dataset.read(session, planted.classifier_id)
        rows.clear()
        found, there = kept.embeddings(session, data, planted.classifier_id, backbone or planted.current().backbone)
        queries = len(rows)
        wanted, also = dataset.embeddings(session, data, planted.classifier_id, backbone or planted.current().backbone)
    event.remove(planted.database.engine, "after_cursor_execute", count)
    assert np.array_equal(found, wanted)
    assert np.array_equal(there, also)
    return found, there, queries


def test_the_same_photos_are_not_read_again(planted: Any) -> None:
    _embedded(planted, 5)
    kept = Kept()

    first, second = _read(planted, kept), _read(planted, kept)

    assert (first[2], second[2]) == (1, 0)
    with pytest.raises(ValueError, match="read-only"):
        second[0][0] = 0.0


def test_photos_that_came_and_went_are_as_in_the_database(planted: Any) -> None:
    ids = _embedded(planted, 5)
    kept = Kept()
    _read(planted, kept)
    with planted.database.begin() as session:
        session.get_one(Photo, ids[1]).label_id = None
    planted.photo("bee")
    _embedded(planted, 2, "bee")

    found, there, queries = _read(planted, kept)

    assert queries == 1
    assert there.tolist() == [True] * 4 + [False] + [True] * 2
    assert len(found) == 6


def test_an_erased_photos_number_does_not_bring_its_embedding_back(planted: Any) -> None:
    ids = _embedded(planted, 3)
    kept = Kept()
    _read(planted, kept)
    with planted.database.begin() as session:
        session.query(Embedding).filter_by(photo_id=ids[-1]).delete()
        session.delete(session.get_one(Photo, ids[-1]))

    again = _embedded(planted, 1, "bee")

    assert again == ids[-1:]
    _read(planted, kept)


def test_another_backbone_is_read_for_itself(planted: Any) -> None:
    ids = _embedded(planted, 3)
    kept = Kept()
    _read(planted, kept)

    planted.embed(ids, "another-000000000000", lambda _: None)

    assert _read(planted, kept, "another-000000000000")[2] == 1
    assert _read(planted, kept)[2] == 1


def test_before_anything_was_looked_at_there_is_nothing(planted: Any) -> None:
    planted.photos(3, "ant")
    kept = Kept()

    assert not _read(planted, kept)[1].any()
    assert not _read(planted, kept)[1].any()
