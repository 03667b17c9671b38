"""The judge: how a model did on the exam, and whether a candidate may take the current model's place."""

from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from snaplabel import reports
from snaplabel.heads import Floats
from snaplabel.registry import Exam
from snaplabel.reports import Bin, Calibration
from trainer.dataset import Bools, Ints

# One-sided exact tests: a candidate is refused when its loss would come about by chance less often than this.
WORSE = 0.05
# A newly taught network costs a look at every photo: it is the gain that must come about by chance less often. With the
# certainty that is asked of "sure" and "one of these".
BETTER = 0.1
# A label whose right answers at least halve is looked at more sternly: four broken and none mended are enough.
COLLAPSED = 0.1
# Fewer exam photos, or labels with this share of the lessons left out of it, say so little that cross-validation on the
# lesson side is shown in their place. One new label among many does not change what is measured.
FEW_EXAM_PHOTOS, UNASKED = 10, 0.2
UNKNOWN = reports.UNKNOWN
# Calibration: bins of at least so many photos each, and at most so many bins.
BIN_PHOTOS, MOST_BINS = 10, 10
# Answers that a perfectly calibrated model is imagined to give, to see what calibration error chance alone makes. Many
# photos tell by themselves and need few repetitions; a refit after a correction has no time for more.
IMAGINED, LEAST_TIMES, MOST_TIMES = 100_000, 50, 200


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


def examine(
    truth: Ints, answers: Ints, names: tuple[str, ...], by: str = "exam", chances: Floats | None = None
) -> Exam:
    """Score answers to photos the model had not seen.

    truth, answers: (N,), rows of `names`; an answer of UNKNOWN is wrong. by: "exam" or "cross-validation".
    chances: float32 (N,), the probability of each answer; None: not known, so nothing is said of calibration.
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
    sure = calibration(truth == answers, chances) if chances is not None else None
    ece = (round(sure.ece, 4), round(sure.by_chance, 4)) if sure is not None else (None, None)
    return Exam(wrong / len(truth), low, high, len(truth), by, recall, confused, *ece)


def calibration(right: Bools, chances: Floats) -> Calibration | None:
    """How far the probabilities of answers are from how often they are right; None for too few answers to tell.

    right: (N,). chances: float32 (N,). The expected calibration error of Naeini et al. 2015 and Guo et al. 2017, over
    bins of equally many answers (Nixon et al. 2019), since a good model is nearly always sure and would leave bins of
    equal width empty. It is never 0 on few photos, so it comes with what chance alone makes of it (Bröcker and Smith
    2007): answers are imagined to be right exactly as often as they claim, from a fixed seed.
    """
    asked = len(right)
    if asked < BIN_PHOTOS:
        return None
    order = np.argsort(chances, kind="stable")
    claimed = chances[order].astype(np.float64)
    starts = np.linspace(0, asked, min(MOST_BINS, asked // BIN_PHOTOS) + 1).astype(np.int64)
    photos = np.diff(starts)
    sure = np.add.reduceat(claimed, starts[:-1])
    hit = np.add.reduceat(right[order].astype(np.float64), starts[:-1])
    times = max(LEAST_TIMES, min(MOST_TIMES, IMAGINED // asked))
    imagined = np.random.default_rng(0).random((times, asked), np.float32) < claimed.astype(np.float32)
    hits = np.add.reduceat(imagined, starts[:-1], axis=1, dtype=np.int32)
    noise = np.abs(hits - sure).sum(axis=1) / asked
    bins = tuple(
        Bin(s / n, h / n, *wilson(int(h), int(n)), photos=int(n))
        for s, h, n in zip(sure.tolist(), hit.tolist(), photos.tolist(), strict=True)
    )
    return Calibration(
        float(np.abs(hit - sure).sum() / asked), float(noise.mean()), float(np.quantile(noise, 0.95)), bins
    )


def wilson(wrong: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), which behaves at 0 and 1 and for few photos."""
    share = wrong / asked
    middle = (share + z * z / (2 * asked)) / (1 + z * z / asked)
    reach = z / (1 + z * z / asked) * sqrt(share * (1 - share) / asked + z * z / (4 * asked * asked))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def is_too_small(exam_truth: Ints, lesson_truth: Ints) -> bool:
    """Whether an exam says too little: under ten photos, or none of labels that hold a fifth of the lessons or more.

    exam_truth, lesson_truth: (M,), (N,), labels of the photos on either side.
    """
    unasked = ~np.isin(lesson_truth, exam_truth)
    return len(exam_truth) < FEW_EXAM_PHOTOS or unasked.mean() >= UNASKED


def chance_of(one_way: int, other_way: int) -> float:
    """Probability that at least so many of the photos whose answer turned do so one way, if both ways were equal.

    McNemar's exact test, one-sided.
    """
    turned = one_way + other_way
    return float(sum(comb(turned, n) for n in range(one_way, turned + 1)) / 2**turned)


