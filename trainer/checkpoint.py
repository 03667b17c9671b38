"""Checkpoints: all that a teaching needs to go on after a crash, in one file that appears whole."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Saved = tuple[dict[str, Any], dict[str, "Tensor"]]


def save(
    path: Path,
    mark: str,
    facts: dict[str, Any],
    both: "nn.Module",
    optimiser: "torch.optim.Optimizer",
    best: dict[str, "Tensor"],
) -> None:
    """Write the network and head as they are, the optimiser's memory, and the network after its best epoch.

    mark: what this checkpoint belongs to. facts: whatever JSON can say of how far the teaching is.
    """
    from safetensors.torch import save_file

    tensors = {f"now.{name}": tensor for name, tensor in both.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(whole, aside, {"mark": mark, "facts": json.dumps(facts)})
    aside.replace(path)


def load(path: Path, mark: str) -> Saved | None:
    """A checkpoint with this very mark: (facts, tensors); None where there is none or it is damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata()
            if about["mark"] != mark:
                return None
            return json.loads(about["facts"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None


def restore(saved: Saved, both: "nn.Module", optimiser: "torch.optim.Optimizer") -> dict[str, "Tensor"]:
    """Put network, head and optimiser back to where they were; the network after its best epoch comes back."""
    _, tensors = saved

    def under(prefix: str) -> dict[str, "Tensor"]:
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    both.load_state_dict(under("now."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in under("optimiser.").items():
        number, _, what = name.partition(".")
        state.setdefault(int(number), {})[what] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return under("best.")
