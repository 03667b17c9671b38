"""Corrections: a person's vote on a photo's label, and what the votes together say.

An admin's vote counts at once, the latest one where admins differ. Others' votes weigh what their past agreement with
other people earned them; the label whose weight reaches `votes_needed`, and is the heaviest, is accepted.
"""

from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from snaplabel.database import now
from snaplabel.tables import Correction, Label, Person, Photo


@dataclass(frozen=True)
class Outcome:
    """What the votes on a photo say now. accepted None: nobody, or not enough; changed: since before this vote."""

    accepted: Label | None
    changed: bool


def vote(
    session: Session, photo: Photo, person: Person, label: Label, *, is_admin: bool, votes_needed: float
) -> Outcome:
    """Record what a person says a photo shows, in place of what they said before."""
    mine = _vote_of(session, photo, person)
    if mine is None:
        mine = Correction(photo_id=photo.id, person_id=person.id, label_id=label.id)
        session.add(mine)
    mine.label_id, mine.by_admin, mine.changed_at, mine.taken_back_at = label.id, is_admin, now(), None
    session.flush()
    return _settle(session, photo, votes_needed)


def take_back(session: Session, photo: Photo, person: Person, *, votes_needed: float) -> Outcome | None:
    """Withdraw a person's vote; None when they had none."""
    mine = _vote_of(session, photo, person)
    if mine is None or mine.taken_back_at is not None:
        return None
    mine.taken_back_at = now()
    session.flush()
    return _settle(session, photo, votes_needed)


def revert_all(session: Session, person: Person, *, votes_needed: float) -> int:
    """Withdraw everything a person ever corrected; how many votes that were."""
    query = (
        select(Photo)
        .join(Correction, Correction.photo_id == Photo.id)
        .where(Correction.person_id == person.id, Correction.taken_back_at.is_(None))
    )
    photos = session.scalars(query).all()
    for photo in photos:
        take_back(session, photo, person, votes_needed=votes_needed)
    return len(photos)


def trust(session: Session, person_id: int, *, apart_from: int = 0) -> float:
    """How far a person's vote counts, from 0 to 1: 0.5 for a newcomer.

    (agreed + 1) / (counted + 2), Laplace's rule of succession, over the photos that somebody else voted on too and that
    have an accepted label: agreeing with oneself earns nothing. apart_from: the photo being voted on, which must not
    judge its own jury.
    """
    other = aliased(Correction)
    somebody_else = exists().where(
        other.photo_id == Correction.photo_id, other.person_id != person_id, other.taken_back_at.is_(None)
    )
    query = (
        select(Correction.label_id == Photo.label_id, func.count())
        .join(Photo, Photo.id == Correction.photo_id)
        .where(Correction.person_id == person_id, Photo.label_id.is_not(None), somebody_else)
        .where(Correction.photo_id != apart_from)
        .group_by(Correction.label_id == Photo.label_id)
    )
    counted = {bool(agrees): n for agrees, n in session.execute(query)}
    return (counted.get(True, 0) + 1) / (sum(counted.values()) + 2)


def since(session: Session, classifier_id: int, moment: object) -> int:
    """How many photos got, changed or lost their label after a moment (None: ever)."""
    query = select(func.count()).where(Photo.classifier_id == classifier_id, Photo.labelled_at.is_not(None))
    if moment is not None:
        query = query.where(Photo.labelled_at > moment)
    return session.scalar(query) or 0


def _vote_of(session: Session, photo: Photo, person: Person) -> Correction | None:
    return session.scalar(select(Correction).where(Correction.photo_id == photo.id, Correction.person_id == person.id))


def _settle(session: Session, photo: Photo, votes_needed: float) -> Outcome:
    query = select(Correction).where(Correction.photo_id == photo.id, Correction.taken_back_at.is_(None))
    votes = session.scalars(query.order_by(Correction.changed_at, Correction.id)).all()
    accepted: int | None = None
    if by_admins := [one.label_id for one in votes if one.by_admin]:
        accepted = by_admins[-1]
    elif votes:
        weights: dict[int, float] = {}
        for one in votes:
            weight = trust(session, one.person_id, apart_from=photo.id) if one.person_id else 0.5
            weights[one.label_id] = weights.get(one.label_id, 0.0) + weight
        heaviest = max(weights.values())
        leaders = [label_id for label_id, weight in weights.items() if weight == heaviest]
        if heaviest >= votes_needed and len(leaders) == 1:
            accepted = leaders[0]
        elif photo.label_id in leaders:
            accepted = photo.label_id
    changed = accepted != photo.label_id
    if changed:
        photo.label_id, photo.labelled_at = accepted, now()
    return Outcome(session.get(Label, accepted) if accepted else None, changed)
