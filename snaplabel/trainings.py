"""Trainings: asked for, claimed, watched and called off.

At most one refit and one fine-tune per classifier at a time, by a unique index.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from snaplabel import acts, corrections
from snaplabel.database import now
from snaplabel.errors import AlreadyTraining
from snaplabel.tables import Classifier, TrainingRun

# A running training says so this often; one that was silent three times as long is dead, and is taken up again.
BEAT_S = 10.0
DEAD_AFTER_S = 60.0
MAX_ATTEMPTS = 3
ACTIVE_STATES = ("queued", "running")


def ask(
    session: Session,
    classifier_id: int,
    kind: str,
    reason: str,
    *,
    person_id: int | None = None,
    answer_id: int | None = None,
) -> TrainingRun:
    """A queued training; ring `train.run` with its id after the commit.

    kind: "refit" or "fine_tune". reason: "command", "corrections", "schedule", "threshold" or "cli".
    answer_id: the message in which a chat watches it. Raises AlreadyTraining when one of this kind is active.
    """
    run = TrainingRun(
        classifier_id=classifier_id, kind=kind, reason=reason, person_id=person_id, answer_id=answer_id, progress={}
    )
    try:
        with session.begin_nested():
            session.add(run)
    except IntegrityError as error:
        raise AlreadyTraining() from error
    return run


def active(session: Session, classifier_id: int, kind: str | None = None) -> TrainingRun | None:
    """The training that is queued or running; of two, the fine-tune."""
    query = select(TrainingRun).where(TrainingRun.classifier_id == classifier_id, TrainingRun.state.in_(ACTIVE_STATES))
    if kind is not None:
        query = query.where(TrainingRun.kind == kind)
    found = session.scalars(query).all()
    return min(found, key=lambda run: run.kind != "fine_tune", default=None)


def left_behind(session: Session, classifier_id: int, kind: str) -> TrainingRun | None:
    """A running training whose process died, and which nobody has taken up yet."""
    run = active(session, classifier_id, kind)
    if run is None or run.state != "running" or run.beat_at is None or run.beat_at >= _silent_since():
        return None
    return run


def latest(session: Session, classifier_id: int, kind: str | None = None) -> TrainingRun | None:
    """The training that finished last."""
    query = select(TrainingRun).where(TrainingRun.classifier_id == classifier_id, TrainingRun.state == "done")
    if kind is not None:
        query = query.where(TrainingRun.kind == kind)
    return session.scalar(query.order_by(TrainingRun.id.desc()).limit(1))


def claim(session: Session, run_id: int, started_at: datetime | None = None) -> TrainingRun | None:
    """Take a queued training, or one whose trainer died; None when it is somebody else's or over.

    started_at: a moment before its labels are read, since what is said after it is news; None: this one. A training
    that died MAX_ATTEMPTS times is failed for good.
    """
    is_dead = (TrainingRun.state == "running") & (TrainingRun.beat_at < _silent_since())
    free = (TrainingRun.state == "queued") | is_dead
    taken = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, free)
        .values(state="running", beat_at=now(), started_at=started_at or now(), attempts=TrainingRun.attempts + 1)
        .execution_options(synchronize_session=False)
    )
    if not getattr(taken, "rowcount", 0):
        return None
    run = session.get(TrainingRun, run_id, populate_existing=True)
    if run is not None and run.attempts > MAX_ATTEMPTS:
        finish(session, run_id, "failed", failure="The training process died three times.")
        return None
    return run


def report(session: Session, run_id: int, progress: dict[str, Any]) -> bool:
    """Record how far a training is, and that it lives. False when somebody asked it to stop."""
    session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(progress=progress, beat_at=now()))
    return not session.scalar(select(TrainingRun.cancel_asked).where(TrainingRun.id == run_id))


def _silent_since() -> datetime:
    """Who has said nothing since then is dead."""
    return now() - timedelta(seconds=DEAD_AFTER_S)


def put_back(session: Session, run_id: int, *, is_failure: bool = False) -> None:
    """A running training that is left off: it is queued again. is_failure: this was one of its MAX_ATTEMPTS."""
    session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running")
        .values(state="queued", attempts=TrainingRun.attempts - (0 if is_failure else 1))
        .execution_options(synchronize_session=False)
    )


def finish(
    session: Session,
    run_id: int,
    state: str,
    *,
    progress: dict[str, Any] | None = None,
    model_id: int | None = None,
    picture: str | None = None,
    failure: str | None = None,
) -> None:
    """Record a training's end. state: "done", "failed" or "cancelled"."""
    values: dict[str, Any] = {"state": state, "finished_at": now(), "model_id": model_id, "picture": picture}
    values["failure"] = failure
    if progress is not None:
        values["progress"] = progress
    session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(**values))


def cancel(session: Session, classifier_id: int) -> TrainingRun | None:
    """Ask the active training, of two the fine-tune, to stop; it does at its next report. None when there is none."""
    run = active(session, classifier_id)
    if run is not None:
        run.cancel_asked = True
        if run.state == "queued":
            finish(session, run.id, "cancelled")
    return run


def due(session: Session, classifier: Classifier, *, every_h: float, after_labels: int) -> str | None:
    """Why a full fine-tune is due now: "schedule", "threshold" or None.

    Never when nothing was taught or erased since the last one. The clock of a new classifier starts when it was made.
    """
    since = _counted_from(session, classifier.id)
    taught = corrections.since(session, classifier.id, since)
    # What a network was taught with photos that were erased since, only another full training unlearns.
    has_left = _is_somebody_gone(session, classifier.id)
    if not (taught or has_left) or active(session, classifier.id, "fine_tune") is not None:
        return None
    if after_labels and taught >= after_labels:
        return "threshold"
    last = latest(session, classifier.id, "fine_tune")
    before = last.finished_at if last else classifier.created_at
    if every_h and before is not None and now() - before >= timedelta(hours=every_h):
        return "schedule"
    return None


def _is_somebody_gone(session: Session, classifier_id: int) -> bool:
    """Whether lessons were erased since the last full training began; without one there is nothing to unlearn."""
    last, gone_at = latest(session, classifier_id, "fine_tune"), acts.lessons_erased_at(session, classifier_id)
    return last is not None and last.started_at is not None and gone_at is not None and gone_at >= last.started_at


def until_fine_tune(session: Session, classifier_id: int, after_labels: int) -> int | None:
    """How many more labels start a full fine-tune; None where the setting is off."""
    if not after_labels:
        return None
    return max(0, after_labels - corrections.since(session, classifier_id, _counted_from(session, classifier_id)))


def _counted_from(session: Session, classifier_id: int) -> datetime | None:
    """Labels given after this moment are new: since the last fine-tune, else since the first training.

    What was imported before the first training is where a classifier begins; it would start a fine-tune at once.
    """
    last = latest(session, classifier_id, "fine_tune")
    if last is not None:
        return last.started_at
    done = TrainingRun.classifier_id == classifier_id, TrainingRun.state == "done"
    return session.scalar(select(TrainingRun.started_at).where(*done).order_by(TrainingRun.id).limit(1))
