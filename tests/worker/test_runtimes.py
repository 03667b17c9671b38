"""Runtimes: OpenVINO and torch say the same of real photos, in every precision, one at a time and side by side."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from snaplabel import backbones, heads, images
from snaplabel.backbones import BackboneCard, Pixels, Preparation
from snaplabel.errors import ModelError
from snaplabel.heads import Floats
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer import backbone, calibrate, fit, network
from trainer.recipe import Recipe
from worker.gpu import SIZES, Torch, distance
from worker.runtimes import OpenVino, Runtime

SETS = ("kits", "ants-bees", "architecture", "scenes")
# All 1,956 photos take minutes; benchmarks/runtimes.py looks at every one.
EVERY = 4
# How far probabilities may be from those of torch in f32: each of them, and half of them. Eight bits of precision are
# few for the shared weights, which had eight bits themselves: torch's own bf16 is as far off.
F32_APART, BF16_HALF_APART = 1e-3, 0.02
# So many photos, of a hundred, may get another label in bf16.
BF16_OTHERS = 1.0


@dataclass
class Made:
    """A backbone in a store, and what loads it."""

    store: Store
    card: BackboneCard
    home: Path

    def torch(self, device: str = "cpu") -> Torch:
        return Torch(self.card, self.store.get(f"{backbones.folder(self.card.version)}/weights.safetensors"), device)

    def openvino(self, precision: str = "", threads: int = 0) -> OpenVino:
        self.store.local(f"{backbones.folder(self.card.version)}/graph.bin", self.home)
        graph = self.store.local(f"{backbones.folder(self.card.version)}/graph.xml", self.home)
        return OpenVino(self.card, graph, self.home / "compiled", threads, precision)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Made:
    """The default backbone with its pretrained weights."""
    folder = tmp_path_factory.mktemp("pretrained")
    settings = replace(Settings(home=folder), weights=weights)
    store = Store(settings.store)
    return Made(store, backbone.of_weights(store, settings), folder / "cache")


def _by_chance(folder: Path, architecture: str, crop: int) -> Made:
    """A network with random weights whose embeddings are neither nothing nor all."""
    torch.manual_seed(0)
    made, _, dimension = network.build(architecture)
    preparation = Preparation(crop, crop)
    backbone.settle(made, preparation)
    version, data = network.version_of(made, architecture)
    store = Store(str(folder / "store"))
    network.save(store, made.eval(), BackboneCard(version, architecture, dimension, preparation, False, "test"), data)
    return Made(store, backbones.load_card(store, version), folder / "cache")


def _photos(folder: Path, card: BackboneCard) -> tuple[Pixels, np.ndarray]:
    files = sorted(folder.glob("t*/*/*"))[::EVERY]
    names = sorted({path.parent.name for path in files})

    def read(path: Path) -> Pixels:
        data = images.prepare(path.read_bytes()).data
        return backbones.pixels(images.load(data, card.preparation.resize), card.preparation)

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(read, files))), np.array([names.index(path.parent.name) for path in files])


def _embeddings(runtime: Runtime, pixels: Pixels) -> Floats:
    return np.concatenate([runtime.embed(pixels[n : n + 16]) for n in range(0, len(pixels), 16)])


@pytest.mark.real
@pytest.mark.parametrize("name", SETS)
def test_every_runtime_gives_real_photos_the_same_label(pretrained: Made, test_data: Path, name: str) -> None:
    pixels, truth = _photos(test_data / name, pretrained.card)
    wanted = _embeddings(pretrained.torch(), pixels)
    fitted = fit.fit(wanted, truth, np.arange(len(truth)), Recipe().refit)
    warmth = calibrate.temperature(fitted.logits, truth[fitted.asked])

    def chances(embeddings: Floats) -> Floats:
        return heads.probabilities(fitted.head.logits(embeddings), warmth)

    right = chances(wanted)
    exact = chances(_embeddings(pretrained.openvino("f32"), pixels))
    short = chances(_embeddings(pretrained.openvino("bf16"), pixels))

    assert np.array_equal(exact.argmax(axis=1), right.argmax(axis=1))
    assert np.abs(exact - right).max() < F32_APART
    assert np.median(np.abs(short - right).max(axis=1)) < BF16_HALF_APART
    assert 100 * (short.argmax(axis=1) != right.argmax(axis=1)).mean() <= BF16_OTHERS


@pytest.mark.parametrize(("architecture", "crop"), [("squeezenet1_1", 64), ("mobilenet_v3_small", 32)])
def test_networks_of_other_makes_say_the_same_everywhere(tmp_path: Path, architecture: str, crop: int) -> None:
    made = _by_chance(tmp_path, architecture, crop)
    pixels = np.random.default_rng(1).integers(0, 256, (5, crop, crop, 3), dtype=np.uint8)

    wanted = made.torch().embed(pixels)

    assert wanted.shape == (5, made.card.dimension)
    assert distance(made.openvino("f32").embed(pixels), wanted) < 1e-5


@pytest.fixture
def small(tmp_path: Path) -> Made:
    return _by_chance(tmp_path, "mobilenet_v3_small", 32)


def test_threads_that_ask_at_once_get_their_own_answers(small: Made) -> None:
    runtime = small.openvino("f32", threads=2)
    pixels = np.random.default_rng(2).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    alone = [runtime.embed(one[None])[0] for one in pixels]

    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda one: runtime.embed(one[None])[0], pixels))

    assert runtime.lanes == 2
    assert np.array_equal(np.stack(alone), np.stack(together))


def test_a_cpu_counts_in_bf16_only_where_it_has_instructions_for_it(small: Made) -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        pytest.skip("what this processor can do is not to be read here")
    has_it = any(word in cpuinfo.read_text() for word in ("avx512_bf16", "amx_bf16"))

    chosen = small.openvino()

    assert chosen.precision == ("bf16" if has_it else "f32")


def test_weights_of_another_network_are_named(small: Made) -> None:
    with pytest.raises(ModelError, match="are damaged"):
        Torch(replace(small.card, architecture="resnet18"), small.store.get(_weights(small)), "cpu")


def _weights(made: Made) -> str:
    return f"{backbones.folder(made.card.version)}/weights.safetensors"


@pytest.mark.gpu
def test_a_gpu_says_the_same_in_batches_of_every_size(small: Made) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    runtime, wanted = small.torch("cuda"), small.torch()

    for count in sorted({1, 3, *SIZES}):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        assert distance(runtime.embed(pixels), wanted.embed(pixels)) < 0.02
    assert runtime.precision == "f16"
