"""Fine-tune: the whole network is taught, then stored, examined and compared like any other candidate."""

from dataclasses import asdict, replace

import numpy as np

from snaplabel import backbones, heads
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database
from snaplabel.heads import Floats
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model, TrainingRun
from trainer import backbone, candidate, dataset, fit, judge, report, teach
from trainer import network as networks
from trainer.candidate import Taught
from trainer.dataset import Bools, Dataset, Ints
from trainer.judge import Decision
from trainer.pictures import Pictures
from trainer.progress import Progress
from trainer.publish import Step
from trainer.recipe import FineTune, Recipe
from trainer.teach import Epoch, Lesson


def step(
    database: Database,
    store: Store,
    settings: Settings,
    recipe: Recipe,
    run: TrainingRun,
    progress: Progress,
    current: Model,
    data: Dataset,
    vectors: Floats,
) -> Step:
    """Teach a network from the classifier's first backbone; everything of a new version, ready to be registered.

    vectors: float32 (N, dimension), of `data` by the current model's backbone. Writes the new backbone and its
    embeddings; a checkpoint in the home folder lives until the teaching is over.
    Raises Cancelled, ModelError, StoreError.
    """
    progress.tell(step="reading the photos", done=0.02)
    base = backbone.base(database, store, settings, current.classifier_id, recipe)
    numbers = recipe.fine_tune if base.is_pretrained else recipe.scratch
    preparation = _preparation(base, numbers)
    pictures = Pictures(store, data.sha256s, preparation)
    try:
        readable = pictures.readable()
        if not readable.all():
            pictures.close()
            data, vectors = data.only(readable), vectors[readable]
            pictures = Pictures(store, data.sha256s, preparation)
        network, _ = networks.load(store, base.version)
        learn, hold_out = split(data, numbers, recipe)
        checkpoint = settings.home / "checkpoints" / f"{run.id}.safetensors"
        lesson, start = _lesson(network, pictures, data, learn, hold_out, preparation, base, recipe)

        def on_batch(share: float) -> None:
            progress.tell(step="teaching the network", done=round(0.05 + 0.85 * share, 3))

        def on_epoch(epoch: Epoch) -> None:
            progress.tell(**asdict(epoch))

        teach.teach(network, start, lesson, numbers, recipe.seed, checkpoint, on_batch, on_epoch)
        progress.tell(step="storing the network", done=0.92)
        card = _store(store, network, base, preparation)
        made = teach.embeddings(network, pictures, np.arange(len(data)), preparation)
    finally:
        pictures.close()
    with database.begin() as session:
        dataset.store_embeddings(session, card.version, data.photo_ids.tolist(), made)
    # As a worker will read them back.
    made = backbones.from_bytes([backbones.to_bytes(vector) for vector in made])
    progress.tell(step="taking the exam", done=0.97)
    by, errors = _evidence(data, made, vectors, learn, hold_out, recipe)
    found = candidate.make(data, made, recipe, by)
    decision = _decide(store, current, data, vectors, found, errors, len(hold_out))
    picture = report.draw(store, run.id, found, candidate.names(data), decision.old_error)
    checkpoint.unlink(missing_ok=True)
    return Step(run, "fine_tune", card.version, data, made, found, decision, current, recipe, picture, is_taught=True)


def split(data: Dataset, numbers: FineTune, recipe: Recipe) -> tuple[Ints, Ints]:
    """Rows of lesson photos to learn from, and rows held out to choose the best epoch by; groups stay whole.

    None is held out where there are too few photos to hold out any. The exam is in neither.
    """
    lesson = np.flatnonzero(~data.is_exam)
    taught = data.taught()
    turns = replace(recipe.refit, folds=max(2, round(1 / numbers.validation)), cross_validate=len(data))
    rows, fold = fit.folds(np.searchsorted(taught, data.truth[lesson]), data.groups[lesson], turns, recipe.seed)
    hold_out = lesson[rows[fold == 0]]
    return np.setdiff1d(lesson, hold_out), hold_out


