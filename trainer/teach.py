"""Teaching a whole network: the epochs of a fine-tune, checkpointed so that a crash costs at most one of them."""

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snaplabel.backbones import Preparation
from snaplabel.heads import Floats, Head
from trainer import checkpoint
from trainer.dataset import Ints
from trainer.pictures import Pictures, batches, varied
from trainer.ranks import ALONE, Ranks, device_of
from trainer.recipe import FineTune

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# The network's layers learn at rates that grow in so many steps from the first to the last.
STAGES = 4
AT_ONCE = 64


@dataclass(frozen=True)
class Lesson:
    """What to teach: rows of the pictures to learn from and rows to choose the best epoch by, and every row's label."""

    pictures: Pictures
    learn: Ints
    hold_out: Ints
    truth: Ints
    labels: int
    preparation: Preparation


@dataclass(frozen=True)
class Epoch:
    """How one epoch went. Losses are mean log-losses; error_rate: share of held-out photos answered wrongly."""

    epoch: int
    epochs: int
    train_loss: float
    valid_loss: float
    error_rate: float
    epoch_seconds: float


def teach(
    network: "nn.Module",
    head: Head | None,
    lesson: Lesson,
    recipe: FineTune,
    seed: int,
    path: Path,
    on_batch: Callable[[float], None],
    on_epoch: Callable[[Epoch], None],
    ranks: Ranks = ALONE,
) -> "nn.Module":
    """Teach the network and leave it as it was after its best epoch; what comes back is the network to go on with.

    The best has the fewest errors on the held-out photos; where none is held out it is the last one.

    head: where the last layer starts, None: at random; the first rank's counts. path: a checkpoint, written after every
    epoch; one of the same lesson and recipe is gone on with. on_batch: told the share of all batches that is done.
    ranks: each batch is shared out among them; what is learnt does not depend on how many there are.
    """
    import torch
    from torch import nn

    where = device_of(ranks)
    torch.manual_seed(seed)
    last = _last_layer(network, head, lesson)
    torch.manual_seed(seed + ranks.rank)  # Each rank has photos of its own to drop something of.
    network = _in_step(network, recipe, ranks)
    both = nn.ModuleDict({"network": network, "head": last}).to(where).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(_groups(network, last, recipe), weight_decay=recipe.weight_decay)

    def shuffled(epoch: int) -> list[Ints]:
        rng = np.random.default_rng((seed, epoch))
        return batches(lesson.learn, recipe.batch_size, recipe.least_batches, rng)

    many = len(shuffled(0))
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    begin, best, best_state = 0, None, copy.deepcopy(network.state_dict())
    mark = _mark(lesson, recipe)
    if saved := checkpoint.load(path, mark):
        best_state = checkpoint.restore(saved, both, optimiser)
        begin, best = saved[0]["epoch"], Epoch(**saved[0]["best"])
    parameters = [p for p in both.parameters() if p.requires_grad]
    ranks.from_first(parameters)
    for number in range(begin, recipe.epochs):
        if best is not None and number - best.epoch >= recipe.patience:
            break
        started, total = time.monotonic(), torch.zeros(1, device=where)
        _set_mode(both, recipe)
        for turn, rows in enumerate(shuffled(number)):
            share = (number + turn / many) / recipe.epochs
            on_batch(share)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * max(one_cycle(share, recipe.warm_up), recipe.least_rate)
            optimiser.zero_grad(set_to_none=True)
            loss = _loss(network, last, lesson, recipe, rows, (seed, number), ranks)
            loss.backward()  # type: ignore[no-untyped-call]
            ranks.add_up([p.grad for p in parameters if p.grad is not None])
            nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
            optimiser.step()
            total += loss.detach()
        ranks.add_up([total])
        ranks.from_first([b for b in network.buffers() if b.is_floating_point()] or [total])
        valid_loss, error = _validate(network, last, lesson, ranks)
        train_loss, seconds = float(total) / many, time.monotonic() - started
        here = Epoch(number + 1, recipe.epochs, train_loss, valid_loss, error, seconds)
        is_better = best is None or (here.error_rate, here.valid_loss) <= (best.error_rate, best.valid_loss)
        if best is None or is_better or not len(lesson.hold_out):
            best, best_state = here, copy.deepcopy(network.state_dict())
        if ranks.is_first:
            checkpoint.save(path, mark, {"epoch": here.epoch, "best": asdict(best)}, both, optimiser, best_state)
            on_epoch(here)
    network.load_state_dict(best_state)
    return network.eval()


def _in_step(network: "nn.Module", recipe: FineTune, ranks: Ranks) -> "nn.Module":
    """The network, its batch norms counting the whole batch where it is shared out and they are to learn.

    torch can do that on GPUs only.
    """
    from torch import nn

    if ranks.size > 1 and not recipe.freeze_batch_norm and device_of(ranks).type == "cuda":
        found: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return found
    return network


