"""Names of networks and files of weights are looked at before torch is loaded, and say what torchvision says."""

import io
import json
import zipfile
from pathlib import Path

import pytest

from snaplabel import architectures
from snaplabel.errors import SettingsError


def test_the_names_are_torchvisions() -> None:
    models = pytest.importorskip("torchvision.models")

    assert set(architectures.NAMES) == set(models.list_models(module=models))


@pytest.mark.parametrize("name", ["mobilenet_v2", "ResNet18"])
def test_a_name_that_torchvision_has_is_taken(name: str) -> None:
    architectures.check(name, "--backbone")


@pytest.mark.parametrize(("wrong", "meant"), [("resnet81", "resnet18"), ("mobilnet_v2", "mobilenet_v2")])
def test_a_name_that_is_mistyped_brings_up_the_near_one(wrong: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=rf"--backbone: .*{wrong}.*Did you mean .*{meant}"):
        architectures.check(wrong, "--backbone")


def test_a_name_like_no_other_brings_up_a_few() -> None:
    with pytest.raises(SettingsError, match=r"SNAPLABEL_BACKBONE: .*There are mobilenet_v2"):
        architectures.check("foo", "SNAPLABEL_BACKBONE")


def _safetensors() -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def _pth() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return out.getvalue()


@pytest.mark.parametrize(("name", "data"), [("net.safetensors", _safetensors()), ("net.pth", _pth())])
def test_a_file_that_begins_like_weights_has_no_trouble(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    assert architectures.trouble(path) is None


@pytest.mark.parametrize("data", [b"", b"hello", b"# a recipe for soup\n" * 20, bytes(100), _safetensors()[:40]])
@pytest.mark.parametrize("name", ["net.safetensors", "net.pth", "net.txt"])
def test_any_other_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    assert name in str(architectures.trouble(path))


def test_a_file_that_ends_too_soon_is_fetched_once_more(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(_safetensors()[:-1])

    assert architectures.trouble(path) == "net.safetensors is cut off; fetch it once more"


def test_the_shared_weights_have_no_trouble(weights: Path) -> None:
    assert architectures.trouble(weights) is None
