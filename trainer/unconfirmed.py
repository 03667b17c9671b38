"""Labels that only people without standing gave: whether they may teach, and whether they may examine.

They may teach as long as the exam that others vouch for goes no worse with them than without. The comparison is always
with the confirmed labels alone, so that many small losses, each too small to be told from chance, can't add up.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from snaplabel.heads import Floats
from trainer import fit, judge
from trainer.dataset import Bools, Dataset, Ints
from trainer.recipe import Recipe


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
    is_small = judge.is_too_small(data.truth[exam], taught)
    without, with_them = _on_exam(data, embeddings, lessons, exam, recipe)
    if is_small:
        more = _on_lessons(data, embeddings, lessons, recipe)
        without, with_them = np.concatenate([without, more[0]]), np.concatenate([with_them, more[1]])
    if len(without) < judge.FEW_EXAM_PHOTOS:
        return Sifted(data, embeddings, "")
    may_teach = int(with_them.sum()) >= int(without.sum())
    kept = confirmed | (may_teach & (~data.is_exam | is_small))
    if kept.all():
        return Sifted(data, embeddings, "")
    out = 0 if may_teach else int((~confirmed & ~data.is_exam).sum())
    which = "1 label that nobody of standing confirmed is" if out == 1 else f"{out} labels that nobody confirmed are"
    remark = f"{which} left out: I'd do worse with {'it' if out == 1 else 'them'}." if out else ""
    return Sifted(data.only(kept), embeddings[kept], remark)


def _on_exam(data: Dataset, embeddings: Floats, lessons: Bools, exam: Bools, recipe: Recipe) -> tuple[Bools, Bools]:
    """Which confirmed exam photos are right without and with the unconfirmed lessons; both (M,)."""
    if not exam.any():
        return np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    both = (_answers(data, embeddings, some, exam, recipe) for some in (lessons, ~data.is_exam))
    without, with_them = (answers == data.truth[exam] for answers in both)
    return without, with_them


def _on_lessons(data: Dataset, embeddings: Floats, lessons: Bools, recipe: Recipe) -> tuple[Bools, Bools]:
    """The same of confirmed lessons, each asked of heads that have not seen its group; both (M,)."""
    rows = np.flatnonzero(lessons)
    labels = np.searchsorted(np.unique(data.truth[rows]), data.truth[rows])
    asked, fold = fit.folds(labels, data.groups[rows], recipe.refit, recipe.seed)
    found: tuple[list[Bools], list[Bools]] = ([], [])
    for turn in np.unique(fold).tolist():
        here = np.zeros(len(data), np.bool_)
        here[rows[asked[fold == turn]]] = True
        unseen = ~np.isin(data.groups, data.groups[here])
        for right, some in zip(found, (lessons, ~data.is_exam), strict=True):
            answers = _answers(data, embeddings, some & unseen, here, recipe, recipe.refit.unvalidated_weight_decay)
            right.append(answers == data.truth[here])
    if not found[0]:
        return np.zeros(0, np.bool_), np.zeros(0, np.bool_)
    return np.concatenate(found[0]), np.concatenate(found[1])


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
