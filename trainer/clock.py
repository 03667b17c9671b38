"""The clock: refits after corrections, full trainings when they are due, and whatever a lost bell left lying."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from snaplabel import acts, registry, trainings
from snaplabel.database import now
from snaplabel.errors import AlreadyTraining
from snaplabel.tables import Classifier, Label, Model, Photo, TrainingRun
from trainer import dataset
from trainer.dataset import Dataset
from trainer.material import Seen
from trainer.run import Context, execute, is_known

log = logging.getLogger(__name__)

# Whoever asked for a training rings for it too; only what nobody took for so long is taken up by the tick.
TAKE_UP_AFTER_S = 15.0
# A steady stream of corrections must not hold up their refit for ever.
MAX_WAIT = 10.0
RETRY_FAILED_AFTER_S = {"refit": 60.0, "fine_tune": 3600.0}


def learn(context: Context, classifier_id: int) -> None:
    """Refit a classifier once corrections have stopped coming for a moment; nothing when there is nothing new."""
    _wait_for_quiet(context, classifier_id)
    moment = now()
    with context.database.read() as session:
        data = dataset.read(session, classifier_id)
        is_news = _is_news(session, classifier_id, data)
    if context.kept.of(classifier_id):
        context.kept.only(data)
    if len(data.taught()) < 2:
        _unlearn(context, classifier_id)
    if not is_news:
        return
    try:
        with context.database.begin() as session:
            run_id = trainings.ask(session, classifier_id, "refit", "corrections").id
    except AlreadyTraining:
        return
    execute(context, run_id, Seen(data, moment))


def _wait_for_quiet(context: Context, classifier_id: int) -> None:
    pause_s = context.settings.refit_after_s
    until = time.monotonic() + pause_s * MAX_WAIT
    while time.monotonic() < until:
        with context.database.read() as session:
            newest = session.scalar(select(func.max(Photo.labelled_at)).where(Photo.classifier_id == classifier_id))
        left_s = pause_s - (now() - newest).total_seconds() if newest is not None else 0.0
        if left_s <= 0:
            return
        time.sleep(min(left_s, pause_s))


def _unlearn(context: Context, classifier_id: int) -> None:
    """Where so much was erased that no head can be fitted, the one that had learnt from it answers no more."""
    with context.database.begin() as session:
        here = registry.current(session, classifier_id)
        if here is None or not here.card["labels"]:
            return
        erased_at = acts.lessons_erased_at(session, classifier_id)
        blank = select(Model).where(Model.classifier_id == classifier_id, Model.kind == "backbone")
        model = session.scalar(blank.order_by(Model.version.desc()).limit(1))
        if model is not None and erased_at is not None and erased_at >= here.created_at:
            registry.publish(session, model)
            log.info(
                "classifier %s: lessons were erased, and v%s answers, which knows none", classifier_id, model.version
            )


def _is_news(session: Session, classifier_id: int, data: Dataset) -> bool:
    """Whether the labels say something that neither the current nor the newest version was trained on.

    The newest counts too: a refused candidate, or one that was rolled back, is not made again from the same photos.
    """
    if len(data.taught()) < 2:
        return False
    versions = select(Model).where(Model.classifier_id == classifier_id).order_by(Model.version.desc())
    newest, here = session.scalar(versions.limit(1)), registry.current(session, classifier_id)
    return not any(model is not None and is_known(model, data) for model in (newest, here))


def due(context: Context, begin: Callable[[int], None] | None = None) -> None:
    """What the clock asks for: trainings nobody took, full ones that are due, refits that nobody rang for.

    begin: takes a run's id and carries it out, or sees that it is; None: here and now.
    """
    begin = begin or partial(execute, context)
    for run_id in _waiting(context):
        begin(run_id)
    with context.database.read() as session:
        classifiers = session.scalars(select(Classifier).order_by(Classifier.id)).all()
    for classifier in classifiers:
        asked = _ask_fine_tune(context, classifier)
        if asked is not None:
            begin(asked)
        with context.database.read() as session:
            changed = _changed(session, classifier.id) and not _failed_lately(session, classifier.id, "refit")
        if changed:
            learn(context, classifier.id)


def _waiting(context: Context) -> list[int]:
    """Queued runs whose bell was lost, and running ones whose trainer died."""
    moment = now()
    with context.database.read() as session:
        query = select(TrainingRun).where(TrainingRun.state.in_(trainings.ACTIVE_STATES)).order_by(TrainingRun.id)
        runs = session.scalars(query).all()
    found = []
    for run in runs:
        since = run.created_at if run.state == "queued" else (run.beat_at or run.created_at)
        patience_s = TAKE_UP_AFTER_S if run.state == "queued" else trainings.DEAD_AFTER_S
        if moment - since > timedelta(seconds=patience_s):
            found.append(run.id)
    return found


def _ask_fine_tune(context: Context, classifier: Classifier) -> int | None:
    settings = context.settings
    with context.database.read() as session:
        reason = trainings.due(
            session, classifier, every_h=settings.fine_tune_every_h, after_labels=settings.fine_tune_after
        )
        if reason is None or _failed_lately(session, classifier.id, "fine_tune"):
            return None
        if len(dataset.read(session, classifier.id).taught()) < 2:
            return None
    try:
        with context.database.begin() as session:
            return trainings.ask(session, classifier.id, "fine_tune", reason).id
    except AlreadyTraining:
        return None


def _failed_lately(session: Session, classifier_id: int, kind: str) -> bool:
    """Whether the last such run failed or was called off a moment ago; the clock does not insist."""
    query = select(TrainingRun).where(TrainingRun.classifier_id == classifier_id, TrainingRun.kind == kind)
    last = session.scalar(query.order_by(TrainingRun.id.desc()).limit(1))
    if last is None or last.state not in ("failed", "cancelled") or last.finished_at is None:
        return False
    return now() - last.finished_at < timedelta(seconds=RETRY_FAILED_AFTER_S[kind])


def _changed(session: Session, classifier_id: int) -> bool:
    """Whether labels were given or archived, or lessons erased, since the newest version: asked at every tick."""
    newest = session.scalar(select(func.max(Model.created_at)).where(Model.classifier_id == classifier_id))
    # A training reads the labels before its version is written; what was said in between counts as news.
    since = select(func.max(TrainingRun.started_at)).where(
        TrainingRun.classifier_id == classifier_id, TrainingRun.model_id.is_not(None)
    )
    moment = session.scalar(since) or newest
    labelled = session.scalar(select(func.max(Photo.labelled_at)).where(Photo.classifier_id == classifier_id))
    archived = session.scalar(select(func.max(Label.archived_at)).where(Label.classifier_id == classifier_id))
    news = (labelled, archived, acts.lessons_erased_at(session, classifier_id))
    return any(when is not None and (moment is None or when >= moment) for when in news)
