"""Refit: a head on stored embeddings, in well under a second for thousands of photos."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from snaplabel.errors import NothingToLearn
from snaplabel.heads import Floats, Head
from trainer import descent
from trainer.dataset import Bools, Ints
from trainer.recipe import Refit

# Worth of the belief that all numbers of an embedding vary alike, in photos. Two photos alone would stretch each number
# in which they happen to agree beyond all others: with one photo a label 48 % came out right, with this 57 %.
PRIOR_PHOTOS = 10.0


@dataclass(frozen=True)
class Fitted:
    """A fitted head with the evidence for it.

    asked: (M,), rows of the photos that were answered by a head which had not seen their group; logits: float32
    (M, labels), those answers. Both are empty where there were too few photos for a cross-validation.
    """

    head: Head
    weight_decay: float
    asked: Ints
    logits: Floats


def fit(
    embeddings: Floats, truth: Ints, groups: Ints, recipe: Refit, seed: int = 0, weight_decay: float | None = None
) -> Fitted:
    """Multinomial logistic regression with L2 weight decay on embeddings whose numbers all vary about as much.

    embeddings: float32 (N, dimension). truth: (N,), 0 to labels − 1, each of them there. groups: (N,).
    weight_decay: None chooses by cross-validated log-loss. The scaling is folded into weight and bias.
    Raises NothingToLearn for fewer than two labels.
    """
    labels = int(truth.max()) + 1 if len(truth) else 0
    if labels < 2:
        raise NothingToLearn()
    _one_thread()
    mean, scale = embeddings.mean(axis=0), _scale(embeddings)
    features = (embeddings - mean) * scale
    asked, fold = folds(truth, groups, recipe, seed)
    # Photos of labels that are never asked take part as lessons in every fold.
    part = np.flatnonzero(np.isin(np.arange(len(truth)), asked) | ~np.isin(truth, truth[asked]))
    space = descent.cheaper(features[part])
    start, logits = space.start(labels), np.zeros((0, labels), np.float32)
    best = weight_decay if weight_decay is not None else recipe.unvalidated_weight_decay
    if len(asked):
        grid = recipe.weight_decays if weight_decay is None else (weight_decay,)
        when = np.full(len(part), -1)
        when[np.searchsorted(part, asked)] = fold
        best, start, logits = _cross_validate(space, truth[part], when, grid, recipe)
    if len(part) < len(truth):
        space, start = descent.Weights(features), space.weights(start)[None]
    everyone = _importance(truth, labels, recipe.balance)
    found = descent.descend(space, truth, everyone, start, best, recipe.iterations, recipe.tolerance)
    solved = space.weights(found)
    weight = np.ascontiguousarray(solved[:, :-1] * scale, np.float32)
    bias = (solved[:, -1] - weight @ mean).astype(np.float32)
    return Fitted(Head(weight, bias, centres(embeddings, truth, labels)), best, asked, logits)


def _scale(embeddings: Floats) -> Floats:
    """What each number of an embedding is multiplied with; float32 (dimension,).

    One over its spread, a spread that PRIOR_PHOTOS photos draw towards that of all numbers.
    """
    photos, variance = len(embeddings), embeddings.var(axis=0)
    typical = max(float(variance.mean()), 1e-12)
    found: Floats = 1.0 / np.sqrt((photos * variance + PRIOR_PHOTOS * typical) / (photos + PRIOR_PHOTOS))
    return found


def centres(embeddings: Floats, truth: Ints, labels: int) -> Floats:
    """Mean direction of each label's photos; float32 (labels, dimension), unit length."""
    sums = one_hot(truth, labels).T @ unit(embeddings)
    return unit(sums)


def unit(vectors: Floats) -> Floats:
    """The rows at length 1."""
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found


def one_hot(truth: Ints, labels: int) -> Floats:
    return np.eye(labels, dtype=np.float32)[truth]


