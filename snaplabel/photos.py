"""Photos: taking one in, finding its near-duplicates, and deciding once for ever whether it is lesson or exam."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from snaplabel import images
from snaplabel.images import Prepared
from snaplabel.store import Store, photo_key
from snaplabel.tables import Photo

# One photo in five is kept for the exam: with 20 photos of a label, four can be asked.
EXAM_EVERY = 5
# Candidates that share a 16-bit part of the hash; plain walls share it with thousands.
MAX_CANDIDATES = 500


@dataclass(frozen=True)
class Added:
    """What became of a photo. is_new False: these very bytes were here. near: a near-duplicate that was here first."""

    photo: Photo
    is_new: bool
    near: Photo | None


def known(session: Session, classifier_id: int, sha256: str) -> Photo | None:
    """The photo with these very bytes, if this classifier has it."""
    return session.scalar(select(Photo).where(Photo.classifier_id == classifier_id, Photo.sha256 == sha256))


def add(
    session: Session,
    classifier_id: int,
    prepared: Prepared,
    *,
    label_id: int | None = None,
    person_id: int | None = None,
    beside: Sequence[int] = (),
) -> Added:
    """Record a photo whose bytes are in the store already, and decide its side.

    label_id: only steers the exam's share of each label; the label itself comes by `corrections.vote`.
    beside: ids of photos that came in one album or one burst; they share a side.
    """
    there = known(session, classifier_id, prepared.sha256)
    if there is not None:
        return Added(there, is_new=False, near=None)
    twin = nearest(session, classifier_id, prepared.phash, prepared.colours)
    leader = twin or (session.get(Photo, min(beside)) if beside else None)
    band0, band1, band2, band3 = images.bands(prepared.phash)
    photo = Photo(
        classifier_id=classifier_id,
        sha256=prepared.sha256,
        phash=prepared.phash,
        band0=band0,
        band1=band1,
        band2=band2,
        band3=band3,
        colours=prepared.colours,
        width=prepared.width,
        height=prepared.height,
        person_id=person_id,
        split=leader.split if leader else _side(session, classifier_id, prepared.sha256, label_id),
    )
    session.add(photo)
    session.flush()
    photo.group_id = (leader.group_id or leader.id) if leader else photo.id
    return Added(photo, is_new=True, near=twin)


def nearest(session: Session, classifier_id: int, phash: int, colours: bytes) -> Photo | None:
    """The photo most like this one, when there is a near-duplicate at all."""
    columns = (Photo.band0, Photo.band1, Photo.band2, Photo.band3)
    same_part = or_(*(column == part for column, part in zip(columns, images.bands(phash), strict=True)))
    query = select(Photo).where(Photo.classifier_id == classifier_id, same_part).limit(MAX_CANDIDATES)
    close = [photo for photo in session.scalars(query) if images.near((phash, colours), (photo.phash, photo.colours))]
    return min(close, key=lambda photo: (images.bits_apart(phash, photo.phash), photo.id), default=None)


def _side(session: Session, classifier_id: int, sha256: str, label_id: int | None) -> str:
    """Lesson or exam for the first photo of a group: by its bytes while its label is unknown, else stratified."""
    if label_id is None:
        return "exam" if int(sha256[:8], 16) % EXAM_EVERY == 0 else "lesson"
    query = (
        select(Photo.split, func.count())
        .where(Photo.classifier_id == classifier_id, Photo.label_id == label_id)
        .group_by(Photo.split)
    )
    sides: dict[str, int] = {split: n for split, n in session.execute(query)}  # noqa: C416
    exam, photos = sides.get("exam", 0), sum(sides.values())
    return "exam" if (exam + 1) * EXAM_EVERY <= photos + 1 else "lesson"


def like(session: Session, photo: Photo) -> Photo | None:
    """A labelled photo that shows the same picture as this one: itself, or its nearest twin in its group."""
    if photo.label_id is not None:
        return photo
    query = select(Photo).where(
        Photo.classifier_id == photo.classifier_id, Photo.group_id == photo.group_id, Photo.label_id.is_not(None)
    )
    here = (photo.phash, photo.colours)
    twins = [twin for twin in session.scalars(query) if images.near(here, (twin.phash, twin.colours))]
    return min(twins, key=lambda twin: images.bits_apart(photo.phash, twin.phash), default=None)


def read(store: Store, photo: Photo) -> bytes:
    """The stored JPEG of a photo. Raises NotStored, StoreError."""
    return store.get(photo_key(photo.sha256))
