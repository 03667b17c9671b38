"""Runs: a training from its row in the database to a version, or to a sentence that says why not.

No torch is imported here or below: a first backbone is all that `trainer.backbone` may need it for, and a fine-tune
teaches in a process of its own.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select

from snaplabel import backbones, logs, metrics, trainings
from snaplabel.database import Database
from snaplabel.errors import Cancelled, Died, Interrupted, Overtaken, SnaplabelError
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model, TrainingRun
from trainer import backbone, candidate, finetune, judge, publish, report, suspects
from trainer.dataset import Dataset
from trainer.finetune import Made
from trainer.kept import Kept
from trainer.material import Material, Seen, gather
from trainer.progress import Progress
from trainer.publish import Step
from trainer.recipe import Recipe

log = logging.getLogger(__name__)

# So often a candidate faces whatever became current while it was examined; then it is kept aside.
TURNS = 3

Embed = Callable[[Sequence[int], str, Callable[[int], None]], None]


@dataclass(frozen=True)
class Context:
    """What a training needs from outside.

    embed(photo ids, backbone version, on_done): returns when these photos have embeddings by that backbone, or can't be
    read; on_done is told now and then how many are done, and may raise Cancelled. Raises Overtaken when nobody makes
    such embeddings any longer.
    watch: hears every progress. say: hears sentences for whoever started this. is_stopping: the process is to end.
    kept: embeddings that need not be read again.
    """

    database: Database
    store: Store
    settings: Settings
    embed: Embed
    recipe: Recipe = field(default_factory=Recipe)
    watch: Callable[[dict[str, Any]], None] | None = None
    say: Callable[[str], None] = log.warning
    is_stopping: Callable[[], bool] = lambda: False
    kept: Kept = field(default_factory=Kept)


def execute(context: Context, run_id: int, seen: Seen | None = None) -> None:
    """Carry out a training run; whatever happens is written into its row. Nothing, if it is over or somebody else's.

    seen: labels that need not be read again.
    """
    with logs.about(run=run_id):
        while _try(context, run_id, seen):
            seen = None
            log.warning("training run %s is tried once more", run_id)


def _try(context: Context, run_id: int, seen: Seen | None) -> bool:
    """Carry out a run, unless it is over or somebody else's; whether it died and may be tried again."""
    with context.database.begin() as session:
        run = trainings.claim(session, run_id, seen.at if seen is not None else None)
        if run is None:
            return False
        session.expunge(run)
    log.info("training run %s begins: %s, by %s", run_id, run.kind, run.reason)
    progress = Progress(context.database, run_id, context.watch, context.is_stopping)
    started = time.monotonic()
    state, failure = "failed", "Something went wrong inside."
    try:
        _train(context, run, progress, started, seen)
        _measure(run, "done", started)
        suspects.after(context, run)
        return False
    except Interrupted:
        with context.database.begin() as session:
            trainings.put_back(session, run_id)
        return False
    except Cancelled as error:
        state, failure = "cancelled", str(error)
    except KeyboardInterrupt:
        _finish(context, run, "cancelled", "It was stopped.", progress, started)
        raise
    except Died as error:
        log.warning("training run %s: %s", run_id, error)
        failure = str(error)
        if run.attempts < trainings.MAX_ATTEMPTS:
            with context.database.begin() as session:
                trainings.put_back(session, run_id, is_failure=True)
            return True
    except SnaplabelError as error:
        failure = str(error)
        log.info("training run %s failed: %s", run_id, type(error).__name__)
    except Exception as error:
        failure = f"Something went wrong inside ({type(error).__name__}); the log knows more."
        log.exception("training run %s failed", run_id)
    _finish(context, run, state, failure, progress, started)
    return False


def _finish(context: Context, run: TrainingRun, state: str, failure: str, progress: Progress, started: float) -> None:
    with context.database.begin() as session:
        row = session.get(TrainingRun, run.id, populate_existing=True)
        if row is not None and row.state == "running" and row.attempts == run.attempts:
            facts = {**progress.facts, "seconds": round(time.monotonic() - started, 2)}
            trainings.finish(session, run.id, state, progress=facts, failure=failure)
            _measure(run, state, started)


def _measure(run: TrainingRun, end: str, started: float) -> None:
    seconds = time.monotonic() - started
    metrics.TRAINING_S.labels(run.kind, end).observe(seconds)
    log.info("training run %s, a %s, is %s after %.1f s", run.id, run.kind, end, seconds)


