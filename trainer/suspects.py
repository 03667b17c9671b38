"""Suspects: photos that somebody should look at, found after each training and kept for a review.

Photos are ranked by self-confidence, and errors estimated by margin, as in confident learning (Northcutt, Jiang and
Chuang 2021), from what a head says of photos that it has not seen. All labelled photos are judged alike, those of the
exam too; nothing that is found here goes into a model, only what a person decides about it.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from snaplabel import images, registry, reviews
from snaplabel.backbones import BackboneCard
from snaplabel.database import Database, now
from snaplabel.errors import Interrupted
from snaplabel.heads import Floats
from snaplabel.store import Store
from snaplabel.tables import Model, Photo, Suspect, TrainingRun
from trainer import backbone, dataset, fit, leftout, witness
from trainer.dataset import Bools, Dataset, Ints
from trainer.leftout import Doubles

if TYPE_CHECKING:
    from trainer.run import Context

log = logging.getLogger(__name__)

MOST = 500
# So many photos are compared with all others at once, to bound the table's memory, and tell what the median is.
AT_ONCE = 500
# A label is estimated to be wrong where another one's probability is higher than its own by more than this.
CONVINCED = 0.4
# None is, where more than this share of all labels is doubtful: then the head, not the label, is most often wrong.
TOO_DOUBTFUL = 0.25
# A photo so many robust standard deviations from its label's centre scores as one whose label has even odds.
FAR = 3.5
# Two photos show one picture when they lie this much closer than a photo and its nearest do in the median.
SAME_PICTURE = 0.4
# A photo is of nearly one colour when its 4×4 mean colours differ by no more than this of 255; real ones begin at 15.
ONE_COLOUR = 8
TWINS, EMPTY = 0.9, 0.8

# Perceptual hash and 4×4 mean colours, as `images.near` takes them.
Fingerprint = tuple[int, bytes]


@dataclass(frozen=True)
class Space:
    """The photos as one backbone sees them.

    there: (N,), which photos of the data it has seen; embeddings: float32 (M, dimension) of those. is_taught: it was
    taught with photos of this classifier, right or wrong.
    """

    embeddings: Floats
    there: Bools
    is_taught: bool = False


@dataclass(frozen=True)
class Found:
    """One suspect, as `tables.Suspect`; row, twin: rows of the data, suggested: row of the label it looks like.

    kind "mislabelled": its label is estimated to be wrong, and the photo better left out unless somebody knows better.
    "unlike": doubtful, or far from the rest of its label, no more.
    """

    row: int
    kind: str
    score: float
    suggested: int | None = None
    twin: int | None = None


def after(context: "Context", run: TrainingRun) -> None:
    """Look for suspects once a training is over; trouble is only logged, since the version is out. Raises Interrupted.

    After a fine-tune the untaught witness sees first what was taught.
    """
    if run.kind == "fine_tune":
        _calmly(run, lambda: witness.call(context, run.classifier_id))
    _calmly(run, lambda: look(context.database, context.store, run.classifier_id))


def _calmly(run: TrainingRun, act: Callable[[], object]) -> None:
    try:
        act()
    except Interrupted:
        raise
    except Exception:
        log.exception("after training run %s the suspects could not all be looked for", run.id)


def look(database: Database, store: Store, classifier_id: int, most: int = MOST) -> None:
    """Find a classifier's suspects, in place of those before."""
    moment = now()
    with database.read() as session:
        data = dataset.read(session, classifier_id)
        current, first = registry.current(session, classifier_id), backbone.base(database, store, classifier_id)
        spaces = _spaces(session, data, classifier_id, current, first) if current is not None else []
        prints = _fingerprints(session, data, classifier_id)
    found = find(data, spaces, prints)
    with database.begin() as session:
        _replace(session, classifier_id, data, found, moment, most)


def find(data: Dataset, spaces: Sequence[Space], prints: Sequence[Fingerprint]) -> list[Found]:
    """All suspects, highest score first.

    spaces: a later one is asked before an earlier one. prints: (N,), of the photos in the data's order.
    """
    photos, labels = len(data), len(data.labels)
    chances, strangeness = np.zeros((photos, labels), np.float32), np.zeros(photos)
    known = np.zeros(photos, np.bool_)
    twins = _near_duplicates(data, prints)
    for space in spaces:
        rows = np.flatnonzero(space.there)
        truth, groups = data.truth[rows], data.groups[rows]
        if len(np.unique(truth)) < 2:
            continue
        chances[rows] = leftout.chances(space.embeddings, truth, groups, labels)
        strangeness[rows] = leftout.strangeness(space.embeddings, truth, groups, labels, is_taught=space.is_taught)
        known[rows] = ~leftout.is_alone(truth, groups)
        if not space.is_taught:
            wrong = np.flatnonzero(known[rows] & (chances[rows].argmax(axis=1) != truth))
            same = _same_pictures(space.embeddings, truth, groups, wrong)
            twins = {**{int(rows[one]): int(rows[other]) for one, other in same.items()}, **twins}
    return _listed(data, chances, strangeness, known, twins, _of_one_colour(prints))


