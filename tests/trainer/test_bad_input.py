"""What a training makes of bad data and bad luck: a clear sentence, and the current model goes on answering."""

import resource
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert

from snaplabel import heads, labels
from snaplabel.errors import ModelError
from snaplabel.registry import Card
from snaplabel.tables import Label, Photo, TrainingRun
from trainer.recipe import Recipe


def _train(planted: Any, **changes: Any) -> TrainingRun:
    return planted.refit("command", **changes)  # type: ignore[no-any-return]


def _plant(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")


def _answers(planted: Any) -> Card:
    """The current model, loaded as a worker loads it."""
    model = planted.current()
    card = Card.from_json(model.card)
    heads.load(planted.store, model.key, card)
    return card


def test_an_empty_classifier_says_what_it_needs(planted: Any) -> None:
    over = _train(planted)

    assert over.state == "failed"
    assert "at least two labels with one photo each" in (over.failure or "")
    assert planted.current().version == 0


def test_one_label_says_what_it_needs_however_many_photos_it_has(planted: Any) -> None:
    planted.photos(30, "ant")

    over = _train(planted)

    assert over.state == "failed"
    assert "at least two labels" in (over.failure or "")


def test_a_label_with_one_photo_is_learnt_beside_the_others(planted: Any) -> None:
    _plant(planted)
    planted.photo("cricket")

    over = _train(planted)

    assert over.state == "done"
    assert [name for _, name in _answers(planted).labels] == ["ant", "bee", "cricket"]
    assert "Not in the exam yet: cricket" in over.progress["verdict"]


def test_photos_that_all_look_the_same_make_a_model_that_is_sure_of_nothing(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")
    planted.vector = lambda photo_id: np.ones(16, np.float32)

    over = _train(planted)

    card = _answers(planted)
    head = heads.load(planted.store, planted.current().key, card)
    said = heads.judge(head, card, np.ones((1, 16), np.float32))[0]
    assert over.state == "done"
    assert np.isfinite(head.weight).all()
    assert said.voice != "sure"


def test_far_too_many_labels_are_refused_before_they_fill_the_memory(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    with planted.database.begin() as session:
        session.execute(
            insert(Label),
            [{"classifier_id": planted.classifier_id, "name": f"label {n}", "key": f"label{n}"} for n in range(20_000)],
        )
        made = {label.key: label.id for label in labels.every(session, planted.classifier_id)}
        nothing = {"phash": 0, "band0": 0, "band1": 0, "band2": 0, "band3": 0, "colours": b"", "width": 1, "height": 1}
        session.execute(
            insert(Photo),
            [
                {
                    **nothing,
                    "classifier_id": planted.classifier_id,
                    "sha256": f"{n + 10**6:064x}",
                    "split": "lesson",
                    "label_id": made[f"label{n}"],
                }
                for n in range(20_000)
            ],
        )

    over = _train(planted)

    assert over.state == "failed"
    assert "20002 labels are more than one classifier can learn (2000)" in (over.failure or "")
    assert [name for _, name in _answers(planted).labels] == ["ant", "bee"]


def test_photos_that_can_no_longer_be_read_are_told(planted: Any) -> None:
    _plant(planted)
    broken = planted.photos(2, "ant")
    embed = planted.embed

    def look(photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        embed([one for one in photo_ids if one not in broken], backbone, on_done)

    over = _train(planted, embed=look)

    assert over.state == "done"
    assert "2 photos are left out that can't be read; the review lists them." in over.progress["verdict"]


def test_a_full_disk_while_publishing_leaves_the_current_model_and_says_so(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    before = planted.current().version
    planted.photos(3, "cricket")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    put = planted.store.put

    def on_a_full_disk(key: str, data: bytes) -> None:
        """The store's own writing, on a file system that takes no more than a kilobyte of a model."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 if key.startswith("models/") else soft, hard))
        try:
            put(key, data)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    over = _train(planted, store=_with_put(planted.store, on_a_full_disk), recipe=replace(Recipe(), seed=8))

    assert over.state == "failed"
    assert "Can't write models/" in (over.failure or "")
    assert planted.current().version == before
    assert "cricket" not in [name for _, name in _answers(planted).labels]
    assert not [path for path in Path(planted.settings.store).rglob(".*") if path.is_file()]


def _with_put(store: Any, put: Any) -> Any:
    class Full(type(store)):  # type: ignore[misc]
        def put(self, key: str, data: bytes) -> None:
            put(key, data)

    return Full(store.url)


@pytest.mark.parametrize("damage", ["truncated", "tampered", "gone", "swapped"])
def test_a_head_that_is_not_what_was_published_is_never_served(planted: Any, damage: str) -> None:
    _plant(planted)
    _train(planted)
    model = planted.current()
    key = f"{model.key}/head.safetensors"
    data = bytearray(planted.store.get(key))

    if damage == "truncated":
        planted.store.put(key, bytes(data[:-100]))
    elif damage == "tampered":
        data[-1] ^= 0x40
        planted.store.put(key, bytes(data))
    elif damage == "swapped":
        planted.store.put(key, planted.store.get("models/1/0/head.safetensors"))
    else:
        planted.store.delete(key)

    with pytest.raises(ModelError, match="roll back"):
        heads.load(planted.store, model.key, Card.from_json(model.card))


def test_a_training_makes_anew_what_was_damaged_though_there_is_nothing_new_to_learn(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    broken = planted.current()
    planted.store.put(f"{broken.key}/head.safetensors", b"nothing")

    over = _train(planted)

    mended = planted.current()
    assert mended.version == broken.version + 1
    assert f"v{broken.version} can't be asked: it is damaged." in over.progress["verdict"]
    assert heads.load(planted.store, mended.key, Card.from_json(mended.card)).weight.any()
