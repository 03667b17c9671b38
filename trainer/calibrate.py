"""Calibration: how sure a model may sound, learnt from answers to photos that it had not seen."""

from dataclasses import dataclass

import numpy as np

from snaplabel import voices
from snaplabel.heads import MAX_SHORTLIST, Floats, probabilities
from trainer.dataset import Bools, Ints
from trainer.fit import log_loss, one_hot, unit
from trainer.recipe import Calibration

# Worth of the belief that logits are calibrated as they are, in photos.
PRIOR_PHOTOS = 16.0
# A threshold of 1 would read as "100 %".
HIGHEST = 0.999
# No probability reaches it. One of 1 is what a head says of anything far enough from its lessons.
NEVER = 2.0


@dataclass(frozen=True)
class Calibrated:
    """What `heads.judge` needs beside the head; see `registry.Card`."""

    temperature: float
    sure_at: float
    shortlist: float
    stranger_at: float | None


def calibrate(logits: Floats, truth: Ints, distances: Floats, recipe: Calibration) -> Calibrated:
    """Thresholds from unseen photos.

    logits: float32 (M, labels) and truth: (M,), answers of a head that had not seen these photos; M may be 0.
    distances: (N,), of photos to the nearest centre made without them.
    """
    stranger_at = stranger(distances, recipe)
    if not len(truth):
        return Calibrated(1.0, recipe.unproven_sure, recipe.unproven_listed, stranger_at)
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
    """Smallest probability from which on answers are right often enough; chances: float32 (M, labels)."""
    right = chances.argmax(axis=1) == truth
    return _least(chances.max(axis=1), right, recipe.sure_right, recipe.least_sure, recipe.unproven_sure, recipe)


def least_listed(chances: Floats, truth: Ints, sure_at: float, recipe: Calibration) -> float:
    """Smallest probability that the listed labels must hold together for "one of these" to be right often enough.

    The list is the one that people see, `voices.shortlist`; only photos with no sure answer count.
    """
    doubtful = chances.max(axis=1) < sure_at
    order = np.argsort(-chances[doubtful], axis=1, kind="stable")[:, :MAX_SHORTLIST]
    shown = np.take_along_axis(chances[doubtful], order, axis=1)
    is_two = shown[:, :2].sum(axis=1) >= voices.TWO_HOLD
    shown[is_two, 2:] = 0.0
    hit = order == truth[doubtful][:, None]
    hit[is_two, 2:] = False
    together, held = shown.sum(axis=1), hit.any(axis=1)
    return _least(together, held, recipe.listed_right, recipe.least_listed, recipe.unproven_listed, recipe)


def _least(chances: Floats, hit: Bools, share: float, lowest: float, unproven: float, recipe: Calibration) -> float:
    """Smallest threshold from which on `share` of the answers are hits; chances: float32 (M,), hit: (M,).

    Proven is a share whose lower bound is high enough (Jeffreys; 27 hits without a miss prove 95 % with a certainty of
    90 %). Answers that claim `share` themselves must be proven first: of many thresholds below, chance alone finds one
    that seems to do. Where nothing is proven it is `unproven`, or more where the upper bound of the share seen there is
    too low.
    """
    # scipy.stats would say the same, half a second of importing later.
    from scipy.special import betaincinv

    order = np.argsort(-chances, kind="stable")
    ranked, many = chances[order], np.arange(1, len(order) + 1)
    hits = np.cumsum(hit[order])
    # A threshold takes in all answers of the same probability.
    is_end = np.append(np.diff(ranked) != 0, True)[: len(ranked)]
    low, high = (betaincinv(hits + 0.5, many - hits + 0.5, side) for side in (1 - recipe.certainty, recipe.certainty))
    claimed, here = low[ranked >= share], ranked >= unproven
    proven = ranked[is_end & (low >= share)] if len(claimed) and claimed[-1] >= share else ranked[:0]
    careful = unproven
    if here.any() and high[here][-1] < share:
        possible = ranked[is_end & here & (high >= share)]
        careful = possible[-1] if len(possible) else np.nextafter(ranked[~hit[order]][0], np.float32(2))
    found = min(careful, proven[-1]) if len(proven) else careful
    return NEVER if found == NEVER else min(max(float(found), lowest), HIGHEST)


def own_distances(embeddings: Floats, truth: Ints, groups: Ints) -> Floats:
    """Cosine distance of each photo to the nearest centre made without the photo's own group; float32 (M,).

    Photos whose group is all that their label has are left out: nothing says how far a second one would lie.
    """
    directions, labels = unit(embeddings), int(truth.max()) + 1
    total = one_hot(truth, labels).T @ directions
    distances = 1.0 - directions @ unit(total).T
    # A group that people gave two labels to is taken out of each label's photos by its own.
    names, group = np.unique(groups * labels + truth, return_inverse=True)
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
