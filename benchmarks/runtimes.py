"""How fast is every runtime here, and do they all say the same? Prints a table of each.

    .venv/bin/python -m benchmarks.runtimes [--json FILE] [--quick] [--no-answers]

Speed: milliseconds a photo of each network, runtime and precision at batch 1 and 16, with random weights, since a
weight's value costs no time; all cores, the best of several rounds in which the runtimes take turns. Answers: on all
shared photos, by heads that were fitted and calibrated on each set's lessons, what the others say beside torch in f32.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import common
from snaplabel import backbones, heads, images
from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer import backbone, calibrate, fit, network
from trainer.recipe import Recipe
from worker.gpu import Torch
from worker.runtimes import MAX_BATCH, Floats, OpenVino, Runtime, load

NETWORKS = ("mobilenet_v2", "resnet18", "resnet50", "efficientnet_v2_s", "convnext_tiny")
QUICK = NETWORKS[:2]
BATCHES = (1, MAX_BATCH)
SETS = ("kits", "ants-bees", "architecture", "scenes")
ROUNDS = 3


@dataclass
class Case:
    """A runtime of a network under the name that the tables give it."""

    name: str
    runtime: Runtime


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--json", type=Path, metavar="FILE")
    asked.add_argument("--quick", action="store_true", help="two networks only")
    asked.add_argument("--no-answers", action="store_true", help="speed only, without the shared photos")
    args = asked.parse_args()
    figures: dict[str, Any] = {"threads": os.cpu_count(), "torch": torch.__version__, "speed": [], "answers": []}
    with tempfile.TemporaryDirectory(prefix="snaplabel-runtimes-") as folder:
        for architecture in QUICK if args.quick else NETWORKS:
            figures["speed"] += _speed(architecture, Path(folder))
            print(f"{architecture}: measured", file=sys.stderr)
        print(
            common.table(("network", "runtime", "batch", "ms a photo", "photos/s", ""), _speed_rows(figures["speed"]))
        )
        if not args.no_answers:
            figures["answers"] = _answers(Path(folder))
            header = ("photos", "runtime", "of", "other top-1", "narrowest of them", "largest change", "beyond 0.02")
            print("\n" + common.table(header, [tuple(row.values()) for row in figures["answers"]]))
    common.write(args.json, figures)
    return 0


def _cases(store: Store, card: BackboneCard, home: Path) -> list[Case]:
    """Every runtime that this machine offers; the first is what the others are compared with."""
    weights = store.get(f"{backbones.folder(card.version)}/weights.safetensors")
    for name in ("graph.xml", "graph.bin"):
        graph = store.local(f"{backbones.folder(card.version)}/{name}", home / "cache").with_name("graph.xml")
    found = [Case("torch f32", Torch(card, weights, "cpu")), Case("torch bf16", Torch(card, weights, "cpu", "bf16"))]
    found += [Case(f"openvino {kind}", OpenVino(card, graph, home / kind, precision=kind)) for kind in ("f32", "bf16")]
    # What a bf16 hint became on a processor without it.
    found = [case for case in found if case.name.endswith(case.runtime.precision)]
    if torch.cuda.is_available():
        found += [Case(f"gpu {kind}", Torch(card, weights, "cuda", kind)) for kind in ("f32", "bf16", "f16")]
    return found


def _name(runtime: Runtime) -> str:
    return f"{'openvino' if isinstance(runtime, OpenVino) else 'gpu'} {runtime.precision}"


def _speed(architecture: str, folder: Path) -> list[dict[str, Any]]:
    store, home = Store(str(folder / architecture)), folder / f"{architecture}-home"
    torch.manual_seed(0)
    made, _, dimension = network.build(architecture)
    preparation = backbone.preparation(architecture, made)
    backbone.settle(made, preparation)
    version, data = network.version_of(made, architecture)
    card = BackboneCard(version, architecture, dimension, preparation, is_pretrained=False, source="chance")
    network.save(store, made.eval(), card, data)
    cases = _cases(store, backbones.load_card(store, version), home)
    chosen = load(store, version, home)
    chance = np.random.default_rng(0)
    best: dict[tuple[str, int], float] = {}
    for batch in BATCHES:
        pixels = chance.integers(0, 256, (batch, preparation.crop, preparation.crop, 3), dtype=np.uint8)
        for case in cases:
            case.runtime.embed(pixels)
        for _, case in itertools.product(range(ROUNDS), cases):
            took = _ms(case.runtime, pixels)
            best[case.name, batch] = min(took, best.get((case.name, batch), took))
    apart = chosen.card.bf16_apart
    sides = f"{architecture}, {preparation.crop} px" + ("" if apart is None else f", bf16 {apart:.1%} off")
    rows = [
        {"network": sides, "runtime": name, "batch": batch, "ms": ms, "is_chosen": name == _name(chosen)}
        for (name, batch), ms in best.items()
    ]
    return rows + [{**row, **_floor(made, row, preparation.crop)} for row in rows if row["runtime"].startswith("gpu")]


def _ms(runtime: Runtime, pixels: Pixels, least_s: float = 0.15) -> float:
    """Milliseconds a photo: one after the other, or side by side where the runtime has lanes for it."""
    side_by_side = runtime.lanes if len(pixels) > 1 else 1
    parts = np.array_split(pixels, side_by_side * max(1, len(pixels) // side_by_side)) if side_by_side > 1 else [pixels]
    with ThreadPoolExecutor(side_by_side) as pool:
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < least_s or not done:
            if side_by_side > 1:
                list(pool.map(runtime.embed, parts))
            else:
                runtime.embed(pixels)
            done += len(pixels)
        return (time.perf_counter() - began) / done * 1000


def _floor(made: Any, row: dict[str, Any], crop: int) -> dict[str, Any]:
    """What this GPU would need for the products alone, and for reading weights and pixels once, as it was measured."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        made.cpu()(torch.zeros(1, 3, crop, crop))
    side, batch = 8192, row["batch"]
    one = torch.randn(side, side, device="cuda", dtype=torch.float16)
    products_per_s = 2 * side**3 / _gpu_s(lambda: one @ one)
    block = torch.empty(2**30, device="cuda", dtype=torch.uint8)
    bytes_per_s = 2 * 2**30 / _gpu_s(lambda: block.clone())
    weights = 2 * sum(parameter.numel() for parameter in made.parameters())
    return {
        "runtime": f"{row['runtime']}: floor",
        "ms": 1000 * max(counter.get_total_flops() / products_per_s, (weights / batch + 3 * crop**2) / bytes_per_s),
        "is_chosen": False,
    }


