"""Labels that only people without standing gave: whether they may teach, and whether they may examine.

They may teach as long as neither the confirmed exam, nor confirmed exam and lessons together, go worse with them than
without. The comparison is always with the confirmed labels alone, so that many small losses, each too small to be told
from chance, can't add up.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from snaplabel.heads import Floats
from trainer import fit, judge
from trainer.dataset import Bools, Dataset, Ints
from trainer.recipe import Recipe

# So many confirmed lessons are asked beside the exam: one lucky photo in a small exam must not let in a hundred lies.
ASKED = 300


@dataclass(frozen=True)
class Sifted:
    """What is learnt from, and examined on. remark: a sentence on what was left out of the lessons; "": nothing was."""

    data: Dataset
    embeddings: Floats
    remark: str


def sift(data: Dataset, embeddings: Floats, unconfirmed: Collection[int], recipe: Recipe) -> Sifted:
    """Leave out the unconfirmed labels that must not count; all of them stay while too little is confirmed to tell.

    embeddings: float32 (N, dimension), in the data's order. unconfirmed: photo ids.
    An unconfirmed exam photo counts only while the confirmed ones make no exam yet, and goes with the lessons.
    """
    confirmed = ~np.isin(data.photo_ids, np.array(sorted(unconfirmed), np.int64))
    lessons = ~data.is_exam & confirmed
    taught = np.unique(data.truth[lessons])
    if confirmed.all() or len(taught) < 2:
        return Sifted(data, embeddings, "")
    exam = data.is_exam & confirmed
    is_small = judge.is_too_small(data.truth[exam], data.truth[lessons])
    on_exam = _on_exam(data, embeddings, lessons, exam, recipe)
    on_lessons = _on_lessons(data, embeddings, lessons, recipe)
    if on_exam.asked + on_lessons.asked < judge.FEW_EXAM_PHOTOS:
        return Sifted(data, embeddings, "")
    may_teach = on_exam.gain >= 0 and on_exam.gain + on_lessons.gain >= 0
    kept = confirmed | (may_teach & (~data.is_exam | is_small))
    if kept.all():
        return Sifted(data, embeddings, "")
    out = 0 if may_teach else int((~confirmed & ~data.is_exam).sum())
    which = "1 label that nobody of standing confirmed is" if out == 1 else f"{out} labels that nobody confirmed are"
    remark = f"{which} left out: I'd do worse with {'it' if out == 1 else 'them'}." if out else ""
    return Sifted(data.only(kept), embeddings[kept], remark)


@dataclass(frozen=True)
class _Evidence:
    """How many photos were asked, and how many more of them are right with the unconfirmed lessons than without."""

    asked: int = 0
    gain: int = 0


def _on_exam(data: Dataset, embeddings: Floats, lessons: Bools, exam: Bools, recipe: Recipe) -> _Evidence:
    """What the confirmed exam photos say."""
    if not exam.any():
        return _Evidence()
    both = (_answers(data, embeddings, some, exam, recipe) for some in (lessons, ~data.is_exam))
    without, with_them = (int((answers == data.truth[exam]).sum()) for answers in both)
    return _Evidence(int(exam.sum()), with_them - without)


def _on_lessons(data: Dataset, embeddings: Floats, lessons: Bools, recipe: Recipe) -> _Evidence:
    """What confirmed lessons say, each asked of heads that have not seen its group; about ASKED of them are enough."""
    rows = np.flatnonzero(lessons)
    labels = np.searchsorted(np.unique(data.truth[rows]), data.truth[rows])
    of_folds, fold = fit.folds(labels, data.groups[rows], recipe.refit, recipe.seed)
    asked = gain = 0
    for turn in np.unique(fold).tolist():
        if asked >= ASKED:
            break
        here = np.zeros(len(data), np.bool_)
        here[rows[of_folds[fold == turn]]] = True
        unseen = ~np.isin(data.groups, data.groups[here])
        decay = recipe.refit.unvalidated_weight_decay
        both = (_answers(data, embeddings, some & unseen, here, recipe, decay) for some in (lessons, ~data.is_exam))
        without, with_them = (int((answers == data.truth[here]).sum()) for answers in both)
        asked, gain = asked + int(here.sum()), gain + with_them - without
    return _Evidence(asked, gain)


def _answers(
    data: Dataset, embeddings: Floats, lessons: Bools, asked: Bools, recipe: Recipe, weight_decay: float | None = None
) -> Ints:
    """What a head fitted to these lessons says of the photos asked; rows of the data's labels, (M,).

    weight_decay None: chosen by cross-validation, as it is for a model.
    """
    taught = np.unique(data.truth[lessons])
    if len(taught) < 2:
        return np.full(int(asked.sum()), taught[0] if len(taught) else judge.UNKNOWN)
    truth = np.searchsorted(taught, data.truth[lessons])
    groups = data.groups[lessons] if weight_decay is None else np.zeros(len(truth), np.int64)
    found = fit.fit(embeddings[lessons], truth, groups, recipe.refit, recipe.seed, weight_decay)
    answers: Ints = taught[found.head.logits(embeddings[asked]).argmax(axis=1)]
    return answers
