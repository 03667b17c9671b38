"""Lessons: the process that teaches a network, `python -m trainer.lesson FOLDER`, started by `trainer.child`.

It does the job in the folder, leaves the outcome there, and says how far it is in lines of JSON. With several GPUs it
becomes torchrun, and torchrun starts it once for each.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snaplabel import backbones, logs, settings, tether
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.errors import NothingToLearn, SnaplabelError, TrainingError
from snaplabel.heads import Floats, Head
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer import backbone, fit, job, ranks, teach
from trainer import network as networks
from trainer.dataset import Dataset, Ints
from trainer.job import Job, Outcome
from trainer.pictures import Pictures
from trainer.ranks import Ranks
from trainer.recipe import FineTune, Recipe
from trainer.teach import Epoch, Lesson

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

# People's photos and corrections go first, where a processor has to choose.
NICENESS = 5
SPEAK_EVERY_S = 0.2


class Voice:
    """Says facts to whoever started us, a JSON object a line; what libraries print goes with the log instead."""

    def __init__(self, ours: Ranks) -> None:
        self._line = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._is_first = ours.is_first
        self._said: dict[str, Any] = {}
        self._spoke_at = 0.0

    def say(self, **facts: Any) -> None:
        """Say how far we are; of steps that only grow a little, just a few a second."""
        is_news = facts.keys() - {"done"} - {name for name in facts if facts[name] == self._said.get(name)}
        if not self._is_first or not (is_news or time.monotonic() - self._spoke_at >= SPEAK_EVERY_S):
            return
        self._said.update(facts)
        self._spoke_at = time.monotonic()
        self._write(facts)

    def fail(self, sentence: str) -> None:
        """Say why there is no outcome; whichever rank it happened to."""
        self._write({"failed": sentence})

    def _write(self, facts: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):
            self._line.write(json.dumps(facts) + "\n")
            self._line.flush()


def main() -> int:
    """Do the job in the folder that the first argument names; 1 when there is no outcome."""
    folder, given = Path(sys.argv[1]), settings.read()
    logs.configure(given, "trainer")
    logs.catch_all()
    asked = job.read(folder)
    if "WORLD_SIZE" in os.environ:
        tether.tie(os.getppid())
    else:
        os.nice(NICENESS)
        if asked is not None and asked.kind == "teach":
            _one_for_each_gpu(folder)
    ours = ranks.join()
    voice = Voice(ours)
    try:
        if asked is None:
            raise TrainingError(f"There is no job in {folder}.")
        do = _teach if asked.kind == "teach" else _look
        do(folder, asked, given, ours, voice.say)
    except SnaplabelError as error:
        voice.fail(str(error))
        return 1
    except Exception as error:
        log.exception("the lesson failed")
        voice.fail(f"Something went wrong inside ({type(error).__name__}); the log knows more.")
        return 1
    ours.leave()
    return 0


def _one_for_each_gpu(folder: Path) -> None:
    """Become torchrun where there are several GPUs: it starts this module once for each, and ends all if one ends."""
    import torch

    many = torch.cuda.device_count()
    if many < 2:
        return
    torchrun = ("-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(many), "--no-python")
    again = (sys.executable, "-P", "-m", "trainer.lesson", str(folder))
    os.execv(sys.executable, (sys.executable, *torchrun, *again))  # noqa: S606  no shell is wanted


Say = Callable[..., None]


def _teach(folder: Path, asked: Job, given: Settings, ours: Ranks, say: Say) -> None:
    """Teach a network from the job's backbone, store it, and look at all photos with it."""
    say(step="reading the photos", done=0.02)
    store, recipe, data = Store(given.store), asked.recipe, asked.data
    base = _base(store, given, asked.backbone, ours)
    numbers = recipe.fine_tune if base.is_pretrained else recipe.scratch
    preparation = _preparation(base, numbers)
    pictures = Pictures(store, data.sha256s, preparation, ours.size)
    kept = _readable(pictures, len(data), ours)
    data = data.only(np.isin(np.arange(len(data)), kept))
    taught = data.taught()
    if len(taught) < 2:
        raise NothingToLearn()
    learn, hold_out = split(data, numbers, recipe)
    truth = np.zeros(len(asked.data), np.int64)
    truth[kept] = np.searchsorted(taught, data.truth)
    lesson = Lesson(pictures, kept[learn], kept[hold_out], truth, len(taught), preparation)
    # The held-out photos have chosen the best epoch; where photos are few, none may be wasted.
    is_again = len(learn) + len(hold_out) <= numbers.again
    more = (numbers.epochs if is_again else numbers.absorb) if len(hold_out) else 0
    if not is_again:
        numbers = replace(numbers, least_rate=0.0)
    whole = numbers.epochs + more

    def on_batch(share: float) -> None:
        say(step="teaching the network", done=_done(share * numbers.epochs / whole))

    def on_epoch(epoch: Epoch) -> None:
        say(done=_done(epoch.epoch / whole), **asdict(epoch))

    def look(network: "nn.Module") -> Floats:
        return teach.embeddings(network, pictures, kept, preparation, ours)

    def start(rows: Ints) -> tuple["nn.Module", Head | None]:
        """The backbone as it was, and a head fitted to what it makes of these photos."""
        network, _ = networks.load(store, base.version)
        if not base.is_pretrained:
            return network, None
        seen = teach.embeddings(network.to(ranks.device_of(ours)), pictures, kept[rows], preparation, ours)
        return network, fitted(seen, rows, data, recipe) if ours.is_first else None

    network, head = start(learn)
    path = folder / "teach.safetensors"
    network = teach.teach(network, head, lesson, numbers, recipe.seed, path, on_batch, on_epoch, ours)
    say(step="looking at the photos anew", done=_done(numbers.epochs / whole))
    unseen = look(network)
    if more:

        def on_more(share: float) -> None:
            say(step="teaching it the held-out photos too", done=_done((numbers.epochs + share * more) / whole))

        lessons = np.union1d(learn, hold_out)
        everything = replace(lesson, learn=kept[lessons], hold_out=hold_out[:0])
        gently = numbers
        if is_again:
            network, head = start(lessons)
        else:
            gently = replace(numbers, epochs=more, learning_rate=numbers.learning_rate / 3)
            if ours.is_first:
                decay = best_decay(unseen, learn, hold_out, data, recipe)
                head = fitted(unseen[lessons], lessons, data, recipe, decay)
        path = folder / "everything.safetensors"
        network = teach.teach(network, head, everything, gently, recipe.seed, path, on_more, lambda _: None, ours)
    if not ours.is_first:
        return
    say(step="storing the network", done=0.92)
    card = _store(store, network, base, preparation)
    served = _as_served(store, given, card, pictures, kept)
    job.hand_back(folder, Outcome(card.version, kept, served, learn, hold_out, unseen))


