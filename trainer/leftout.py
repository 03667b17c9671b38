"""Left out: what a head says of each photo when the photo's own group was not there to learn from.

A ridge regression stands in for the head, because its answers without a group follow exactly from one fit of all
(Allen 1974, PRESS; with several photos at once, Cook and Weisberg 1982): no fold is fitted twice, no photo is unasked.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from snaplabel.heads import Floats, probabilities
from trainer import calibrate, fit
from trainer.dataset import Bools, Ints

Doubles = NDArray[np.float64]

# Weight decays beside features of mean square 1; the one with the least log-loss is taken.
DECAYS = (1.0, 3.0)
# A photo weighs (photos / (labels × photos of its label)) ** BALANCE, as in a refit.
BALANCE = 0.5
# Ridge answers lie between 0 and 1; as logits they begin here, and a temperature does the rest.
AS_LOGITS = 5.0
# A label with fewer photos borrows the spread of all.
OWN_SPREAD = 10


def chances(embeddings: Floats, truth: Ints, groups: Ints, labels: int) -> Floats:
    """Probability of each label for each photo, by a head that has not seen its group; float32 (N, labels).

    embeddings: float32 (N, dimension). truth: (N,), 0 to labels − 1. groups: (N,). A label that lies in one group only
    can't be known without it: `is_alone` says of which photos the answer means nothing.
    """
    count = np.maximum(np.bincount(truth, minlength=labels), 1)
    weight = np.sqrt((len(truth) / (labels * count[truth])) ** BALANCE).astype(np.float32)
    features = _features(embeddings) * weight[:, None]
    targets = fit.one_hot(truth, labels) * weight[:, None]
    best: tuple[float, Floats] | None = None
    for answers in _answers(features, targets, groups, DECAYS):
        logits = AS_LOGITS * (answers / weight[:, None]).astype(np.float32)
        warmth = calibrate.temperature(logits, truth)
        loss = fit.log_loss(logits / np.float32(warmth), truth)
        if best is None or loss < best[0]:
            best = loss, probabilities(logits, warmth)
    assert best is not None
    return best[1]


def is_alone(truth: Ints, groups: Ints) -> Bools:
    """Which photos are of a label that lies in one group only; (N,)."""
    pairs = np.unique(np.stack([truth, groups]), axis=1)
    spread = np.bincount(pairs[0], minlength=int(truth.max()) + 1)
    return spread[truth] < 2


def strangeness(embeddings: Floats, truth: Ints, groups: Ints, labels: int, *, is_taught: bool = False) -> Doubles:
    """How far each photo lies from its label's centre, made without its own group; (N,), in robust standard deviations.

    Those are 1.4826 × the median absolute deviation from the median; a label of few photos borrows those of all.
    is_taught: the network has drawn photos of a label together until their distances differ by orders of magnitude, so
    that their logarithms are compared.
    """
    directions = fit.unit(embeddings)
    total = fit.one_hot(truth, labels).T @ directions
    _, pair = np.unique(groups * labels + truth, return_inverse=True)
    own = np.zeros((int(pair.max()) + 1, directions.shape[1]), np.float32)
    np.add.at(own, pair, directions)
    distance = 1.0 - (directions * fit.unit(total[truth] - own[pair])).sum(axis=1)
    if is_taught:
        distance = np.log(np.maximum(distance, 1e-6))
    middle, spread = _spread(distance)
    found = (distance - middle) / spread
    for label in range(labels):
        mine = truth == label
        if mine.sum() >= OWN_SPREAD:
            middle, spread = _spread(distance[mine])
            found[mine] = (distance[mine] - middle) / spread
    return np.where(is_alone(truth, groups), 0.0, found)


def _spread(distance: Floats) -> tuple[float, float]:
    middle = float(np.median(distance))
    return middle, max(1.4826 * float(np.median(np.abs(distance - middle))), 1e-6)


def _features(embeddings: Floats) -> Floats:
    """Standardised, with a column of ones for the bias, at mean square length 1; float32 (N, dimension + 1)."""
    spread = embeddings.std(axis=0)
    scaled = (embeddings - embeddings.mean(axis=0)) / np.maximum(spread, 1e-3 * max(float(spread.mean()), 1e-6))
    scaled /= max(float(np.sqrt((scaled * scaled).sum(axis=1).mean())), 1e-6)
    return np.concatenate([scaled, np.ones((len(scaled), 1), np.float32)], axis=1, dtype=np.float32)


def _answers(features: Floats, targets: Floats, groups: Ints, decays: tuple[float, ...]) -> Iterator[Doubles]:
    """Ridge answers to each photo without its group, for one weight decay after the other; (N, labels).

    With H the matrix that turns targets T into answers, those to a group left out are T − (I − H)⁻¹ (T − H T), in the
    group's rows and columns. In the space of photos I − H is decay × (F Fᵀ + decay)⁻¹; in that of features H is Z Zᵀ
    with Z = F L⁻ᵀ and L Lᵀ = Fᵀ F + decay. The smaller space is taken.
    """
    from scipy.linalg import cho_factor, cho_solve, solve_triangular

    photos, columns = features.shape
    few = photos <= columns
    square = (features @ features.T if few else features.T @ features).astype(np.float64)
    for decay in decays:
        lower = cho_factor(square + decay * np.eye(len(square)), lower=True)
        if few:
            rest = decay * cho_solve(lower, np.eye(photos))
            missed, alone = rest @ targets, np.diagonal(rest)
        else:
            reach = solve_triangular(lower[0].astype(np.float32), features.T, lower=True).T
            missed, alone = targets - reach @ (reach.T @ targets), 1.0 - (reach * reach).sum(axis=1)
        found = np.asarray(targets - missed / alone[:, None], np.float64)
        for rows in together(groups):
            within = rest[np.ix_(rows, rows)] if few else np.eye(len(rows)) - reach[rows] @ reach[rows].T
            found[rows] = targets[rows] - np.linalg.solve(within, missed[rows])
        yield found


def together(groups: Ints) -> Iterator[Ints]:
    """The rows of each group of several photos."""
    _, group, many = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(many)
    for number in np.flatnonzero(many > 1).tolist():
        yield order[ends[number] - many[number] : ends[number]]