def is_proven_better(was: Bools, now: Bools) -> bool:
    """Whether more photos came right than went wrong beyond chance: what it takes to exchange a network.

    was, now: (N,), which of the same photos the old and the new one answer right; neither was taught with them.
    McNemar's mid-p test, one-sided (Fagerland, Lydersen and Laake 2013): of a dozen photos that turned the exact one
    says far too seldom that it was no chance.
    """
    fixed, broken = int((now & ~was).sum()), int((was & ~now).sum())
    just_so = float(comb(fixed + broken, fixed) / 2 ** (fixed + broken))
    return chance_of(fixed, broken) - just_so / 2 < BETTER


def gain(fixed: int, broken: int, asked: int, z: float = 1.96) -> tuple[float, float, float]:
    """How much more the candidate gets right on the same photos, −1 to 1, and its 95 % interval: (gain, low, high).

    The interval is Wald's with half a photo added to each of the four cells (Agresti and Min 2005), which behaves for
    few photos; the gain itself is what was seen.
    """
    all_in = asked + 2
    middle = (fixed - broken) / all_in
    reach = z * sqrt((fixed + broken + 1) - (fixed - broken) ** 2 / all_in) / all_in
    return (fixed - broken) / asked, max(-1.0, middle - reach), min(1.0, middle + reach)


def decide(
    truth: Ints,
    old: Ints | None,
    new: Ints,
    photo_ids: Ints,
    names: tuple[str, ...],
    taught: Ints,
    alone: str = "The first model.",
) -> Decision:
    """Compare a candidate's answers with the current model's on the same exam photos.

    truth, old, new: (N,), rows of `names`, or UNKNOWN. old None: there is no model to compare with, for the reason that
    `alone` says, and the candidate is published. taught: rows of `names` that the candidate knows.
    """
    new_error = float((new != truth).mean()) if len(truth) else None
    if old is None:
        return Decision(True, _remarks(alone, truth, names, taught), None, new_error)
    old_error = float((old != truth).mean()) if len(truth) else None
    was, now = old == truth, new == truth
    fixed, broken = tuple(photo_ids[now & ~was].tolist()), tuple(photo_ids[was & ~now].tolist())
    publish, verdict = True, "Nothing lost: no exam photo is answered worse."
    collapsed = _collapsed(truth, was, now)
    if collapsed:
        (row, before, after), *others = collapsed
        publish, verdict = False, f"It unlearnt {names[row]}: {after} right in the exam, {before} before."
        if others:
            verdict += f" It also unlearnt {_listed([names[row] for row, _, _ in others])}."
    elif len(broken) > len(fixed) and chance_of(len(broken), len(fixed)) < WORSE:
        publish, verdict = False, f"Worse: {_photos(len(broken))} went wrong and {len(fixed)} came right."
    elif len(fixed) > len(broken):
        publish, verdict = True, f"Better: {_photos(len(fixed))} came right and {len(broken)} went wrong."
    elif broken:
        verdict = f"No worse beyond chance: {_photos(len(broken))} went wrong and {len(fixed)} came right."
    elif not len(truth):
        verdict = "Published untested: there are no exam photos yet."
    return Decision(publish, _remarks(verdict, truth, names, taught), old_error, new_error, fixed, broken)


def _collapsed(truth: Ints, was: Bools, now: Bools) -> list[tuple[int, int, int]]:
    """Labels that lost half their right answers beyond chance, worst first: (row, right before, right now)."""
    found = []
    for row in np.unique(truth).tolist():
        mine = truth == row
        before, after = int(was[mine].sum()), int(now[mine].sum())
        broken, fixed = int((was & ~now)[mine].sum()), int((now & ~was)[mine].sum())
        if after * 2 <= before and before > 0 and chance_of(broken, fixed) < COLLAPSED:
            found.append((row, before, after))
    return sorted(found, key=lambda one: one[2] - one[1])


def _remarks(verdict: str, truth: Ints, names: tuple[str, ...], taught: Ints) -> str:
    """The verdict, with the labels that the exam does not ask for and those that can't be learnt yet."""
    unasked = [names[row] for row in taught.tolist() if not (truth == row).any()]
    untaught = [names[row] for row in np.unique(truth).tolist() if row not in taught]
    if 0 < len(truth) < FEW_EXAM_PHOTOS:
        verdict += f" Only {_photos(len(truth))} so far, which proves little."
    if unasked and len(truth):
        verdict += f" Not in the exam yet: {_listed(unasked)}."
    if untaught:
        verdict += f" Only exam photos so far, so not learnt: {_listed(untaught)}."
    return verdict


def _photos(many: int) -> str:
    return f"{many} exam photo{'' if many == 1 else 's'}"


def _listed(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
