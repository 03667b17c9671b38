"""Where a new classifier's network comes from, and what is refused."""

import errno
import io
import threading
from dataclasses import replace
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import openvino
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from snaplabel import backbones, people, registry
from snaplabel.database import Database
from snaplabel.errors import ModelError, WeightsError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model
from trainer import backbone, network, weights
from trainer.recipe import FineTune, Recipe

pytestmark = pytest.mark.real

RECIPE = Recipe(scratch=FineTune(resize=40, crop=32))
ARCHITECTURE = "shufflenet_v2_x0_5"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole state dict of the architecture, its last layer among it."""
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    torch.manual_seed(1)
    save_file(get_model(ARCHITECTURE, weights=None).state_dict(), path)
    return path


def _classifier(database: Database, name: str = "default") -> int:
    with database.begin() as session:
        return people.make_classifier(session, name).id


def _ensure(database: Database, store: Store, settings: Settings, classifier_id: int, said: list[str]) -> Model:
    return backbone.ensure(database, store, settings, classifier_id, said.append, RECIPE)


def test_given_weights_become_version_0(database: Database, store: Store, settings: Settings, file: Path) -> None:
    said: list[str] = []
    given = replace(settings, backbone=ARCHITECTURE, weights=file)

    model = _ensure(database, store, given, _classifier(database), said)

    card = backbones.load_card(store, model.backbone)
    assert (model.version, model.kind, model.state, model.card["labels"]) == (0, "backbone", "current", [])
    assert model.backbone == weights.version_of(ARCHITECTURE, file)
    assert card.is_pretrained
    assert card.dimension == 1024
    assert (card.preparation.resize, card.preparation.crop) == (256, 256)
    assert said == []


def test_a_network_that_takes_one_size_only_keeps_it() -> None:
    built, _, _ = network.build("vit_b_16")

    found = backbone.preparation("vit_b_16", built)

    assert found.crop == 224


def test_a_backbone_in_the_store_is_used_again(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    given = replace(settings, backbone=ARCHITECTURE, weights=file)
    first = _ensure(database, store, given, _classifier(database), [])
    store.delete(f"{backbones.folder(first.backbone)}/weights.safetensors")

    second = _ensure(database, store, given, _classifier(database, "other"), [])

    assert second.backbone == first.backbone
    assert not store.has(f"{backbones.folder(first.backbone)}/weights.safetensors")


def test_a_classifier_that_has_a_model_keeps_it(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    given = replace(settings, backbone=ARCHITECTURE, weights=file)
    classifier_id = _classifier(database)
    first = _ensure(database, store, given, classifier_id, [])

    again = _ensure(database, store, given, classifier_id, [])

    assert again.id == first.id


def test_without_weights_it_starts_from_chance_and_says_so(
    database: Database, store: Store, settings: Settings
) -> None:
    said: list[str] = []
    card = backbone._from_chance(store, ARCHITECTURE, RECIPE)
    model = backbone._register(database, store, _classifier(database), card)

    assert not card.is_pretrained
    assert card.preparation.crop == 32
    assert model.backbone == card.version
    assert backbone._from_chance(store, ARCHITECTURE, RECIPE).version == card.version
    assert said == []


def test_weights_given_later_replace_a_network_that_knows_nothing(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    classifier_id = _classifier(database)
    chance = backbone._from_chance(store, ARCHITECTURE, RECIPE)
    backbone._register(database, store, classifier_id, chance)

    model = _ensure(database, store, replace(settings, backbone=ARCHITECTURE, weights=file), classifier_id, [])

    assert (model.version, model.state) == (1, "current")
    assert backbones.load_card(store, model.backbone).is_pretrained


def test_two_processes_at_once_make_one_version(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    given = replace(settings, backbone=ARCHITECTURE, weights=file)
    classifier_id = _classifier(database)
    card = backbone.start(database, store, given, print, RECIPE)
    threads = [
        threading.Thread(target=backbone._register, args=(database, store, classifier_id, card), daemon=True)
        for _ in range(4)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        assert [model.version for model in registry.versions(session, classifier_id)] == [0]


def test_the_graph_says_what_the_network_says(store: Store) -> None:
    card = backbone._from_chance(store, ARCHITECTURE, RECIPE)
    made, _ = network.load(store, card.version)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)

    path = store.local(f"{backbones.folder(card.version)}/graph.xml", Path("unused"))
    found = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels)[0]
    with torch.no_grad():
        wanted = network.prepared(card.preparation, made)(torch.from_numpy(pixels)).numpy()

    assert found.dtype == np.float32
    assert found.shape == (3, 1024)
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_graph_that_says_something_else_is_refused(store: Store) -> None:
    card = backbone._from_chance(store, ARCHITECTURE, RECIPE)
    path = store.local(f"{backbones.folder(card.version)}/graph.xml", Path("unused"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    wanted = np.random.default_rng(1).normal(size=(3, 1024)).astype(np.float32)

    with pytest.raises(ModelError, match="was not published"):
        network.check_graph(path, pixels, wanted)


def test_a_graph_whose_file_was_damaged_on_the_way_is_refused(store: Store) -> None:
    card = backbone._from_chance(store, ARCHITECTURE, RECIPE)
    folder = backbones.folder(card.version)
    path, numbers = (
        store.local(f"{folder}/graph.xml", Path("unused")),
        store.local(f"{folder}/graph.bin", Path("unused")),
    )
    made, _ = network.load(store, card.version)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        wanted = network.prepared(card.preparation, made)(torch.from_numpy(pixels)).numpy()
    network.check_graph(path, pixels, wanted)

    whole = numbers.read_bytes()
    numbers.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))

    with pytest.raises(ModelError, match=r"does not compute|off the network"):
        network.check_graph(path, pixels, wanted)


class _Moody(torch.nn.Module):
    """Its export follows one picture only: what it does with a darker one is lost."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean(dim=(2, 3))
        return means * (2.0 if float(means.detach().sum()) > 1.0 else -1.0)


