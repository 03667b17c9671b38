"""Does a refit learn what is there to learn, and does its cross-validation not cheat?"""

from dataclasses import replace

import numpy as np
import pytest

from snaplabel.errors import NothingToLearn
from snaplabel.heads import Floats
from trainer import fit
from trainer.dataset import Ints
from trainer.recipe import Refit

RECIPE = Refit()


def _clusters(many: list[int], dimension: int = 32, spread: float = 1.0, seed: int = 0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(many)), many)
    middles = np.random.default_rng(99).normal(size=(len(many), dimension))
    return (middles[truth] + spread * rng.normal(size=(len(truth), dimension))).astype(np.float32), truth


def test_what_is_apart_is_told_apart() -> None:
    vectors, truth = _clusters([20, 20, 20])
    fresh, answers = _clusters([30, 30, 30], seed=1)

    found = fit.fit(vectors, truth, np.arange(60), RECIPE)

    assert (found.head.logits(fresh).argmax(axis=1) == answers).mean() > 0.95


def test_more_numbers_than_photos_are_no_trouble() -> None:
    vectors, truth = _clusters([8, 8], dimension=400)
    fresh, answers = _clusters([30, 30], dimension=400, seed=1)

    found = fit.fit(vectors, truth, np.arange(16), RECIPE)

    assert found.head.weight.shape == (2, 400)
    assert (found.head.logits(fresh).argmax(axis=1) == answers).mean() > 0.95


def test_fewer_columns_give_the_same_head() -> None:
    vectors, truth = _clusters([6, 6, 6], dimension=40)
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    wide = fit.fit(vectors, truth, np.arange(18), RECIPE, weight_decay=0.1).head
    doubled = np.concatenate([vectors] * 3)
    tall = fit.fit(doubled, np.tile(truth, 3), np.tile(np.arange(18), 3), RECIPE, weight_decay=0.1).head

    apart = np.abs(wide.logits(vectors) - tall.logits(vectors)).max()

    assert apart < 0.02


def test_the_scale_of_embeddings_does_not_matter() -> None:
    vectors, truth = _clusters([10, 10])

    plain = fit.fit(vectors, truth, np.arange(20), RECIPE).head
    scaled = fit.fit(100 * vectors, truth, np.arange(20), RECIPE).head

    assert np.allclose(plain.logits(vectors), scaled.logits(100 * vectors), atol=5e-2)


def test_with_many_photos_a_number_that_varies_little_counts_as_much_as_one_that_varies_a_lot() -> None:
    vectors, truth = _clusters([400, 400], dimension=8, spread=3.0)
    scale = np.linspace(0.5, 4, 8).astype(np.float32)

    plain = fit.fit(vectors, truth, np.arange(800), RECIPE, weight_decay=0.1).head
    scaled = fit.fit(vectors * scale, truth, np.arange(800), RECIPE, weight_decay=0.1).head

    assert np.abs(plain.logits(vectors) - scaled.logits(vectors * scale)).max() < 0.1


def test_numbers_in_which_the_only_two_photos_agree_do_not_decide() -> None:
    rng = np.random.default_rng(0)
    middles, spread = rng.gamma(1.0, 1.0, (2, 300)), 0.8
    answers = np.arange(400) % 2
    fresh = (middles[answers] + spread * rng.normal(size=(400, 300))).astype(np.float32)

    right = []
    for _ in range(20):
        taught = (middles + spread * rng.normal(size=(2, 300))).astype(np.float32)
        head = fit.fit(taught, np.arange(2), np.arange(2), RECIPE).head
        right.append((head.logits(fresh).argmax(axis=1) == answers).mean())

    assert np.mean(right) > 0.95


def test_a_rare_label_is_not_drowned() -> None:
    vectors, truth = _clusters([200, 10], spread=3.0)
    fresh, answers = _clusters([100, 100], spread=3.0, seed=1)

    def recall(balance: float) -> float:
        head = fit.fit(vectors, truth, np.arange(210), replace(RECIPE, balance=balance), weight_decay=0.1).head
        return float((head.logits(fresh).argmax(axis=1) == 1)[answers == 1].mean())

    assert recall(1.0) > recall(0.0)


def test_the_same_photos_give_the_same_head() -> None:
    vectors, truth = _clusters([10, 10, 10])

    one, other = (fit.fit(vectors, truth, np.arange(30), RECIPE, seed=3).head for _ in range(2))

    assert np.array_equal(one.weight, other.weight)


def test_a_group_is_never_split_between_folds() -> None:
    truth = np.repeat([0, 1], 30)
    groups = np.arange(60) // 3

    rows, fold = fit.folds(truth, groups, RECIPE, seed=0)

    assert len(rows) == 60
    assert all(len(set(fold[groups[rows] == group])) == 1 for group in set(groups))
    assert set(fold) == set(range(RECIPE.folds))


def test_a_label_that_lies_in_one_group_is_never_asked() -> None:
    truth, groups = np.array([0] * 6 + [1] * 6 + [2] * 4), np.array([*range(12), 50, 50, 50, 50])

    rows, _ = fit.folds(truth, groups, RECIPE, seed=0)

    assert set(truth[rows]) == {0, 1}


def test_twins_in_one_group_do_not_flatter_the_cross_validation() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 64)).astype(np.float32)
    vectors, truth = np.repeat(noise, 2, axis=0), np.repeat(np.arange(40) % 2, 2)

    apart = fit.fit(vectors, truth, np.arange(80), RECIPE)
    together = fit.fit(vectors, truth, np.repeat(np.arange(40), 2), RECIPE)

    assert (apart.logits.argmax(axis=1) == truth[apart.asked]).mean() > 0.8
    assert (together.logits.argmax(axis=1) == truth[together.asked]).mean() < 0.7


def test_two_photos_are_enough() -> None:
    vectors, truth = _clusters([1, 1])

    found = fit.fit(vectors, truth, np.arange(2), RECIPE)

    assert found.head.logits(vectors).argmax(axis=1).tolist() == [0, 1]
    assert len(found.asked) == 0


@pytest.mark.parametrize("truth", [[], [0, 0, 0]])
def test_one_label_is_nothing_to_learn(truth: list[int]) -> None:
    vectors = np.ones((len(truth), 8), np.float32)

    with pytest.raises(NothingToLearn):
        fit.fit(vectors, np.array(truth, np.int64), np.arange(len(truth)), RECIPE)


def test_centres_have_length_one() -> None:
    vectors, truth = _clusters([5, 7])

    found = fit.centres(vectors, truth, 2)

    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
