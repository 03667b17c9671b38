"""Pretrained weights: found in a file or fetched once from torchvision's address; the bytes name the backbone."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from snaplabel.errors import WeightsError
from snaplabel.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

# A network that lets nothing through must not hold up the start.
CONNECT_TIMEOUT_S = 10.0
WHAT_TO_DO = "Point SNAPLABEL_WEIGHTS at a .safetensors or .pth file of it."


def find(settings: Settings) -> Path:
    """The file with the pretrained weights of `settings.backbone`: the given one, or torchvision's, fetched once.

    Raises WeightsError with a sentence that says what to do.
    """
    if settings.weights is not None:
        if not settings.weights.is_file():
            why = "which is a folder; name the file in it" if settings.weights.is_dir() else "and there is no such file"
            raise WeightsError(f"SNAPLABEL_WEIGHTS names {settings.weights}, {why}.")
        if settings.weights.suffix not in (".safetensors", ".pth"):
            raise WeightsError(f"SNAPLABEL_WEIGHTS must be a .safetensors or .pth file, not {settings.weights.name}.")
        return settings.weights
    url = _address(settings.backbone)
    path = settings.downloads / url.rsplit("/", 1)[-1]
    if not path.is_file():
        _fetch(url, path, settings.backbone)
    return path


def version_of(architecture: str, path: Path) -> str:
    """`<architecture>-<first 12 hex digits of the file's sha256>`. Raises WeightsError when it can't be read."""
    try:
        return f"{architecture}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
    except OSError as error:
        raise WeightsError(f"The weights in {path} can't be read: {error.strerror}.") from error


def load(path: Path) -> dict[str, "Tensor"]:
    """The state dict in a file, floats as float32. A .pth is read with weights_only: no code in it is run.

    Raises WeightsError when it is damaged or holds anything but tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, _pickle_error()) as error:
        raise WeightsError(f"The weights in {path} are damaged or no plain weights: {error}") from error
    for wrapped in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapped), Mapping):
            found = found[wrapped]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise WeightsError(f"The weights in {path} are not a table of tensors.")
    return {
        name.removeprefix("module."): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in found.items()
    }


def _pickle_error() -> type[Exception]:
    # What torch.load raises for a pickle that wants to run code. The name is imported, pickle itself is not used.
    from pickle import UnpicklingError

    return UnpicklingError


def _address(architecture: str) -> str:
    from torchvision.models import get_model_weights

    try:
        return str(get_model_weights(architecture).DEFAULT.url)
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"torchvision has no pretrained weights for {architecture}. {WHAT_TO_DO}") from error


def _fetch(url: str, path: Path, architecture: str) -> None:
    """Download aside, check against the hash in the file's name (…-b0353104.pth), then rename."""
    if not url.startswith("https://"):
        raise WeightsError(f"The weights of {architecture} have no https address. {WHAT_TO_DO}")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with urlopen(url, timeout=CONNECT_TIMEOUT_S) as answer, aside.open("wb") as file:  # noqa: S310
            while part := answer.read(1 << 20):
                digest.update(part)
                file.write(part)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise WeightsError(
            f"The pretrained weights of {architecture} can't be downloaded: {_why(error)}. Fetch {url} some other way "
            "and point SNAPLABEL_WEIGHTS at the file; `snaplabel train --full` takes it up."
        ) from error
    wanted = path.stem.rsplit("-", 1)[-1]
    if not digest.hexdigest().startswith(wanted):
        aside.unlink(missing_ok=True)
        raise WeightsError(f"The download of {architecture}'s weights arrived damaged. {WHAT_TO_DO}")
    aside.replace(path)


def _why(error: OSError) -> str:
    """Why a download failed, in few words."""
    if isinstance(error, HTTPError):
        error.close()
        return f"its address answers with status {error.code}"
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    said = (cause.strerror if isinstance(cause, OSError) else None) or str(cause)
    return f"no connection ({said})" if isinstance(error, URLError) else said
