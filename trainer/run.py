"""Runs: a training from its row in the database to a version, or to a sentence that says why not.

No torch is imported here or below for a refit: only a new backbone and a fine-tune need it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snaplabel import backbones, trainings
from snaplabel.database import Database
from snaplabel.errors import Cancelled, Interrupted, NothingToLearn, SnaplabelError, TrainingError
from snaplabel.heads import Floats
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model, TrainingRun
from trainer import backbone, candidate, dataset, judge, publish, report
from trainer.dataset import Dataset
from trainer.progress import Progress
from trainer.publish import Step
from trainer.recipe import Recipe

log = logging.getLogger(__name__)


Embed = Callable[[Sequence[int], str, Callable[[int], None]], None]


@dataclass(frozen=True)
class Context:
    """What a training needs from outside.

    embed(photo ids, backbone version, on_done): returns when these photos have embeddings by that backbone, or can't be
    read; on_done is told now and then how many are done, and may raise Cancelled.
    watch: hears every progress. say: hears sentences for whoever started this. is_stopping: the process is to end.
    """

    database: Database
    store: Store
    settings: Settings
    embed: Embed
    recipe: Recipe = field(default_factory=Recipe)
    watch: Callable[[dict[str, Any]], None] | None = None
    say: Callable[[str], None] = log.warning
    is_stopping: Callable[[], bool] = lambda: False


def execute(context: Context, run_id: int) -> None:
    """Carry out a training run; whatever happens is written into its row. Nothing, if it is over or somebody else's."""
    with context.database.begin() as session:
        run = trainings.claim(session, run_id)
        if run is None:
            return
        session.expunge(run)
    log.info("training run %s begins: %s, by %s", run_id, run.kind, run.reason)
    progress = Progress(context.database, run_id, context.watch, context.is_stopping)
    started = time.monotonic()
    state, failure = "failed", "Something went wrong inside."
    try:
        _train(context, run, progress, started)
        return
    except Interrupted:
        with context.database.begin() as session:
            trainings.put_back(session, run_id)
        return
    except Cancelled as error:
        state, failure = "cancelled", str(error)
    except SnaplabelError as error:
        failure = str(error)
        log.info("training run %s failed: %s", run_id, type(error).__name__)
    except Exception as error:
        failure = f"Something went wrong inside ({type(error).__name__}); the log knows more."
        log.exception("training run %s failed", run_id)
    with context.database.begin() as session:
        row = session.get(TrainingRun, run_id, populate_existing=True)
        if row is not None and row.state == "running" and row.attempts == run.attempts:
            facts = {**progress.facts, "seconds": round(time.monotonic() - started, 2)}
            trainings.finish(session, run_id, state, progress=facts, failure=failure)


def _train(context: Context, run: TrainingRun, progress: Progress, started: float) -> None:
    progress.tell(step="reading the labels", done=0.0)
    current = backbone.ensure(
        context.database, context.store, context.settings, run.classifier_id, context.say, context.recipe
    )
    data = _learnable(context, run.classifier_id)
    progress.tell(photos=len(data))
    if is_known(current, data) and (run.kind == "refit" or _is_idle(run, current)):
        last = {**progress.facts, "step": "done", "done": 1.0, "verdict": "Nothing new to learn.", "published": False}
        last |= {"version": current.version, "old_error": Card.from_json(current.card).exam.error}
        last["seconds"] = round(time.monotonic() - started, 2)
        with context.database.begin() as session:
            trainings.finish(session, run.id, "done", progress=last, model_id=current.id)
        if context.watch is not None:
            context.watch(last)
        return
    data, vectors = embedded(context, progress, data, run.classifier_id, current.backbone)
    if run.kind == "fine_tune":
        from trainer import finetune

        step = finetune.step(
            context.database, context.store, context.settings, context.recipe, run, progress, current, data, vectors
        )
    else:
        step = _refit(context, run, progress, current, data, vectors)
    progress.facts["seconds"] = round(time.monotonic() - started, 2)
    _, last = publish.register(context.database, context.store, step, progress.facts)
    if context.watch is not None:
        context.watch(last)


def _refit(
    context: Context, run: TrainingRun, progress: Progress, current: Model, data: Dataset, vectors: Floats
) -> Step:
    """A candidate head on stored embeddings, compared with the current model."""
    progress.tell(step="fitting", done=0.8)
    found = candidate.make(data, vectors, context.recipe, candidate.taught_before(current))
    names = candidate.names(data)
    exam = data.only(data.is_exam)
    old = candidate.answers_of(context.store, current, exam, vectors[data.is_exam])
    decision = judge.decide(exam.truth, old, found.exam_answers, exam.photo_ids, names, found.taught)
    if not backbones.load_card(context.store, current.backbone).is_pretrained:
        sentence = f"{decision.verdict} The network itself was never taught: a full training will help."
        decision = replace(decision, verdict=sentence)
    picture = None
    if run.reason != "corrections":
        picture = report.draw(context.store, run.id, found, names, decision.old_error)
    is_taught = candidate.taught_before(current) is not None
    return Step(
        run, "refit", current.backbone, data, vectors, found, decision, current, context.recipe, picture, is_taught
    )


def embedded(
    context: Context, progress: Progress, data: Dataset, classifier_id: int, version: str
) -> tuple[Dataset, Floats]:
    """The data with its embeddings by this backbone, float32 (N, dimension), made first where they are missing.

    Photos that can't be read are left out. Raises TrainingError when not one photo could be looked at.
    """
    with context.database.read() as session:
        vectors, there = dataset.embeddings(session, data, classifier_id, version)
    missing = data.photo_ids[~there].tolist()
    if missing:

        def looked_at(done: int) -> None:
            share = 1 - (len(missing) - done) / len(data)
            progress.tell(step="looking at the photos", done=round(0.8 * share, 3))

        looked_at(0)
        context.embed(missing, version, looked_at)
        with context.database.read() as session:
            vectors, there = dataset.embeddings(session, data, classifier_id, version)
    if not there.any():
        raise TrainingError("None of the photos could be looked at.")
    kept = data.only(there)
    if len(kept.taught()) < 2:
        raise NothingToLearn()
    return kept, vectors


def _learnable(context: Context, classifier_id: int) -> Dataset:
    with context.database.read() as session:
        data = dataset.read(session, classifier_id)
    if len(data.taught()) < 2:
        raise NothingToLearn()
    return data


def is_known(current: Model, data: Dataset) -> bool:
    """Whether this model was made from these very photos and labels."""
    return bool(current.card["labels"]) and current.card["fingerprint"] == data.fingerprint


def _is_idle(run: TrainingRun, current: Model) -> bool:
    """Whether the clock asks for a fine-tune of photos that the current backbone was fine-tuned on."""
    return current.kind == "fine_tune" and run.reason in ("schedule", "threshold")
