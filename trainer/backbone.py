"""Backbones: where a new classifier's network comes from, and its model of version 0 that knows no labels yet."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from snaplabel import backbones, heads, registry
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database
from snaplabel.errors import ModelError, WeightsError
from snaplabel.heads import Head
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier, Model
from trainer import network as networks
from trainer import weights
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

OF_ANOTHER = (
    "Are they another network's? Then unset SNAPLABEL_WEIGHTS, which downloads its own, or give weights of this one."
)
FALLBACK = Preparation(resize=256, crop=224)
# Photos are shown to a pretrained network this much larger than it saw them in training.
LARGER = 8 / 7


def ensure(
    database: Database,
    store: Store,
    settings: Settings,
    classifier_id: int,
    say: Callable[[str], None],
    recipe: Recipe | None = None,
) -> Model:
    """The classifier's current model; a new classifier gets version 0: a backbone that knows no labels yet.

    Weights come from SNAPLABEL_WEIGHTS or torchvision; where neither is to be had the network starts from random ones,
    and `say` is told so in one sentence. The same when weights are given later to a classifier that has learnt nothing.
    Two processes may do this at once. Raises WeightsError for given weights that do not fit, ModelError, StoreError.
    """
    with database.read() as session:
        current = registry.current(session, classifier_id)
    if current is not None and is_ready(store, settings, current):
        return current
    card = start(database, store, settings, say, recipe or Recipe())
    if current is not None and current.backbone == card.version:
        return current
    return _register(database, store, classifier_id, card)


def is_ready(store: Store, settings: Settings, current: Model | None) -> bool:
    """Whether `ensure` has nothing to do for a classifier with this current model."""
    if current is None:
        return False
    if current.card["labels"] or settings.weights is None:
        return True
    return backbones.load_card(store, current.backbone).is_pretrained


def start(
    database: Database, store: Store, settings: Settings, say: Callable[[str], None], recipe: Recipe
) -> BackboneCard:
    """The backbone that a new classifier starts from, in the store; made only when it is not there yet."""
    if settings.weights is None and (known := _made_before(database, store, settings.backbone)):
        return known
    try:
        return of_weights(store, settings)
    except WeightsError as error:
        if settings.weights is not None:
            raise
        say(f"{error} Until then the network starts from nothing and learns with a full training.")
        return _from_chance(store, settings.backbone, recipe)


def of_weights(store: Store, settings: Settings) -> BackboneCard:
    """The backbone of the given weights, or of torchvision's, in the store; made only when it is not there yet.

    Raises WeightsError, ModelError, StoreError.
    """
    path = weights.find(settings)
    version = weights.version_of(settings.backbone, path)
    if store.has(f"{backbones.folder(version)}/card.json"):
        return backbones.load_card(store, version)
    return _from_file(store, settings, path, version)


def check_weights(database: Database, store: Store, settings: Settings, classifier_id: int) -> None:
    """Raise WeightsError or ModelError where a full training would find out much later that the weights don't fit."""
    if settings.weights is None or not gives_way(base(database, store, classifier_id), settings):
        return
    path = weights.find(settings)
    if not store.has(f"{backbones.folder(weights.version_of(settings.backbone, path))}/card.json"):
        _fitted(settings, path)


def _from_file(store: Store, settings: Settings, path: Path, version: str) -> BackboneCard:
    network, dimension = _fitted(settings, path)
    source = path.name if settings.weights is not None else f"torchvision {path.name}"
    card = BackboneCard(version, settings.backbone, dimension, preparation(settings.backbone, network), True, source)
    return networks.save(store, network.eval(), card)


def _fitted(settings: Settings, path: Path) -> tuple["nn.Module", int]:
    """The network of the settings with the weights in a file, and the length of its embeddings. Raises WeightsError."""
    network, last, dimension = networks.build(settings.backbone)
    given = weights.load(path)
    expected = network.state_dict()
    # The last layer belongs to the labels of whoever trained it, and is cut off here.
    there = {name: tensor for name, tensor in given.items() if not name.startswith((f"{last}.", "aux", "Aux"))}
    missing = [name for name in expected if name not in there and not _is_optional(name)]
    strange = [name for name, tensor in there.items() if name not in expected or tensor.shape != expected[name].shape]
    if missing or strange:
        what = f"{len(missing)} layers are missing" if missing else f"{strange[0]} is not part of it"
        raise WeightsError(f"The weights in {path.name} do not fit {settings.backbone}: {what}. {OF_ANOTHER}")
    network.load_state_dict(there, strict=False)
    return network, dimension


def _is_optional(name: str) -> bool:
    return name.endswith("num_batches_tracked") or name.startswith(("aux", "Aux"))


def preset(architecture: str) -> Preparation:
    """How torchvision prepares photos for the pretrained weights of this architecture."""
    from torchvision.models import get_model_weights

    try:
        found = get_model_weights(architecture).DEFAULT.transforms()
        return Preparation(found.resize_size[0], found.crop_size[0], tuple(found.mean), tuple(found.std))
    except (ValueError, AttributeError):
        return FALLBACK


