"""Networks: torchvision's without their last layer, and their way into the store as weights and as a graph."""

import copy
import hashlib
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.errors import ModelError
from snaplabel.store import Store, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

# The graph computes in another order than torch does, which moves embeddings by less than a thousandth of this share of
# their length; beyond it, it computes something else.
GRAPH_APART = 1e-2


def build(architecture: str) -> tuple["nn.Module", str, int]:
    """A torchvision network with random weights and no last layer: (network, the layer's name, embedding length).

    Dropout before the last layer stays, and does nothing in eval mode. Raises ModelError for a name torchvision lacks.
    """
    from torch import nn
    from torchvision.models import get_model

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception on how they are initialised
            network: nn.Module = get_model(architecture, weights=None)
    except (ValueError, KeyError) as error:
        raise ModelError(f"The backbone {architecture!r} is no torchvision classification network.") from error
    ends = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    ends = [name for name in ends if not name.lower().startswith("aux")]
    last = network.get_submodule(ends[-1])
    dimension = getattr(last, "in_features", None) or int(last.in_channels)  # type: ignore[arg-type]
    parent, _, name = ends[-1].rpartition(".")
    setattr(network.get_submodule(parent), name, nn.Identity())
    return network, ends[-1], int(dimension)


def load(store: Store, version: str) -> tuple["nn.Module", BackboneCard]:
    """A stored backbone as a torch network in eval mode, with its card. Raises ModelError, StoreError."""
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    card = backbones.load_card(store, version)
    network, _, _ = build(card.architecture)
    try:
        network.load_state_dict(from_bytes(store.get(f"{backbones.folder(version)}/weights.safetensors")))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"The weights of backbone {version} are damaged: {error}") from error
    return network.eval(), card


def version_of(network: "nn.Module", architecture: str) -> tuple[str, bytes]:
    """A version named by the network's own weights, and those as safetensors."""
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()})
    return f"{architecture}-{hashlib.sha256(data).hexdigest()[:12]}", data


def save(store: Store, network: "nn.Module", card: BackboneCard, data: bytes | None = None) -> BackboneCard:
    """Write weights, graph and, last, the card, which comes back with what is known of the files now.

    Raises ModelError when the graph does not say what the network says.

    data: the weights as safetensors, where they were made already.
    """
    weights = data if data is not None else version_of(network, "")[1]
    graph, bf16_apart = _graph(network, card)
    files = {"weights.safetensors": weights, **graph}
    for name, part in files.items():
        store.put(f"{backbones.folder(card.version)}/{name}", part)
    sums = {name: sha256_of(part) for name, part in files.items()}
    card = replace(card, sums=sums, bf16_apart=bf16_apart)
    backbones.save_card(store, card)
    return card


def prepared(preparation: Preparation, network: "nn.Module") -> "nn.Module":
    """The network behind its preparation: uint8 (N, crop, crop, 3) in, float32 (N, dimension) out."""
    import torch
    from torch import nn

    class Prepared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.mean: Tensor
            self.std: Tensor
            self.register_buffer("mean", torch.tensor(preparation.mean).view(1, 3, 1, 1) * 255.0)
            self.register_buffer("std", torch.tensor(preparation.std).view(1, 3, 1, 1) * 255.0)

        def forward(self, pixels: "Tensor") -> "Tensor":
            images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
            embeddings: Tensor = self.network(images).flatten(1)
            return embeddings

    return Prepared().eval()


def _graph(network: "nn.Module", card: BackboneCard) -> tuple[dict[str, bytes], float | None]:
    """graph.xml and graph.bin, checked against the network on pictures drawn by chance; how far bf16 is off there."""
    import openvino
    import torch

    crop = card.preparation.crop
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 256, (4, crop // 8 + 1, crop // 8 + 1, 3), dtype=np.uint8)
    pixels = np.ascontiguousarray(coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :crop, :crop])
    whole = prepared(card.preparation, network.to("cpu").eval())
    with torch.no_grad(), one_thread():
        graph = _converted(whole, pixels[:1])
        wanted = whole(torch.from_numpy(pixels)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        # Half precision halves the file, and moved embeddings of a random mobilenet_v3_small by 4 % of their length.
        openvino.save_model(graph, path, compress_to_fp16=False)
        try:
            check_graph(path, pixels, wanted)
        except ModelError:
            # A deep random network makes much of the last bit: then torch itself is as far off its own f64.
            check_graph(path, pixels, wanted, GRAPH_APART + 4 * _noise(whole, pixels, wanted))
        files = {name: (Path(folder) / name).read_bytes() for name in ("graph.xml", "graph.bin")}
        return files, _bf16_apart(path, pixels, wanted)


def _bf16_apart(path: Path, pixels: NDArray[np.uint8], wanted: NDArray[np.float32]) -> float | None:
    """How far the graph is off in bf16, as a share of an embedding's length; None where the processor has no bf16."""
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU")
    # Where the processor has instructions for it, bf16 is OpenVINO's own choice.
    if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != "bf16":
        return None
    apart = _apart(compiled(pixels)[0], wanted)
    return apart if np.isfinite(apart) else None


def _noise(whole: "nn.Module", pixels: NDArray[np.uint8], wanted: NDArray[np.float32]) -> float:
    """How far torch's f32 is off its f64, as a share of the embeddings' length."""
    import torch

    with torch.no_grad(), one_thread():
        exact = copy.deepcopy(whole).double()(torch.from_numpy(pixels)).numpy()
    return _apart(wanted, exact)


def _converted(whole: "nn.Module", example: NDArray[np.uint8]) -> Any:
    """The network as an OpenVINO graph with a free number of photos.

    Through OpenVINO's frontend: `openvino.convert_model` takes three times as long.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        # torch deprecates tracing, which OpenVINO's converter builds on.
        warnings.simplefilter("ignore")
        pixels = torch.from_numpy(example)
        traced = torch.jit.trace(whole, pixels, check_trace=False)  # type: ignore[no-untyped-call]
        # The frontend keeps no reference to its decoder and reads freed memory without ours.
        decoder = TorchScriptPythonDecoder(traced, example_input=pixels)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))
    graph.reshape([-1, *example.shape[1:]])
    return graph


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread: for a single small picture, threads that wait for busy cores cost seconds."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_graph(path: Path, pixels: NDArray[np.uint8], wanted: NDArray[np.float32], most: float = GRAPH_APART) -> None:
    """Raise ModelError unless the graph file gives these embeddings (N, dimension) for these pixels.

    most: how far off they may be, as a share of their length.
    """
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(pixels)[0]
    if found.shape != wanted.shape or not np.isfinite(found).all():
        raise ModelError("The exported graph does not compute what the network computes; it was not published.")
    if (apart := _apart(found, wanted)) > most:
        raise ModelError(f"The exported graph is {apart:.1%} off the network; it was not published.")


def _apart(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The largest difference between embeddings of a photo, as a share of their length."""
    length = np.maximum(np.linalg.norm(wanted, axis=1), np.finfo(np.float32).tiny)
    return float((np.linalg.norm(found - wanted, axis=1) / length).max())
