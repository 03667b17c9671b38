"""Ballots: an admin's vote that remembers what it replaced, so that it can be taken back as if it had never been."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import corrections, people, tally
from snaplabel.database import now
from snaplabel.errors import ReviewError
from snaplabel.labels import in_use
from snaplabel.tables import Correction, Label, Person, Photo


def cast(session: Session, photo: Photo, label: Label, person_id: int | None, votes_needed: float) -> dict[str, Any]:
    """Vote as an admin; what undoing it needs: who, when, and their vote as it was before (None: there was none)."""
    voter = session.get_one(Person, person_id) if person_id else people.person(session, "local", "import", "import")
    mine = select(Correction).where(Correction.photo_id == photo.id, Correction.person_id == voter.id)
    before = session.scalar(mine)
    was = None
    if before is not None:
        taken_back = _number(before.taken_back_at) if before.taken_back_at else None
        was = [before.label_id, int(before.by_admin), _number(before.changed_at), taken_back]
    corrections.vote(session, photo, voter, label, is_admin=True, votes_needed=votes_needed)
    return {"voter_id": voter.id, "voted_at": _number(session.scalars(mine).one().changed_at), "vote_before": was}


def restore(session: Session, photo: Photo, facts: dict[str, Any], votes_needed: float) -> None:
    """Put the voter's earlier vote back in place, and let the votes say what the photo shows.

    facts: what `cast` returned, with the labels' ids before and after. Raises ReviewError when the photo or the vote
    changed since.
    """
    if photo.removed_at is not None:
        raise ReviewError("This photo was taken out since; undo that first.")
    query = select(Correction).where(Correction.photo_id == photo.id, Correction.person_id == facts["voter_id"])
    mine = session.scalar(query)
    if mine is None or mine.taken_back_at is not None or _number(mine.changed_at) != facts["voted_at"]:
        raise ReviewError("The vote behind this changed since: there is nothing left to undo.")
    after, before = in_use(session, facts["label_id"]), in_use(session, facts["before_id"])
    if after is None or photo.label_id != after.id:
        raise ReviewError("The label of this photo was changed again since; undo that first.")
    if facts["before_id"] is not None and before is None:
        raise ReviewError("The label from before is archived; restore it first.")
    voter = session.get_one(Person, facts["voter_id"])
    if facts["vote_before"] is None:
        corrections.take_back(session, photo, voter, votes_needed=votes_needed)
    else:
        label_id, by_admin, changed_at, taken_back_at = facts["vote_before"]
        label = session.get_one(Label, label_id)
        corrections.vote(session, photo, voter, label, is_admin=bool(by_admin), votes_needed=votes_needed)
        # The vote stands, or stood, since then: of two admins' votes the later one counts.
        mine.changed_at = _moment(changed_at)
        mine.taken_back_at = _moment(taken_back_at) if taken_back_at is not None else None
    photo.label_id = before.id if before is not None else None
    session.flush()
    if tally.of(session, photo).sides:
        corrections.settle(session, [photo.id], votes_needed)
    if photo.label_id != after.id:
        photo.labelled_at = now()
    session.flush()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _number(when: datetime) -> int:
    """Microseconds since 1970: facts hold plain numbers, and must find the very same moment again."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
