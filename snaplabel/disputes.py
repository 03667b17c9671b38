"""Disputes: photos of which somebody says something else than their label; in a large house they are remembered."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from snaplabel import remembered
from snaplabel.database import now
from snaplabel.standing import ADMINS, BY_AN_ADMIN, are_votes_many
from snaplabel.tables import Correction, Label, Photo

# What another process has committed may be so much older than it looks.
SLACK = timedelta(minutes=5)
# All votes are looked through again after this long, or when nobody asked for a while.
ANEW = timedelta(hours=1)
PART = 500

# Votes that an admin's for a label in use came after are answered: `tally` asks nobody about them.
_ANSWERED = exists().where(
    *BY_AN_ADMIN, ADMINS.changed_at >= Correction.changed_at, Label.id == ADMINS.label_id, Label.archived_at.is_(None)
)
_DISPUTED = exists().where(
    Correction.photo_id == Photo.id,
    Correction.taken_back_at.is_(None),
    ~Correction.by_admin,
    or_(Photo.label_id.is_(None), Correction.label_id != Photo.label_id),
    ~_ANSWERED,
)


@dataclass(frozen=True)
class _Known:
    """Photos that were disputed at a moment, or some time since all votes were looked through."""

    at: datetime
    since: datetime
    photo_ids: frozenset[int]


def of(session: Session, classifier_id: int) -> list[int]:
    """Ids of photos with a vote that no admin has answered, for another label than theirs; those taken out left out.

    Looking through a hundred thousand votes takes long, so a process does it now and then: in between it looks at those
    that were disputed then, and at what changed since.
    """
    query = select(Photo.id).where(Photo.classifier_id == classifier_id, _DISPUTED)
    query = query.where(Photo.removed_at.is_(None), Photo.expired_at.is_(None))
    moment = now()
    columns = Label.id, Label.archived_at, Label.merged_into_id
    labels = session.execute(select(*columns).where(Label.classifier_id == classifier_id))
    # A label that is archived, merged or restored changes what any vote counts for.
    name = "disputes", classifier_id, frozenset(tuple(row) for row in labels)

    def look() -> _Known:
        return _Known(moment, moment, frozenset(session.scalars(query)))

    known = remembered.lately(session, name, look, lambda _: are_votes_many(session))
    if known.at == moment:
        return sorted(known.photo_ids)
    wanted = known.photo_ids | _changed(session, classifier_id, known.at - SLACK)
    found = _among(session, query, wanted)
    if moment - known.since < ANEW:
        # What is settled stays in mind: this transaction may yet be undone.
        remembered.keep(session, name, _Known(moment, known.since, known.photo_ids | found))
    return sorted(found)


def _changed(session: Session, classifier_id: int, since: datetime) -> set[int]:
    """Ids of photos whose votes or label changed since."""
    voted = select(Correction.photo_id).where(Correction.changed_at >= since)
    taken_back = select(Correction.photo_id).where(Correction.taken_back_at >= since)
    labelled = select(Photo.id).where(Photo.classifier_id == classifier_id, Photo.labelled_at >= since)
    return {photo_id for query in (voted, taken_back, labelled) for photo_id in session.scalars(query)}


def _among(session: Session, query: Select[int], photo_ids: Collection[int]) -> set[int]:
    wanted, found = sorted(photo_ids), set[int]()
    for start in range(0, len(wanted), PART):
        found.update(session.scalars(query.where(Photo.id.in_(wanted[start : start + PART]))))
    return found
