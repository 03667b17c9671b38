"""Heads: from an embedding to a label and a voice, and back from the store as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from snaplabel import heads, voices
from snaplabel.errors import ModelError
from snaplabel.heads import Floats, Head
from snaplabel.registry import Card
from snaplabel.store import Store

FOUR = ((1, "ant"), (2, "bee"), (3, "cat"), (4, "dog"))
CARD = Card("default", 1, "refit", "tiny", labels=FOUR, sure_at=0.9, shortlist=0.8, stranger_at=0.5)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def _head(labels: int = 4) -> Head:
    """A head whose logits are the embedding's first numbers, and whose labels lie one along each axis."""
    eye = np.eye(labels, 6, dtype=np.float32)
    return Head(eye, np.zeros(labels, np.float32), eye)


def _looks(*chances: float) -> Floats:
    """An embedding of which the head makes these probabilities, in a direction that it knows."""
    found = np.zeros((1, 6), np.float32)
    found[0, : len(chances)] = np.log(chances) - np.log(min(chances))
    return found


def _says(*chances: float, card: Card = CARD) -> heads.Verdict:
    return heads.judge(_head(len(card.labels)), card, _looks(*chances))[0]


def test_a_likely_label_is_sure() -> None:
    said = _says(0.94, 0.03, 0.02, 0.01)

    assert (said.voice, said.top[0][0]) == ("sure", 1)
    assert said.top[0][1] == pytest.approx(0.94, abs=1e-4)


def test_two_labels_that_hold_nearly_everything_are_listed() -> None:
    said = _says(0.6, 0.36, 0.03, 0.01)

    assert (said.voice, said.shortlist) == ("maybe", 2)


def test_three_labels_are_listed_where_two_hold_too_little() -> None:
    said = _says(0.5, 0.3, 0.15, 0.05)

    assert (said.voice, said.shortlist) == ("maybe", 3)


def test_the_list_that_was_judged_is_the_list_that_people_see() -> None:
    for chances in ((0.6, 0.36, 0.03, 0.01), (0.5, 0.3, 0.15, 0.05)):
        said = _says(*chances)

        title, _ = voices.guess(said.voice, [(FOUR[n - 1][1], p) for n, p in said.top], voices.shortlist(said.top))

        assert title == voices.either([name for _, name in FOUR[: said.shortlist]])


def test_where_even_three_labels_hold_too_little_it_is_unknown() -> None:
    card = replace(CARD, shortlist=0.9)

    assert _says(0.28, 0.26, 0.24, 0.22, card=card).voice == "unknown"


def test_of_two_labels_one_of_them_is_always_one_of_these() -> None:
    card = replace(CARD, labels=FOUR[:2], shortlist=0.999, stranger_at=None)

    said = _says(0.5, 0.5, card=card)

    assert (said.voice, said.shortlist) == ("maybe", 2)


def test_a_photo_far_from_all_labels_is_unknown_however_likely_one_of_them_is() -> None:
    looks = _looks(0.98, 0.01, 0.005, 0.005)
    looks[0, 5] = 100.0

    said = heads.judge(_head(), CARD, looks)[0]

    assert said.voice == "unknown"
    assert said.top[0][1] > 0.9


def test_an_unknown_photo_names_its_nearest_labels_without_percentages() -> None:
    title, text = voices.guess("unknown", [("ant", 0.99), ("bee", 0.01)], 2)

    assert title == "I don't know this one"
    assert "Nearest: ant or bee." in text
    assert "%" not in text


def test_without_labels_nothing_was_learnt() -> None:
    nothing = Head(np.zeros((0, 6), np.float32), np.zeros(0, np.float32), np.zeros((0, 6), np.float32))

    assert heads.judge(nothing, replace(CARD, labels=()), _looks(1.0))[0].voice == "untaught"


def test_a_head_comes_back_from_the_store_as_it_was(store: Store) -> None:
    heads.save(store, "models/1/1", _head(), CARD)

    found = heads.load(store, "models/1/1", CARD)

    assert np.array_equal(found.weight, _head().weight)
    assert np.array_equal(found.centres, _head().centres)


def test_a_card_of_an_earlier_version_still_answers() -> None:
    about = CARD.to_json()
    for name in ("sure_at", "shortlist", "stranger_at", "temperature", "exam", "libraries"):
        del about[name]

    said = heads.judge(_head(), Card.from_json(about), _looks(0.94, 0.03, 0.02, 0.01))

    assert said[0].voice == "sure"


def test_a_damaged_head_is_named(store: Store) -> None:
    store.put("models/1/1/head.safetensors", b"no tensors")

    with pytest.raises(ModelError, match="damaged"):
        heads.load(store, "models/1/1", CARD)


def test_a_head_with_other_labels_than_its_card_is_refused(store: Store) -> None:
    head = _head(3)
    store.put("models/1/1/head.safetensors", save({"weight": head.weight, "bias": head.bias, "centres": head.centres}))

    with pytest.raises(ModelError, match="does not fit"):
        heads.load(store, "models/1/1", CARD)