def _done(share: float) -> float:
    return round(0.05 + 0.85 * share, 3)


def _look(folder: Path, asked: Job, given: Settings, ours: Ranks, say: Say) -> None:
    """Look at the job's photos with its backbone."""
    if not ours.is_first:
        return
    store = Store(given.store)
    card = backbones.load_card(store, asked.backbone)
    pictures = Pictures(store, asked.data.sha256s, card.preparation)
    kept = _readable(pictures, len(asked.data), ranks.ALONE)
    none = np.zeros(0, np.int64)
    served = _as_served(store, given, card, pictures, kept)
    job.hand_back(folder, Outcome(card.version, kept, served, none, none, served[:0]))


def _base(store: Store, given: Settings, version: str, ours: Ranks) -> BackboneCard:
    """The backbone to start from: this one, or what it gives way to by now."""
    card = backbones.load_card(store, version)
    if not backbone.gives_way(card, given):
        return card
    if ours.is_first:
        backbone.of_weights(store, given)
    ours.wait()
    return backbone.of_weights(store, given)


def _readable(pictures: Pictures, many: int, ours: Ranks) -> Ints:
    """Rows of the photos that can be decoded; each rank tries its share."""
    rows = np.arange(many)
    mine = pictures.readable(ours.share(rows).tolist()).astype(np.float32)
    return np.asarray(np.flatnonzero(ours.gather(mine, many)), np.int64)


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
    """At the size that the weights were trained with: a taught network gains nothing from larger pictures."""
    crop = min(numbers.crop or backbone.preset(base.architecture).crop, base.preparation.crop)
    return replace(base.preparation, resize=numbers.resize or base.preparation.resize, crop=crop)


def fitted(vectors: Floats, rows: Ints, data: Dataset, recipe: Recipe, weight_decay: float | None = None) -> Head:
    """A head fitted to some lesson photos; vectors: float32 (len(rows), dimension)."""
    truth = np.searchsorted(data.taught(), data.truth[rows])
    return fit.fit(vectors, truth, data.groups[rows], recipe.refit, recipe.seed, weight_decay).head


def best_decay(vectors: Floats, learn: Ints, hold_out: Ints, data: Dataset, recipe: Recipe) -> float:
    """The weight decay that suits held-out photos best: photos that the network was taught with can't tell.

    vectors: float32 (N, dimension), of all photos of the data.
    """
    truth = np.searchsorted(data.taught(), data.truth[hold_out])

    def loss(decay: float) -> float:
        return fit.log_loss(fitted(vectors[learn], learn, data, recipe, decay).logits(vectors[hold_out]), truth)

    return min(recipe.refit.weight_decays, key=loss)


def _store(store: Store, network: "nn.Module", base: BackboneCard, preparation: Preparation) -> BackboneCard:
    # Into a network as it was built: batch norms that counted over several GPUs are of another make.
    plain, _ = networks.load(store, base.version)
    plain.load_state_dict(network.to("cpu").state_dict())
    version, weights = networks.version_of(plain, base.architecture)
    source = f"fine-tuned from {base.version}"
    card = BackboneCard(version, base.architecture, base.dimension, preparation, True, source)
    return networks.save(store, plain, card, weights)


def _as_served(store: Store, given: Settings, card: BackboneCard, pictures: Pictures, rows: Ints) -> Floats:
    """Embeddings of these pictures as a worker on this machine makes them; float32 (N, dimension).

    On a CPU that is the graph, in bf16 where the processor has it and the network stands it.
    """
    where = ranks.device_of(ranks.ALONE)
    if where.type == "cuda":
        network, _ = networks.load(store, card.version)
        return teach.embeddings(network.to(where), pictures, rows, card.preparation)
    import openvino

    folder, cache = backbones.folder(card.version), given.home / "cache"
    store.local(f"{folder}/graph.bin", cache)
    compiled = openvino.Core().compile_model(store.local(f"{folder}/graph.xml", cache), "CPU", card.on_a_cpu())
    found = np.zeros((len(rows), card.dimension), np.float32)
    for start in range(0, len(rows), teach.AT_ONCE):
        part = rows[start : start + teach.AT_ONCE]
        found[start : start + len(part)] = compiled(pictures.centres(part.tolist()))[0]
    return found


if __name__ == "__main__":
    sys.exit(main())