def _gpu_s(step: Callable[[], object]) -> float:
    """Seconds for one step on the GPU, the mean of twenty."""
    step()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / 20


def _speed_rows(found: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    before = ""
    for row in sorted(found, key=lambda row: (NETWORKS.index(row["network"].split(",")[0]), row["batch"])):
        name = row["network"] if row["network"] != before else ""
        before = row["network"]
        chosen = "chosen here" if row["is_chosen"] else ""
        yield name, row["runtime"], str(row["batch"]), f"{row['ms']:.2f}", f"{1000 / row['ms']:.0f}", chosen


def _answers(folder: Path) -> list[dict[str, Any]]:
    """For each set and runtime: how far its answers are from those of torch in f32, with one head for both."""
    settings: Settings = common.settings(folder / "home", WEIGHTS=str(common.weights()))
    store = Store(settings.store)
    card = backbone.of_weights(store, settings)
    # Nothing here is ever served by torch in bf16 on a CPU, which takes its time.
    cases = [case for case in _cases(store, card, settings.home) if case.name != "torch bf16"]
    rows, taken = [], _name(load(store, card.version, settings.home))
    for name in SETS:
        labels, pixels, lessons = _photos(common.photos() / name, card)
        said = {case.name: _embeddings(case.runtime, pixels) for case in cases}
        print(f"{name}: {len(labels)} photos looked at", file=sys.stderr)
        # A head is fitted to what is stored: half precision, by the runtime that this machine's worker takes.
        stored = said[taken].astype(np.float16).astype(np.float32)[lessons]
        fitted = fit.fit(stored, labels[lessons], np.arange(len(stored)), Recipe().refit)
        warmth = calibrate.temperature(fitted.logits, labels[lessons][fitted.asked])
        chances = {one: heads.probabilities(fitted.head.logits(said[one]), warmth) for one in said}
        rows += [_row(name, case.name, chances[cases[0].name], chances[case.name]) for case in cases[1:]]
    return rows


def _photos(folder: Path, card: BackboneCard) -> tuple[Any, list[Pixels], Any]:
    files = sorted(path for side in ("train", "test") for path in (folder / side).glob("*/*"))
    names = sorted({path.parent.name for path in files})
    labels = np.array([names.index(path.parent.name) for path in files])
    lessons = np.array([path.parent.parent.name == "train" for path in files])

    def read(path: Path) -> Pixels:
        data = images.prepare(path.read_bytes()).data
        return backbones.pixels(images.load(data, card.preparation.resize), card.preparation)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return labels, list(pool.map(read, files)), lessons


def _embeddings(runtime: Runtime, pixels: list[Pixels]) -> Floats:
    parts = [np.stack(pixels[start : start + MAX_BATCH]) for start in range(0, len(pixels), MAX_BATCH)]
    return np.concatenate([runtime.embed(part) for part in parts])


def _row(name: str, runtime: str, wanted: Floats, found: Floats) -> dict[str, Any]:
    others = np.flatnonzero(wanted.argmax(axis=1) != found.argmax(axis=1))
    first, second = np.sort(wanted, axis=1)[:, :-3:-1].T
    apart = np.abs(wanted - found).max(axis=1)
    return {
        "photos": name,
        "runtime": runtime,
        "of": len(wanted),
        "others": len(others),
        "margin": "-" if not len(others) else f"≤ {(first - second)[others].max():.3f}",
        "apart": f"{apart.max():.4f}",
        "beyond": int((apart > 0.02).sum()),
    }


if __name__ == "__main__":
    sys.exit(main())
