"""Backbones: their cards, and how a photo is prepared for one. The same lines run in training and in serving.

The bot reads cards and comes without numpy, which is imported where there are numbers.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from snaplabel.errors import ModelError, NotStored
from snaplabel.store import Store, sha256_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
else:
    Pixels = Any

# An embedding that moves by so much of its length moves a probability by at most 0.02, measured on real photos.
BF16_APART = 0.006


@dataclass(frozen=True)
class Preparation:
    """How a photo becomes the network's input: shorter side to `resize`, centre `crop`, then (x − mean) / std."""

    resize: int
    crop: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class BackboneCard:
    """A backbone version: `architecture` is torchvision's name, `dimension` the length of its embeddings.

    is_pretrained False: it was never taught anything; only a full fine-tune makes it useful. sums: file name → sha256
    of what it holds; older cards have none. bf16_apart: how far bf16 moves an embedding at most, as a share of its
    length; None: not known, it was made where the processor has no bf16.
    """

    version: str
    architecture: str
    dimension: int
    preparation: Preparation
    is_pretrained: bool
    source: str
    sums: dict[str, str] = field(default_factory=dict)
    bf16_apart: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def on_a_cpu(self) -> dict[str, str]:
        """OpenVINO's options: f32 where bf16 would change answers; else its own choice, by the processor."""
        is_steady = self.bf16_apart is not None and self.bf16_apart <= BF16_APART
        return {} if is_steady else {"INFERENCE_PRECISION_HINT": "f32"}


def folder(version: str) -> str:
    """Key in the store under which a backbone's files lie: weights.safetensors, graph.xml, graph.bin, card.json."""
    return f"backbones/{version}"


def save_card(store: Store, card: BackboneCard) -> None:
    """Write the card; last of all files, since a backbone is whole once its card is there."""
    store.put(f"{folder(card.version)}/card.json", json.dumps(card.to_json(), indent=1).encode())


def load_card(store: Store, version: str) -> BackboneCard:
    """The card of a backbone version. Raises ModelError when it is missing or damaged."""
    try:
        found = json.loads(store.get(f"{folder(version)}/card.json"))
        mean, std = found["preparation"]["mean"], found["preparation"]["std"]
        preparation = Preparation(**{**found["preparation"], "mean": tuple(mean), "std": tuple(std)})
        return BackboneCard(**{**found, "preparation": preparation})
    except NotStored as error:
        raise ModelError(f"The store has no backbone {version}. `snaplabel train` makes it.") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The card of backbone {version} is damaged: {error}") from error


def verify(card: BackboneCard, name: str, data: bytes) -> None:
    """Raises ModelError when this is not what the file of this name held when the backbone was made."""
    wanted = card.sums.get(name)
    if wanted is not None and sha256_of(data) != wanted:
        raise ModelError(
            f"The model file {folder(card.version)}/{name} is damaged: it was changed since it was made. "
            "Bring it back from a backup, or roll back."
        )


def check(store: Store, version: str) -> None:
    """Raises ModelError naming the first file of a backbone that is missing or damaged; StoreError."""
    card = load_card(store, version)
    for name in ("weights.safetensors", "graph.xml", "graph.bin"):
        try:
            verify(card, name, store.get(f"{folder(version)}/{name}"))
        except NotStored as error:
            raise ModelError(gone(version, name)) from error


def gone(version: str, name: str) -> str:
    return f"The model file {folder(version)}/{name} is gone from the store. Bring it back from a backup, or roll back."


def pixels(image: Image.Image, preparation: Preparation) -> Pixels:
    """The photo as uint8 (crop, crop, 3), RGB; the network's graph does the rest."""
    import numpy as np

    ratio = preparation.resize / min(image.size)
    size = (max(preparation.crop, round(image.width * ratio)), max(preparation.crop, round(image.height * ratio)))
    scaled = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    left, top = (scaled.width - preparation.crop) // 2, (scaled.height - preparation.crop) // 2
    cropped = scaled.crop((left, top, left + preparation.crop, top + preparation.crop))
    return np.asarray(cropped, dtype=np.uint8)


def to_bytes(vector: "NDArray[np.float32]") -> bytes:
    """One embedding as it is stored: float16, which moves a logit by less than 1e-3."""
    import numpy as np

    return vector.astype(np.float16).tobytes()


def from_bytes(vectors: list[bytes]) -> "NDArray[np.float32]":
    """Stored embeddings as float32 (N, dimension)."""
    import numpy as np

    if not vectors:
        return np.zeros((0, 0), np.float32)
    return np.frombuffer(b"".join(vectors), np.float16).reshape(len(vectors), -1).astype(np.float32)
