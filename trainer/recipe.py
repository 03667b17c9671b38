"""Every number of a training, in one frozen dataclass that is saved in the card of each model it makes."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Refit:
    """How a head is fitted to stored embeddings.

    weight_decays: tried strongest first, each starting where the one before ended.
    folds: of the cross-validation, groups kept whole. cross_validate: at most so many photos take part in it.
    iterations: at most so many steps a fit. tolerance: it ends with one that lowers the loss by no more than this
    share; search_tolerance: the same in the cross-validation.
    balance: a photo's weight is (photos / (labels × photos of its label)) ** balance; 0 counts every photo the same,
    1 every label the same. most_labels: with more, the answers to all photos fill the memory of a small server.
    """

    weight_decays: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01)
    unvalidated_weight_decay: float = 0.1
    folds: int = 5
    cross_validate: int = 2000
    iterations: int = 100
    tolerance: float = 1e-6
    search_tolerance: float = 1e-4
    balance: float = 0.5
    most_labels: int = 2000


@dataclass(frozen=True)
class Calibration:
    """How sure a model may sound.

    sure_right: share of "sure" answers that must be right. listed_right: share of "one of these" that must hold the
    truth. certainty: with which unseen photos must prove these shares, 0 to 1. least_sure, least_listed: probabilities
    below which nothing is sure, or listed, whatever was proven. unproven_sure, unproven_listed: the thresholds while
    too few photos prove anything. known: share of its own photos that a model should recognise as something it knows.
    """

    sure_right: float = 0.95
    listed_right: float = 0.95
    certainty: float = 0.9
    least_sure: float = 0.7
    least_listed: float = 0.5
    unproven_sure: float = 0.97
    unproven_listed: float = 0.95
    known: float = 0.95


@dataclass(frozen=True)
class FineTune:
    """How the whole network is taught.

    batch_size: photos a step; fewer where an epoch would have less than `least_batches` steps. learning_rate: the
    head's and the last layers'; the first layers learn at `first_layers` times that. least_rate: share of the rate
    below which it never falls while there are no more than `again` lesson photos. resize, crop: pixels; None: the
    backbone's own, and what its weights were trained with. validation: share of the lesson side that chooses the best
    epoch. patience: epochs without a better one after which it ends. again: up to so many lesson photos the network is
    then taught once more from its beginning, with the held-out photos among the lessons; with more, `absorb` epochs at
    a third of the rate follow, with the held-out ones. scale: least share of a photo that a random crop shows.
    rotation: degrees either way. colour: brightness, contrast and saturation change by at most this share.
    """

    epochs: int = 12
    batch_size: int = 16
    least_batches: int = 12
    learning_rate: float = 6e-4
    first_layers: float = 0.3
    least_rate: float = 0.4
    weight_decay: float = 0.01
    warm_up: float = 0.25
    label_smoothing: float = 0.1
    gradient_norm: float = 1.0
    freeze_batch_norm: bool = True
    resize: int | None = None
    crop: int | None = None
    scale: float = 0.4
    rotation: float = 0.0
    colour: float = 0.0
    mirror: bool = True
    validation: float = 0.2
    patience: int = 6
    again: int = 600
    absorb: int = 4


PRETRAINED = FineTune()
# A network that knows nothing has more to learn and sees less of each photo, so that it is done in about a minute.
SCRATCH = FineTune(
    epochs=15,
    batch_size=32,
    least_batches=1,
    learning_rate=3e-3,
    first_layers=1.0,
    weight_decay=0.05,
    label_smoothing=0.05,
    freeze_batch_norm=False,
    resize=104,
    crop=96,
    scale=0.5,
    rotation=15.0,
    colour=0.1,
    patience=15,
    again=0,
)


@dataclass(frozen=True)
class Recipe:
    """All numbers of a training. fine_tune: from pretrained weights; scratch: from random ones."""

    seed: int = 7
    refit: Refit = field(default_factory=Refit)
    calibration: Calibration = field(default_factory=Calibration)
    fine_tune: FineTune = PRETRAINED
    scratch: FineTune = SCRATCH

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def taught_by(**numbers: float | None) -> Recipe:
    """The usual recipe, but for these numbers of `FineTune`, whatever the network starts from; None: as usual.

    A batch size that somebody asks for is not made smaller.
    """
    given: dict[str, Any] = {name: number for name, number in numbers.items() if number is not None}
    if "batch_size" in given:
        given.setdefault("least_batches", 1)
    return Recipe(fine_tune=replace(PRETRAINED, **given), scratch=replace(SCRATCH, **given))