def test_a_network_whose_export_says_something_else_never_goes_live(store: Store) -> None:
    card = backbones.BackboneCard("moody-1", "moody", 3, backbones.Preparation(32, 32), False, "test")

    with pytest.raises(ModelError, match="was not published"):
        network.save(store, _Moody(), card, b"weights")

    assert store.keys(backbones.folder("moody-1")) == []


@pytest.mark.parametrize(("name", "dimension"), [("squeezenet1_1", 512), ("mobilenet_v3_small", 1024)])
def test_networks_of_other_makes_lose_their_last_layer_too(name: str, dimension: int) -> None:
    made, _, found = network.build(name)

    with torch.no_grad():
        vectors = made.eval()(torch.zeros(2, 3, 64, 64)).flatten(1)

    assert found == dimension
    assert vectors.shape == (2, dimension)


def test_an_unknown_network_is_named() -> None:
    with pytest.raises(ModelError, match="'resnet1000' is no torchvision"):
        network.build("resnet1000")


def test_weights_of_another_network_are_refused(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    given = replace(settings, backbone="squeezenet1_1", weights=file)

    with pytest.raises(WeightsError, match=r"whole.safetensors do not fit squeezenet1_1"):
        _ensure(database, store, given, _classifier(database), [])


def test_weights_that_do_not_fit_are_refused_before_a_full_training(
    database: Database, store: Store, settings: Settings, file: Path
) -> None:
    classifier_id = _classifier(database)
    given = replace(settings, backbone=ARCHITECTURE, weights=file)
    _ensure(database, store, given, classifier_id, [])

    with pytest.raises(WeightsError, match=r"do not fit squeezenet1_1: .*unset SNAPLABEL_WEIGHTS"):
        backbone.check_weights(database, store, replace(given, backbone="squeezenet1_1"), classifier_id)

    backbone.check_weights(database, store, given, classifier_id)


def test_weights_without_the_last_layer_fit(
    database: Database, store: Store, settings: Settings, file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({name: t for name, t in weights.load(file).items() if not name.startswith("fc.")}, path)

    model = _ensure(database, store, replace(settings, backbone=ARCHITECTURE, weights=path), _classifier(database), [])

    assert model.version == 0


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this ran",)

    path = tmp_path / "harmful.pth"
    torch.save({"weight": Harmful()}, path)

    with pytest.raises(WeightsError, match="damaged or no plain weights"):
        weights.load(path)


def test_half_precision_is_read_as_single(tmp_path: Path) -> None:
    path = tmp_path / "half.pth"
    torch.save({"state_dict": {"module.weight": torch.ones(2, dtype=torch.float16)}}, path)

    found = weights.load(path)

    assert found["weight"].dtype == torch.float32


@pytest.mark.parametrize("name", ["absent.safetensors", "weights.onnx"])
def test_a_file_that_cannot_be_weights_is_named(settings: Settings, tmp_path: Path, name: str) -> None:
    if name.endswith("onnx"):
        (tmp_path / name).write_bytes(b"")

    with pytest.raises(WeightsError, match="SNAPLABEL_WEIGHTS"):
        weights.find(replace(settings, weights=tmp_path / name))


def test_a_failed_download_says_why_what_to_fetch_and_what_takes_it_up(tmp_path: Path) -> None:
    url = "https://127.0.0.1:1/net-0a1b2c3d.pth"

    with pytest.raises(WeightsError) as failure:
        weights._fetch(url, tmp_path / "downloads" / "net-0a1b2c3d.pth", "net")

    assert "of net can't be downloaded: no connection (Connection refused). " in str(failure.value)
    assert f"Fetch {url} some other way and point SNAPLABEL_WEIGHTS at the file" in str(failure.value)
    assert "`snaplabel train --full` takes it up" in str(failure.value)
    assert not list((tmp_path / "downloads").iterdir())


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (HTTPError("https://x", 404, "Not Found", Message(), io.BytesIO()), "its address answers with status 404"),
        (URLError(TimeoutError()), "no answer within 10 s"),
        (TimeoutError(), "no answer within 10 s"),
        (URLError("unknown url type"), "no connection (unknown url type)"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_the_reason_of_a_failed_download_is_short(error: OSError, why: str) -> None:
    assert weights._why(error) == why


def test_damaged_weights_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"not at all")

    with pytest.raises(WeightsError, match="damaged"):
        weights.load(path)
