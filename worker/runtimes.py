"""Runtimes: a backbone's graph on this machine's processor. OpenVINO on a CPU, torch where there is a GPU."""

import logging
import os
import queue
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.errors import ModelError, NotStored, StoreError
from snaplabel.store import Store

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
MAX_BATCH = 16


class Runtime(Protocol):
    """A loaded backbone. precision: what it counts in, as in f32, bf16 or f16. lanes: how many may call it at once.

    embed: uint8 (N, crop, crop, 3) RGB, N at most MAX_BATCH → float32 (N, dimension). The head is not part of it: it
    changes with every refit and is one small product, made where the embedding is stored.
    """

    card: BackboneCard
    precision: str
    lanes: int

    def embed(self, pixels: Pixels) -> Floats: ...


class OpenVino:
    """The exported graph on a CPU, in lanes of one core each: there a batch gains nothing over photos side by side.

    threads: how many cores; 0: all of them.
    precision: f32 or bf16; empty: bf16 where the processor has instructions for it and the network's card tells that
    answers stay what they are; else f32.
    """

    def __init__(self, card: BackboneCard, graph: Path, cache: Path, threads: int = 0, precision: str = "") -> None:
        import openvino

        self.card = card
        self.lanes = threads or os.cpu_count() or 1
        lanes = {"NUM_STREAMS": self.lanes, "INFERENCE_NUM_THREADS": self.lanes}
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "CACHE_DIR": str(cache), **lanes, **card.on_a_cpu()}
        if precision:
            options["INFERENCE_PRECISION_HINT"] = precision
        try:
            compiled = openvino.Core().compile_model(str(graph), "CPU", options)
        except RuntimeError:
            # What it keeps for the next start may be what failed: a full disk, a folder that can't be written to.
            try:
                compiled = openvino.Core().compile_model(str(graph), "CPU", {**options, "CACHE_DIR": ""})
            except RuntimeError as error:
                cause = str(error).strip().splitlines()[-1]
                raise ModelError(f"The graph of backbone {card.version} can't be loaded: {cause}") from error
        self.precision = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # Two threads that hand over an array for the first time at the same moment wait for each other for ever: the
        # bindings look numpy up under a lock, and let go of Python's own inside it. So the first is here, alone.
        blank = np.zeros((1, card.preparation.crop, card.preparation.crop, 3), np.uint8)
        for _ in range(self.lanes):
            lane = compiled.create_infer_request()
            lane.infer({0: blank}, share_inputs=True)
            self._free.put(lane)

    def embed(self, pixels: Pixels) -> Floats:
        lane = self._free.get()
        try:
            return np.array(lane.infer({0: pixels}, share_inputs=True)[0], dtype=np.float32)
        finally:
            self._free.put(lane)


def load(store: Store, version: str, home: Path, *, threads: int = 0) -> Runtime:
    """The backbone of this version, on the best processor that this machine and installation offer.

    Raises ModelError naming the file when it is missing or damaged.
    """
    card, cache = backbones.load_card(store, version), home / "cache"
    runtime: Runtime
    if _has_gpu():
        from worker.gpu import Torch

        runtime = Torch(card, _read(store, card, "weights.safetensors", cache).read_bytes())
    else:
        _read(store, card, "graph.bin", cache)
        runtime = OpenVino(card, _read(store, card, "graph.xml", cache), cache / "openvino", threads)
    log.info("%s by %s in %s", version, type(runtime).__name__, runtime.precision)
    return runtime


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
