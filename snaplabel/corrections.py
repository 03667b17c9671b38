"""Corrections: a person's vote on a photo's label, and what follows from it.

An admin's vote counts at once, the latest one where admins differ. Others' votes weigh what they earned (`standing`),
and any number of people without standing weighs less than one who has it: they never overturn a label that an admin or
somebody of standing gave; they ask an admin a question.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session

from snaplabel import disputes, labels, photos, standing, tally
from snaplabel.database import now
from snaplabel.standing import trust as trust
from snaplabel.tables import Correction, Label, Person, Photo
from snaplabel.tally import Tally


@dataclass(frozen=True)
class Outcome:
    """What the votes on a photo say now.

    accepted None: nobody, or not enough. changed: since before this vote, there is something to learn: another label,
    or somebody else who stands behind it. is_question: an admin should decide. waits: this vote came too fast to count.
    """

    accepted: Label | None
    changed: bool
    is_question: bool = False
    waits: bool = False


def vote(
    session: Session, photo: Photo, person: Person, label: Label, *, is_admin: bool, votes_needed: float
) -> Outcome:
    """Record what a person says a photo shows, in place of what they said before."""
    before = _state(session, photo)
    mine = _vote_of(session, photo, person)
    if mine is None:
        mine = Correction(photo_id=photo.id, person_id=person.id, label_id=label.id)
        session.add(mine)
    mine.label_id, mine.by_admin, mine.changed_at, mine.taken_back_at = label.id, is_admin, now(), None
    session.flush()
    return _outcome(session, photo, before, person, votes_needed)


def first(session: Session, photo: Photo, admin: Person, label: Label) -> None:
    """Record an admin's vote on a photo that was made a moment ago: there is nothing to weigh it against.

    Not flushed, so that an import writes many at once.
    """
    session.add(Correction(photo_id=photo.id, person_id=admin.id, label_id=label.id, by_admin=True))
    photo.label_id, photo.labelled_at = label.id, now()


def take_back(session: Session, photo: Photo, person: Person, *, votes_needed: float) -> Outcome | None:
    """Withdraw a person's vote; None when they had none."""
    mine = _vote_of(session, photo, person)
    if mine is None or mine.taken_back_at is not None:
        return None
    before = _state(session, photo)
    mine.taken_back_at = now()
    session.flush()
    return _outcome(session, photo, before, person, votes_needed)


def revert_all(session: Session, person: Person, *, votes_needed: float, classifier_id: int | None = None) -> int:
    """Withdraw everything a person ever corrected; how many votes that were. classifier_id: on its photos only."""
    query = (
        select(Photo)
        .join(Correction, Correction.photo_id == Photo.id)
        .where(Correction.person_id == person.id, Correction.taken_back_at.is_(None))
    )
    if classifier_id is not None:
        query = query.where(Photo.classifier_id == classifier_id)
    photos = session.scalars(query).all()
    for photo in photos:
        take_back(session, photo, person, votes_needed=votes_needed)
    return len(photos)


def settle(session: Session, photo_ids: Collection[int], votes_needed: float) -> int:
    """Let the votes say anew what these photos show; how many labels changed."""
    return sum(_accept(session, found, votes_needed) for found in tally.of_many(session, _photos(session, photo_ids)))


# Weighing a thousand open questions takes a quarter of a second, and nobody decides more than these at a sitting.
MOST_ASKED = 100


def conflicts(session: Session, classifier_id: int, most: int | None = None) -> list[Tally]:
    """Photos that are a question to an admin, with the votes by label; those that weigh most on either side first.

    People disagree, or disagree with an admin since, or a vote came too fast to count. Photos that were taken out,
    or of which no picture is left, are left out. most: of more questions than this (None: MOST_ASKED) those about the
    latest photos are enough; the others come up as these are decided.
    """
    most = most or MOST_ASKED
    asked = disputes.of(session, classifier_id)[::-1]
    questions: list[Tally] = []
    while asked and len(questions) < most:
        part, asked = asked[:most], asked[most:]
        questions += [one for one in tally.of_many(session, _photos(session, part)) if one.is_question]

    def doubt(one: Tally) -> float:
        return sum(side.weight for side in one.sides if side.label.id != one.photo.label_id)

    return sorted(questions, key=lambda one: (-doubt(one), one.photo.id))


