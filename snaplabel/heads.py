"""Heads: what turns an embedding into a label and a voice. The trainer fits them, the worker serves them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snaplabel import voices
from snaplabel.errors import ModelError, NotStored
from snaplabel.registry import Card
from snaplabel.store import Store, sha256_of

Floats = NDArray[np.float32]
MAX_SHORTLIST = 3


@dataclass(frozen=True)
class Head:
    """A linear classifier on embeddings.

    weight: float32 (labels, dimension). bias: float32 (labels,). Temperature is divided out by `probabilities`.
    centres: float32 (labels, dimension), unit length: where each label's photos lie.
    """

    weight: Floats
    bias: Floats
    centres: Floats

    def logits(self, embeddings: Floats) -> Floats:
        """embeddings: float32 (N, dimension). Returns float32 (N, labels)."""
        found: Floats = embeddings @ self.weight.T + self.bias
        return found

    def distance(self, embeddings: Floats) -> Floats:
        """Cosine distance of each photo to its nearest label's centre, 0 to 2; float32 (N,)."""
        unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        found: Floats = 1.0 - (unit @ self.centres.T).max(axis=1)
        return found


@dataclass(frozen=True)
class Verdict:
    """What a model says of one photo.

    top: (label id, probability), most probable first. voice: "sure", "maybe" (one of the first `shortlist` labels),
    "unknown" (nothing it knows) or "untaught" (it knows no labels at all).
    """

    top: tuple[tuple[int, float], ...]
    voice: str
    shortlist: int = 1


def probabilities(logits: Floats, temperature: float) -> Floats:
    """Softmax of logits / temperature, row by row; float32 (N, labels)."""
    scaled = logits / temperature
    grown = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Floats = grown / grown.sum(axis=1, keepdims=True)
    return found


def judge(head: Head, card: Card, embeddings: Floats, most: int = 5) -> list[Verdict]:
    """What the model says of each photo; embeddings: float32 (N, dimension)."""
    if not card.labels:
        return [Verdict((), "untaught") for _ in embeddings]
    chances = probabilities(head.logits(embeddings), card.temperature)
    distances = head.distance(embeddings)
    return [_verdict(card, row, float(distance), most) for row, distance in zip(chances, distances, strict=True)]


def _verdict(card: Card, chances: Floats, distance: float, most: int) -> Verdict:
    order = np.argsort(-chances, kind="stable")[:most]
    top = tuple((card.labels[n][0], round(float(chances[n]), 6)) for n in order)
    if card.stranger_at is not None and distance > card.stranger_at:
        return Verdict(top, "unknown")
    if top[0][1] >= card.sure_at:
        return Verdict(top, "sure")
    listed = voices.shortlist(top)
    # Two labels that are all there are hold everything, whatever rounding makes of it.
    if len(card.labels) <= listed or sum(chance for _, chance in top[:listed]) >= card.shortlist:
        return Verdict(top, "maybe", listed)
    return Verdict(top, "unknown")


def save(store: Store, key: str, head: Head, card: Card) -> Card:
    """Write head.safetensors and card.json under `key`; the card last: a model is whole once its card is there.

    Returns the card with the head's checksum. Raises StoreError.
    """
    import json

    from safetensors.numpy import save as to_bytes

    tensors = {"weight": head.weight, "bias": head.bias, "centres": head.centres}
    data = to_bytes({name: np.ascontiguousarray(t) for name, t in tensors.items()})
    sealed = replace(card, sha256=sha256_of(data))
    store.put(f"{key}/head.safetensors", data)
    store.put(f"{key}/card.json", json.dumps(sealed.to_json(), indent=1).encode())
    return sealed


def load(store: Store, key: str, card: Card) -> Head:
    """The head under `key`. Raises ModelError when it is missing, damaged, or not the one that its card names."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    try:
        data = store.get(f"{key}/head.safetensors")
    except NotStored as error:
        raise ModelError(
            f"The model file {key}/head.safetensors is gone from the store; roll back, or train."
        ) from error
    if card.sha256 and sha256_of(data) != card.sha256:
        raise ModelError(
            f"The model file {key}/head.safetensors was changed since it was published; roll back, or train."
        )
    try:
        found: dict[str, Any] = from_bytes(data)
        head = Head(found["weight"], found["bias"], found["centres"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"The model file {key}/head.safetensors is damaged: {error}") from error
    if not len(head.weight) == len(head.bias) == len(head.centres) == len(card.labels):
        raise ModelError(f"The model file {key}/head.safetensors does not fit its card.")
    return head
