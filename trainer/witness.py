"""Witnesses: embeddings by the classifier's first backbone, which was taught elsewhere and believes no wrong label.

Photos that came before the first fine-tune have them; those that came later, and were then taught to a network, get
them here, in a process of its own like everything that needs torch.
"""

import shutil
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from snaplabel.errors import Interrupted, TrainingError
from snaplabel.tables import Embedding, Photo
from trainer import backbone, child, dataset, job
from trainer.job import Job

if TYPE_CHECKING:
    from trainer.run import Context


def call(context: "Context", classifier_id: int) -> int:
    """Have the first backbone look at labelled photos that it has not seen; how many it saw now.

    None where it was never taught anything itself. Raises Interrupted, Died, TrainingError, StoreError.
    """
    first = backbone.base(context.database, context.store, classifier_id)
    if not first.is_pretrained:
        return 0
    with context.database.read() as session:
        data = dataset.read(session, classifier_id)
        query = select(Embedding.photo_id).join(Photo, Photo.id == Embedding.photo_id)
        query = query.where(Photo.classifier_id == classifier_id, Embedding.backbone == first.version)
        seen = np.array(session.scalars(query).all(), np.int64)
    missing = data.only(~np.isin(data.photo_ids, seen) & data.pictured())
    if not len(missing):
        return 0
    folder = context.settings.home / "checkpoints" / f"witness-{classifier_id}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        job.write(folder, Job("look", first.version, missing, context.recipe))
        child.run(folder, context.settings, lambda _: _go_on(context))
        outcome = job.outcome(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if outcome is None:
        raise TrainingError("The photos were not looked at.")
    shas = [missing.sha256s[row] for row in outcome.kept.tolist()]
    return dataset.store_by_bytes(context.database, classifier_id, first.version, shas, outcome.served)


def _go_on(context: "Context") -> None:
    if context.is_stopping():
        raise Interrupted()
