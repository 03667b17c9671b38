"""Expiry: what was kept for as long as the settings allow is erased, and what a crash left lying is swept.

The database first, then the bytes: whoever dies in between leaves bytes that no row knows, and a later sweep deletes
them. A photo with a label leaves its label, embeddings and fingerprint, so that what was learnt stays; any other leaves
nothing.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from snaplabel import forgetting, reports
from snaplabel.database import Database, now
from snaplabel.errors import NotStored, SnaplabelError
from snaplabel.store import Store, photo_key
from snaplabel.tables import (
    Act,
    Answer,
    Chat,
    Correction,
    Embedding,
    Label,
    Message,
    Person,
    Photo,
    Prediction,
    Suspect,
    TrainingRun,
)

log = logging.getLogger(__name__)

AT_ONCE = 200
# A label that somebody named, and about which a question was never answered.
DRAFT = timedelta(days=7)
# Seconds between two looks for what is due, and between two folders of the store: 256 of photos, one of reports.
EXPIRE_EVERY_S, FOLDER_EVERY_S = 600.0, 60.0
# Bytes are stored before their row is written: so old must an orphan be.
ORPHAN_S = 3600.0
OVER = ("answered", "failed", "gone")
IN_WORK = ("received", "waiting", "classified")


@dataclass(frozen=True)
class Expired:
    """What a batch erased: photos altogether, pictures of photos whose label stays, and posts.

    store_keys: to delete after the commit.
    """

    photos: int
    pictures: int
    posts: int
    store_keys: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.photos or self.pictures or self.posts)


def expire(session: Session, days: int, *, most: int = AT_ONCE) -> Expired:
    """Erase the oldest photos and posts from before `days` days; at most so many of each. 0 days: nothing, ever."""
    if not days:
        return Expired(0, 0, 0, ())
    before = now() - timedelta(days=days)
    found = session.scalars(select(Photo).where(*_is_due(before)).order_by(Photo.id).limit(most)).all()
    learnt = set(session.scalars(_is_learnt([photo.id for photo in found])))
    gone = [photo for photo in found if photo.id not in learnt]
    kept = [photo for photo in found if photo.id in learnt]
    ids, shas = [photo.id for photo in found], [photo.sha256 for photo in found]
    keys = _hide(session, found)
    _erase_posts(session, Message.photo_id.in_(ids))
    forgetting.erase(session, [photo.id for photo in gone])
    for table in (Prediction, Suspect):
        session.execute(delete(table).where(table.photo_id.in_(learnt)))
    session.execute(delete(Suspect).where(Suspect.other_photo_id.in_(learnt)))
    for photo in kept:
        photo.expired_at, photo.person_id = now(), None
    session.flush()
    old = select(Message.id).where(Message.received_at < before, Message.state.in_(OVER), Message.photo_id.is_(None))
    posts = list(session.scalars(old.order_by(Message.id).limit(most)))
    _erase_posts(session, Message.id.in_(posts))
    _erase_answers(session, before, most)
    _erase_strangers(session, before, most)
    keys += [photo_key(sha) for sha in forgetting.unused(session, shas)]
    return Expired(len(gone), len(kept), len(posts), tuple(keys))


def _is_due(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """Photos that nobody posted since, and that nobody waits for. What was imported is the owner's, and stays."""
    imported = exists().where(Person.id == Photo.person_id, Person.platform == "local")
    is_live = exists().where(
        Message.photo_id == Photo.id, or_(Message.received_at >= before, Message.state.in_(IN_WORK))
    )
    return Photo.created_at < before, Photo.expired_at.is_(None), ~imported, ~is_live


def _is_learnt(photo_ids: Sequence[int]) -> Select[int]:
    """Ids of those that were, or may be, learnt from: they have a label and were looked at."""
    return (
        select(Photo.id)
        .where(Photo.id.in_(photo_ids), Photo.label_id.is_not(None), Photo.removed_at.is_(None))
        .where(exists().where(Embedding.photo_id == Photo.id))
    )


def _hide(session: Session, found: Sequence[Photo]) -> list[str]:
    """Take pictures out of our messages that show these photos, reports' among them; keys of reports to delete."""
    keys = reports.undraw(session, sorted({photo.classifier_id for photo in found})) if found else []
    shown = [*keys, *(photo_key(photo.sha256) for photo in found)]
    for start in range(0, len(shown), forgetting.MANY):
        picture = Answer.content["picture"].as_string().in_(shown[start : start + forgetting.MANY])
        for answer in session.scalars(select(Answer).where(picture)):
            answer.content = {**answer.content, "picture": ""}
            answer.revision += 1
    session.flush()
    return keys


def _erase_posts(session: Session, which: ColumnElement[bool]) -> None:
    """Erase these posts, and the messages of ours that answered nothing else."""
    answers = {n for n in session.scalars(select(Message.answer_id).where(which)) if n is not None}
    session.execute(delete(Message).where(which))
    in_use = exists().where(Message.answer_id == Answer.id)
    alone = select(Answer.id).where(Answer.id.in_(answers), ~in_use)
    forgetting.erase_answers(session, session.scalars(alone).all())


