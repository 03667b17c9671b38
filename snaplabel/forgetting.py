"""Forgetting a person: photos, votes, name and posts leave the database; the caller empties the store.

What the platform must still be told (the last answer, the edits of earlier ones) needs the chat a little longer: until
`finish` finds that it was shown, a person who has no name and a number of ours holds its place.
"""

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from snaplabel import acts, corrections, people
from snaplabel.database import now
from snaplabel.store import photo_key
from snaplabel.tables import (
    Act,
    Answer,
    Chat,
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

MANY = 500
# What such a person is called until they are gone; platforms' own numbers never begin so.
LEAVING = "leaving:"
# A platform that takes no answers for so long is not waited for.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Mine:
    """How much of a person there is."""

    photos: int
    corrections: int


@dataclass(frozen=True)
class Gone:
    """What was erased. store_keys: to delete after the commit. versions: models that had learnt from it.

    answer_ids: the messages under those photos. corrected: ids of the photos of others that were voted on.
    """

    photos: int
    corrections: int
    store_keys: tuple[str, ...]
    answer_ids: tuple[int, ...]
    versions: tuple[int, ...]
    classifier_ids: tuple[int, ...]
    corrected: tuple[int, ...]


def count(session: Session, person: Person) -> Mine:
    """How many photos and standing corrections are this person's."""
    photos = session.scalar(select(func.count()).where(Photo.person_id == person.id)) or 0
    query = select(func.count()).where(Correction.person_id == person.id, Correction.taken_back_at.is_(None))
    return Mine(photos, session.scalar(query) or 0)


def forget(session: Session, person: Person, *, votes_needed: float, keep: Collection[int] = ()) -> Gone:
    """Erase a person. keep: messages whose rows stay until `finish`, without their text.

    The photos are those that they were the first to post; posted again by others, they are gone there too. In each
    private chat one more row stays, so that `finish` finds the chat.
    """
    mine = session.scalars(select(Photo).where(Photo.person_id == person.id)).all()
    photo_ids, shas = [photo.id for photo in mine], [photo.sha256 for photo in mine]
    voted = select(Correction.photo_id).where(Correction.person_id == person.id)
    corrected = [photo_id for photo_id in session.scalars(voted) if photo_id not in set(photo_ids)]
    changed = _withdraw_votes(session, person, votes_needed)
    photos = Counter(photo.classifier_id for photo in mine)
    lessons = Counter(photo.classifier_id for photo in mine if photo.label_id is not None)
    classifiers = set(photos) | changed.classifier_ids
    versions: set[int] = set()
    answers: set[int] = set()
    for some in _parts(photo_ids):
        versions |= _versions(session, some)
        answers |= {n for n in session.scalars(select(Message.answer_id).where(Message.photo_id.in_(some))) if n}
        session.execute(update(Message).where(Message.photo_id.in_(some)).values(photo_id=None, state="gone"))
    erase(session, photo_ids)
    for classifier_id in sorted(classifiers):
        facts = {"photos": photos[classifier_id], "lessons": lessons[classifier_id], "has_left": 1}
        acts.record(session, "forget", classifier_id=classifier_id, person_id=None, **facts)
    session.execute(update(TrainingRun).where(TrainingRun.person_id == person.id).values(person_id=None))
    _leave_acts(session, person)
    _leave_posts(session, person, keep)
    _leave_private(session, person)
    person.name, person.platform_id, person.created_at = "", f"{LEAVING}{secrets.token_hex(12)}", now()
    session.flush()
    keys = tuple(photo_key(sha) for sha in unused(session, shas))
    return Gone(
        len(mine),
        changed.votes,
        keys,
        tuple(sorted(answers)),
        tuple(sorted(versions)),
        tuple(sorted(classifiers)),
        tuple(corrected),
    )


def erase(session: Session, photo_ids: Sequence[int]) -> None:
    """Take photos out of every table, messages' links to them excepted. Acts on them remain as who did what when."""
    for some in _parts(photo_ids):
        for table in (Embedding, Prediction, Correction, TrainingPhoto, Suspect):
            session.execute(delete(table).where(table.photo_id.in_(some)))
        session.execute(delete(Suspect).where(Suspect.other_photo_id.in_(some)))
        for act in session.scalars(select(Act).where(Act.photo_id.in_(some))):
            act.photo_id = None
            act.facts = {name: fact for name, fact in act.facts.items() if name == "has_left"}
        session.flush()
    gone = set(photo_ids)
    for some in _parts(photo_ids):
        # A group whose first photo leaves is called by its next one: it stays one group.
        left: dict[int, list[int]] = {}
        query = select(Photo.group_id, Photo.id).where(Photo.group_id.in_(some)).order_by(Photo.id)
        for group_id, photo_id in session.execute(query):
            if photo_id not in gone and group_id is not None:
                left.setdefault(group_id, []).append(photo_id)
        for ids in left.values():
            session.execute(update(Photo).where(Photo.id.in_(ids)).values(group_id=ids[0]))
    for some in _parts(photo_ids):
        session.execute(delete(Photo).where(Photo.id.in_(some)))


def unused(session: Session, sha256s: Sequence[str]) -> list[str]:
    """Those of the bytes that no photo of any classifier needs any more."""
    found: list[str] = []
    for start in range(0, len(sha256s), MANY):
        some = sha256s[start : start + MANY]
        needed = set(session.scalars(select(Photo.sha256).where(Photo.sha256.in_(some), Photo.expired_at.is_(None))))
        found += [sha for sha in dict.fromkeys(some) if sha not in needed]
    return found


def is_anybody_leaving(session: Session) -> bool:
    """Whether `finish` has anything to look at."""
    return session.scalar(select(Person.id).where(Person.platform_id.startswith(LEAVING)).limit(1)) is not None


def finish(session: Session) -> int:
    """Erase what was kept of people only until their last answers were shown; how many are gone for good now."""
    leaving = session.scalars(select(Person).where(Person.platform_id.startswith(LEAVING))).all()
    return sum(_finish(session, person) for person in leaving)


def _finish(session: Session, person: Person) -> bool:
    theirs = Message.person_id == person.id
    private = select(Message.chat_id).join(Chat, Chat.id == Message.chat_id).where(theirs, Chat.is_private)
    chats = list(session.scalars(private.distinct()))
    kept = {n for n in session.scalars(select(Message.answer_id).where(theirs)) if n is not None}
    awaited = Answer.shown < Answer.revision, Answer.state == "open"
    mine = select(Answer.id).where(*awaited, (Answer.id.in_(kept)) | (Answer.chat_id.in_(chats)))
    if session.scalar(mine.limit(1)) is not None and now() - person.created_at < PATIENCE:
        return False
    session.execute(delete(Message).where(theirs))
    # Whoever writes again meanwhile is somebody new to us: what is theirs by now stays.
    in_use = exists().where(Message.answer_id == Answer.id)
    done = session.scalars(select(Answer.id).where(Answer.chat_id.in_(chats), ~in_use)).all()
    erase_answers(session, done)
    for chat_id in chats:
        leave_chat(session, chat_id)
    session.execute(delete(Person).where(Person.id == person.id))
    return True


def _leave_private(session: Session, person: Person) -> None:
    """Forget the chat in which we told somebody something of our own accord."""
    address = f"{people.PRIVATE}{person.platform_id}"
    chat_id = session.scalar(select(Chat.id).where(Chat.platform == person.platform, Chat.platform_id == address))
    if chat_id is not None:
        erase_answers(session, session.scalars(select(Answer.id).where(Answer.chat_id == chat_id)).all())
        leave_chat(session, chat_id)


def erase_answers(session: Session, answer_ids: Sequence[int]) -> None:
    """Take messages of ours out of the database; in the chats they stay as they are."""
    for some in _parts(answer_ids):
        session.execute(update(TrainingRun).where(TrainingRun.answer_id.in_(some)).values(answer_id=None))
        session.execute(update(Message).where(Message.answer_id.in_(some)).values(answer_id=None))
        session.execute(delete(Answer).where(Answer.id.in_(some)))


def leave_chat(session: Session, chat_id: int) -> None:
    """Forget a chat in which nothing is left."""
    for table in (Message, Answer):
        if session.scalar(select(table.id).where(table.chat_id == chat_id).limit(1)) is not None:
            return
    session.execute(delete(Chat).where(Chat.id == chat_id))


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
    for act in session.scalars(select(Act).where(Act.verb == "revert")):
        if act.facts.get("reverted_id") == person.id:
            act.facts = {name: fact for name, fact in act.facts.items() if name != "reverted_id"}
    session.flush()


def _leave_posts(session: Session, person: Person, keep: Collection[int]) -> None:
    """Erase every post of this person but those to be kept and the last one of each private chat."""
    posts = Message.person_id == person.id
    last = select(func.max(Message.id)).join(Chat, Chat.id == Message.chat_id).where(posts, Chat.is_private)
    kept = {*keep, *(n for n in session.scalars(last.group_by(Message.chat_id)) if n is not None)}
    answers = [n for n in session.scalars(select(Message.answer_id).where(posts)) if n is not None]
    for some in _parts(answers):
        sent = Answer.id.in_(some), Answer.platform_id.is_not(None)
        session.execute(update(Answer).where(*sent).values(reply_to=None))
    session.execute(delete(Message).where(posts, Message.id.not_in(kept)))
    session.execute(update(Message).where(posts, Message.id.not_in(keep)).values(state="gone"))
    session.execute(update(Message).where(posts).values(payload=None, draft=None, album=None))


def _versions(session: Session, photo_ids: list[int]) -> set[int]:
    query = (
        select(Model.version)
        .join(Photo, Photo.classifier_id == Model.classifier_id)
        .join(TrainingPhoto, TrainingPhoto.photo_id == Photo.id)
        .where(Photo.id.in_(photo_ids), Model.version >= TrainingPhoto.first_version)
        .where((TrainingPhoto.last_version.is_(None)) | (Model.version <= TrainingPhoto.last_version))
    )
    return set(session.scalars(query))


def _parts(ids: Sequence[int]) -> list[list[int]]:
    return [list(ids[start : start + MANY]) for start in range(0, len(ids), MANY)]
