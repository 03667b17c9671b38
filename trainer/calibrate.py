"""Calibration: how sure a model may sound, learnt from answers to photos that it had not seen."""

from dataclasses import dataclass

import numpy as np

from snaplabel.heads import MAX_SHORTLIST, Floats, probabilities
from trainer.dataset import Ints
from trainer.fit import log_loss, one_hot, unit
from trainer.recipe import Calibration

# Worth of the belief that logits are calibrated as they are, in photos.
PRIOR_PHOTOS = 4.0


@dataclass(frozen=True)
class Calibrated:
    """What `heads.judge` needs beside the head; see `registry.Card`."""

    temperature: float = 1.0
    sure_at: float = 0.95
    shortlist: float = 0.8
    stranger_at: float | None = None


def calibrate(logits: Floats, truth: Ints, distances: Floats, recipe: Calibration) -> Calibrated:
    """Thresholds from unseen photos.

    logits: float32 (M, labels) and truth: (M,), answers of a head that had not seen these photos; M may be 0.
    distances: (N,), of photos to the nearest centre made without them.
    """
    stranger_at = stranger(distances, recipe)
    if not len(truth):
        return Calibrated(sure_at=recipe.unknown_sure, stranger_at=stranger_at)
    warmth = temperature(logits, truth)
    chances = probabilities(logits, warmth)
    sure_at = least_sure(chances, truth, recipe)
    return Calibrated(warmth, sure_at, least_listed(chances, truth, sure_at, recipe), stranger_at)


def temperature(logits: Floats, truth: Ints) -> float:
    """Divisor of the logits with the least log-loss (Guo et al. 2017), between 0.05 and 20.

    A few photos hardly move it from 1: (log temperature)² is charged as much as PRIOR_PHOTOS photos would.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_warmth: float) -> float:
        spread = PRIOR_PHOTOS / len(truth) * log_warmth**2 / 2
        return log_loss(logits / np.float32(np.exp(log_warmth)), truth) + spread

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded").x))


def least_sure(chances: Floats, truth: Ints, recipe: Calibration) -> float:
    """Smallest probability from which on answers are right often enough.

    Shares are counted as (right + 1) / (answers + 2), so that fewer than 18 right answers in a row prove nothing; then
    the calibrated probability itself must be high enough.
    """
    best = chances.max(axis=1)
    order = np.argsort(-best, kind="stable")
    right = np.cumsum(chances.argmax(axis=1)[order] == truth[order])
    share = (right + 1) / (np.arange(1, len(truth) + 1) + 2)
    good = np.flatnonzero(share >= recipe.sure_right)
    if not len(good):
        return recipe.unknown_sure
    return float(np.clip(best[order][good[-1]], recipe.least_sure, recipe.unknown_sure))


def least_listed(chances: Floats, truth: Ints, sure_at: float, recipe: Calibration) -> float:
    """Smallest probability that the first few labels must hold together for "one of these" to be right often enough."""
    doubtful = chances.max(axis=1) < sure_at
    order = np.argsort(-chances[doubtful], axis=1, kind="stable")[:, :MAX_SHORTLIST]
    together = np.cumsum(np.take_along_axis(chances[doubtful], order, axis=1), axis=1)
    hit = order == truth[doubtful][:, None]
    for least in (0.5, 0.6, 0.7, 0.8):
        listed = together[:, -1] >= least
        size = np.maximum((together[listed] < least).sum(axis=1) + 1, 2)
        held = (hit[listed] & (np.arange(order.shape[1])[None] < size[:, None])).any(axis=1)
        if (held.sum() + 1) / (len(held) + 2) >= recipe.listed_right:
            return least
    return Calibrated.shortlist


def own_distances(embeddings: Floats, truth: Ints, groups: Ints, labels: int) -> Floats:
    """Cosine distance of each photo to the nearest centre made without the photo's own group; float32 (M,).

    Photos whose group is all that their label has are left out: nothing says how far a second one would lie.
    """
    directions = unit(embeddings)
    total = one_hot(truth, labels).T @ directions
    distances = 1.0 - directions @ unit(total).T
    names, group = np.unique(groups, return_inverse=True)
    own = np.zeros((len(names), directions.shape[1]), np.float32)
    np.add.at(own, group, directions)
    rest = total[truth] - own[group]
    alone = np.linalg.norm(rest, axis=1) < 1e-3
    distances[np.arange(len(truth)), truth] = 1.0 - (directions * unit(rest)).sum(axis=1)
    found: Floats = distances.min(axis=1)[~alone]
    return found


def stranger(distances: Floats, recipe: Calibration) -> float | None:
    """Distance beyond which a photo is nothing the model knows; None while there are too few photos to tell.

    Under 200 photos the tail is not seen yet, so a normal prediction bound of one new photo joins the quantile.
    """
    if len(distances) < 5:
        return None
    seen = float(np.quantile(distances, recipe.known))
    if len(distances) >= 200:
        return seen
    # scipy.stats would say the same, half a second of importing later.
    from scipy.special import stdtrit

    reach = float(stdtrit(len(distances) - 1, recipe.known)) * np.sqrt(1 + 1 / len(distances))
    return max(seen, float(distances.mean() + reach * distances.std(ddof=1)))
