"""Standing: how far a person's word counts, earned only by what admins said after them; and whose votes come too fast.

Agreeing with an admin's label that is already there earns nothing, since anybody can repeat it; agreeing with each
other earns newcomers nothing either, however many they are; and nobody but an admin can give standing.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from snaplabel import labels, remembered
from snaplabel.tables import Correction, Person, Photo

# From this trust on, a person has standing: right five times of five, eleven of twelve, sixteen of eighteen.
STANDING = 0.85
# Below this trust, a disagreement asks no admin any more: wrong twice and never right.
HEARD = 0.3
# So many votes of a person without standing count within an hour; those beyond wait for an admin.
VOTES_AN_HOUR = 30
HOUR = timedelta(hours=1)
MANY = 500

ADMINS = aliased(Correction)
# That ADMINS is an admin's vote that stands, on the photo that a vote is about.
BY_AN_ADMIN = ADMINS.photo_id == Correction.photo_id, ADMINS.by_admin, ADMINS.taken_back_at.is_(None)
_SPOKE_LATER = exists().where(
    *BY_AN_ADMIN, ADMINS.person_id != Correction.person_id, ADMINS.changed_at > Correction.changed_at
)
# Built once: putting it together takes longer than asking it.
_JUDGED = (
    select(Correction.person_id, Correction.label_id, Photo.label_id, func.count())
    .join(Photo, Photo.id == Correction.photo_id)
    .where(Correction.taken_back_at.is_(None), ~Correction.by_admin, Photo.label_id.is_not(None), _SPOKE_LATER)
    .group_by(Correction.person_id, Correction.label_id, Photo.label_id)
)


@dataclass(frozen=True)
class Record:
    """How often a person said what an admin said later. counted: photos on which an admin spoke after them."""

    agreed: int = 0
    counted: int = 0

    @property
    def trust(self) -> float:
        """From 0 to 1: (agreed + 1) / (counted + 2), Laplace's rule of succession; 0.5 for a newcomer."""
        return (self.agreed + 1) / (self.counted + 2)

    @property
    def has_standing(self) -> bool:
        return self.trust >= STANDING

    @property
    def is_heard(self) -> bool:
        """Whether disagreeing makes a question to an admin."""
        return self.trust >= HEARD


def trust(session: Session, person_id: int) -> float:
    """How far a person's vote counts, from 0 to 1: 0.5 for a newcomer."""
    return records(session, [person_id])[person_id].trust


def records(session: Session, person_ids: Collection[int]) -> dict[int, Record]:
    """The record of each of these people, in one query."""
    # A long list is slower to look up than all that admins ever judged is to read.
    known = _judged(session, person_ids if len(person_ids) <= 2 * MANY else None)
    return {one: known.get(one, Record()) for one in person_ids}


def of_standing(session: Session) -> set[int]:
    """Ids of everybody who has standing."""
    return {person_id for person_id, record in _judged(session, None).items() if record.has_standing}


def _judged(session: Session, person_ids: Collection[int] | None) -> dict[int, Record]:
    """The records of those among these people (None: among all) on whose votes an admin spoke later."""
    query = _JUDGED if person_ids is None else _JUDGED.where(Correction.person_id.in_(person_ids))
    found: dict[int, Record] = {}
    rows = session.execute(query).all()
    # Only labels that differ have to be followed to what they were merged into.
    known = labels.some(session, (n for _, said, accepted, _ in rows if said != accepted for n in (said, accepted)))
    for person_id, said, accepted, n in rows:
        if person_id is None or accepted is None:
            continue
        agrees = said == accepted or labels.final(session, said) == labels.final(session, accepted)
        before = found.get(person_id, Record())
        found[person_id] = Record(before.agreed + n * agrees, before.counted + n)
    del known
    return found


