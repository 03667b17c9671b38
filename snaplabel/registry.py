"""The registry: a classifier's model versions in the database, exactly one of them current.

Workers ask `current` before each batch, so publishing and rolling back reach them without a restart.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from snaplabel.database import now
from snaplabel.errors import ModelError, NotStored
from snaplabel.store import Store, sha256_of
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
    sure_at: least probability of a "sure" answer; above 1: none is. shortlist: probability that "one of these" must
    hold together.
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
    """Make this version the current one; the one before is retired, and the next to be gone back to."""
    before, moment = current(session, model.classifier_id), now()
    if before is not None and before.id != model.id:
        before.state, before.published_at = "retired", moment
        session.flush()
    model.state, model.published_at = "current", moment + timedelta(microseconds=1)
    session.flush()
    return model


def promote(session: Session, classifier_id: int, version: int, store: Store | None = None) -> Model:
    """Let this version answer, whatever its exam said.

    store: where its head is looked at first. Raises ModelError when there is none, or it can't answer.
    """
    model = find(session, classifier_id, version)
    _can_answer(model, store)
    return publish(session, model)


def _can_answer(model: Model, store: Store | None) -> None:
    """Raises ModelError when this version can't take over."""
    if model.state == "current":
        raise ModelError(f"v{model.version} is the current model already.")
    if not model.card["labels"]:
        raise ModelError(f"v{model.version} has learnt no labels yet: nothing would be answered.")
    if store is None:
        return
    key, wanted = f"{model.key}/head.safetensors", model.card.get("sha256")
    try:
        is_whole = not wanted or sha256_of(store.get(key)) == wanted
    except NotStored:
        is_whole = False
    if not is_whole:
        why = f"{key} is gone or was changed"
        raise ModelError(f"v{model.version} can't answer: {why}. Take another version, or train.")


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


def rollback(session: Session, classifier_id: int, version: int | None = None, store: Store | None = None) -> Model:
    """Make an earlier version current again: this one, or the one that answered before, if it knows labels.

    After a rollback, another one goes further back. store: where its head is looked at first. Raises ModelError when
    there is none, or it can't answer.
    """
    here = current(session, classifier_id)
    if version is not None:
        earlier = find(session, classifier_id, version)
    else:
        query = (
            select(Model)
            .where(Model.classifier_id == classifier_id, Model.published_at.is_not(None), Model.state == "retired")
            .where(Model.kind != "backbone")
        )
        if here is not None:
            query = query.where(Model.id != here.id, Model.published_at <= here.published_at)
        found = session.scalar(query.order_by(Model.published_at.desc(), Model.version.desc()).limit(1))
        if found is None:
            raise ModelError("There is no earlier version to go back to.")
        earlier = found
    _can_answer(earlier, store)
    if here is None or earlier.state != "retired" or not _answered_before(earlier, here):
        return publish(session, earlier)
    # The order in which the others answered stays, and what is left behind is not come back to.
    here.state, here.published_at = "retired", None
    session.flush()
    earlier.state = "current"
    session.flush()
    return earlier


def _answered_before(one: Model, other: Model) -> bool:
    return one.published_at is not None and other.published_at is not None and one.published_at <= other.published_at
