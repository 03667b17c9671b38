"""Does the descent end where the loss is least, in either space?"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from snaplabel.heads import Floats
from trainer import descent
from trainer.dataset import Ints

LABELS = 4
DECAY = 0.05
SPACES = pytest.mark.parametrize("space", [descent.Weights, descent.Shares])


def _photos(many: int, dimension: int = 30) -> tuple[Floats, Ints, Floats]:
    """Features that overlap, their labels, and uneven importance that sums to 1."""
    rng = np.random.default_rng(many)
    truth = np.arange(many) % LABELS
    middles = rng.normal(size=(LABELS, dimension))
    importance = rng.uniform(0.5, 1.5, many).astype(np.float32)
    features = (middles[truth] + 2 * rng.normal(size=(many, dimension))).astype(np.float32)
    return features, truth, importance / importance.sum()


def _solved(
    space: descent.Space, truth: Ints, importance: Floats, start: Floats | None = None, decay: float = DECAY
) -> Floats:
    start = space.start(LABELS) if start is None else start
    return descent.descend(space, truth, importance, start, decay, 500, 1e-9)


def _by_scipy(features: Floats, truth: Ints, importance: Floats) -> NDArray[np.float64]:
    """The same minimum, in double precision and by somebody else."""

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        found = flat.reshape(LABELS, -1)
        logits = features.astype(float) @ found[:, :-1].T + found[:, -1]
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        change = (chances - np.eye(LABELS)[truth]) * importance[:, None]
        gradient = np.concatenate([change.T @ features + DECAY * found[:, :-1], change.sum(axis=0)[:, None]], axis=1)
        right = np.log(chances[np.arange(len(truth)), truth])
        return float(-importance @ right + DECAY / 2 * (found[:, :-1] ** 2).sum()), gradient.ravel()

    start = np.zeros(LABELS * (features.shape[1] + 1))
    options = {"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-10}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return np.asarray(found, np.float64).reshape(LABELS, -1)


@SPACES
@pytest.mark.parametrize("many", [20, 90])
def test_it_ends_where_another_solver_ends(space: Callable[[Floats], descent.Space], many: int) -> None:
    features, truth, importance = _photos(many)

    here = space(features)
    found = here.weights(_solved(here, truth, importance))

    known = _by_scipy(features, truth, importance)
    answers, others = (features @ one[:, :-1].T + one[:, -1] for one in (found, known))
    # A bias is free up to what all labels share.
    assert (
        np.abs((answers - answers.mean(axis=1, keepdims=True)) - (others - others.mean(axis=1, keepdims=True))).max()
        < 5e-3
    )


@SPACES
def test_a_photo_of_no_importance_teaches_nothing_and_is_answered(space: Callable[[Floats], descent.Space]) -> None:
    features, truth, importance = _photos(60)
    importance[40:] = 0
    importance /= importance.sum()

    everyone, some = space(features), space(features[:40])
    found = everyone.logits(_solved(everyone, truth, importance))
    weights = some.weights(_solved(some, truth[:40], importance[:40]))

    assert found == pytest.approx(weights[:, :-1] @ features.T + weights[:, -1:], abs=5e-3)


@SPACES
def test_where_it_starts_does_not_matter(space: Callable[[Floats], descent.Space]) -> None:
    features, truth, importance = _photos(60)
    here = space(features)
    elsewhere = _solved(here, (truth + 1) % LABELS, importance)

    plain, moved = (here.logits(_solved(here, truth, importance, start)) for start in (None, elsewhere))

    assert plain == pytest.approx(moved, abs=5e-3)


@SPACES
def test_photos_that_a_head_can_tell_apart_entirely_do_not_send_it_to_infinity(
    space: Callable[[Floats], descent.Space],
) -> None:
    truth = np.arange(8) % LABELS
    features = np.eye(LABELS, 12, dtype=np.float32)[truth]
    here = space(features)

    found = here.logits(_solved(here, truth, np.full(8, 1 / 8, np.float32), decay=1e-6))

    assert np.isfinite(found).all()
    assert (found.argmax(axis=0) == truth).all()


@SPACES
def test_photos_that_are_all_alike_are_answered_by_how_many_a_label_has(
    space: Callable[[Floats], descent.Space],
) -> None:
    truth = np.repeat(np.arange(LABELS), [10, 5, 3, 2])
    here = space(np.zeros((20, 6), np.float32))

    found = here.logits(_solved(here, truth, np.full(20, 1 / 20, np.float32)))

    chances = np.exp(found[:, 0]) / np.exp(found[:, 0]).sum()
    assert chances == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=1e-3)


def test_fewer_photos_than_numbers_are_added_up_instead_of_weighed() -> None:
    assert isinstance(descent.cheaper(np.zeros((5, 9), np.float32)), descent.Shares)
    assert isinstance(descent.cheaper(np.zeros((9, 5), np.float32)), descent.Weights)
