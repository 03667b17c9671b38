"""A recipe's numbers, and what comes of them."""

import numpy as np
import pytest

from trainer.pictures import batches
from trainer.recipe import PRETRAINED, SCRATCH, taught_by


@pytest.mark.parametrize(
    ("photos", "sizes"),
    [(320, {16}), (300, {15, 16}), (103, {8, 9}), (24, {2}), (5, {2, 3}), (1, {1})],
)
def test_a_small_set_has_smaller_batches(photos: int, sizes: set[int]) -> None:
    found = batches(np.arange(photos), PRETRAINED.batch_size, PRETRAINED.least_batches, np.random.default_rng(0))

    assert {len(batch) for batch in found} == sizes
    assert sorted(np.concatenate(found).tolist()) == list(range(photos))


def test_a_batch_size_that_was_asked_for_is_kept() -> None:
    asked = taught_by(batch_size=16, epochs=None).fine_tune

    found = batches(np.arange(32), asked.batch_size, asked.least_batches, np.random.default_rng(0))

    assert [len(batch) for batch in found] == [16, 16]
    assert asked.epochs == PRETRAINED.epochs
    assert taught_by(epochs=5).scratch.batch_size == SCRATCH.batch_size