def _loss(
    network: "nn.Module",
    last: "nn.Linear",
    lesson: Lesson,
    recipe: FineTune,
    rows: Ints,
    when: tuple[int, int],
    ranks: Ranks,
) -> "Tensor":
    """This rank's part of the mean loss of a batch: over all ranks they add up to it. when: seed and epoch.

    How a photo is varied depends on seed, epoch and photo alone, and so not on who shows it.
    """
    import torch
    from torch.nn import functional

    mine = ranks.share(rows)
    weight = 1.0 / len(rows)
    if not len(mine):  # There are more ranks than photos, and all must take part in what follows.
        mine, weight = rows[:1], 0.0
    where = last.weight.device
    chance = [np.random.default_rng((*when, row)) for row in mine.tolist()]
    shown = varied(lesson.pictures.whole(mine.tolist()), lesson.preparation.crop, recipe, chance, where)
    with _autocast(where):
        logits = last(network(_normal(shown, lesson.preparation)).flatten(1))
        right = torch.from_numpy(lesson.truth[mine]).to(where)
        whole = functional.cross_entropy(logits.float(), right, reduction="sum", label_smoothing=recipe.label_smoothing)
    return whole * weight


def one_cycle(share: float, warm_up: float) -> float:
    """Factor of the learning rate after this share of all batches: up, and down to almost nothing (Smith 2018)."""
    if share < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * share / warm_up)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up))) / 2


def embeddings(
    network: "nn.Module", pictures: Pictures, rows: Ints, preparation: Preparation, ranks: Ranks = ALONE
) -> Floats:
    """What the network makes of photos, as a worker would see them; float32 (N, dimension), the same on every rank."""
    import torch

    where = next(network.parameters()).device
    network.eval()
    mine = ranks.share(rows)
    asked = mine if len(mine) else rows[:1]  # Even a rank without a photo has to know how long an embedding is.
    found = []
    with torch.no_grad():
        for start in range(0, len(asked), AT_ONCE):
            pixels = torch.from_numpy(pictures.centres(asked[start : start + AT_ONCE].tolist())).to(where)
            shown = _normal(pixels.permute(0, 3, 1, 2).float(), preparation)
            found.append(network(shown).flatten(1).float().cpu().numpy())
    if not found:
        return np.zeros((0, 0), np.float32)
    return ranks.gather(np.concatenate(found)[: len(mine)], len(rows))


def _normal(shown: "Tensor", preparation: Preparation) -> "Tensor":
    import torch

    mean = torch.tensor(preparation.mean, device=shown.device).view(1, 3, 1, 1) * 255.0
    std = torch.tensor(preparation.std, device=shown.device).view(1, 3, 1, 1) * 255.0
    return ((shown - mean) / std).contiguous(memory_format=torch.channels_last)


def _last_layer(network: "nn.Module", head: Head | None, lesson: Lesson) -> "nn.Linear":
    import torch
    from torch import nn

    if head is None:
        first = lesson.learn[:2]
        dimension = embeddings(network, lesson.pictures, first, lesson.preparation).shape[1]
        return nn.Linear(dimension, lesson.labels)
    last = nn.Linear(head.weight.shape[1], lesson.labels)
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(head.weight))
        last.bias.copy_(torch.from_numpy(head.bias))
    return last


def _groups(network: "nn.Module", last: "nn.Linear", recipe: FineTune) -> list[dict[str, Any]]:
    """Parameters with their rates: later layers learn faster, and what is no matrix is spared the weight decay."""
    layers = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = []
    for stage in range(STAGES):
        part = layers[len(layers) * stage // STAGES : len(layers) * (stage + 1) // STAGES]
        rate = recipe.learning_rate * recipe.first_layers ** (1 - stage / (STAGES - 1))
        groups.append({"params": [p for p in part if p.ndim > 1], "lr": rate})
        groups.append({"params": [p for p in part if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
    groups.append({"params": [last.weight], "lr": recipe.learning_rate})
    groups.append({"params": [last.bias], "lr": recipe.learning_rate, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _set_mode(both: "nn.Module", recipe: FineTune) -> None:
    from torch import nn

    both.train()
    if recipe.freeze_batch_norm:
        # A few photos a batch would replace what a million photos taught about mean and spread.
        for layer in both.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()


def _autocast(where: "torch.device") -> Any:
    """Half precision where the machine multiplies it fast: any GPU, and CPUs with AMX.

    AVX-512's bf16 alone is no faster here: 0.87 s a batch with it, 0.85 s without.
    """
    import torch

    is_fast = where.type == "cuda" or bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
    return torch.autocast(where.type, torch.bfloat16, enabled=is_fast)


def _validate(network: "nn.Module", last: "nn.Linear", lesson: Lesson, ranks: Ranks) -> tuple[float, float]:
    """Log-loss and share of wrong answers on the held-out photos; on some learnt ones where none is held out.

    All ranks look, the first one's word counts: they must end at the same epoch, to the last bit of a comparison.
    """
    import torch

    rows = lesson.hold_out if len(lesson.hold_out) else lesson.learn[: 2 * AT_ONCE]
    vectors = torch.from_numpy(embeddings(network, lesson.pictures, rows, lesson.preparation, ranks))
    right = torch.from_numpy(lesson.truth[rows])
    with torch.no_grad():
        logits = last(vectors.to(last.weight.device)).float().cpu()
    loss = torch.nn.functional.cross_entropy(logits, right)
    both = torch.stack([loss, (logits.argmax(dim=1) != right).float().mean()])
    ranks.from_first([both])
    return float(both[0]), float(both[1])


def _mark(lesson: Lesson, recipe: FineTune) -> str:
    """What a checkpoint belongs to."""
    facts = [repr(recipe), lesson.learn.tolist(), lesson.hold_out.tolist(), lesson.truth.tolist()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
