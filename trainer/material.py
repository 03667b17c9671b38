"""Material: what a training works with at this moment: the current model, and labelled photos with their embeddings."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from snaplabel import corrections, registry
from snaplabel.errors import ModelError, NothingToLearn, TrainingError
from snaplabel.heads import Floats
from snaplabel.tables import Model
from trainer import dataset, unconfirmed
from trainer.dataset import Dataset
from trainer.progress import Progress

if TYPE_CHECKING:
    from trainer.run import Context


@dataclass(frozen=True)
class Material:
    """vectors: float32 (N, dimension), of `data` by the current model's backbone. remark: what was left out, or ""."""

    current: Model
    data: Dataset
    vectors: Floats
    remark: str


@dataclass(frozen=True)
class Seen:
    """The labels as somebody read them a moment ago; at: just before that."""

    data: Dataset
    at: datetime


def gather(context: "Context", progress: Progress, classifier_id: int, seen: Seen | None = None) -> Material:
    """What there is to learn from now, or was in what is `seen`; embeddings are made first where they are missing.

    Raises NothingToLearn, TrainingError, Overtaken, StoreError.
    """
    with context.database.read() as session:
        current = registry.current(session, classifier_id)
        data = seen.data if seen is not None else dataset.read(session, classifier_id)
        unsure = corrections.unconfirmed(session, classifier_id)
    if current is None:
        raise ModelError("There is no current model.")
    many = len(data.taught())
    if many < 2:
        raise NothingToLearn()
    if many > context.recipe.refit.most_labels:
        raise TrainingError(
            f"{many} labels are more than one classifier can learn ({context.recipe.refit.most_labels}). "
            "`snaplabel label` lists them; merge or archive some, or make a second classifier."
        )
    whole = int(data.pictured().sum())
    data, vectors = embedded(context, progress, data, classifier_id, current.backbone)
    lost = whole - int(data.pictured().sum())
    sifted = unconfirmed.sift(data, vectors, unsure, context.recipe)
    unread = f"{lost} photo{' is' if lost == 1 else 's are'} left out that can't be read; the review lists them."
    remarks = [remark for remark in (unread if lost else "", sifted.remark) if remark]
    return Material(current, sifted.data, sifted.embeddings, " ".join(remarks))


def embedded(
    context: "Context", progress: Progress, data: Dataset, classifier_id: int, version: str
) -> tuple[Dataset, Floats]:
    """The data with its embeddings by this backbone, float32 (N, dimension), made first where they are missing.

    Photos that can't be read are left out, and expired ones that this backbone never looked at. Raises TrainingError
    when not one photo could be looked at.
    """
    with context.database.read() as session:
        vectors, there = context.kept.embeddings(session, data, classifier_id, version)
    missing = data.photo_ids[~there & data.pictured()].tolist()
    if missing:

        def looked_at(done: int) -> None:
            share = 1 - (len(missing) - done) / len(data)
            progress.tell(step="looking at the photos", done=round(0.8 * share, 3))

        looked_at(0)
        context.embed(missing, version, looked_at)
        with context.database.read() as session:
            vectors, there = context.kept.embeddings(session, data, classifier_id, version)
    if not there.any():
        raise TrainingError("None of the photos could be looked at.")
    kept = data.only(there)
    if len(kept.taught()) < 2:
        raise NothingToLearn()
    return kept, vectors
