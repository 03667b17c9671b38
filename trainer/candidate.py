"""A candidate: a head fitted to embeddings, calibrated and examined; and what the current model says beside it."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from snaplabel import heads
from snaplabel.errors import ModelError
from snaplabel.heads import Floats, Head
from snaplabel.registry import Card, Exam
from snaplabel.store import Store
from snaplabel.tables import Model
from trainer import calibrate, fit, judge, leftout
from trainer.calibrate import Calibrated
from trainer.dataset import Dataset, Ints
from trainer.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A head that may become the next model.

    taught: (labels,), rows of the data's labels in the order of the head's rows. truth, answers: (asked,), what `exam`
    was scored on, rows of the data's labels; chances: (asked,), the probabilities of those answers; asked: (asked,),
    the photos' rows in the data, or UNKNOWN. exam_answers: (exam photos,), its answers to the exam photos.
    """

    head: Head
    taught: Ints
    calibrated: Calibrated
    weight_decay: float
    exam: Exam
    truth: Ints
    answers: Ints
    chances: Floats
    asked: Ints
    exam_answers: Ints


@dataclass(frozen=True)
class Taught:
    """What is known of a backbone that was taught with the lesson photos: it has seen them, so that answers to them
    prove nothing, and other photos must tell.

    weight_decay: for its heads. logits: float32 (M, labels), truth: (M,), distances: (M,), of lesson photos that it was
    not taught with, by a head that had not seen them either; M is 0 at a later refit.
    """

    weight_decay: float
    logits: Floats
    truth: Ints
    distances: Floats


def make(data: Dataset, embeddings: Floats, recipe: Recipe, by: Taught | None = None) -> Candidate:
    """Fit to the lesson photos, calibrate, and examine; embeddings: float32 (N, dimension), in the data's order.

    by: of a backbone that was taught with these photos; None: of one that has never seen them.
    Raises NothingToLearn for fewer than two labels with a lesson photo.
    """
    lesson = ~data.is_exam
    taught = data.taught()
    truth = np.searchsorted(taught, data.truth[lesson])
    groups = data.groups[lesson]
    fitted = fit.fit(embeddings[lesson], truth, groups, recipe.refit, recipe.seed, by.weight_decay if by else None)
    exam_logits, exam_truth = fitted.head.logits(embeddings[data.is_exam]), data.truth[data.is_exam]
    exam_answers = taught[exam_logits.argmax(axis=1)]
    known = np.isin(exam_truth, taught)
    exam_rows = np.flatnonzero(data.is_exam)
    on_exam = exam_logits[known], np.searchsorted(taught, exam_truth[known])
    if by is None:
        unseen, unseen_rows = (fitted.logits, truth[fitted.asked]), np.flatnonzero(lesson)[fitted.asked]
        evidence, distances = _joined(on_exam, unseen), calibrate.own_distances(embeddings[lesson], truth, groups)
    else:
        unseen = evidence = _joined(on_exam, (by.logits, by.truth))
        unseen_rows = np.concatenate([exam_rows[known], np.full(len(by.truth), judge.UNKNOWN)])
        distances = by.distances
    distances = np.concatenate([distances, fitted.head.distance(embeddings[data.is_exam][known])])
    # A fifth of few photos proves little: what the cross-validation says of the lessons counts as well.
    numbers = recipe.calibration
    if leftout.is_alone(truth, groups).any():
        # Nobody could ask for a second photo of that label: nothing unproven may sound as if it would be told apart.
        numbers = replace(numbers, unproven_sure=calibrate.NEVER)
    calibrated = calibrate.calibrate(*evidence, distances, numbers)
    logits, asked, how = exam_logits, exam_rows, "exam"
    right = exam_truth
    if judge.is_too_small(exam_truth, data.truth[lesson]) and len(unseen[1]) > len(exam_truth):
        logits, asked, how = unseen[0], unseen_rows, "cross-validation"
        right = taught[unseen[1]]
    answers = taught[logits.argmax(axis=1)]
    chances: Floats = heads.probabilities(logits, calibrated.temperature).max(axis=1)
    exam = judge.examine(right, answers, names(data), how, chances)
    return Candidate(
        fitted.head, taught, calibrated, fitted.weight_decay, exam, right, answers, chances, asked, exam_answers
    )


def _joined(one: tuple[Floats, Ints], other: tuple[Floats, Ints]) -> tuple[Floats, Ints]:
    if not len(other[1]):
        return one
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def taught_before(model: Model) -> Taught | None:
    """What a refit must know of the model's backbone; None: it was never taught with the classifier's photos."""
    found = model.card["recipe"].get("taught_weight_decay")
    if found is None:
        return None
    return Taught(float(found), np.zeros((0, 0), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32))


def names(data: Dataset) -> tuple[str, ...]:
    return tuple(name for _, name in data.labels)


def answers_of(store: Store, model: Model, data: Dataset, embeddings: Floats) -> Ints | None:
    """What a published model says of photos, as `said_by`, without the probabilities."""
    said = said_by(store, model, data, embeddings)
    return said[0] if said is not None else None


def said_by(store: Store, model: Model, data: Dataset, embeddings: Floats) -> tuple[Ints, Floats] | None:
    """What a published model says of photos, and the probabilities of those answers; both (N,).

    Answers are rows of the data's labels, UNKNOWN for a label no longer there; one that was merged into another since
    counts as that one. embeddings: float32 (N, dimension), by that model's backbone. None: the model knows no labels,
    or its head is damaged. Raises StoreError.
    """
    card, head = Card.from_json(model.card), head_of(store, model)
    if head is None:
        return None
    if not len(embeddings):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    place = {label_id: row for row, (label_id, _) in enumerate(data.labels)}
    place |= {label_id: place[into] for label_id, into in data.merged if into in place}
    rows = np.array([place.get(label_id, judge.UNKNOWN) for label_id, _ in card.labels], np.int64)
    logits = head.logits(embeddings)
    chances: Floats = heads.probabilities(logits, card.temperature).max(axis=1)
    return rows[logits.argmax(axis=1)], chances


def head_of(store: Store, model: Model) -> Head | None:
    """The head of a published model; None: it knows no labels, or its file is damaged. Raises StoreError."""
    card = Card.from_json(model.card)
    if not card.labels:
        return None
    try:
        return heads.load(store, model.key, card)
    except ModelError as error:
        log.warning("v%s can't be asked: %s", model.version, error)
        return None