def folds(truth: Ints, groups: Ints, recipe: Refit, seed: int) -> tuple[Ints, Ints]:
    """Which photos are asked in the cross-validation, and when: (rows, fold), both (M,).

    Groups stay whole and each label is spread evenly. A label that lies in one group only is never asked, since a head
    that has not seen it could not know it; with fewer than two labels left, nobody is asked at all.
    """
    order = np.random.default_rng(seed).permutation(len(truth))
    first_of: dict[int, int] = {}
    for row in order.tolist():
        first_of.setdefault(int(groups[row]), row)
    of_label: dict[int, list[int]] = {}
    for group, row in first_of.items():
        of_label.setdefault(int(truth[row]), []).append(group)
    share = min(1.0, recipe.cross_validate / max(1, len(truth)))
    fold_of: dict[int, int] = {}
    turn = 0
    for label in sorted(of_label):
        there = of_label[label]
        kept = there[: max(2, round(share * len(there)))] if len(there) > 1 else []
        for group in kept:
            fold_of[group] = turn % recipe.folds
            turn += 1
    rows = np.array([n for n, group in enumerate(groups.tolist()) if group in fold_of], np.int64)
    fold = np.array([fold_of[group] for group in groups[rows].tolist()], np.int64)
    if len(np.unique(truth[rows])) < 2 or len(np.unique(fold)) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return rows, fold


def warm_up() -> None:
    """Import what a first fit would wait for: half a second of the first correction's."""
    _one_thread()
    from scipy.optimize import minimize_scalar  # noqa: F401
    from scipy.special import stdtrit  # noqa: F401


@cache
def _one_thread() -> None:
    """numpy's and scipy's products on one thread from now on.

    OpenBLAS's threads wait for each other by spinning: beside a worker that keeps the cores busy, a refit of 1,000
    photos took 7 s with two of them and takes 0.2 s with one. Its own switch for this is an environment variable that
    is read when numpy is imported, which is before anybody knows that we will train.
    """
    import scipy

    for package in (np, scipy):
        for path in Path(f"{package.__path__[0]}.libs").glob("*openblas*"):
            library = ctypes.CDLL(str(path))
            for name in ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads"):
                if hasattr(library, name):
                    getattr(library, name)(1)


def _importance(truth: Ints, labels: int, balance: float, kept: Bools | None = None) -> Floats:
    """Weight of each photo, summing to 1 over the kept ones; float32 (N,)."""
    there = np.ones(len(truth), np.bool_) if kept is None else kept
    count = np.maximum(np.bincount(truth[there], minlength=labels), 1)
    weight = np.where(there, (len(truth) / (labels * count[truth])) ** balance, 0.0)
    return np.asarray(weight / weight.sum(), np.float32)


def _cross_validate(
    space: descent.Space, truth: Ints, fold: Ints, grid: tuple[float, ...], recipe: Refit
) -> tuple[float, Floats, Floats]:
    """The weight decay with the least log-loss, a start for the final fit, and the out-of-fold logits (M, labels).

    fold: (N,), when each of the space's photos is asked; −1: never. Each fold has a thread of its own.
    """
    labels, turns, asked = int(truth.max()) + 1, np.unique(fold[fold >= 0]), np.flatnonzero(fold >= 0)
    weights = [_importance(truth, labels, recipe.balance, fold != turn) for turn in turns]
    points = [space.start(labels) for _ in turns]
    best = (np.inf, grid[0], points, np.zeros((len(asked), labels), np.float32))
    with ThreadPoolExecutor(len(turns)) as threads:
        for decay in grid:
            limits = decay, recipe.iterations, recipe.search_tolerance
            at_work = [
                threads.submit(descent.descend, space, truth, weight, point, *limits)
                for weight, point in zip(weights, points, strict=True)
            ]
            points = [one.result() for one in at_work]
            logits = np.zeros((len(truth), labels), np.float32)
            for turn, point in zip(turns, points, strict=True):
                logits[fold == turn] = space.logits(point).T[fold == turn]
            loss = log_loss(logits[asked], truth[asked])
            if loss >= best[0]:
                break
            best = (loss, decay, points, logits[asked])
    return best[1], np.mean(best[2], axis=0), best[3]


def log_loss(logits: Floats, truth: Ints) -> float:
    """Mean negative log-probability of the truth."""
    top = logits.max(axis=1)
    total = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((total - logits[np.arange(len(truth)), truth]).mean())
