"""What there is to learn from: labelled photos, split by group so that none changes sides, and their embeddings."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from snaplabel import backbones, corrections, expiry
from snaplabel.database import Database
from snaplabel.heads import Floats
from snaplabel.labels import in_use
from snaplabel.tables import Embedding, Label, Photo, TrainingPhoto

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# So few photos are named in a query; of more than that all are read.
ONE_BY_ONE = 500


@dataclass(frozen=True)
class Dataset:
    """The labelled photos of a classifier, in the order of their ids; N of them.

    labels: (label id, name) of every label that has a photo. truth: (N,), row of the photo's label in `labels`.
    groups: (N,), photos with the same number are near-duplicates or one burst. is_exam: (N,).
    fingerprint: sha256 over the photos' bytes, labels and sides, and whether somebody of standing vouches for the
    label: equal where there is nothing new to learn.
    merged: (label id, id of the label that it was merged into): a model from before the merge still says the first.
    expired: ids of photos of which only label and embeddings are left.
    """

    labels: tuple[tuple[int, str], ...]
    photo_ids: Ints
    sha256s: tuple[str, ...]
    truth: Ints
    groups: Ints
    is_exam: Bools
    fingerprint: str
    merged: tuple[tuple[int, int], ...] = ()
    expired: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.photo_ids)

    def only(self, kept: Bools) -> "Dataset":
        """The same data with fewer photos; labels and fingerprint stay those of the whole."""
        return Dataset(
            self.labels,
            self.photo_ids[kept],
            tuple(sha for sha, keep in zip(self.sha256s, kept, strict=True) if keep),
            self.truth[kept],
            self.groups[kept],
            self.is_exam[kept],
            self.fingerprint,
            self.merged,
            self.expired,
        )

    def pictured(self) -> Bools:
        """(N,), saying which photos can be looked at anew."""
        return ~np.isin(self.photo_ids, list(self.expired))

    def taught(self) -> Ints:
        """Rows of `labels` that have at least one lesson photo: the labels that a head can learn."""
        return np.unique(self.truth[~self.is_exam])


def read(session: Session, classifier_id: int) -> Dataset:
    """All labelled photos whose label is in use, whose bytes can be read, and that no reviewer took out."""
    query = (
        select(Photo.id, Photo.sha256, Photo.group_id, Photo.split, Label.id, Label.name, Label.key)
        .join(Label, Label.id == Photo.label_id)
        .where(Photo.classifier_id == classifier_id, Photo.unreadable.is_(None), Label.archived_at.is_(None))
        .where(Photo.removed_at.is_(None))
        .order_by(Photo.id)
    )
    rows = session.execute(query).all()
    labels = tuple(sorted({(row[4], row[5]) for row in rows}))
    place = {label_id: n for n, (label_id, _) in enumerate(labels)}
    gone = select(Label.id).where(Label.classifier_id == classifier_id, Label.merged_into_id.is_not(None))
    into = [(label_id, in_use(session, label_id)) for label_id in session.scalars(gone.order_by(Label.id))]
    unsure = corrections.unconfirmed(session, classifier_id)
    facts = sorted(f"{row[1]}/{row[6]}/{row[3]}{'?' if row[0] in unsure else ''}" for row in rows)
    return Dataset(
        labels=labels,
        photo_ids=np.array([row[0] for row in rows], np.int64),
        sha256s=tuple(row[1] for row in rows),
        truth=np.array([place[row[4]] for row in rows], np.int64),
        groups=np.array([row[2] or row[0] for row in rows], np.int64),
        is_exam=np.array([row[3] == "exam" for row in rows], np.bool_),
        fingerprint=hashlib.sha256("\n".join(facts).encode()).hexdigest(),
        merged=tuple((label_id, label.id) for label_id, label in into if label is not None),
        expired=expiry.without_pictures(session, classifier_id),
    )


def embeddings(session: Session, data: Dataset, classifier_id: int, backbone: str) -> tuple[Floats, Bools]:
    """Stored embeddings by this backbone, in one query.

    Returns float32 (M, dimension) of the photos that have one, in the order of `data`, and (N,) saying which those are.
    """
    query = select(Embedding.photo_id, Embedding.vector).where(Embedding.backbone == backbone)
    if len(data) <= ONE_BY_ONE:
        query = query.where(Embedding.photo_id.in_(data.photo_ids.tolist()))
    else:
        query = query.join(Photo, Photo.id == Embedding.photo_id)
        query = query.where(Photo.classifier_id == classifier_id, Photo.label_id.is_not(None))
    found = {photo_id: vector for photo_id, vector in session.execute(query)}  # noqa: C416
    there = np.array([photo_id in found for photo_id in data.photo_ids.tolist()], np.bool_)
    vectors = [found[photo_id] for photo_id in data.photo_ids[there].tolist()]
    return backbones.from_bytes(vectors), there


def record(session: Session, data: Dataset, classifier_id: int, version: int) -> int:
    """Write down which lesson photos, with which labels, this version was trained on; how many rows changed.

    Rows are intervals of versions: one ends where a photo left or changed its label, and begins where it came.
    """
    lesson = ~data.is_exam
    names = [data.labels[row][0] for row in data.truth[lesson].tolist()]
    now = dict(zip(data.photo_ids[lesson].tolist(), names, strict=True))
    query = (
        select(TrainingPhoto.photo_id, TrainingPhoto.label_id)
        .join(Photo, Photo.id == TrainingPhoto.photo_id)
        .where(Photo.classifier_id == classifier_id, TrainingPhoto.last_version.is_(None))
    )
    before: dict[int, int] = {photo_id: label_id for photo_id, label_id in session.execute(query)}  # noqa: C416
    ended = [photo_id for photo_id, label_id in before.items() if now.get(photo_id) != label_id]
    for start in range(0, len(ended), 500):
        session.execute(
            update(TrainingPhoto)
            .where(TrainingPhoto.photo_id.in_(ended[start : start + 500]), TrainingPhoto.last_version.is_(None))
            .values(last_version=version - 1)
            .execution_options(synchronize_session=False)
        )
    begun = [photo_id for photo_id, label_id in now.items() if before.get(photo_id) != label_id]
    there = _there(session, begun)
    fresh = [
        {"photo_id": photo_id, "first_version": version, "label_id": now[photo_id]}
        for photo_id in begun
        if photo_id in there
    ]
    if fresh:
        session.execute(insert(TrainingPhoto), fresh)
    return len(ended) + len(fresh)


def _there(session: Session, photo_ids: list[int]) -> set[int]:
    """Those of the photos that nobody has erased meanwhile."""
    found: set[int] = set()
    for start in range(0, len(photo_ids), 500):
        found.update(session.scalars(select(Photo.id).where(Photo.id.in_(photo_ids[start : start + 500]))))
    return found


def store_by_bytes(
    database: Database, classifier_id: int, backbone: str, sha256s: Sequence[str], vectors: Floats
) -> int:
    """Keep embeddings of the photos with these bytes; how many of the photos are still there. vectors: (N, dimension).

    By their bytes, since SQLite gives an erased photo's number to the next one. A part at a time, so that nobody who
    wants to write to SQLite waits long.
    """
    stored = 0
    for start in range(0, len(sha256s), ONE_BY_ONE):
        part = sha256s[start : start + ONE_BY_ONE]
        with database.begin() as session:
            query = select(Photo.sha256, Photo.id).where(Photo.classifier_id == classifier_id, Photo.sha256.in_(part))
            ids = {sha: photo_id for sha, photo_id in session.execute(query)}  # noqa: C416
            there = [row for row, sha in enumerate(part) if sha in ids]
            some = vectors[start : start + ONE_BY_ONE][np.array(there, np.int64)]
            store_embeddings(session, backbone, [ids[part[row]] for row in there], some)
        stored += len(there)
    return stored


def store_embeddings(session: Session, backbone: str, photo_ids: list[int], vectors: Floats) -> None:
    """Keep freshly made embeddings; photos that have one by this backbone keep it. vectors: (N, dimension)."""
    there: set[int] = set()
    for start in range(0, len(photo_ids), 500):
        part = photo_ids[start : start + 500]
        query = select(Embedding.photo_id).where(Embedding.backbone == backbone, Embedding.photo_id.in_(part))
        there.update(session.scalars(query))
    fresh = [
        {"photo_id": photo_id, "backbone": backbone, "vector": backbones.to_bytes(vector)}
        for photo_id, vector in zip(photo_ids, vectors, strict=True)
        if photo_id not in there
    ]
    if fresh:
        session.execute(insert(Embedding), fresh)