def preparation(architecture: str, network: "nn.Module") -> Preparation:
    """How photos are prepared for pretrained weights: as torchvision does, a seventh larger and with no border cut off.

    Networks that saw objects enlarged by random crops know them best a little larger than in training (Touvron et al.
    2019). Those that take one size only, as transformers do, keep theirs.
    """
    found = preset(architecture)
    larger = round(found.crop * LARGER / 32) * 32
    if not _takes(network, larger):
        return found
    return replace(found, resize=larger, crop=larger)


def _takes(network: "nn.Module", side: int) -> bool:
    """Whether a network takes pictures of this size."""
    import torch

    try:
        with torch.no_grad(), networks.one_thread():
            network.eval()(torch.zeros(1, 3, side, side))
    except (AssertionError, RuntimeError):
        return False
    return True


def _from_chance(store: Store, architecture: str, recipe: Recipe) -> BackboneCard:
    """A network that knows nothing, the same one for the same seed, at the scratch recipe's size."""
    import torch

    size = Preparation(recipe.scratch.resize or FALLBACK.resize, recipe.scratch.crop or FALLBACK.crop)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network, _, dimension = networks.build(architecture)
        settle(network, size)
    version, data = networks.version_of(network, architecture)
    if store.has(f"{backbones.folder(version)}/card.json"):
        return backbones.load_card(store, version)
    card = BackboneCard(version, architecture, dimension, size, False, f"random, seed {recipe.seed}")
    return networks.save(store, network, card, data)


def settle(network: "nn.Module", size: Preparation) -> None:
    """Give the batch norms of a random network statistics of something like pictures.

    With their initial ones (mean 0, variance 1) each layer shrinks what it sees, and embeddings end below what half
    precision can hold.
    """
    import torch
    from torch import nn

    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 1.0
    with torch.no_grad(), networks.one_thread():
        coarse = torch.randn(16, 3, 8, 8)
        network.train()(nn.functional.interpolate(coarse, size=(size.crop, size.crop), mode="bicubic"))
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    network.eval()


def _made_before(database: Database, store: Store, architecture: str) -> BackboneCard | None:
    """A pretrained backbone of this architecture that another classifier started from."""
    with database.read() as session:
        query = select(Model.backbone).where(Model.kind == "backbone", Model.backbone.startswith(f"{architecture}-"))
        versions = set(session.scalars(query))
    for version in sorted(versions):
        try:
            card = backbones.load_card(store, version)
        except ModelError:
            continue
        if card.is_pretrained and card.architecture == architecture:
            return card
    return None


def _register(database: Database, store: Store, classifier_id: int, backbone: BackboneCard) -> Model:
    """Publish a model that knows no labels; whoever comes second finds the first one's."""
    with database.read() as session:
        name = session.scalars(select(Classifier.name).where(Classifier.id == classifier_id)).one()
        version = registry.next_version(session, classifier_id)
        parent = registry.current(session, classifier_id)
    card = Card(name, version, "backbone", backbone.version, verdict="It knows no labels yet.")
    card = replace(card, parent=parent.version if parent else None)
    key = model_key(classifier_id, version)
    nothing = np.zeros((0, backbone.dimension), np.float32)
    heads.save(store, key, Head(nothing, np.zeros(0, np.float32), nothing), card)
    try:
        with database.begin() as session:
            here = registry.current(session, classifier_id)
            if here is not None and (parent is None or here.id != parent.id or here.backbone == backbone.version):
                return here
            row: dict[str, Any] = {"kind": "backbone", "backbone": backbone.version, "key": key}
            model = Model(classifier_id=classifier_id, version=version, card=card.to_json(), **row)
            model.parent_id = parent.id if parent else None
            session.add(model)
            session.flush()
            return registry.publish(session, model)
    except IntegrityError:
        with database.read() as session:
            here = registry.current(session, classifier_id)
        if here is None:
            raise
        return here


def model_key(classifier_id: int, version: int) -> str:
    """A key in the store under which a model's head and card may lie; nobody else is given the same one.

    Two processes may both believe that theirs is the next version; only one gets it, and no file is ever written over.
    """
    return f"models/{classifier_id}/{version}-{secrets.token_hex(4)}"


def base(database: Database, store: Store, classifier_id: int) -> BackboneCard:
    """The backbone that each fine-tune of a classifier starts from: its first one. Raises ModelError, StoreError.

    Where it `gives_way`, the given weights are started from instead.
    """
    with database.read() as session:
        query = select(Model.backbone).where(Model.classifier_id == classifier_id, Model.kind == "backbone")
        first = session.scalars(query.order_by(Model.version.desc()).limit(1)).one()
    return backbones.load_card(store, first)


def gives_way(base: BackboneCard, settings: Settings) -> bool:
    """Whether the next full training starts from the settings' backbone and not from the classifier's first one.

    That is of another architecture, or knew nothing, and weights are given now.
    """
    return base.architecture != settings.backbone or (not base.is_pretrained and settings.weights is not None)


def unused_weights(database: Database, store: Store, settings: Settings, current: Model) -> str | None:
    """The file name of weights that were given after this classifier was taught without them; None: there are none.

    Only a full training takes them up. Raises ModelError, StoreError.
    """
    if settings.weights is None or not current.card["labels"]:
        return None
    first, here = base(database, store, current.classifier_id), backbones.load_card(store, current.backbone)
    is_taken_up = here.is_pretrained and here.source != f"fine-tuned from {first.version}"
    return settings.weights.name if gives_way(first, settings) and not is_taken_up else None