def _listed(
    data: Dataset, chances: Floats, strangeness: Doubles, known: Bools, twins: dict[int, int], empty: set[int]
) -> list[Found]:
    every = np.arange(len(data))
    own, best = chances[every, data.truth], chances.argmax(axis=1)
    doubtful = known & (best != data.truth)
    errors = doubtful & (chances.max(axis=1) - own > CONVINCED) & (doubtful.mean() <= TOO_DOUBTFUL)
    score = np.where(known, np.maximum(1.0 - own, _tail(strangeness - FAR)), 0.0)
    found = []
    for row in np.flatnonzero(doubtful | (known & (strangeness > FAR))).tolist():
        looks_like = int(best[row]) if doubtful[row] else None
        found.append(Found(row, "mislabelled" if errors[row] else "unlike", float(score[row]), looks_like))
    by_row = {one.row: one for one in found}
    for row in empty:
        by_row[row] = Found(row, "empty", max(EMPTY, float(score[row])))
    for row, twin in twins.items():
        by_row[row] = Found(row, "twins", max(TWINS, float(score[row])), int(data.truth[twin]), twin)
    return sorted(by_row.values(), key=lambda one: (-one.score, one.row))


def _tail(deviations: Doubles) -> Floats:
    """Share of a normal distribution below so many standard deviations."""
    from scipy.special import ndtr

    return np.asarray(ndtr(deviations), np.float32)


def _near_duplicates(data: Dataset, prints: Sequence[Fingerprint]) -> dict[int, int]:
    """Rows of photos → the near-duplicate most like each that has another label."""
    found = {}
    for rows in leftout.together(data.groups):
        if len(np.unique(data.truth[rows])) < 2:
            continue
        for row in rows.tolist():
            others = [one for one in rows.tolist() if data.truth[one] != data.truth[row]]
            near = [one for one in others if prints[row][1] and images.near(prints[row], prints[one])]
            if near:
                found[row] = min(near, key=lambda one: (images.bits_apart(prints[row][0], prints[one][0]), one))
    return found


def _same_pictures(embeddings: Floats, truth: Ints, groups: Ints, wrong: Ints) -> dict[int, int]:
    """Doubtful photos → one of another label that shows the same: cropped, mirrored, so that no fingerprint tells.

    truth, groups: (M,), of the embeddings; wrong: which of those are doubtful.
    """
    directions = fit.unit(embeddings)
    some = np.arange(0, len(directions), max(1, len(directions) // AT_ONCE))
    others = groups[some][:, None] != groups[None]
    usual = float(np.median(np.where(others, 1.0 - directions[some] @ directions.T, np.inf).min(axis=1)))
    found: dict[int, int] = {}
    for start in range(0, len(wrong), AT_ONCE):
        some = wrong[start : start + AT_ONCE]
        apart = np.where(truth[some][:, None] == truth[None], np.inf, 1.0 - directions[some] @ directions.T)
        nearest = apart.argmin(axis=1)
        is_same = apart[np.arange(len(some)), nearest] < SAME_PICTURE * usual
        found.update(zip(some[is_same].tolist(), nearest[is_same].tolist(), strict=True))
    return found


def _of_one_colour(prints: Sequence[Fingerprint]) -> set[int]:
    found = set()
    for row, (_, colours) in enumerate(prints):
        means = np.frombuffer(colours, np.uint8).reshape(-1, 3)
        if len(means) and int(np.ptp(means, axis=0).max()) <= ONE_COLOUR:
            found.add(row)
    return found


def _spaces(session: Session, data: Dataset, classifier_id: int, current: Model, first: BackboneCard) -> list[Space]:
    """The photos as the current backbone sees them, and as the first one does where that is the better witness.

    A network that was taught with a wrong label believes it; the first one was taught elsewhere, or not at all.
    """
    is_taught = current.backbone != first.version
    spaces = [Space(*dataset.embeddings(session, data, classifier_id, current.backbone), is_taught)]
    if is_taught and first.is_pretrained:
        spaces.append(Space(*dataset.embeddings(session, data, classifier_id, first.version)))
    return spaces


def _fingerprints(session: Session, data: Dataset, classifier_id: int) -> list[Fingerprint]:
    query = select(Photo.id, Photo.phash, Photo.colours).where(Photo.classifier_id == classifier_id)
    found = {photo_id: (phash, colours) for photo_id, phash, colours in session.execute(query)}
    return [found[photo_id] for photo_id in data.photo_ids.tolist()]


def _replace(
    session: Session, classifier_id: int, data: Dataset, found: list[Found], moment: datetime, most: int
) -> None:
    """Keep the suspects as of `moment`, when the labels were read, unless those there are of a later one.

    Photos that a reviewer decided on come last, so that they take nobody's place, yet are there if it is undone.
    """
    newest = session.scalar(select(func.max(Suspect.created_at)).where(Suspect.classifier_id == classifier_id))
    if newest is not None and newest > moment:
        return
    decided = reviews.reviewed(session, classifier_id)
    ids = data.photo_ids.tolist()
    kept = sorted(found, key=lambda one: ids[one.row] in decided)[:most]
    wanted = {ids[row] for one in kept for row in (one.row, one.twin) if row is not None}
    there = set(session.scalars(select(Photo.id).where(Photo.id.in_(wanted))))
    session.execute(delete(Suspect).where(Suspect.classifier_id == classifier_id))
    session.add_all(
        Suspect(
            classifier_id=classifier_id,
            photo_id=ids[one.row],
            kind=one.kind,
            score=one.score,
            suggested_id=data.labels[one.suggested][0] if one.suggested is not None else None,
            other_photo_id=ids[one.twin] if one.twin is not None else None,
            created_at=moment,
        )
        for one in kept
        if ids[one.row] in there and (one.twin is None or ids[one.twin] in there)
    )
