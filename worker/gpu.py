"""The network itself on a GPU, by torch; imported only where there is one."""

import copy
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from torch import Tensor, nn

from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.errors import ModelError
from worker.runtimes import MAX_BATCH, Floats

log = logging.getLogger(__name__)

# Batches are filled up to one of these, since a recorded graph takes no other size.
SIZES = (1, 2, 4, 8, MAX_BATCH)
# Half precision moves an embedding by less than this (cosine distance), or something is wrong with it.
HALF_APART = 0.02


class Torch:
    """The network itself, channels last: on a CUDA device in half precision, as one recorded graph per size of batch.

    device "cpu" counts in f32 without graphs; the tests and benchmarks compare others with it. What half precision or a
    recording gets wrong shows at once, and then the device counts in f32, one operation after the other.
    """

    def __init__(self, card: BackboneCard, weights: bytes, device: str = "cuda", precision: str = "") -> None:
        self.card = card
        self.lanes = 1
        self._device = device
        self._lock = threading.Lock()
        self._exact = _network(card, weights).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(card.preparation.mean, device=device).reshape(shape) * 255
        self._std = torch.tensor(card.preparation.std, device=device).reshape(shape) * 255
        self._set(precision or ("f32" if device == "cpu" else "f16"))
        self._recorded: dict[int, Any] = {}
        if device == "cpu":
            return
        try:
            self._recorded = {size: _Recorded(self._forward, card.preparation.crop, size) for size in SIZES}
            problem = self._problem()
        except RuntimeError as error:
            problem = str(error).strip().splitlines()[0]
        if problem:
            log.warning("backbone %s counts in f32 without recorded graphs here: %s", card.version, problem)
            self._recorded = {}
            self._set("f32")

    def embed(self, pixels: Pixels) -> Floats:
        with self._lock, torch.inference_mode():
            if self._recorded:
                size = next(size for size in SIZES if size >= len(pixels))
                found: Floats = self._recorded[size](pixels)
                return found
            return np.asarray(self._forward(torch.tensor(pixels, device=self._device)).cpu().numpy(), np.float32)

    def _set(self, precision: str) -> None:
        self.precision = precision
        self._type = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[precision]
        self._network = self._exact if precision == "f32" else copy.deepcopy(self._exact).to(self._type)

    def _forward(self, pixels: Tensor) -> Tensor:
        """uint8 (N, crop, crop, 3) on the device → float32 (N, dimension), there too."""
        scaled = (pixels.permute(0, 3, 1, 2).float() - self._mean) / self._std
        found: Tensor = self._network(scaled.to(self._type)).flatten(1).float()
        return found

    def _problem(self) -> str | None:
        """How what is served differs from the network in f32, on pictures drawn by chance; None: it does not."""
        crop = self.card.preparation.crop
        pixels = np.random.default_rng(0).integers(0, 256, (3, crop, crop, 3), dtype=np.uint8)
        found, half = self.embed(pixels), self._network
        self._network, kind, self._type = self._exact, self._type, torch.float32
        with torch.inference_mode():
            wanted = self._forward(torch.tensor(pixels, device=self._device)).cpu().numpy()
        self._network, self._type = half, kind
        apart = distance(found, wanted)
        return None if apart < HALF_APART else f"half precision is {apart:.1e} off (cosine)"


class _Recorded:
    """A forward pass for one size of batch as a CUDA graph: one launch in place of hundreds, from pinned memory.

    https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], crop: int, size: int) -> None:
        self._pinned = torch.zeros((size, crop, crop, 3), dtype=torch.uint8).pin_memory()
        self._pixels = self._pinned.to("cuda")
        self._graph, self._stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(3):  # cuDNN chooses its algorithms before anything is recorded.
                    forward(self._pixels)
            self._stream.synchronize()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._found = forward(self._pixels)
        self._answer = torch.zeros(self._found.shape, dtype=torch.float32).pin_memory()

    def __call__(self, pixels: Pixels) -> Floats:
        """Embeddings of as many photos as there are; what the rest of the batch holds is nobody's."""
        self._pinned.numpy()[: len(pixels)] = pixels
        with torch.cuda.stream(self._stream):
            self._pixels.copy_(self._pinned, non_blocking=True)
            self._graph.replay()
            self._answer.copy_(self._found, non_blocking=True)
        self._stream.synchronize()
        return np.array(self._answer.numpy()[: len(pixels)])


def distance(found: Floats, wanted: Floats) -> float:
    """The largest cosine distance between embeddings of the same photos; infinite where one is no number."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    length = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float((1.0 - (found * wanted).sum(axis=1) / np.maximum(length, 1e-12)).max())


def _network(card: BackboneCard, weights: bytes) -> nn.Module:
    """The card's network without its last layer, in eval mode. Raises ModelError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception on how they are initialised
        network: nn.Module = torchvision.models.get_model(card.architecture, weights=None)
    # The same layer as in trainer/network.py, which no other room may import.
    layers = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    network.set_submodule([name for name in layers if not name.lower().startswith("aux")][-1], nn.Identity())
    try:
        network.load_state_dict(from_bytes(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"The weights of backbone {card.version} are damaged: {error}") from error
    return network.eval()
