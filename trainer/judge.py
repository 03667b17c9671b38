"""The judge: how a model did on the exam, and whether a candidate may take the current model's place."""

from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from snaplabel.registry import Exam
from trainer.dataset import Bools, Ints

# One-sided exact tests: a candidate is refused when its loss would come about by chance less often than this.
WORSE = 0.05
# A label whose right answers at least halve is looked at more sternly: four broken and none mended are enough.
COLLAPSED = 0.1
# Fewer exam photos say so little that cross-validation on the lesson side is shown in their place.
FEW_EXAM_PHOTOS = 10
UNKNOWN = -1


@dataclass(frozen=True)
class Decision:
    """Whether to publish a candidate. verdict: a plain sentence.

    old_error, new_error: share of wrong answers on the same exam photos; None without an exam (old: without a model).
    fixed, broken: ids of exam photos that only the new, or only the old model gets right.
    """

    publish: bool
    verdict: str
    old_error: float | None
    new_error: float | None
    fixed: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()


def examine(truth: Ints, answers: Ints, names: tuple[str, ...], by: str = "exam") -> Exam:
    """Score answers to photos the model had not seen.

    truth, answers: (N,), rows of `names`; an answer of UNKNOWN is wrong. by: "exam" or "cross-validation".
    """
    if not len(truth):
        return Exam(by=by)
    wrong = int((truth != answers).sum())
    low, high = wilson(wrong, len(truth))
    recall: dict[str, tuple[int, int]] = {}
    pairs: dict[tuple[int, int], int] = {}
    for row in np.unique(truth).tolist():
        mine = truth == row
        recall[names[row]] = (int((answers[mine] == row).sum()), int(mine.sum()))
    for right, said in zip(truth.tolist(), answers.tolist(), strict=True):
        if right != said and said != UNKNOWN:
            pairs[right, said] = pairs.get((right, said), 0) + 1
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:10]
    confused = tuple((names[right], names[said], times) for (right, said), times in most)
    return Exam(wrong / len(truth), low, high, len(truth), by, recall, confused)


def wilson(wrong: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which behaves at 0 and 1 and for few photos."""
    share = wrong / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    reach = z / (1 + z * z / asked) * sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def is_too_small(exam_truth: Ints, taught: Ints) -> bool:
    """Whether an exam says too little: under ten photos, or a taught label without any."""
    return len(exam_truth) < FEW_EXAM_PHOTOS or not np.isin(taught, exam_truth).all()


def chance_of(broken: int, fixed: int) -> float:
    """Probability of at least so many broken among the photos whose answer turned, if turning either way were equal.

    McNemar's exact test, one-sided.
    """
    turned = broken + fixed
    return float(sum(comb(turned, n) for n in range(broken, turned + 1)) / 2**turned)


def decide(truth: Ints, old: Ints | None, new: Ints, photo_ids: Ints, names: tuple[str, ...], taught: Ints) -> Decision:
    """Compare a candidate's answers with the current model's on the same exam photos.

    truth, old, new: (N,), rows of `names`, or UNKNOWN. old None: there is no model that knows anything yet, and the
    candidate is published. taught: rows of `names` that the candidate knows.
    """
    new_error = float((new != truth).mean()) if len(truth) else None
    if old is None:
        return Decision(True, _remarks("The first model.", truth, names, taught), None, new_error)
    old_error = float((old != truth).mean()) if len(truth) else None
    was, now = old == truth, new == truth
    fixed, broken = tuple(photo_ids[now & ~was].tolist()), tuple(photo_ids[was & ~now].tolist())
    publish, verdict = True, "Nothing lost: no exam photo is answered worse."
    collapsed = _collapsed(truth, was, now)
    if collapsed is not None:
        row, before, after = collapsed
        publish, verdict = False, f"It unlearnt {names[row]}: {after} right in the exam, {before} before."
    elif len(broken) > len(fixed) and chance_of(len(broken), len(fixed)) < WORSE:
        publish, verdict = False, f"Worse: {len(broken)} exam photos went wrong and {len(fixed)} came right."
    elif len(fixed) > len(broken):
        publish, verdict = True, f"Better: {len(fixed)} exam photos came right and {len(broken)} went wrong."
    elif broken:
        verdict = f"No worse beyond chance: {len(broken)} exam photos went wrong and {len(fixed)} came right."
    elif not len(truth):
        verdict = "Published untested: there are no exam photos yet."
    return Decision(publish, _remarks(verdict, truth, names, taught), old_error, new_error, fixed, broken)


def _collapsed(truth: Ints, was: Bools, now: Bools) -> tuple[int, int, int] | None:
    """The label that lost most, if one lost half its right answers beyond chance: (row, right before, right now)."""
    worst: tuple[int, int, int] | None = None
    for row in np.unique(truth).tolist():
        mine = truth == row
        before, after = int(was[mine].sum()), int(now[mine].sum())
        broken, fixed = int((was & ~now)[mine].sum()), int((now & ~was)[mine].sum())
        lost = after * 2 <= before and before > 0 and chance_of(broken, fixed) < COLLAPSED
        if lost and (worst is None or before - after > worst[1] - worst[2]):
            worst = (row, before, after)
    return worst


def _remarks(verdict: str, truth: Ints, names: tuple[str, ...], taught: Ints) -> str:
    """The verdict, with the labels that the exam does not ask for and those that can't be learnt yet."""
    unasked = [names[row] for row in taught.tolist() if not (truth == row).any()]
    untaught = [names[row] for row in np.unique(truth).tolist() if row not in taught]
    if unasked and len(truth):
        verdict += f" Not in the exam yet: {_listed(unasked)}."
    if untaught:
        verdict += f" Only exam photos so far, so not learnt: {_listed(untaught)}."
    return verdict


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