def _preparation(base: BackboneCard, numbers: FineTune) -> Preparation:
    resize, crop = numbers.resize or base.preparation.resize, numbers.crop or base.preparation.crop
    return replace(base.preparation, resize=resize, crop=crop)


def _lesson(
    network: object,
    pictures: Pictures,
    data: Dataset,
    learn: Ints,
    hold_out: Ints,
    preparation: Preparation,
    base: BackboneCard,
    recipe: Recipe,
) -> tuple[Lesson, heads.Head | None]:
    """The lesson, and a head to start from: fitted to what the untaught network makes of the photos to learn from."""
    from torch import nn

    assert isinstance(network, nn.Module)
    taught = data.taught()
    truth = np.searchsorted(taught, data.truth)
    lesson = Lesson(pictures, learn, hold_out, truth, len(taught), preparation)
    if not base.is_pretrained:
        return lesson, None
    vectors = teach.embeddings(network, pictures, learn, preparation)
    return lesson, fit.fit(vectors, truth[learn], data.groups[learn], recipe.refit, recipe.seed).head


def _store(store: Store, network: object, base: BackboneCard, preparation: Preparation) -> BackboneCard:
    from torch import nn

    assert isinstance(network, nn.Module)
    network.to("cpu")
    version, weights = networks.version_of(network, base.architecture)
    source = f"fine-tuned from {base.version}"
    card = BackboneCard(version, base.architecture, base.dimension, preparation, True, source)
    networks.save(store, network, card, weights)
    return card


def _evidence(
    data: Dataset, made: Floats, vectors: Floats, learn: Ints, hold_out: Ints, recipe: Recipe
) -> tuple[Taught, tuple[float, float]]:
    """What held-out photos say of the new backbone, and how often it and the current one err on them: (new, old).

    Both get a head fitted to the same photos; the new one's weight decay is the one that suits the held-out photos
    best, since photos that the network was taught with can't tell.
    """
    taught = data.taught()
    truth = np.searchsorted(taught, data.truth)
    if not len(hold_out):
        nothing = np.zeros((0, len(taught)), np.float32), np.zeros(0, np.int64), np.zeros(0, np.float32)
        return Taught(recipe.refit.unvalidated_weight_decay, *nothing), (0.0, 0.0)
    best: tuple[float, Taught, float] | None = None
    for decay in recipe.refit.weight_decays:
        head = fit.fit(made[learn], truth[learn], data.groups[learn], recipe.refit, recipe.seed, decay).head
        logits = head.logits(made[hold_out])
        loss = fit.log_loss(logits, truth[hold_out])
        if best is None or loss < best[0]:
            error = float((logits.argmax(axis=1) != truth[hold_out]).mean())
            best = loss, Taught(decay, logits, truth[hold_out], head.distance(made[hold_out])), error
    assert best is not None
    before = fit.fit(vectors[learn], truth[learn], data.groups[learn], recipe.refit, recipe.seed).head
    old = float((before.logits(vectors[hold_out]).argmax(axis=1) != truth[hold_out]).mean())
    return best[1], (best[2], old)


def _decide(
    store: Store,
    current: Model,
    data: Dataset,
    vectors: Floats,
    found: candidate.Candidate,
    errors: tuple[float, float],
    held_out: int,
) -> Decision:
    """The exam's decision, unless the current backbone does better on photos held out of the teaching."""
    is_exam: Bools = data.is_exam
    exam = data.only(is_exam)
    old = candidate.answers_of(store, current, exam, vectors[is_exam])
    decision = judge.decide(exam.truth, old, found.exam_answers, exam.photo_ids, candidate.names(data), found.taught)
    new_error, old_error = errors
    # A current backbone that was fine-tuned itself has seen the held-out photos: only the exam can compare the two.
    if old is not None and candidate.taught_before(current) is None and old_error < new_error:
        verdict = (
            f"The network as it was does better: on {held_out} photos held out of the teaching it errs on "
            f"{old_error:.0%}, the newly taught one on {new_error:.0%}."
        )
        return replace(decision, publish=False, verdict=verdict)
    return decision