def _erase_answers(session: Session, before: datetime, most: int) -> None:
    """Erase what we said of ourselves long ago, but for trainings that are still watched."""
    in_use = exists().where(Message.answer_id == Answer.id)
    watched = exists().where(TrainingRun.answer_id == Answer.id, TrainingRun.finished_at.is_(None))
    is_shown = or_(Answer.shown >= Answer.revision, Answer.state == "gone")
    old = select(Answer.id).where(Answer.created_at < before, is_shown, ~in_use, ~watched)
    forgetting.erase_answers(session, session.scalars(old.order_by(Answer.id).limit(most)).all())


def _erase_strangers(session: Session, before: datetime, most: int) -> None:
    """Forget people of whom nothing is left, and private chats in which nothing is."""
    traces = (Message, Correction, Photo, Act, TrainingRun)
    alone = [~exists().where(table.person_id == Person.id) for table in traces]
    leaving = Person.platform_id.startswith(forgetting.LEAVING)
    query = select(Person.id).where(Person.created_at < before, Person.platform != "local", ~leaving, *alone)
    people = session.scalars(query.order_by(Person.id).limit(most)).all()
    session.execute(delete(Person).where(Person.id.in_(people)))
    empty = [~exists().where(table.chat_id == Chat.id) for table in (Message, Answer)]
    chats = select(Chat.id).where(Chat.is_private, Chat.created_at < before, *empty).order_by(Chat.id).limit(most)
    session.execute(delete(Chat).where(Chat.id.in_(session.scalars(chats).all())))


def drop_drafts(session: Session) -> None:
    """Empty the names that people wrote and that no question about them is open for any more."""
    old = Message.draft.is_not(None), Message.received_at < now() - DRAFT
    session.execute(update(Message).where(*old).values(draft=None))


def wipe(database: Database, store: Store, keys: Sequence[str]) -> int:
    """Delete bytes, except of photos that somebody posted anew meanwhile; how many. Raises StoreError."""
    wiped = 0
    for key in keys:
        if not _is_wanted(database, key):
            try:
                data = store.get(key)
            except NotStored:
                continue
            store.delete(key)
            wiped += 1
            if _is_wanted(database, key):  # Posted in this very moment, by somebody who found the bytes still there.
                store.put(key, data)
    return wiped


def _is_wanted(database: Database, key: str) -> bool:
    sha256 = key.rpartition("/")[2].removesuffix(".jpg")
    with database.read() as session:
        return key == photo_key(sha256) and not forgetting.unused(session, [sha256])


class Sweeper:
    """What the clock has swept: a little at every tick, so that nothing else waits for it."""

    def __init__(self, database: Database, store: Store, days: int) -> None:
        self._database, self._store, self._days = database, store, days
        self._expire_at = self._folder_at = 0.0
        self._folder = 0
        self._orphans: dict[str, float] = {}

    def tick(self) -> None:
        """Whatever is due now; trouble is logged, and met again at a later tick."""
        for step in (self._finish, self._expire, self._look_into_a_folder):
            try:
                step()
            except SnaplabelError as error:
                log.warning("sweeper: %s", error)
            except Exception:
                log.exception("sweeper: a step failed; going on")

    def _finish(self) -> None:
        with self._database.read() as session:
            if not forgetting.is_anybody_leaving(session):
                return
        with self._database.begin() as session:
            left = forgetting.finish(session)
        if left:
            self._database.settle()
            log.info("sweeper: %s people are forgotten for good", left)

    def _expire(self) -> None:
        if time.monotonic() < self._expire_at:
            return
        with self._database.begin() as session:
            drop_drafts(session)
            found = expire(session, self._days)
        wipe(self._database, self._store, found.store_keys)
        if found:
            counts = found.photos, found.pictures, found.posts
            log.info("sweeper: %s photos, %s pictures and %s posts had their time", *counts)
        else:
            self._expire_at = time.monotonic() + EXPIRE_EVERY_S

    def _look_into_a_folder(self) -> None:
        """Delete what no row has known for an hour: a crash came between the commit and its deletion."""
        moment = time.monotonic()
        if moment < self._folder_at:
            return
        folder = f"photos/{self._folder:02x}" if self._folder < 256 else "reports"
        self._folder, self._folder_at = (self._folder + 1) % 257, moment + FOLDER_EVERY_S
        self.sweep(folder, moment)

    def sweep(self, folder: str, moment: float, *, age_s: float = ORPHAN_S) -> int:
        """Delete orphans of one folder that were seen before; how many. moment: seconds, by a clock that only grows."""
        there = [key for key in self._store.keys(folder) if key.endswith((".jpg", ".png"))]
        with self._database.read() as session:
            if folder == "reports":
                orphans = set(there) - set(session.scalars(select(TrainingRun.picture)))
            else:
                shas = [key.rpartition("/")[2].removesuffix(".jpg") for key in there]
                orphans = {photo_key(sha) for sha in forgetting.unused(session, shas)}
        since = {key: self._orphans.pop(key, moment) for key in orphans}
        self._orphans = {key: at for key, at in self._orphans.items() if not key.startswith(f"{folder}/")} | since
        return wipe(self._database, self._store, [key for key, at in since.items() if moment - at >= age_s])


def without_pictures(session: Session, classifier_id: int) -> frozenset[int]:
    """Ids of labelled photos of which no picture is left: they can be learnt from, but not looked at anew."""
    query = select(Photo.id).where(Photo.classifier_id == classifier_id, Photo.expired_at.is_not(None))
    return frozenset(session.scalars(query.join(Label, Label.id == Photo.label_id)))
