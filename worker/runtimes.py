"""Runtimes: a backbone's graph on this machine's processor. OpenVINO on a CPU, torch where there is a GPU."""

import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.errors import ModelError, NotStored, StoreError
from snaplabel.store import Store

Floats = NDArray[np.float32]
MAX_BATCH = 16


class Runtime(Protocol):
    """A loaded backbone.

    embed: uint8 (N, crop, crop, 3) RGB, N at most MAX_BATCH → float32 (N, dimension).
    """

    card: BackboneCard

    def embed(self, pixels: Pixels) -> Floats: ...


class OpenVino:
    """The exported graph on a CPU. It counts in bf16 where the processor does; threads: 0 leaves that to OpenVINO."""

    def __init__(self, card: BackboneCard, graph: Path, cache: Path, threads: int = 0) -> None:
        import openvino

        self.card = card
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(cache)}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            compiled = openvino.Core().compile_model(str(graph), "CPU", options)
        except RuntimeError:
            # What it keeps for the next start may be what failed: a full disk, a folder that can't be written to.
            try:
                compiled = openvino.Core().compile_model(str(graph), "CPU", {**options, "CACHE_DIR": ""})
            except RuntimeError as error:
                cause = str(error).strip().splitlines()[-1]
                raise ModelError(f"The graph of backbone {card.version} can't be loaded: {cause}") from error
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def embed(self, pixels: Pixels) -> Floats:
        with self._lock:
            found = self._request.infer({0: pixels}, share_inputs=True)
            return np.array(found[0], dtype=np.float32)


class TorchGpu:
    """The network itself on a CUDA device: channels last, half precision."""

    def __init__(self, card: BackboneCard, weights: bytes, device: str = "cuda") -> None:
        import torch
        import torchvision
        from safetensors import SafetensorError
        from safetensors.torch import load

        self.card = card
        network = torchvision.models.get_model(card.architecture, weights=None)
        name = [n for n, module in network.named_modules() if isinstance(module, torch.nn.Linear)][-1]
        network.set_submodule(name, torch.nn.Identity())
        try:
            kept = {key: value for key, value in load(weights).items() if not key.startswith(f"{name}.")}
            network.load_state_dict(kept)
        except (SafetensorError, RuntimeError) as error:
            raise ModelError(f"The weights of backbone {card.version} are damaged: {error}") from error
        self._half = device != "cpu"
        network = network.eval().to(device=device, memory_format=torch.channels_last)
        self._network = network.half() if self._half else network
        self._device = device
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(card.preparation.mean, device=device).reshape(shape) * 255
        self._std = torch.tensor(card.preparation.std, device=device).reshape(shape) * 255

    def embed(self, pixels: Pixels) -> Floats:
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(pixels).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
            scaled = (batch.float() - self._mean) / self._std
            found = self._network(scaled.half() if self._half else scaled).float().cpu().numpy()
        return np.asarray(found, dtype=np.float32)


def load(store: Store, version: str, home: Path, *, threads: int = 0) -> Runtime:
    """The backbone of this version, on the best processor that this machine and installation offer.

    Raises ModelError naming the file when it is missing or damaged.
    """
    card, cache = backbones.load_card(store, version), home / "cache"
    if _has_gpu():
        return TorchGpu(card, _read(store, card, "weights.safetensors", cache).read_bytes())
    _read(store, card, "graph.bin", cache)
    return OpenVino(card, _read(store, card, "graph.xml", cache), cache / "openvino", threads)


def _read(store: Store, card: BackboneCard, name: str, cache: Path) -> Path:
    """A file of the backbone on this machine, as it was when the backbone was made."""
    try:
        path = store.local(f"{backbones.folder(card.version)}/{name}", cache)
        backbones.verify(card, name, path.read_bytes())
    except (NotStored, FileNotFoundError) as error:
        raise ModelError(backbones.gone(card.version, name)) from error
    except OSError as error:
        raise StoreError(f"Can't read {name} of backbone {card.version}: {error.strerror or error}.") from error
    return path


def _has_gpu() -> bool:
    import importlib.util

    # Importing torch takes seconds and 200 MB, so a machine without an NVIDIA driver never gets that far.
    if not Path("/proc/driver/nvidia/version").exists() or importlib.util.find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())
