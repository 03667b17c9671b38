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
# How far any probability may be from torch's in f32.
F32_APART, BF16_APART = 1e-3, 0.02

CPUINFO = Path("/proc/cpuinfo")
HAS_BF16 = CPUINFO.exists() and any(word in CPUINFO.read_text() for word in ("avx512_bf16", "amx_bf16"))
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16")


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


def _photos(folder: Path, card: BackboneCard, every: int) -> tuple[Pixels, np.ndarray]:
    files = sorted(folder.glob("t*/*/*"))[::every]
    names = sorted({path.parent.name for path in files})

    def read(path: Path) -> Pixels:
        data = images.prepare(path.read_bytes()).data
        return backbones.pixels(images.load(data, card.preparation.resize), card.preparation)

    with ThreadPoolExecutor(2) as pool:
        return np.stack(list(pool.map(read, files))), np.array([names.index(path.parent.name) for path in files])


def _embeddings(runtime: Runtime, pixels: Pixels) -> Floats:
    with ThreadPoolExecutor(runtime.lanes) as pool:
        return np.concatenate(list(pool.map(runtime.embed, np.array_split(pixels, -(-len(pixels) // 16)))))


def _chances(wanted: Floats, truth: np.ndarray, *others: Floats) -> list[Floats]:
    """Probabilities by a head that was fitted to the first embeddings: for those, and for the others."""
    fitted = fit.fit(wanted, truth, np.arange(len(truth)), Recipe().refit)
    warmth = calibrate.temperature(fitted.logits, truth[fitted.asked])
    return [heads.probabilities(fitted.head.logits(each), warmth) for each in (wanted, *others)]


@pytest.mark.real
@pytest.mark.parametrize("name", SETS)
def test_every_shared_photo_gets_the_label_that_torch_gives_it(pretrained: Made, test_data: Path, name: str) -> None:
    pixels, truth = _photos(test_data / name, pretrained.card, every=1)
    chosen = pretrained.openvino()
    wanted, found = (_embeddings(runtime, pixels) for runtime in (pretrained.torch(), pretrained.openvino("f32")))
    by_choice = found if chosen.precision == "f32" else _embeddings(chosen, pixels)

    right, exact, served = _chances(wanted, truth, found, by_choice)

    assert np.array_equal(exact.argmax(axis=1), right.argmax(axis=1))
    assert np.abs(exact - right).max() < F32_APART
    assert np.array_equal(served.argmax(axis=1), right.argmax(axis=1))
    assert np.abs(served - right).max() < BF16_APART


@needs_bf16
def test_a_network_that_bf16_would_change_is_served_in_f32(pretrained: Made) -> None:
    """The shared weights spend all precision there is: they were eight bits once."""
    assert pretrained.card.bf16_apart is not None
    assert pretrained.card.bf16_apart > backbones.BF16_APART
    assert pretrained.openvino().precision == "f32"


@needs_bf16
@pytest.mark.real
def test_what_is_served_in_bf16_says_the_same_of_real_photos(tmp_path: Path, test_data: Path) -> None:
    steady = _by_chance(tmp_path, "resnet18", 128)
    pixels, truth = _photos(test_data / "scenes", steady.card, every=6)

    right, short = _chances(_embeddings(steady.openvino("f32"), pixels), truth, _embeddings(steady.openvino(), pixels))

    assert steady.openvino().precision == "bf16"
    assert np.array_equal(short.argmax(axis=1), right.argmax(axis=1))
    assert 0 < np.abs(short - right).max() < BF16_APART


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


def test_what_bf16_does_to_a_network_is_known_only_where_the_processor_has_it(small: Made) -> None:
    assert (small.card.bf16_apart is not None) == HAS_BF16


def test_a_network_is_served_in_bf16_only_where_the_processor_has_it(small: Made) -> None:
    steady, unknown = replace(small.card, bf16_apart=0.0), replace(small.card, bf16_apart=None)

    assert replace(small, card=steady).openvino().precision == ("bf16" if HAS_BF16 else "f32")
    assert replace(small, card=unknown).openvino().precision == "f32"


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
