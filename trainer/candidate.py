"""A candidate: a head fitted to embeddings, calibrated and examined; and what the current model says beside it."""

from dataclasses import dataclass

import numpy as np

from snaplabel import heads
from snaplabel.heads import Floats, Head
from snaplabel.registry import Card, Exam
from snaplabel.store import Store
from snaplabel.tables import Model
from trainer import calibrate, fit, judge
from trainer.calibrate import Calibrated
from trainer.dataset import Dataset, Ints
from trainer.recipe import Recipe


@dataclass(frozen=True)
class Candidate:
    """A head that may become the next model.

    taught: (labels,), rows of the data's labels in the order of the head's rows. truth, answers: (asked,), what `exam`
    was scored on, rows of the data's labels. exam_answers: (exam photos,), its answers to the exam photos.
    """

    head: Head
    taught: Ints
    calibrated: Calibrated
    weight_decay: float
    exam: Exam
    truth: Ints
    answers: Ints
    exam_answers: Ints


def make(data: Dataset, embeddings: Floats, recipe: Recipe, weight_decay: float | None = None) -> Candidate:
    """Fit to the lesson photos, calibrate, and examine; embeddings: float32 (N, dimension), in the data's order.

    Raises NothingToLearn for fewer than two labels with a lesson photo.
    """
    lesson = ~data.is_exam
    taught = data.taught()
    truth = np.searchsorted(taught, data.truth[lesson])
    groups = data.groups[lesson]
    fitted = fit.fit(embeddings[lesson], truth, groups, recipe.refit, recipe.seed, weight_decay)
    exam_logits, exam_truth = fitted.head.logits(embeddings[data.is_exam]), data.truth[data.is_exam]
    exam_answers = taught[exam_logits.argmax(axis=1)]
    known = np.isin(exam_truth, taught)
    distances = calibrate.own_distances(embeddings[lesson], truth, groups, len(taught))
    if known.sum() >= recipe.calibration.exam_photos:
        unseen, right = exam_logits[known], np.searchsorted(taught, exam_truth[known])
    else:
        unseen, right = fitted.logits, truth[fitted.asked]
    calibrated = calibrate.calibrate(unseen, right, distances, recipe.calibration)
    asked, answers, by = exam_truth, exam_answers, "exam"
    if judge.is_too_small(exam_truth, taught) and len(fitted.asked):
        asked, answers = taught[truth[fitted.asked]], taught[fitted.logits.argmax(axis=1)]
        by = "cross-validation"
    exam = judge.examine(asked, answers, names(data), by)
    return Candidate(fitted.head, taught, calibrated, fitted.weight_decay, exam, asked, answers, exam_answers)


def names(data: Dataset) -> tuple[str, ...]:
    return tuple(name for _, name in data.labels)


def answers_of(store: Store, model: Model, data: Dataset, embeddings: Floats) -> Ints | None:
    """What a published model says of photos: rows of the data's labels, UNKNOWN for a label no longer there; (N,).

    embeddings: float32 (N, dimension), by that model's backbone. None: the model knows no labels.
    Raises ModelError, StoreError.
    """
    card = Card.from_json(model.card)
    if not card.labels:
        return None
    place = {label_id: row for row, (label_id, _) in enumerate(data.labels)}
    rows = np.array([place.get(label_id, judge.UNKNOWN) for label_id, _ in card.labels], np.int64)
    if not len(embeddings):
        return np.zeros(0, np.int64)
    found: Ints = rows[heads.load(store, model.key, card).logits(embeddings).argmax(axis=1)]
    return found
