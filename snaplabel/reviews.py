"""Reviews: which photos somebody should look at, most doubtful first, and what was decided; everything can be undone.

A decision about a label is an admin's vote like any other, so that the votes alone say what a photo shows; its act
remembers the vote that it replaced.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session, aliased

from snaplabel import acts, ballots, corrections, tally
from snaplabel.database import now
from snaplabel.errors import ReviewError
from snaplabel.labels import in_use
from snaplabel.tables import Act, Label, Photo, Suspect
from snaplabel.tally import Tally

log = logging.getLogger(__name__)

REVIEWS = ("keep", "relabel", "remove")
# In the order in which they are offered: what only people can settle, what can't be learnt, what looks wrong.
KINDS = ("conflict", "unreadable", "mislabelled", "twins", "unlike", "empty")


@dataclass(frozen=True)
class Item:
    """One photo to look at.

    kind: one of KINDS. score: 0 to 1, the higher the sooner; a conflict's is the share of votes against its label.
    label: as it is now, None where the votes are tied. suggested: what it looks like. other: its twin with another
    label. votes: of a conflict, how many say what, most votes first.
    """

    photo_id: int
    kind: str
    score: float
    label: Label | None
    suggested: Label | None
    other: Photo | None
    votes: tuple[tuple[Label, int], ...]


def queue(session: Session, classifier_id: int, *, limit: int = 50, offset: int = 0) -> list[Item]:
    """What should be looked at: what people ask an admin, then photos that can't be read, then suspects by score.

    A photo is there once. Left out are those whose present label a reviewer chose or confirmed, and suspects whose
    label changed since the training that suspected them.
    """
    return page(session, classifier_id, limit=limit, offset=offset)[0]


def page(session: Session, classifier_id: int, *, limit: int, offset: int = 0) -> tuple[list[Item], int]:
    """What `queue` lists, and how many photos there are in all: the votes are weighed once for both."""
    named = _labels(session, classifier_id)
    entries = _entries(session, classifier_id)
    shown = entries[offset : offset + limit]
    pictured = _photos(session, shown)
    found = [_item(session, entry) for entry in shown]
    del named, pictured
    return found, len(entries)


def find(session: Session, classifier_id: int, photo_id: int) -> tuple[Item | None, int]:
    """A photo as `queue` lists it, None where it does not, and how many photos there are in all."""
    named = _labels(session, classifier_id)
    entries = _entries(session, classifier_id)
    mine = next((entry for entry in entries if entry.photo_id == photo_id), None)
    item = _item(session, mine) if mine is not None else None
    del named
    return item, len(entries)


def count(session: Session, classifier_id: int) -> int:
    """How many photos `queue` would list."""
    named = _labels(session, classifier_id)
    found = len(_entries(session, classifier_id))
    del named
    return found


def _labels(session: Session, classifier_id: int) -> Sequence[Label]:
    """Every label of a classifier: while this is held, the session asks for none of them one by one."""
    return session.scalars(select(Label).where(Label.classifier_id == classifier_id)).all()


def _photos(session: Session, entries: Sequence["_Entry"]) -> Sequence[Photo]:
    """The photos that these show, read in one query for whoever holds them."""
    wanted = {n for entry in entries for n in (entry.photo_id, entry.other_id) if n is not None}
    return session.scalars(select(Photo).where(Photo.id.in_(wanted))).all() if wanted else ()


def keep(session: Session, photo: Photo, *, person_id: int | None, votes_needed: float) -> Act:
    """The label is right: the photo is not offered again until its label changes.

    Where people disagree, or nobody of standing said so yet, it is an admin's vote for the present label.
    Raises ReviewError.
    """
    _must_be_here(photo)
    label = session.get(Label, photo.label_id) if photo.label_id else None
    if label is None:
        raise ReviewError("This photo has no label that could be kept; say which one is right.")
    facts: dict[str, Any] = {"before_id": label.id, "label_id": label.id}
    counted = tally.of(session, photo)
    # Kept, a label that newcomers alone gave has somebody of standing behind it: it may be in the exam from now on.
    if counted.is_question or (counted.sides and not counted.is_confirmed):
        facts |= ballots.cast(session, photo, label, person_id, votes_needed)
    return _record(session, "keep", photo, person_id, facts)


def relabel(session: Session, photo: Photo, label: Label, *, person_id: int | None, votes_needed: float) -> Act:
    """An admin's vote for another label; given the one that it has, the photo is kept. person_id None: from the command
    line, as the local person who imports.

    Raises ReviewError.
    """
    _must_be_here(photo)
    if label.classifier_id != photo.classifier_id or label.archived_at is not None:
        raise ReviewError(f"{label.name} is no label in use here.")
    if label.id == photo.label_id:
        return keep(session, photo, person_id=person_id, votes_needed=votes_needed)
    facts = {"before_id": photo.label_id, "label_id": label.id}
    facts |= ballots.cast(session, photo, label, person_id, votes_needed)
    return _record(session, "relabel", photo, person_id, facts)


def remove(session: Session, photo: Photo, *, person_id: int | None) -> Act:
    """Take a photo out of lessons and exam; it and its label stay, so that this can be undone. Raises ReviewError."""
    _must_be_here(photo)
    photo.removed_at = photo.labelled_at = now()
    return _record(session, "remove", photo, person_id, {"before_id": photo.label_id, "label_id": photo.label_id})


def undo(session: Session, act: Act, *, person_id: int | None, votes_needed: float) -> bool:
    """Restore what was before a review. False when it was undone already; votes that others cast since then count.

    Raises ReviewError, worded for a person, when the photo changed since in a way that this would undo too.
    """
    found = session.get(Act, act.id, populate_existing=True, with_for_update=True)
    if found is not None and found.verb not in REVIEWS:
        raise ReviewError("This was no review; only what was kept, relabelled or taken out can be undone here.")
    photo = session.get(Photo, found.photo_id) if found is not None and found.photo_id else None
    if found is None or photo is None:
        raise ReviewError("This photo was erased since; nothing of it is left to restore.")
    if found.undone_at is not None:
        return False
    if found.verb == "remove":
        if photo.removed_at is None:
            raise ReviewError("This photo is back already.")
        photo.removed_at, photo.labelled_at = None, now()
    elif "voter_id" in found.facts:
        ballots.restore(session, photo, found.facts, votes_needed)
    elif found.verb == "relabel":
        raise ReviewError("Whoever decided this was forgotten, and their vote too: there is nothing left to undo.")
    found.undone_at = now()
    _record(session, "undo", photo, person_id, {"undone_id": found.id})
    log.info("act %s undone by person %s", found.id, person_id)
    return True


def decided(session: Session, classifier_id: int, limit: int = 20) -> Sequence[Act]:
    """The latest reviews that stand, newest first; the first is what "undo" means."""
    query = select(Act).where(Act.classifier_id == classifier_id, Act.verb.in_(REVIEWS), Act.undone_at.is_(None))
    query = query.where(Act.photo_id.is_not(None))
    return session.scalars(query.order_by(Act.id.desc()).limit(limit)).all()


def reviewed(session: Session, classifier_id: int) -> set[int]:
    """Ids of photos whose present label a reviewer chose or confirmed."""
    return set(session.scalars(select(Photo.id).where(Photo.classifier_id == classifier_id, _is_reviewed())))


@dataclass(frozen=True)
class _Entry:
    photo_id: int
    label_id: int | None
    kind: str
    score: float
    suggested_id: int | None = None
    other_id: int | None = None
    votes: tuple[tuple[int, int], ...] = ()


def _entries(session: Session, classifier_id: int) -> list[_Entry]:
    suspects = {entry.photo_id: entry for entry in _suspects(session, classifier_id)}
    found: dict[int, _Entry] = {}
    for question in corrections.conflicts(session, classifier_id):
        entry = _conflict(question, suspects.get(question.photo.id))
        found[entry.photo_id] = entry
    query = select(Photo.id, Photo.label_id).where(*_offered(classifier_id), Photo.unreadable.is_not(None))
    for photo_id, label_id in session.execute(query.order_by(Photo.id)):
        found.setdefault(photo_id, _Entry(photo_id, label_id, "unreadable", 1.0))
    for entry in suspects.values():
        found.setdefault(entry.photo_id, entry)
    return list(found.values())


def _conflict(question: Tally, suspect: _Entry | None) -> _Entry:
    label_id = question.photo.label_id
    votes = sorted(((side.label.id, len(side.people)) for side in question.sides), key=lambda vote: -vote[1])
    against = sum(n for voted, n in votes if voted != label_id) / max(1, sum(n for _, n in votes))
    suggested_id = suspect.suggested_id if suspect is not None else None
    suggested_id = suggested_id or next((voted for voted, _ in votes if voted != label_id), None)
    return _Entry(question.photo.id, label_id, "conflict", against, suggested_id, None, tuple(votes))


def _suspects(session: Session, classifier_id: int) -> list[_Entry]:
    """What the newest training suspects, highest score first, as far as it still holds."""
    twin = aliased(Photo)
    # A review that was undone leaves the label as the training saw it, though it changed twice since.
    undone = exists().where(
        Act.photo_id == Photo.id, Act.created_at >= Suspect.created_at, Act.undone_at >= Photo.labelled_at
    )
    query = (
        select(Suspect, Photo.label_id, twin.label_id)
        .join(Photo, Photo.id == Suspect.photo_id)
        .outerjoin(twin, and_(twin.id == Suspect.other_photo_id, twin.removed_at.is_(None)))
        .where(Suspect.classifier_id == classifier_id, *_offered(classifier_id))
        .where(or_(Photo.labelled_at.is_(None), Photo.labelled_at <= Suspect.created_at, undone))
        .order_by(Suspect.score.desc(), Suspect.photo_id)
    )
    found = []
    for suspect, label_id, twins_label in session.execute(query):
        suggested = in_use(session, twins_label if suspect.kind == "twins" else suspect.suggested_id)
        suggested_id = suggested.id if suggested is not None else None
        if suspect.kind in ("mislabelled", "twins") and suggested_id in (None, label_id):
            continue
        other_id = suspect.other_photo_id if suspect.kind == "twins" else None
        found.append(_Entry(suspect.photo_id, label_id, suspect.kind, suspect.score, suggested_id, other_id))
    return found


def _offered(classifier_id: int) -> tuple[ColumnElement[bool], ...]:
    """Photos with a label in use, neither taken out nor expired, whose present label no reviewer decided on."""
    has_label = exists().where(Label.id == Photo.label_id, Label.archived_at.is_(None))
    there = Photo.removed_at.is_(None), Photo.expired_at.is_(None)
    return Photo.classifier_id == classifier_id, *there, has_label, ~_is_reviewed()


def _is_reviewed() -> ColumnElement[bool]:
    return exists().where(
        Act.photo_id == Photo.id,
        Act.verb.in_(("keep", "relabel")),
        Act.undone_at.is_(None),
        Act.facts["label_id"].as_integer() == Photo.label_id,
    )


def _item(session: Session, entry: _Entry) -> Item:
    return Item(
        entry.photo_id,
        entry.kind,
        entry.score,
        session.get(Label, entry.label_id) if entry.label_id else None,
        session.get(Label, entry.suggested_id) if entry.suggested_id else None,
        session.get(Photo, entry.other_id) if entry.other_id else None,
        tuple((session.get_one(Label, label_id), n) for label_id, n in entry.votes),
    )


def _must_be_here(photo: Photo) -> None:
    if photo.removed_at is not None:
        raise ReviewError("This photo was taken out; undo that first.")


def _record(session: Session, verb: str, photo: Photo, person_id: int | None, facts: dict[str, Any]) -> Act:
    return acts.record(
        session, verb, classifier_id=photo.classifier_id, person_id=person_id, photo_id=photo.id, **facts
    )