def unconfirmed(session: Session, classifier_id: int) -> set[int]:
    """Ids of photos whose label rests on votes of people without standing alone."""
    stands = Correction.photo_id == Photo.id, Correction.taken_back_at.is_(None)
    counts = or_(Label.archived_at.is_(None), Label.merged_into_id.is_not(None))
    by_admin = exists().where(*stands, Correction.by_admin, Label.id == Correction.label_id, counts)
    labelled = Photo.classifier_id == classifier_id, Photo.label_id.is_not(None)
    found = set(session.scalars(select(Photo.id).where(*labelled, ~by_admin, exists().where(*stands))))
    trusted = standing.of_standing(session) if found else set()
    query = select(Photo.id, Photo.label_id, Correction.label_id).join(Correction, Correction.photo_id == Photo.id)
    query = query.where(*labelled, Correction.taken_back_at.is_(None), Correction.person_id.in_(sorted(trusted)))
    for photo_id, accepted, said in session.execute(query) if trusted else ():
        if said == accepted or labels.in_use(session, said) == labels.in_use(session, accepted):
            found.discard(photo_id)
    return found


def since(session: Session, classifier_id: int, moment: object) -> int:
    """How many photos got, changed or lost their label after a moment (None: ever)."""
    query = select(func.count()).where(Photo.classifier_id == classifier_id, Photo.labelled_at.is_not(None))
    if moment is not None:
        query = query.where(Photo.labelled_at > moment)
    return session.scalar(query) or 0


def _photos(session: Session, photo_ids: Collection[int]) -> list[Photo]:
    wanted = list(photo_ids)
    parts = (wanted[start : start + tally.MANY] for start in range(0, len(wanted), tally.MANY))
    return [photo for some in parts for photo in session.scalars(select(Photo).where(Photo.id.in_(some)))]


def _vote_of(session: Session, photo: Photo, person: Person) -> Correction | None:
    return session.scalar(select(Correction).where(Correction.photo_id == photo.id, Correction.person_id == person.id))


@dataclass(frozen=True)
class _State:
    """A photo before a vote. trusted: ids of its voters who have standing. is_decided: an admin voted."""

    is_confirmed: bool
    trusted: frozenset[int]
    is_decided: bool


def _state(session: Session, photo: Photo) -> _State:
    found = tally.of(session, photo)
    return _State(found.is_confirmed, found.trusted, found.decided is not None)


def _outcome(session: Session, photo: Photo, before: _State, person: Person, votes_needed: float) -> Outcome:
    """Accept what the votes say after one of them changed, here and where it moves somebody's standing."""
    found = tally.of(session, photo)
    changed = _accept(session, found, votes_needed)
    is_alone = sum(len(side.people) for side in found.sides) < 2
    if changed and not is_alone and (before.is_decided or found.decided is not None):
        # What an admin accepts here is what the others are measured by, here and elsewhere.
        session.flush()
        found = tally.of(session, photo)
    if found.is_confirmed != before.is_confirmed:
        # A label that got standing, or lost it, is news to the trainer, though its name is the same.
        photo.labelled_at, changed = now(), True
    moved = before.trusted ^ found.trusted if before.is_decided or found.decided is not None else frozenset[int]()
    if moved:
        settle(session, session.scalars(_contested(moved)).all(), votes_needed)
        changed = True
    session.flush()
    accepted = session.get(Label, photo.label_id) if photo.label_id else None
    return Outcome(accepted, changed, found.is_question, person.id in found.waiting)


def _accept(session: Session, found: Tally, votes_needed: float) -> bool:
    """Give the photo the label that its votes accept; whether that is a change."""
    photo, accepted = found.photo, found.accepted(votes_needed)
    if accepted == photo.label_id:
        return False
    photo.label_id, photo.labelled_at = accepted, now()
    photos.teach_the_first(session, photo)
    return True


def _contested(people: Collection[int]) -> Select[int]:
    """Photos without an admin's vote on which these people voted and not all votes name the accepted label."""
    stands = Correction.photo_id == Photo.id, Correction.taken_back_at.is_(None)
    differs = exists().where(*stands, Correction.label_id != Photo.label_id)
    by_admin = exists().where(*stands, Correction.by_admin)
    theirs = select(Correction.photo_id).where(Correction.person_id.in_(people), Correction.taken_back_at.is_(None))
    return select(Photo.id).where(Photo.id.in_(theirs), ~by_admin, or_(Photo.label_id.is_(None), differs))