def too_fast(session: Session, votes: Iterable[Correction]) -> set[int]:
    """Ids of those among these votes, all by people without standing, that their person cast within an hour after
    VOTES_AN_HOUR others; what was taken back counts as cast.
    """
    by_person: dict[int, list[Correction]] = {}
    for vote in votes:
        if vote.person_id is not None:
            by_person.setdefault(vote.person_id, []).append(vote)
    found = set()
    for some in _parts(by_person):
        query = select(Correction.person_id).where(Correction.person_id.in_(some)).group_by(Correction.person_id)
        busy = [one for one in session.scalars(query.having(func.count() > VOTES_AN_HOUR)) if one is not None]
        if not busy:
            continue
        when = [vote.changed_at for person_id in busy for vote in by_person[person_id]]
        around = Correction.person_id.in_(busy), Correction.changed_at.between(min(when) - HOUR, max(when))
        cast: dict[int | None, list[datetime]] = {}
        moments = select(Correction.person_id, Correction.changed_at).where(*around).order_by(Correction.changed_at)
        for one, moment in session.execute(moments):
            cast.setdefault(one, []).append(moment)
        for person_id in busy:
            theirs = cast[person_id]
            for vote in by_person[person_id]:
                others = bisect_right(theirs, vote.changed_at) - bisect_right(theirs, vote.changed_at - HOUR) - 1
                found |= {vote.id} if others >= VOTES_AN_HOUR else set()
    return found


def _parts(people: Iterable[int]) -> Iterable[list[int]]:
    everybody = list(people)
    return (everybody[start : start + MANY] for start in range(0, len(everybody), MANY))


@dataclass(frozen=True)
class Teacher:
    """A person who corrected. corrections: votes that stand. is_admin: some of them were an admin's."""

    person: Person
    corrections: int
    is_admin: bool
    record: Record


def teachers(session: Session, limit: int = 1000, *, classifier_id: int | None = None) -> list[Teacher]:
    """Those whose votes stand, with most votes first; large numbers may be some minutes old.

    classifier_id: only votes on its photos count; None: all.
    """
    most = _voters(classifier_id).order_by(func.count().desc(), Correction.person_id).limit(limit)

    def count() -> list[tuple[int, int, bool, Record]]:
        found = [(n, votes, bool(by_admin)) for n, votes, by_admin in session.execute(most) if n is not None]
        known = records(session, [n for n, _, _ in found])
        return [(n, votes, by_admin, known[n]) for n, votes, by_admin in found]

    rows = remembered.lately(session, ("teachers", classifier_id, limit), count, lambda _: are_votes_many(session))
    people = {one.id: one for one in session.scalars(select(Person).where(Person.id.in_([row[0] for row in rows])))}
    return [Teacher(people[n], votes, by_admin, record) for n, votes, by_admin, record in rows if n in people]


BEST = 5


def best(session: Session, classifier_id: int) -> list[tuple[str, int]]:
    """Names of those with most votes on a classifier's photos, and how many; large numbers may be some minutes old.

    The import is nobody.
    """
    votes = _voters(classifier_id).subquery()
    query = select(Person.id, votes.c.votes).join(votes, votes.c.person_id == Person.id)
    query = query.where(Person.platform != "local").order_by(votes.c.votes.desc()).limit(BEST)

    def count() -> list[tuple[int, int]]:
        return [(person_id, n) for person_id, n in session.execute(query)]

    # Names are not remembered: whoever is forgotten is forgotten at once.
    found = remembered.lately(session, ("best", classifier_id), count, lambda _: are_votes_many(session))
    people = {one.id: one.name for one in session.scalars(select(Person).where(Person.id.in_([n for n, _ in found])))}
    return [(people[person_id], n) for person_id, n in found if person_id in people]


def are_votes_many(session: Session) -> bool:
    """Whether there are so many votes that looking through them takes long; their ids count on."""
    return (session.scalar(select(func.max(Correction.id))) or 0) > remembered.MANY


def count_teachers(session: Session, *, classifier_id: int | None = None) -> int:
    """How many people `teachers` would list without a limit."""
    query = select(func.count()).select_from(_voters(classifier_id).subquery())

    def count() -> int:
        return session.scalar(query) or 0

    return remembered.lately(session, ("voters", classifier_id), count, lambda _: are_votes_many(session))


def _voters(classifier_id: int | None) -> Select[int | None, int, Any]:
    """Everybody whose votes stand, with how many there are."""
    by_admin = func.sum(case((Correction.by_admin, 1), else_=0))
    query = select(Correction.person_id, func.count().label("votes"), by_admin.label("by_admin"))
    if classifier_id is not None:
        query = query.join(Photo, Photo.id == Correction.photo_id).where(Photo.classifier_id == classifier_id)
    stands = Correction.taken_back_at.is_(None), Correction.person_id.is_not(None)
    return query.where(*stands).group_by(Correction.person_id)
