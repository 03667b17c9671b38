"""Publishing: a candidate becomes a version, current or kept aside, in one transaction with everything that follows."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from snaplabel import heads, registry, trainings
from snaplabel.database import Database
from snaplabel.errors import Overtaken, TrainingError
from snaplabel.heads import Floats
from snaplabel.registry import Card
from snaplabel.store import Store
from snaplabel.tables import Classifier, Model, Photo, Prediction, TrainingRun
from trainer import dataset
from trainer.backbone import model_key
from trainer.candidate import Candidate
from trainer.dataset import Dataset
from trainer.judge import Decision
from trainer.recipe import Recipe

log = logging.getLogger(__name__)

NUMBERS_TRIED = 5
# So many photos hear what the new model says of them after their label changed.
RECEIPTS = 50


@dataclass(frozen=True)
class Step:
    """Everything a new version is made of. embeddings: float32 (N, dimension) of `data`, by `backbone`.

    is_taught: the backbone was taught with photos of this classifier.
    """

    run: TrainingRun
    kind: str
    backbone: str
    data: Dataset
    embeddings: Floats
    candidate: Candidate
    decision: Decision
    parent: Model | None
    recipe: Recipe
    is_taught: bool = False


def register(
    database: Database, store: Store, step: Step, progress: dict[str, Any], *, is_last: bool = True
) -> dict[str, Any]:
    """Keep the candidate as the next version, publish it if that was decided, and finish the run.

    Returns the run's last progress. When another version became current since the decision, it raises Overtaken, or
    keeps the candidate aside if `is_last`. Raises TrainingError when another trainer took the run over meanwhile.
    Whatever it raises, nothing was changed.
    """
    for _ in range(NUMBERS_TRIED):
        done = _register(database, store, step, progress, is_last)
        if done is not None:
            return done
    raise TrainingError("Other versions came faster than this one could be registered.")


def _register(
    database: Database, store: Store, step: Step, progress: dict[str, Any], is_last: bool
) -> dict[str, Any] | None:
    """None: another version came since we looked which number is ours, or at this very moment; nothing was changed."""
    classifier_id = step.run.classifier_id
    with database.read() as session:
        name = session.scalars(select(Classifier.name).where(Classifier.id == classifier_id)).one()
        number = registry.next_version(session, classifier_id)
    card = _card(step, name, number)
    key = model_key(classifier_id, number)
    # Before the transaction, so that a slow store holds nobody up.
    card = heads.save(store, key, step.candidate.head, card)
    is_ours = False
    try:
        with database.begin() as session:
            # One at a time for a classifier, where the database does not see to that itself.
            session.execute(select(Classifier.id).where(Classifier.id == classifier_id).with_for_update(key_share=True))
            run = session.get(TrainingRun, step.run.id, populate_existing=True)
            if run is None or run.state != "running" or run.attempts != step.run.attempts:
                raise TrainingError("Another trainer took this training over.")
            if registry.next_version(session, classifier_id) != number:
                return None
            publish, verdict = _still(session, step, is_last)
            model = Model(
                classifier_id=classifier_id,
                version=number,
                kind=step.kind,
                backbone=step.backbone,
                parent_id=step.parent.id if step.parent else None,
                key=key,
                card={**card.to_json(), "verdict": verdict},
            )
            session.add(model)
            session.flush()
            dataset.record(session, step.data, classifier_id, number)
            if publish:
                registry.publish(session, model)
                _tell_changed(session, model, card, step)
            last = {**progress, **outcome(step, number, publish, verdict)}
            trainings.finish(session, run.id, "done", progress=last, model_id=model.id)
        is_ours = True
        return last
    except IntegrityError:
        log.info("another version came at the same moment as that of run %s", step.run.id)
        return None
    finally:
        if not is_ours:
            for file in store.keys(key):
                store.delete(file)


def outcome(step: Step, number: int, published: bool, verdict: str) -> dict[str, Any]:
    """What a finished run says in its progress."""
    exam = step.candidate.exam
    return {
        "step": "done",
        "done": 1.0,
        "photos": len(step.data),
        # What was cross-validated is nothing to compare with what the current model did in a tiny exam.
        "old_error": step.decision.old_error if exam.by == "exam" else None,
        "new_error": exam.error,
        "low": exam.low,
        "high": exam.high,
        "by": exam.by,
        "asked": exam.photos,
        "fixed": len(step.decision.fixed),
        "broken": len(step.decision.broken),
        "version": number,
        "published": published,
        "verdict": verdict,
    }


def _card(step: Step, name: str, number: int) -> Card:
    found = step.candidate
    chosen = "taught_weight_decay" if step.is_taught else "chosen_weight_decay"
    return Card(
        classifier=name,
        version=number,
        kind=step.kind,
        backbone=step.backbone,
        labels=tuple(step.data.labels[row] for row in found.taught.tolist()),
        temperature=found.calibrated.temperature,
        sure_at=found.calibrated.sure_at,
        shortlist=found.calibrated.shortlist,
        stranger_at=found.calibrated.stranger_at,
        recipe={**step.recipe.to_json(), chosen: found.weight_decay},
        seed=step.recipe.seed,
        fingerprint=step.data.fingerprint,
        photos=int((~step.data.is_exam).sum()),
        exam=found.exam,
        parent=step.parent.version if step.parent else None,
        libraries=dict(libraries()),
        verdict=step.decision.verdict,
    )


@cache
def libraries() -> Mapping[str, str]:
    """Versions of what the numbers depend on, without importing any of it; looking them up takes 35 ms."""
    found = {}
    for name in ("numpy", "scipy", "openvino", "torch", "torchvision"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _still(session: Session, step: Step, is_last: bool) -> tuple[bool, str]:
    """The decision, unless somebody published or rolled back another version since. Raises Overtaken."""
    here = registry.current(session, step.run.classifier_id)
    if here is not None and step.parent is not None and here.id != step.parent.id:
        if not is_last:
            raise Overtaken()
        if step.decision.publish:
            return False, f"Kept aside: v{here.version} became current while this one was trained."
    return step.decision.publish, step.decision.verdict


def _tell_changed(session: Session, model: Model, card: Card, step: Step) -> None:
    """Write what the new model says of photos whose label changed since its parent was trained."""
    query = select(Photo.id).where(Photo.classifier_id == model.classifier_id, Photo.label_id.is_not(None))
    if step.parent is not None:
        trained_at = session.scalar(select(TrainingRun.started_at).where(TrainingRun.model_id == step.parent.id))
        query = query.where(Photo.labelled_at >= (trained_at or step.parent.created_at))
    newest = session.scalars(query.order_by(Photo.labelled_at.desc(), Photo.id.desc()).limit(RECEIPTS)).all()
    rows = np.flatnonzero(np.isin(step.data.photo_ids, np.array(newest, np.int64)))
    said = heads.judge(step.candidate.head, card, step.embeddings[rows])
    session.add_all(
        Prediction(
            photo_id=int(step.data.photo_ids[row]),
            model_id=model.id,
            top=[list(one) for one in found.top],
            voice=found.voice,
        )
        for row, found in zip(rows.tolist(), said, strict=True)
    )
    session.flush()
