"""The facts of a report: what was asked, what candidate and current model said, and which photos turned."""

import numpy as np

from snaplabel import reports
from snaplabel.heads import Floats
from snaplabel.reports import Change, LabelScore, Report, Score
from snaplabel.store import Store
from snaplabel.tables import Model, TrainingRun
from trainer import candidate, judge
from trainer.candidate import Candidate
from trainer.dataset import Dataset, Ints
from trainer.judge import Decision

Said = tuple[Ints, Floats]


def record(
    store: Store, run: TrainingRun, current: Model, data: Dataset, vectors: Floats, found: Candidate, decision: Decision
) -> Report:
    """Keep the report of a candidate in the store: a few milliseconds, so that every training has one.

    vectors: float32 (N, dimension), of `data` by the current model's backbone. Raises ModelError, StoreError.
    """
    exam = data.only(data.is_exam)
    old = candidate.said_by(store, current, exam, vectors[data.is_exam])
    report = facts(run, current, data, found, decision, old)
    reports.save(store, report)
    return report


def facts(
    run: TrainingRun, current: Model, data: Dataset, found: Candidate, decision: Decision, old: Said | None
) -> Report:
    """The report of a candidate; old: the current model's answers to the exam photos with their probabilities."""
    is_exam = found.exam.by == "exam"
    beside = old if is_exam else None
    return Report(
        run=run.id,
        kind=run.kind,
        by=found.exam.by,
        new=_score(found.truth, found.answers, found.chances),
        old=_score(found.truth, *beside) if beside is not None else None,
        parent=current.version if old is not None else None,
        labels=_labels(data, found, beside),
        wrong=_wrong(data, found),
        change=_change(data, found, decision, old[0]) if old is not None and data.is_exam.any() else None,
        publish=decision.publish,
        verdict=decision.verdict,
    )


def _score(truth: Ints, answers: Ints, chances: Floats) -> Score | None:
    if not len(truth):
        return None
    right = truth == answers
    wrong = int((~right).sum())
    return Score(wrong / len(truth), *judge.wilson(wrong, len(truth)), len(truth), judge.calibration(right, chances))


def _labels(data: Dataset, found: Candidate, old: Said | None) -> tuple[LabelScore, ...]:
    many = len(data.labels)
    asked = np.bincount(found.truth, minlength=many)
    right = np.bincount(found.truth[found.truth == found.answers], minlength=many)
    was = np.bincount(found.truth[found.truth == old[0]], minlength=many).tolist() if old else [None] * many
    lessons = np.bincount(data.truth[~data.is_exam], minlength=many)
    counts = zip(data.labels, asked.tolist(), right.tolist(), was, lessons.tolist(), strict=True)
    return tuple(LabelScore(label_id, name, *rest) for (label_id, name), *rest in counts)


def _wrong(data: Dataset, found: Candidate) -> tuple[tuple[int, int, int, float], ...]:
    missed = np.flatnonzero(found.truth != found.answers)
    missed = missed[np.argsort(-found.chances[missed], kind="stable")]
    ids = np.where(found.asked[missed] >= 0, data.photo_ids[found.asked[missed]], 0)
    rows = zip(
        ids.tolist(),
        found.truth[missed].tolist(),
        found.answers[missed].tolist(),
        found.chances[missed].round(3).tolist(),
        strict=True,
    )
    return tuple((photo, truth, answer, round(chance, 3)) for photo, truth, answer, chance in rows)


def _change(data: Dataset, found: Candidate, decision: Decision, old: Ints) -> Change:
    """What became of the exam photos between the two models."""
    fixed, broken = len(decision.fixed), len(decision.broken)
    at = {photo: row for row, photo in enumerate(data.photo_ids[data.is_exam].tolist())}
    truth, now = data.truth[data.is_exam], found.exam_answers
    chance = judge.chance_of(max(fixed, broken), min(fixed, broken))
    return Change(
        *judge.gain(fixed, broken, len(at)),
        chance=chance,
        fixed=tuple((photo, int(truth[at[photo]]), int(old[at[photo]])) for photo in decision.fixed),
        broken=tuple((photo, int(truth[at[photo]]), int(now[at[photo]])) for photo in decision.broken),
    )