def _train(context: Context, run: TrainingRun, progress: Progress, started: float, seen: Seen | None) -> None:
    backbone.ensure(context.database, context.store, context.settings, run.classifier_id, context.say, context.recipe)
    made: Made | None = None
    for turn in range(1, TURNS + 1):
        try:
            progress.tell(step="reading the labels", done=0.0)
            here = gather(context, progress, run.classifier_id, seen if turn == 1 else None)
            progress.tell(photos=len(here.data))
            if turn == 1 and (same := _made_before(context, run, here)) is not None:
                _stay(context, run, progress, here.current, same, started)
                return
            if run.kind == "fine_tune" and made is None:
                made = finetune.teach(context, run, progress, here)
                here = gather(context, progress, run.classifier_id)  # What was corrected meanwhile counts.
            if made is None:
                step = _refit(context, run, progress, here)
            else:
                step = finetune.step(context, run, progress, here, made)
            if here.remark:
                verdict = f"{step.decision.verdict} {here.remark}"
                step = replace(step, decision=replace(step.decision, verdict=verdict))
            progress.facts["seconds"] = round(time.monotonic() - started, 2)
            last = publish.register(context.database, context.store, step, progress.facts, is_last=turn == TURNS)
            break
        except Overtaken:
            if turn == TURNS:
                raise
    if made is not None:
        finetune.tidy(context, run)
    if run.reason != "corrections":
        draw(context, run.id)
    if context.watch is not None:
        context.watch(last)


def _made_before(context: Context, run: TrainingRun, here: Material) -> Model | None:
    """The version that this training would only make once more: the current one, or one that it was refused beside."""
    if is_known(here.current, here.data) and candidate.head_of(context.store, here.current) is not None:
        return here.current if run.kind == "refit" or _is_idle(run, here.current) else None
    if run.kind != "refit":
        return None
    beside = Model.parent_id == here.current.id, Model.backbone == here.current.backbone
    refused = Model.state.in_(("candidate", "discarded"))
    same = Model.card["fingerprint"].as_string() == here.data.fingerprint
    query = select(Model).where(*beside, refused, same).order_by(Model.version.desc()).limit(1)
    with context.database.read() as session:
        return session.scalar(query)


def _stay(context: Context, run: TrainingRun, progress: Progress, current: Model, same: Model, started: float) -> None:
    """Finish a run that finds nothing new; same: the version that learnt all of it."""
    verdict = "Nothing new to learn."
    if same.id != current.id:
        where = "waits" if same.state == "candidate" else "was put aside"
        verdict = f"Nothing new to learn: v{same.version}, which {where}, has learnt the same."
    last = {**progress.facts, "step": "done", "done": 1.0, "verdict": verdict, "published": False}
    last |= {"version": current.version, "old_error": Card.from_json(current.card).exam.error}
    last["seconds"] = round(time.monotonic() - started, 2)
    with context.database.begin() as session:
        trainings.finish(session, run.id, "done", progress=last, model_id=current.id)
    if context.watch is not None:
        context.watch(last)


def draw(context: Context, run_id: int) -> None:
    """Draw the report of a training that is over; trouble is only logged, since the version is out."""
    try:
        report.draw(context.database, context.store, run_id)
    except Exception:
        log.exception("the report of run %s could not be drawn", run_id)


def _refit(context: Context, run: TrainingRun, progress: Progress, here: Material) -> Step:
    """A candidate head on stored embeddings, compared with the current model."""
    progress.tell(step="fitting", done=0.8)
    current, data, vectors = here.current, here.data, here.vectors
    taught = candidate.taught_before(current)
    found = candidate.make(data, vectors, context.recipe, taught)
    names = candidate.names(data)
    exam = data.only(data.is_exam)
    old = candidate.answers_of(context.store, current, exam, vectors[data.is_exam])
    alone = "The first model." if not current.card["labels"] else f"v{current.version} can't be asked: it is damaged."
    decision = judge.decide(exam.truth, old, found.exam_answers, exam.photo_ids, names, found.taught, alone)
    if not backbones.load_card(context.store, current.backbone).is_pretrained:
        sentence = f"{decision.verdict} The network itself was never taught: a full training will help."
        decision = replace(decision, verdict=sentence)
    report.record(context.store, run, current, data, vectors, found, decision)
    return Step(
        run, "refit", current.backbone, data, vectors, found, decision, current, context.recipe, taught is not None
    )


def is_known(current: Model, data: Dataset) -> bool:
    """Whether this model was made from these very photos and labels."""
    return bool(current.card["labels"]) and current.card["fingerprint"] == data.fingerprint


def _is_idle(run: TrainingRun, current: Model) -> bool:
    """Whether the clock asks for a fine-tune of photos that the current backbone was fine-tuned on."""
    return current.kind == "fine_tune" and run.reason in ("schedule", "threshold")
