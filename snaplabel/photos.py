"""Photos: taking one in, finding its near-duplicates, and deciding once for ever whether it is lesson or exam."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from snaplabel import images, labels, remembered
from snaplabel.database import now
from snaplabel.images import Prepared
from snaplabel.store import Store, photo_key
from snaplabel.tables import Label, Photo

# One photo in five is kept for the exam: with 20 photos of a label, four can be asked.
EXAM_EVERY = 5
# Candidates with nearly the same 16-bit part of the hash; plain walls have it in common with thousands.
MAX_CANDIDATES = 2000
# What may have happened to a 16-bit part of the hash: nothing, or one bit flipped. Two hashes at most seven bits apart
# have a part in which at most one bit differs. Asking for equal parts only, a photo cropped by 2 % on each side was not
# found again in 28 of 100 cases.
FLIPS = (0, *(1 << bit for bit in range(16)))
# Photos of a classifier that share a part of the hash, or nearly; parameters as `nearest` names them. The classifier is
# named beside each part: SQLite then looks the four up in their indexes, one after the other. With a parameter for each
# value SQLAlchemy writes the statement once: 0.2 ms instead of 0.7.
ALIKE = (
    select(Photo.id, Photo.phash, Photo.colours)
    .where(
        or_(
            *(
                and_(
                    Photo.classifier_id == bindparam("classifier_id"),
                    column.in_([bindparam(f"part{number}_{n}") for n in range(len(FLIPS))]),
                )
                for number, column in enumerate((Photo.band0, Photo.band1, Photo.band2, Photo.band3))
            )
        )
    )
    .limit(MAX_CANDIDATES)
)

# Photos of a label by their side, "lesson" or "exam".
Sides = dict[int, Counter[str]]


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
    sides: Sides | None = None,
    may_be_known: bool = True,
) -> Added:
    """Record a photo whose bytes are in the store already, and decide its side.

    label_id: only steers the exam's share of each label; the label itself comes by `corrections.vote`.
    beside: ids of photos that came in one album or one burst; they share a side. sides: how many photos each label has
    on either side, counted on here; None asks the database. may_be_known False: these bytes are new for certain.
    """
    there = known(session, classifier_id, prepared.sha256) if may_be_known else None
    if there is not None:
        if there.expired_at is not None:  # Its picture is here again, and is this sender's.
            there.expired_at, there.unreadable = None, None
            there.person_id, there.created_at = person_id, now()
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
        split=leader.split if leader else _side(session, classifier_id, prepared.sha256, label_id, sides),
    )
    if sides is not None and label_id is not None:
        sides.setdefault(label_id, Counter())[photo.split] += 1
    session.add(photo)
    session.flush()
    photo.group_id = (leader.group_id or leader.id) if leader else photo.id
    return Added(photo, is_new=True, near=twin)


def nearest(session: Session, classifier_id: int, phash: int, colours: bytes) -> Photo | None:
    """The photo most like this one, when there is a near-duplicate at all."""
    parts = {
        f"part{number}_{n}": part ^ flip
        for number, part in enumerate(images.bands(phash))
        for n, flip in enumerate(FLIPS)
    }
    close = [
        (images.bits_apart(phash, other), photo_id)
        for photo_id, other, theirs in session.execute(ALIKE, {"classifier_id": classifier_id, **parts})
        if images.near((phash, colours), (other, theirs))
    ]
    return session.get(Photo, min(close)[1]) if close else None


def _side(session: Session, classifier_id: int, sha256: str, label_id: int | None, sides: Sides | None) -> str:
    """Lesson or exam for the first photo of a group: by its bytes while its label is unknown, else stratified."""
    if label_id is None:
        return "exam" if int(sha256[:8], 16) % EXAM_EVERY == 0 else "lesson"
    counted = sides.get(label_id) if sides is not None else None
    if counted is None:
        counted = count_sides(session, classifier_id, label_id)
    return "exam" if (counted["exam"] + 1) * EXAM_EVERY <= counted.total() + 1 else "lesson"


def teach_the_first(session: Session, photo: Photo) -> None:
    """Make an exam photo, with its group, a lesson where its label has none: nobody could learn that label otherwise.

    The other way round is never done: what was a lesson once may have been learnt.
    """
    if photo.split == "lesson" or photo.label_id is None:
        return
    session.flush()
    mine = Photo.classifier_id == photo.classifier_id, Photo.label_id == photo.label_id, Photo.split == "lesson"
    usable = Photo.unreadable.is_(None), Photo.removed_at.is_(None)
    if session.scalar(select(Photo.id).where(*mine, *usable).limit(1)) is None:
        group = or_(Photo.id == photo.id, Photo.group_id == photo.group_id)
        session.execute(update(Photo).where(Photo.classifier_id == photo.classifier_id, group).values(split="lesson"))


def count_sides(session: Session, classifier_id: int, label_id: int) -> Counter[str]:
    """How many photos of a label are lessons and how many are exam."""
    query = (
        select(Photo.split, func.count())
        .where(Photo.classifier_id == classifier_id, Photo.label_id == label_id)
        .group_by(Photo.split)
    )
    return Counter({split: n for split, n in session.execute(query)})  # noqa: C416


@dataclass(frozen=True)
class Totals:
    """How many photos a classifier has, and how many of them have a label."""

    photos: int
    labelled: int


def totals(session: Session, classifier_id: int) -> Totals:
    """How many photos there are; large numbers may be some minutes old."""
    query = select(func.count(), func.count(Photo.label_id)).where(Photo.classifier_id == classifier_id)

    def count() -> Totals:
        return Totals(*session.execute(query).one())

    return remembered.lately(session, ("totals", classifier_id), count, lambda found: found.photos > remembered.MANY)


def like(session: Session, photo: Photo) -> Photo | None:
    """A photo with a label in use that shows the same picture as this one: itself, or its nearest twin in its group."""
    if labels.in_use(session, photo.label_id) is not None:
        return photo
    query = (
        select(Photo)
        .join(Label, Label.id == Photo.label_id)
        .where(Photo.classifier_id == photo.classifier_id, Photo.group_id == photo.group_id)
        .where(Label.archived_at.is_(None), Photo.removed_at.is_(None))
    )
    here = (photo.phash, photo.colours)
    twins = [twin for twin in session.scalars(query) if images.near(here, (twin.phash, twin.colours))]
    return min(twins, key=lambda twin: images.bits_apart(photo.phash, twin.phash), default=None)


def read(store: Store, photo: Photo) -> bytes:
    """The stored JPEG of a photo. Raises NotStored, StoreError."""
    return store.get(photo_key(photo.sha256))
