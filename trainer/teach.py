"""Teaching a whole network: the epochs of a fine-tune, checkpointed so that a crash costs at most one of them."""

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snaplabel.backbones import Preparation
from snaplabel.heads import Floats, Head
from trainer.dataset import Ints
from trainer.pictures import Pictures, batches, varied
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
    checkpoint: Path,
    on_batch: Callable[[float], None],
    on_epoch: Callable[[Epoch], None],
) -> Epoch:
    """Teach the network in place and leave it as it was after its best epoch; that epoch.

    The best has the fewest errors on the held-out photos; where none is held out it is the last one.

    head: where the last layer starts, None: at random. checkpoint: a file written after every epoch; one of the same
    lesson and recipe is gone on with. on_batch: told the share of all batches that is done, and may raise Cancelled.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    where = device()
    torch.manual_seed(seed)
    last = _last_layer(network, head, lesson)
    both = nn.ModuleDict({"network": network, "head": last}).to(where).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(_groups(network, last, recipe), weight_decay=recipe.weight_decay)
    many = len(batches(lesson.learn, recipe.batch_size, np.random.default_rng(0)))
    rates = [float(group["lr"]) for group in optimiser.param_groups]
    best, best_state = None, copy.deepcopy(network.state_dict())
    begin = 0
    if saved := _resume(checkpoint, lesson, recipe):
        begin, best, best_state = _restore(saved, both, optimiser)
    parameters = [p for p in both.parameters() if p.requires_grad]
    for number in range(begin, recipe.epochs):
        started, losses = time.monotonic(), []
        rng = np.random.default_rng((seed, number))
        _set_mode(both, recipe)
        for turn, rows in enumerate(batches(lesson.learn, recipe.batch_size, rng)):
            share = (number + turn / many) / recipe.epochs
            on_batch(share)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * one_cycle(share, recipe.warm_up)
            shown = varied(lesson.pictures.whole(rows.tolist()), lesson.preparation.crop, recipe, rng, where)
            with _autocast(where):
                logits = last(network(_normal(shown, lesson.preparation)).flatten(1))
                right = torch.from_numpy(lesson.truth[rows]).to(where)
                loss = functional.cross_entropy(logits.float(), right, label_smoothing=recipe.label_smoothing)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, recipe.gradient_norm)
            optimiser.step()
            losses.append(float(loss.detach()))
        valid_loss, error = _validate(network, last, lesson)
        here = Epoch(number + 1, recipe.epochs, float(np.mean(losses)), valid_loss, error, time.monotonic() - started)
        is_better = best is None or (here.error_rate, here.valid_loss) <= (best.error_rate, best.valid_loss)
        if best is None or is_better or not len(lesson.hold_out):
            best, best_state = here, copy.deepcopy(network.state_dict())
        _save(checkpoint, lesson, recipe, both, optimiser, here, best, best_state)
        on_epoch(here)
        if here.epoch - best.epoch >= recipe.patience:
            break
    assert best is not None
    network.load_state_dict(best_state)
    network.eval()
    return best


def one_cycle(share: float, warm_up: float) -> float:
    """Factor of the learning rate after this share of all batches: up, and down to almost nothing (Smith 2018)."""
    if share < warm_up:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * share / warm_up)) / 2
    return 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * (share - warm_up) / (1 - warm_up))) / 2


def device() -> "torch.device":
    """The GPU where there is one."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def embeddings(network: "nn.Module", pictures: Pictures, rows: Ints, preparation: Preparation) -> Floats:
    """What the network makes of photos, as a worker would see them; float32 (N, dimension)."""
    import torch

    where = next(network.parameters()).device
    found = []
    network.eval()
    with torch.no_grad():
        for start in range(0, len(rows), AT_ONCE):
            pixels = torch.from_numpy(pictures.centres(rows[start : start + AT_ONCE].tolist())).to(where)
            shown = _normal(pixels.permute(0, 3, 1, 2).float(), preparation)
            found.append(network(shown).flatten(1).float().cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


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


def _validate(network: "nn.Module", last: "nn.Linear", lesson: Lesson) -> tuple[float, float]:
    """Log-loss and share of wrong answers on the held-out photos; on some learnt ones where none is held out."""
    import torch

    rows = lesson.hold_out if len(lesson.hold_out) else lesson.learn[: 2 * AT_ONCE]
    vectors = torch.from_numpy(embeddings(network, lesson.pictures, rows, lesson.preparation))
    right = torch.from_numpy(lesson.truth[rows])
    with torch.no_grad():
        logits = last(vectors.to(last.weight.device)).float().cpu()
    loss = torch.nn.functional.cross_entropy(logits, right)
    return float(loss), float((logits.argmax(dim=1) != right).float().mean())


def _mark(lesson: Lesson, recipe: FineTune) -> str:
    """What a checkpoint belongs to."""
    return json.dumps([repr(recipe), lesson.learn.tolist(), lesson.hold_out.tolist(), lesson.truth.tolist()])


def _save(
    path: Path,
    lesson: Lesson,
    recipe: FineTune,
    both: "nn.Module",
    optimiser: "torch.optim.Optimizer",
    here: Epoch,
    best: Epoch,
    best_state: dict[str, "Tensor"],
) -> None:
    """Everything to go on from, in one file that appears whole."""
    from safetensors.torch import save_file

    tensors = {f"now.{name}": tensor for name, tensor in both.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best_state.items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    facts = {"epoch": here.epoch, "best": vars(best)}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, aside, {"mark": _mark(lesson, recipe), "facts": json.dumps(facts)})
    aside.replace(path)


def _resume(path: Path, lesson: Lesson, recipe: FineTune) -> tuple[dict[str, Any], dict[str, "Tensor"]] | None:
    """A checkpoint of this very lesson and recipe: (facts, tensors); None where there is none or it is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            if about["mark"] != _mark(lesson, recipe):
                return None
            return json.loads(about["facts"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def _restore(
    saved: tuple[dict[str, Any], dict[str, "Tensor"]],
    both: "nn.Module",
    optimiser: "torch.optim.Optimizer",
) -> tuple[int, Epoch, dict[str, "Tensor"]]:
    facts, tensors = saved

    def under(prefix: str) -> dict[str, "Tensor"]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    both.load_state_dict(under("now."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under("optimiser.").items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return facts["epoch"], Epoch(**facts["best"]), under("best.")
