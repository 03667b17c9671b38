"""Fine-tune: the whole network is taught, then stored, examined and compared like any other candidate."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database
from snaplabel.heads import Floats, Head
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

if TYPE_CHECKING:
    from torch import nn


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
    data, vectors, pictures = _pictures(store, data, vectors, preparation)
    folder = settings.home / "checkpoints"
    try:
        network, _ = networks.load(store, base.version)
        learn, hold_out = split(data, numbers, recipe)
        truth = np.searchsorted(data.taught(), data.truth)
        lesson = Lesson(pictures, learn, hold_out, truth, len(data.taught()), preparation)
        start = _start(network, lesson, data, recipe) if base.is_pretrained else None
        whole = numbers.epochs + (numbers.absorb if len(hold_out) else 0)

        def on_batch(share: float) -> None:
            done = share * numbers.epochs / whole
            progress.tell(step="teaching the network", done=round(0.05 + 0.85 * done, 3))

        def on_epoch(epoch: Epoch) -> None:
            progress.tell(**asdict(epoch))

        teach.teach(network, start, lesson, numbers, recipe.seed, folder / f"{run.id}.safetensors", on_batch, on_epoch)
        progress.tell(step="looking at the photos anew", done=round(0.05 + 0.85 * numbers.epochs / whole, 3))
        made = teach.embeddings(network, pictures, np.arange(len(data)), preparation)
        evidence = _evidence(data, made, vectors, learn, hold_out, recipe)
        if len(hold_out) and numbers.absorb:

            def on_absorbed(share: float) -> None:
                done = (numbers.epochs + share * numbers.absorb) / whole
                progress.tell(step="teaching it the held-out photos too", done=round(0.05 + 0.85 * done, 3))

            everything = replace(lesson, learn=np.union1d(learn, hold_out), hold_out=hold_out[:0])
            head = _head(made, everything.learn, data, recipe, evidence[0].weight_decay)
            gently = replace(numbers, epochs=numbers.absorb, learning_rate=numbers.learning_rate / 3)
            path = folder / f"{run.id}-all.safetensors"
            teach.teach(network, head, everything, gently, recipe.seed, path, on_absorbed, lambda _: None)
        progress.tell(step="storing the network", done=0.92)
        card = _store(store, network, base, preparation)
        made = _as_served(store, settings, card, network, pictures, len(data))
    finally:
        pictures.close()
    with database.begin() as session:
        dataset.store_embeddings(session, card.version, data.photo_ids.tolist(), made)
    # As a worker will read them back.
    made = backbones.from_bytes([backbones.to_bytes(vector) for vector in made])
    progress.tell(step="taking the exam", done=0.97)
    found = candidate.make(data, made, recipe, evidence[0])
    decision = _decide(store, current, data, vectors, found, evidence[1], len(hold_out))
    picture = report.draw(store, run.id, found, candidate.names(data), decision.old_error)
    for path in folder.glob(f"{run.id}[.-]*"):
        path.unlink(missing_ok=True)
    return Step(run, "fine_tune", card.version, data, made, found, decision, current, recipe, picture, is_taught=True)


def _pictures(
    store: Store, data: Dataset, vectors: Floats, preparation: Preparation
) -> tuple[Dataset, Floats, Pictures]:
    """The photos decoded, without those that can't be."""
    pictures = Pictures(store, data.sha256s, preparation)
    readable = pictures.readable()
    if readable.all():
        return data, vectors, pictures
    pictures.close()
    kept = data.only(readable)
    return kept, vectors[readable], Pictures(store, kept.sha256s, preparation)


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


def _start(network: "nn.Module", lesson: Lesson, data: Dataset, recipe: Recipe) -> Head:
    """A head to start from, fitted to what the untaught network makes of the photos to learn from."""
    seen = teach.embeddings(network, lesson.pictures, lesson.learn, lesson.preparation)
    vectors = np.zeros((len(data), seen.shape[1]), np.float32)
    vectors[lesson.learn] = seen
    return _head(vectors, lesson.learn, data, recipe)


def _head(vectors: Floats, rows: Ints, data: Dataset, recipe: Recipe, weight_decay: float | None = None) -> Head:
    truth = np.searchsorted(data.taught(), data.truth[rows])
    return fit.fit(vectors[rows], truth, data.groups[rows], recipe.refit, recipe.seed, weight_decay).head


def _store(store: Store, network: "nn.Module", base: BackboneCard, preparation: Preparation) -> BackboneCard:
    network.to("cpu")
    version, weights = networks.version_of(network, base.architecture)
    source = f"fine-tuned from {base.version}"
    card = BackboneCard(version, base.architecture, base.dimension, preparation, True, source)
    networks.save(store, network, card, weights)
    return card


def _as_served(
    store: Store, settings: Settings, card: BackboneCard, network: "nn.Module", pictures: Pictures, many: int
) -> Floats:
    """Embeddings of the first `many` pictures as a worker on this machine makes them; float32 (many, dimension).

    On a CPU that is the graph in OpenVINO's own precision: bf16 where the processor has it, up to 0.01 (cosine) away
    from the network in torch, which is a twentieth of the way to a stranger.
    """
    if teach.device().type == "cuda":
        return teach.embeddings(network.to("cuda"), pictures, np.arange(many), card.preparation)
    import openvino

    folder, cache = backbones.folder(card.version), settings.home / "cache"
    store.local(f"{folder}/graph.bin", cache)
    compiled = openvino.Core().compile_model(store.local(f"{folder}/graph.xml", cache), "CPU")
    found = np.zeros((many, card.dimension), np.float32)
    for start in range(0, many, teach.AT_ONCE):
        rows = range(start, min(many, start + teach.AT_ONCE))
        found[start : rows.stop] = compiled(pictures.centres(rows))[0]
    return found


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
        head = _head(made, learn, data, recipe, decay)
        logits = head.logits(made[hold_out])
        loss = fit.log_loss(logits, truth[hold_out])
        if best is None or loss < best[0]:
            error = float((logits.argmax(axis=1) != truth[hold_out]).mean())
            best = loss, Taught(decay, logits, truth[hold_out], head.distance(made[hold_out])), error
    assert best is not None
    before = _head(vectors, learn, data, recipe)
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
    """The exam's decision, unless the current backbone does better on all photos that neither was taught with.

    errors: share of wrong answers to the `held_out` photos, (new, old).
    """
    is_exam: Bools = data.is_exam
    exam = data.only(is_exam)
    old = candidate.answers_of(store, current, exam, vectors[is_exam])
    decision = judge.decide(exam.truth, old, found.exam_answers, exam.photo_ids, candidate.names(data), found.taught)
    # A current backbone that was fine-tuned itself has seen the held-out photos: only the exam can compare the two.
    if old is None or candidate.taught_before(current) is not None:
        return decision
    # Neither network has seen the exam or the held-out photos, and together they tell more than either.
    wrong = [errors[0] * held_out, errors[1] * held_out]
    wrong = [wrong[0] + float((found.exam_answers != exam.truth).sum()), wrong[1] + float((old != exam.truth).sum())]
    if wrong[1] < wrong[0]:
        verdict = (
            f"The network as it was does better: of {held_out + len(exam)} photos that neither was taught with it gets "
            f"{wrong[1]:.0f} wrong, the newly taught one {wrong[0]:.0f}."
        )
        return replace(decision, publish=False, verdict=verdict)
    return decision
