"""What the HTTP API asks of the database: results, corrections, the model; synchronous, no web framework."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import looks, reporting
from bot.platforms.web.door import Refused
from bot.platforms.web.room import API, PLATFORM, ROOM, room
from bot.platforms.web.shapes import LabelRow, Lesson, ModelNow, Pending, Result, Score, Taught
from snaplabel import corrections, labels, naming, people, photos, registry
from snaplabel.database import Database
from snaplabel.errors import LabelError
from snaplabel.registry import Card
from snaplabel.tables import Label, Message, Photo
from snaplabel.voices import REFUSALS

NO_PHOTO = "There is no photo with this id."
# What each reason of images.REASONS is in HTTP; others are our own trouble.
STATUS = {
    **dict.fromkeys(("empty", "broken", "too-small", "too-thin", "too-hard"), 400),
    **dict.fromkeys(("too-heavy", "too-large"), 413),
    **dict.fromkeys(("no-photo", "heic"), 415),
}


def look(session: Session, message_id: str) -> Result | Pending:
    """What is known of a photo by now. Raises Refused: there is none, or it is no photo."""
    message = _message(session, message_id)
    if message.failure is not None:
        sentence = REFUSALS.get(message.failure, REFUSALS["trouble"])
        raise Refused(STATUS.get(message.failure, 500), sentence)
    picture = session.get(Photo, message.photo_id) if message.photo_id is not None else None
    if picture is None:
        return Pending(id=message_id, state="received")
    seen = looks.seen(session, picture.id)
    twin = photos.like(session, picture)
    told = session.get(Label, twin.label_id) if twin is not None and twin.label_id is not None else None
    latest = seen[-1] if seen else None
    if latest is None and (told is None or message.state in ("received", "waiting")):
        return Pending(id=message_id, state="waiting")
    found: dict[str, Any] = {
        "id": message_id,
        "top": latest.named if latest else [],
        "model": latest.version if latest else None,
    }
    if told is not None:
        return Result(label=told.name, confidence=1.0, voice="told", **found)
    assert latest is not None
    first = latest.named[0] if latest.named and latest.voice != "untaught" else (None, None)
    return Result(label=first[0], confidence=first[1], voice=latest.voice, **found)  # type: ignore[arg-type]


def correct(database: Database, message_id: str, lesson: Lesson, votes_needed: float) -> tuple[Taught, int]:
    """Record a correction by the API; also the classifier's id, to ring its trainer. Raises Refused."""
    try:
        with database.begin() as session:
            message = _message(session, message_id)
            picture = session.get(Photo, message.photo_id) if message.photo_id is not None else None
            if picture is None and message.failure is None:
                raise Refused(409, "That photo is still being taken in. Try again in a moment.")
            if picture is None:
                raise Refused(409, "That was no photo, so there is nothing to correct.")
            person = people.person(session, PLATFORM, API, "API")
            label = label_named(session, picture.classifier_id, lesson, person.id)
            outcome = corrections.vote(session, picture, person, label, is_admin=True, votes_needed=votes_needed)
            accepted = outcome.accepted.name if outcome.accepted is not None else None
            return Taught(id=message_id, accepted=accepted, changed=outcome.changed), picture.classifier_id
    except LabelError as error:
        raise Refused(422, str(error)) from error


def label_named(session: Session, classifier_id: int, lesson: Lesson, person_id: int) -> Label:
    """The label that a lesson names, made for this person if it wishes so. Raises Refused, LabelError."""
    meant = labels.meant(session, classifier_id, lesson.label)
    if meant.label is not None and (meant.is_sure or labels.key(lesson.label) == meant.label.key):
        return meant.label
    if lesson.new:
        return naming.make(session, classifier_id, lesson.label, person_id=person_id)
    near = meant.label.name if meant.label is not None else None
    known = [label.name for label in labels.every(session, classifier_id)]
    sentence = f"There is no label “{labels.clean(lesson.label)}”."
    sentence += f" Did you mean {near}?" if near else " Send “new”: true to make it."
    raise Refused(404, sentence, labels=known, near=near)


def model_now(session: Session, chat: str = ROOM) -> ModelNow:
    """The model that answers in a chat now."""
    classifier_id = classifier_of(session, chat)
    there = photos.totals(session, classifier_id)
    model = registry.current(session, classifier_id)
    if model is None:
        return ModelNow(classifier=_name(session, chat), photos=there.photos, labelled=there.labelled)
    card = Card.from_json(model.card)
    exam = card.exam
    candidate = reporting.waiting(session, classifier_id)
    return ModelNow(
        classifier=_name(session, chat),
        version=model.version,
        waiting=candidate.version if candidate is not None else None,
        kind=model.kind,
        backbone=model.backbone,
        published_at=model.published_at.isoformat() if model.published_at else None,
        labels=[name for _, name in card.labels],
        exam=Score(error=exam.error, low=exam.low, high=exam.high, photos=exam.photos, by=exam.by),
        photos=there.photos,
        labelled=there.labelled,
    )


def label_rows(session: Session, chat: str = API) -> list[LabelRow]:
    """The labels of a chat's classifier, most photos first."""
    rows = labels.counts(session, classifier_of(session, chat))
    return [LabelRow(name=row.label.name, photos=row.photos, exam=row.exam) for row in rows]


def is_alive(database: Database) -> bool:
    """Whether the database answers and holds our tables."""
    try:
        with database.read() as session:
            session.scalar(select(Message.id).limit(1))
    except Exception:  # Whatever a driver raises, the answer is no.
        return False
    return True


def _message(session: Session, message_id: str) -> Message:
    chat = room(session, API)
    found = None
    if chat is not None:
        query = select(Message).where(Message.chat_id == chat.id, Message.platform_id == message_id)
        found = session.scalars(query.order_by(Message.position)).first()
    if found is None or found.state == "gone":
        raise Refused(404, NO_PHOTO)
    return found


def classifier_of(session: Session, chat: str) -> int:
    """The classifier that a chat is bound to; -1, which is none, while nothing was ever made."""
    there = room(session, chat)
    if there is not None:
        return there.classifier_id
    default = people.classifier(session)
    return default.id if default is not None else -1


def _name(session: Session, chat: str) -> str:
    from snaplabel.tables import Classifier

    found = session.get(Classifier, classifier_of(session, chat))
    return found.name if found is not None else people.DEFAULT
