"""Fine-tune: a process of its own teaches the whole network; what it made is examined like any other candidate.

Hours may pass while it is taught, and corrections go on being learnt: the exam is taken with the labels as they are
then, against the model that is current then. No torch is imported here.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from snaplabel import backbones, trainings
from snaplabel.database import Database
from snaplabel.errors import TrainingError
from snaplabel.heads import Floats
from snaplabel.tables import TrainingRun
from trainer import backbone, candidate, child, dataset, fit, job, judge, report
from trainer.candidate import Taught
from trainer.dataset import Dataset, Ints
from trainer.job import Job, Outcome
from trainer.judge import Decision
from trainer.material import Material, embedded
from trainer.progress import Progress
from trainer.publish import Step
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from trainer.run import Context

# The logit of a label that the head of held-out photos had never heard of, below the least of the others.
UNHEARD_OF = 10.0


@dataclass(frozen=True)
class Made:
    """A network that was taught: the job as it was given, and what came of it."""

    job: Job
    outcome: Outcome


def teach(context: "Context", run: TrainingRun, progress: Progress, here: Material) -> Made:
    """Have a network taught from the classifier's first backbone; it and its embeddings are stored afterwards.

    A job that was begun before is gone on with, on the photos and labels of then.
    Raises Cancelled, Interrupted, Died, TrainingError.
    """
    progress.tell(step="reading the photos", done=0.02)
    folder = _folder(context, run)
    _clear(context.database, folder.parent)
    base = backbone.base(context.database, context.store, run.classifier_id)
    asked = job.read(folder)
    if asked is None or asked.recipe != context.recipe or asked.backbone != base.version:
        shutil.rmtree(folder, ignore_errors=True)
        asked = Job("teach", base.version, here.data.only(here.data.pictured()), context.recipe)
        job.write(folder, asked)
    return Made(asked, _done(context, progress, run.classifier_id, folder, asked))


def step(context: "Context", run: TrainingRun, progress: Progress, here: Material, made: Made) -> Step:
    """Everything of a new version, ready to be registered, from what there is to learn now. Raises as `teach`."""
    progress.tell(step="taking the exam", done=0.97)
    version = made.outcome.backbone

    def look(photo_ids: Sequence[int], _: str, on_done: Callable[[int], None]) -> None:
        """A process of its own looks: workers look with the current backbone only, and this one is not."""
        these = here.data.only(np.isin(here.data.photo_ids, photo_ids))
        asked = replace(made.job, kind="look", backbone=version, data=these)
        folder = _folder(context, run) / "look"
        shutil.rmtree(folder, ignore_errors=True)
        job.write(folder, asked)
        _done(context, progress, run.classifier_id, folder, asked)
        on_done(len(photo_ids))

    data, served = embedded(replace(context, embed=look), progress, here.data, run.classifier_id, version)
    vectors = here.vectors[np.isin(here.data.photo_ids, data.photo_ids)]
    learn, hold_out, unseen = _unseen(data, made)
    taught = _taught(data, unseen, learn, hold_out, context.recipe)
    found = candidate.make(data, served, context.recipe, taught)
    decision = _decide(context, here, data, vectors, found, taught, learn, hold_out)
    report.record(context.store, run, here.current, data, vectors, found, decision)
    return Step(run, "fine_tune", version, data, served, found, decision, here.current, context.recipe, is_taught=True)


def tidy(context: "Context", run: TrainingRun) -> None:
    """Throw away what a crash would have needed."""
    shutil.rmtree(_folder(context, run), ignore_errors=True)


def _folder(context: "Context", run: TrainingRun) -> Path:
    return context.settings.home / "checkpoints" / str(run.id)


def clear(database: Database, home: Path) -> None:
    """Remove what trainings that are over have left: embeddings of photos that may be erased by now."""
    _clear(database, home / "checkpoints")


def _clear(database: Database, folder: Path) -> None:
    """Remove what trainings that were called off or failed have left."""
    with database.read() as session:
        query = select(TrainingRun.id).where(TrainingRun.state.in_(trainings.ACTIVE_STATES))
        active = set(session.scalars(query))
    for path in folder.glob("*"):
        number = re.match(r"\d+", path.name)
        if number and int(number.group()) not in active:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _done(context: "Context", progress: Progress, classifier_id: int, folder: Path, asked: Job) -> Outcome:
    """What comes of a job, done now unless it was done before; the embeddings it made are stored."""
    outcome = job.outcome(folder)
    if outcome is None:
        child.run(folder, context.settings, lambda facts: progress.tell(**facts))
        outcome = job.outcome(folder)
    if outcome is None:
        raise TrainingError("The training process left no outcome.")
    shas = [asked.data.sha256s[row] for row in outcome.kept.tolist()]
    dataset.store_by_bytes(context.database, classifier_id, outcome.backbone, shas, outcome.served)
    return outcome


def _unseen(data: Dataset, made: Made) -> tuple[Ints, Ints, Floats]:
    """Rows of the data that the network was taught with first, rows that were held out then, and what it made of them.

    The embeddings: float32 (N, dimension), 0 where it is neither. Labels are those of now, whatever it was taught.
    """
    outcome = made.outcome
    place = {made.job.data.sha256s[row]: n for n, row in enumerate(outcome.kept.tolist())}
    known = np.array([place.get(sha, -1) for sha in data.sha256s], np.int64)
    vectors = np.where(known[:, None] >= 0, outcome.unseen[known], np.float32(0))
    lesson = ~data.is_exam
    learn, hold_out = (np.flatnonzero(lesson & np.isin(known, rows)) for rows in (outcome.learn, outcome.hold_out))
    # What only held-out photos show can't have been learnt from the others.
    hold_out = hold_out[np.isin(data.truth[hold_out], data.truth[learn])]
    return learn, hold_out, vectors


def _taught(data: Dataset, unseen: Floats, learn: Ints, hold_out: Ints, recipe: Recipe) -> Taught:
    """What held-out photos say of the new backbone.

    The weight decay is the one that suits them best, since photos that the network was taught with can't tell.
    """
    taught = data.taught()
    known = np.unique(data.truth[learn])
    if not len(hold_out) or len(known) < 2:
        nothing = np.zeros((0, len(taught)), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
        return Taught(recipe.refit.unvalidated_weight_decay, *nothing)
    lessons, truth = np.searchsorted(known, data.truth[learn]), np.searchsorted(known, data.truth[hold_out])

    def head(decay: float) -> tuple[float, float, Floats, Floats]:
        made = fit.fit(unseen[learn], lessons, data.groups[learn], recipe.refit, recipe.seed, decay).head
        logits = made.logits(unseen[hold_out])
        return fit.log_loss(logits, truth), decay, logits, made.distance(unseen[hold_out])

    _, decay, logits, distances = min((head(decay) for decay in recipe.refit.weight_decays), key=lambda one: one[0])
    wide = np.full((len(hold_out), len(taught)), float(logits.min()) - UNHEARD_OF, np.float32)
    wide[:, np.searchsorted(taught, known)] = logits
    return Taught(decay, wide, np.searchsorted(taught, data.truth[hold_out]), distances)


def _decide(
    context: "Context",
    here: Material,
    data: Dataset,
    vectors: Floats,
    found: candidate.Candidate,
    taught: Taught,
    learn: Ints,
    hold_out: Ints,
) -> Decision:
    """The exam's decision, unless the new backbone is not proven better on all photos that neither was taught with.

    Where the current one was never taught anything, or was taught with these photos itself, the exam decides alone.
    vectors: float32 (N, dimension), of `data` by the current backbone.
    """
    exam = data.only(data.is_exam)
    old = candidate.answers_of(context.store, here.current, exam, vectors[data.is_exam])
    decision = judge.decide(exam.truth, old, found.exam_answers, exam.photo_ids, candidate.names(data), found.taught)
    # A current backbone that was fine-tuned itself has seen the held-out photos: only the exam can compare the two.
    if old is None or candidate.taught_before(here.current) is not None or not len(taught.truth):
        return decision
    if not backbones.load_card(context.store, here.current.backbone).is_pretrained:
        return decision
    known, recipe = np.unique(data.truth[learn]), context.recipe
    lessons = np.searchsorted(known, data.truth[learn])
    before = fit.fit(vectors[learn], lessons, data.groups[learn], recipe.refit, recipe.seed).head
    # Both heads know the same photos; neither network has seen those held out, nor the exam.
    said = known[before.logits(vectors[hold_out]).argmax(axis=1)], found.taught[taught.logits.argmax(axis=1)]
    was, now = (
        np.concatenate([answers == data.truth[hold_out], on_exam == exam.truth])
        for answers, on_exam in zip(said, (old, found.exam_answers), strict=True)
    )
    if decision.publish and not judge.is_proven_better(was, now):
        verdict = (
            f"Not better beyond chance: of {len(was)} photos that neither was taught with, the network as it was gets "
            f"{int((~was).sum())} wrong, the newly taught one {int((~now).sum())}."
        )
        return replace(decision, publish=False, verdict=verdict)
    return decision
