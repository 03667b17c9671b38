"""Forgetting a person: photos, votes, name and posts leave the database; the caller empties the store."""

from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from snaplabel import corrections
from snaplabel.store import photo_key
from snaplabel.tables import (
    Act,
    Correction,
    Embedding,
    Message,
    Model,
    Person,
    Photo,
    Prediction,
    Suspect,
    TrainingPhoto,
    TrainingRun,
)


@dataclass(frozen=True)
class Mine:
    """How much of a person there is."""

    photos: int
    corrections: int


@dataclass(frozen=True)
class Gone:
    """What was erased. store_keys: to delete after the commit. versions: models that had learnt from it."""

    photos: int
    corrections: int
    store_keys: tuple[str, ...]
    answer_ids: tuple[int, ...]
    versions: tuple[int, ...]
    classifier_ids: tuple[int, ...]


def count(session: Session, person: Person) -> Mine:
    """How many photos and standing corrections are this person's."""
    photos = session.scalar(select(func.count()).where(Photo.person_id == person.id)) or 0
    query = select(func.count()).where(Correction.person_id == person.id, Correction.taken_back_at.is_(None))
    return Mine(photos, session.scalar(query) or 0)


def forget(session: Session, person: Person, *, keep_message_id: int, votes_needed: float) -> Gone:
    """Erase a person; the row of their command stays until its answer is shown, without its text.

    A photo that other people posted too stays theirs; only this person's claim on it goes.
    """
    mine = session.scalars(select(Photo).where(Photo.person_id == person.id)).all()
    changed = _withdraw_votes(session, person, votes_needed)
    photo_ids = [photo.id for photo in mine]
    classifiers = {photo.classifier_id for photo in mine} | changed.classifier_ids
    versions: set[int] = set()
    answers: set[int] = set()
    for start in range(0, len(photo_ids), 500):
        some = photo_ids[start : start + 500]
        versions |= _versions(session, some)
        answers |= {n for n in session.scalars(select(Message.answer_id).where(Message.photo_id.in_(some))) if n}
        for table in (Embedding, Prediction, Correction, TrainingPhoto, Suspect, Act):
            session.execute(delete(table).where(table.photo_id.in_(some)))
        session.execute(delete(Suspect).where(Suspect.other_photo_id.in_(some)))
        session.execute(update(Message).where(Message.photo_id.in_(some)).values(photo_id=None, state="gone"))
        session.execute(update(Photo).where(Photo.group_id.in_(some), Photo.id.not_in(some)).values(group_id=Photo.id))
        session.execute(delete(Photo).where(Photo.id.in_(some)))
    session.execute(update(TrainingRun).where(TrainingRun.person_id == person.id).values(person_id=None))
    _leave_acts(session, person)
    posts = Message.person_id == person.id
    session.execute(update(Message).where(posts).values(payload=None, draft=None))
    session.execute(delete(Message).where(posts, Message.id != keep_message_id, Message.state == "gone"))
    person.name = ""
    session.flush()
    keys = tuple(photo_key(photo.sha256) for photo in mine)
    return Gone(len(mine), changed.votes, keys, tuple(answers), tuple(sorted(versions)), tuple(sorted(classifiers)))


@dataclass(frozen=True)
class _Withdrawn:
    votes: int
    classifier_ids: set[int]


def _withdraw_votes(session: Session, person: Person, votes_needed: float) -> _Withdrawn:
    query = select(Photo).join(Correction, Correction.photo_id == Photo.id).where(Correction.person_id == person.id)
    photos = session.scalars(query).all()
    votes, classifiers = 0, set()
    for photo in photos:
        outcome = corrections.take_back(session, photo, person, votes_needed=votes_needed)
        votes += outcome is not None
        if outcome is not None and outcome.changed:
            classifiers.add(photo.classifier_id)
    session.execute(delete(Correction).where(Correction.person_id == person.id))
    return _Withdrawn(votes, classifiers)


def _leave_acts(session: Session, person: Person) -> None:
    """What this person did as an admin stays in the log as somebody's who left, without the votes that it remembers."""
    for act in session.scalars(select(Act).where(Act.person_id == person.id)):
        act.person_id = None
        kept = {name: fact for name, fact in act.facts.items() if name not in ("voter_id", "voted_at", "vote_before")}
        act.facts = {**kept, "has_left": 1}


def _versions(session: Session, photo_ids: list[int]) -> set[int]:
    query = (
        select(Model.version)
        .join(Photo, Photo.classifier_id == Model.classifier_id)
        .join(TrainingPhoto, TrainingPhoto.photo_id == Photo.id)
        .where(Photo.id.in_(photo_ids), Model.version >= TrainingPhoto.first_version)
        .where((TrainingPhoto.last_version.is_(None)) | (Model.version <= TrainingPhoto.last_version))
    )
    return set(session.scalars(query))
