"""What the review of page and API shows and decides: its shapes, and what they ask of the database; synchronous."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import reviewing, words
from bot.platforms.web.door import Refused
from bot.platforms.web.lookups import NO_PHOTO, classifier_of, label_named
from bot.platforms.web.room import PLATFORM, stamp
from bot.platforms.web.shapes import Lesson
from snaplabel import acts, labels, people, reviews
from snaplabel.tables import Act, Label, Person, Photo

# The last one that JSON carries exactly (RFC 8259): the database could count on.
LARGEST_ID = 2**53 - 1


class Votes(BaseModel):
    """How many people say that it is this label."""

    label: str
    people: int


class Doubt(BaseModel):
    """A photo to look at. kind: why, in a word; why: in a sentence. score: the higher, the sooner it should be seen.

    label: as it is now; None: none counts. suggested: what it looks like. other: a photo that is nearly the same and
    has the suggested label. picture: address of a JPEG; the other's is made alike. votes: where people disagree.
    """

    photo: int
    kind: Literal["conflict", "unreadable", "mislabelled", "twins", "unlike", "empty"]
    question: str
    why: str
    score: float
    label: str | None
    suggested: str | None
    votes: list[Votes]
    other: int | None
    picture: str
    width: int
    height: int


class Decided(BaseModel):
    """A decision that stands. label: what the photo was labelled by it; before: until then. mine: by who asks."""

    act: int
    photo: int
    decision: Literal["keep", "relabel", "remove"]
    label: str | None
    before: str | None
    by: str
    mine: bool
    at: str


class Doubts(BaseModel):
    """What there is to look at, most doubtful first, and what was decided lately, newest first. labels: all names."""

    left: int
    items: list[Doubt]
    labels: list[str]
    decided: list[Decided]


class Decision(BaseModel):
    """What is to become of a photo. label: of "relabel", the right one; of "keep", the one that was seen.

    new: make the label when it is not known.
    """

    decision: Literal["keep", "relabel", "remove"]
    label: str | None = Field(None, max_length=200)
    new: bool = False


class Outcome(BaseModel):
    """What was done, in a sentence too; act: for undoing it. changed: the model learns from it within seconds."""

    act: int
    photo: int
    label: str | None
    removed: bool
    changed: bool
    said: str
    left: int


class Undo(BaseModel):
    """A decision to take back."""

    act: int = Field(ge=1, le=LARGEST_ID)


class Undone(BaseModel):
    """The photo is as it was. item: it is to be looked at again; None: nothing about it is in doubt any more."""

    photo: int
    label: str | None
    changed: bool
    left: int
    item: Doubt | None


@dataclass(frozen=True)
class Reviewer:
    """Who asks. chat: whose classifier is meant; person, name: as the platform knows them."""

    chat: str
    person: str
    name: str


def doubts(session: Session, who: Reviewer, limit: int, offset: int) -> Doubts:
    """What there is to look at."""
    classifier_id = classifier_of(session, who.chat)
    items, left = reviews.page(session, classifier_id, limit=limit, offset=offset)
    decided = reviews.decided(session, classifier_id)
    # Held until all is said, so that each kind is asked for once and not for every item.
    pictured = session.scalars(select(Photo).where(Photo.id.in_([item.photo_id for item in items]))).all()
    named = acts.named(session, decided)
    found = Doubts(
        left=left,
        items=[_doubt(session, item) for item in items],
        labels=[label.name for label in labels.every(session, classifier_id)],
        decided=[_decided(session, who, act) for act in decided],
    )
    del pictured, named
    return found


def _doubt(session: Session, item: reviews.Item) -> Doubt:
    photo = session.get_one(Photo, item.photo_id)
    label = item.label.name if item.label is not None else None
    suggested = item.suggested.name if item.suggested is not None else None
    votes = [(voted.name, n) for voted, n in item.votes]
    return Doubt(
        photo=photo.id,
        kind=item.kind,  # type: ignore[arg-type]
        question=words.question(item.kind, label, suggested),
        why=words.why(item.kind, label, suggested, votes),
        score=item.score,
        label=label,
        suggested=suggested,
        votes=[Votes(label=name, people=n) for name, n in votes],
        other=item.other.id if item.other is not None else None,
        picture=f"/api/review/{photo.id}/picture",
        width=photo.width,
        height=photo.height,
    )


def _decided(session: Session, who: Reviewer, act: Act) -> Decided:
    person = session.get(Person, act.person_id) if act.person_id is not None else None
    label, before = (session.get(Label, act.facts.get(name) or 0) for name in ("label_id", "before_id"))
    return Decided(
        act=act.id,
        photo=act.photo_id or 0,
        decision=act.verb,  # type: ignore[arg-type]
        label=label.name if label is not None else None,
        before=before.name if before is not None else None,
        by=person.name if person is not None else "",
        mine=person is not None and (person.platform, person.platform_id) == (PLATFORM, who.person),
        at=stamp(act.created_at),
    )


def decide(
    session: Session, who: Reviewer, photo_id: int, wanted: Decision, votes_needed: float
) -> tuple[Outcome, int | None]:
    """Decide on a photo; also the classifier's id where there is something to learn. Raises Refused and what
    `reviewing.decide` and `label_named` do."""
    photo = _photo(session, who, photo_id)
    if wanted.label is None and wanted.decision == "relabel":
        raise Refused(422, "Say which label is the right one.")
    person_id = people.person(session, PLATFORM, who.person, who.name).id
    label = None
    if wanted.label is not None and wanted.decision != "remove":
        is_new = wanted.new and wanted.decision == "relabel"
        label = label_named(session, photo.classifier_id, Lesson(label=wanted.label, new=is_new), person_id)
    done = reviewing.decide(
        *(session, photo.classifier_id, photo.id, wanted.decision, label),
        person_id=person_id,
        votes_needed=votes_needed,
    )
    now = session.get(Label, done.photo.label_id) if done.photo.label_id is not None else None
    name = now.name if now is not None else None
    outcome = Outcome(
        act=done.act.id,
        photo=photo.id,
        label=name,
        removed=done.photo.removed_at is not None,
        changed=done.changed,
        said=words.decided(wanted.decision, name),
        left=reviews.count(session, photo.classifier_id),
    )
    return outcome, photo.classifier_id if done.changed else None


def undo(session: Session, who: Reviewer, act_id: int, votes_needed: float) -> tuple[Undone, int | None]:
    """Take a decision back; also the classifier's id where there is something to learn. Raises Refused, ReviewError."""
    classifier_id = classifier_of(session, who.chat)
    act = session.get(Act, act_id)
    if act is None or act.classifier_id != classifier_id:
        raise Refused(404, "There is no such decision.")
    person_id = people.person(session, PLATFORM, who.person, who.name).id
    done = reviewing.undo(session, classifier_id, act_id, person_id=person_id, votes_needed=votes_needed)
    item, left = reviews.find(session, classifier_id, done.photo.id)
    label = session.get(Label, done.photo.label_id) if done.photo.label_id is not None else None
    undone = Undone(
        photo=done.photo.id,
        label=label.name if label is not None else None,
        changed=done.changed,
        left=left,
        item=_doubt(session, item) if item is not None else None,
    )
    return undone, classifier_id if done.changed else None


def sha256(session: Session, who: Reviewer, photo_id: int) -> str:
    """Which stored photo this is. Raises Refused when it is none of the reviewer's."""
    return _photo(session, who, photo_id).sha256


def _photo(session: Session, who: Reviewer, photo_id: int) -> Photo:
    photo = session.get(Photo, photo_id) if 0 < photo_id <= LARGEST_ID else None
    if photo is None or photo.classifier_id != classifier_of(session, who.chat):
        raise Refused(404, NO_PHOTO)
    return photo
