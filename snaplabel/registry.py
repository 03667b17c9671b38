"""The registry: a classifier's model versions in the database, exactly one of them current.

Workers ask `current` before each batch, so publishing and rolling back reach them without a restart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from snaplabel.database import now
from snaplabel.errors import ModelError
from snaplabel.tables import Model


@dataclass(frozen=True)
class Exam:
    """How a model did on the exam. error None: there were no exam photos yet.

    error, low, high: share of wrong answers with its 95 % confidence interval, 0 to 1.
    by: "exam", or "cross-validation" while the exam is too small to tell.
    recall: label name → (right, asked). pairs: most confused, (truth, answer, times).
    ece: expected calibration error; ece_by_chance: that of a perfectly calibrated model on as many photos. None: too
    few photos to tell, or an older card.
    """

    error: float | None = None
    low: float | None = None
    high: float | None = None
    photos: int = 0
    by: str = "exam"
    recall: dict[str, tuple[int, int]] = field(default_factory=dict)
    pairs: tuple[tuple[str, str, int], ...] = ()
    ece: float | None = None
    ece_by_chance: float | None = None


@dataclass(frozen=True)
class Card:
    """What a model is made of, kept as JSON beside its weights.

    labels: (label id, name), in the order of the head's rows. Empty: the model knows nothing yet.
    sure_at: least probability of a "sure" answer. shortlist: probability that "one of these" must hold together.
    sha256: of head.safetensors; "": not known.
    stranger_at: distance to the nearest label beyond which a photo is not something the model knows; None: not known.
    """

    classifier: str
    version: int
    kind: str
    backbone: str
    labels: tuple[tuple[int, str], ...] = ()
    temperature: float = 1.0
    sure_at: float = 0.8
    shortlist: float = 0.9
    stranger_at: float | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    fingerprint: str = ""
    photos: int = 0
    exam: Exam = field(default_factory=Exam)
    parent: int | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    verdict: str = ""
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        found["labels"] = [list(pair) for pair in self.labels]
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Card":
        exam = dict(found.get("exam") or {})
        exam["recall"] = {name: (right, asked) for name, (right, asked) in exam.get("recall", {}).items()}
        exam["pairs"] = tuple((truth, answer, n) for truth, answer, n in exam.get("pairs", ()))
        labels = tuple((int(label_id), str(name)) for label_id, name in found["labels"])
        return cls(**{**found, "labels": labels, "exam": Exam(**exam)})


def current(session: Session, classifier_id: int) -> Model | None:
    """The model that answers now; None before the backbone is ready."""
    return session.scalar(select(Model).where(Model.classifier_id == classifier_id, Model.state == "current"))


def versions(session: Session, classifier_id: int, limit: int | None = None) -> Sequence[Model]:
    """Every version, newest first; limit: no more than the newest so many, since each refit is one."""
    query = select(Model).where(Model.classifier_id == classifier_id)
    return session.scalars(query.order_by(Model.version.desc()).limit(limit)).all()


def next_version(session: Session, classifier_id: int) -> int:
    newest = session.scalar(select(func.max(Model.version)).where(Model.classifier_id == classifier_id))
    return 0 if newest is None else newest + 1


def publish(session: Session, model: Model) -> Model:
    """Make this version the current one; the one before is retired and can be rolled back to."""
    before = current(session, model.classifier_id)
    if before is not None and before.id != model.id:
        before.state = "retired"
        session.flush()
    model.state, model.published_at = "current", now()
    session.flush()
    return model


def promote(session: Session, classifier_id: int, version: int) -> Model:
    """Let this version answer, whatever its exam said. Raises ModelError when there is none, or it can't answer."""
    model = find(session, classifier_id, version)
    if model.state == "current":
        raise ModelError(f"v{version} is the current model already.")
    if not model.card["labels"]:
        raise ModelError(f"v{version} has learnt no labels yet: nothing would be answered.")
    return publish(session, model)


def discard(session: Session, classifier_id: int, version: int) -> Model:
    """Put a version aside, so that no rollback steps back to it; its report stays. Raises ModelError."""
    model = find(session, classifier_id, version)
    if model.state == "current":
        raise ModelError(f"v{version} is the current model; roll back first.")
    if model.state == "discarded":
        raise ModelError(f"v{version} is put aside already.")
    model.state = "discarded"
    session.flush()
    return model


def find(session: Session, classifier_id: int, version: int) -> Model:
    """This version. Raises ModelError naming the versions there are."""
    found = session.scalar(select(Model).where(Model.classifier_id == classifier_id, Model.version == version))
    if found is None:
        there = ", ".join(f"v{model.version}" for model in versions(session, classifier_id, 10)) or "none yet"
        raise ModelError(f"There is no v{version}. There are: {there}.")
    return found


def rollback(session: Session, classifier_id: int, version: int | None = None) -> Model:
    """Make an earlier version current again: this one, or the newest published one below the current that knows labels.

    Raises ModelError when there is none, or this one can't answer.
    """
    if version is not None:
        return promote(session, classifier_id, version)
    here = current(session, classifier_id)
    query = (
        select(Model)
        .where(Model.classifier_id == classifier_id, Model.published_at.is_not(None), Model.state == "retired")
        .where(Model.kind != "backbone")
    )
    if here is not None:
        query = query.where(Model.version < here.version)
    earlier = session.scalar(query.order_by(Model.version.desc()).limit(1))
    if earlier is None:
        raise ModelError("There is no earlier version to go back to.")
    return publish(session, earlier)
