"""What the browser chat's page shows of its room, read from the database; synchronous, no web framework."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from PIL import Image
from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from bot.messages import Choice, Reply
from bot.platforms.web.door import public_id
from snaplabel import images
from snaplabel.store import sha256_of
from snaplabel.tables import Answer, Chat, Message, Person, Photo

PLATFORM = "web"
ROOM = "room"
API = "api"
PAGE = 50
STEP = 4 * PAGE
SHOWN_SIDE = 1024  # pixels: a phone's screen at three dots a pixel
# A post is written down a moment before the page says that it was said.
SLACK = timedelta(minutes=5)
UNDECIDED = ("received", "waiting", "classified")


@dataclass(frozen=True)
class Shot:
    """One photo of a post. state: "ready" (it can be fetched), "coming", or "failed" (it was no photo)."""

    position: int
    state: str = "coming"
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Shown:
    """One answer as a page draws it; picture is an address. reply_to: the id of the post that it answers."""

    id: str
    at: str
    reply_to: str | None
    reply: dict[str, Any]


@dataclass(frozen=True)
class Item:
    """One thing of the feed: "photos" with their answer, a "text", or an "answer" that stands alone.

    at: ISO 8601 in UTC, always with microseconds, so that it sorts as text. person: public id.
    """

    kind: str
    id: str
    at: str
    person: str = ""
    name: str = ""
    text: str = ""
    reply_to: str | None = None
    photos: tuple[Shot, ...] = ()
    answer: Shown | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def drawn(answer: str, reply: Reply) -> dict[str, Any]:
    """A reply as the page gets it: the picture's key in the store stays here, its address changes with it."""
    found = reply.to_json()
    if reply.picture:
        found["picture"] = f"/picture/{quote(answer, safe='')}?v={sha256_of(reply.picture.encode())[:8]}"
    return found


def room(session: Session, chat: str = ROOM) -> Chat | None:
    """The chat of this id; None before anything was posted there."""
    return session.scalar(select(Chat).where(Chat.platform == PLATFORM, Chat.platform_id == chat))


def feed(session: Session, before: str = "") -> list[Item]:
    """The newest items of the room before a moment ("": now), oldest first; PAGE of them, or as many as there are.

    Raises ValueError or OverflowError when `before` is no moment.
    """
    chat = room(session)
    if chat is None:
        return []
    moment = datetime.fromisoformat(before) if before else None
    if moment is not None and moment.tzinfo is None:
        raise ValueError(before)
    moment = moment.astimezone(UTC) if moment is not None else None
    posts = _posts(session, chat, moment)
    alone = _alone(session, chat, moment)
    items = [*(_photos(group) for group in posts), *(Item("answer", one.id, one.at, answer=one) for one in alone)]
    return sorted(items, key=lambda item: item.at)[-PAGE:]


def people_here(session: Session, since: str) -> set[str]:
    """Public ids of everybody who wrote here since a moment and is still known."""
    chat = room(session)
    if chat is None:
        return set()
    moment = datetime.fromisoformat(since).astimezone(UTC) - SLACK
    wrote = select(Message.person_id).where(Message.chat_id == chat.id, Message.received_at >= moment)
    found = session.scalars(select(Person.platform_id).where(Person.platform == PLATFORM, Person.id.in_(wrote)))
    return {public_id(platform_id) for platform_id in found}


def with_texts(items: Sequence[Item], texts: Sequence[Item]) -> dict[str, Any]:
    """The feed as the page gets it: with what was typed, captions beside their photos. more: there are older ones."""
    captions = {text.id: text.text for text in texts if text.kind == "photos"}
    found = [replace(item, text=captions.get(item.id, "")) for item in items]
    found += [text for text in texts if text.kind == "text"]
    found.sort(key=lambda item: item.at)
    return {"items": [item.to_json() for item in found], "more": len(items) == PAGE}


@dataclass(frozen=True)
class _Row:
    """A post with what belongs to it."""

    message: Message
    person: Person
    photo: Photo | None
    answer: Answer | None


def _posts(session: Session, chat: Chat, before: datetime | None) -> list[list[_Row]]:
    """Photo posts, each a list of its photos in order; unsorted."""
    is_photo = or_(Message.photo_id.is_not(None), Message.failure.is_not(None), Message.state.in_(UNDECIDED))
    query = (
        select(Message, Person, Photo, Answer)
        .join(Person, Person.id == Message.person_id)
        .outerjoin(Photo, Photo.id == Message.photo_id)
        .outerjoin(Answer, Answer.id == Message.answer_id)
        .where(Message.chat_id == chat.id, Message.platform_id.in_(_latest(session, chat, is_photo, before)), is_photo)
        .where(Message.state != "gone")
        .order_by(Message.position)
    )
    groups: dict[str, list[_Row]] = {}
    for message, person, photo, answer in session.execute(query):
        if photo is None and message.failure is None and (message.payload or {}).get("kind") != "photo":
            continue  # A text or a press that is about to be answered.
        groups.setdefault(message.platform_id, []).append(_Row(message, person, photo, answer))
    return list(groups.values())


def _latest(session: Session, chat: Chat, is_photo: ColumnElement[bool], before: datetime | None) -> list[str]:
    """Ids of the last PAGE photo posts, by when their first photo was written down.

    Read from the end of the chat, a few pages of photos at a time: a chat may hold a million.
    """
    found: dict[str, datetime] = {}
    while len(found) <= PAGE:  # The last one of a step may go on in the next one.
        query = select(Message.platform_id, Message.received_at).where(Message.chat_id == chat.id, is_photo)
        query = query.where(Message.state != "gone", *(() if before is None else (Message.received_at < before,)))
        rows = session.execute(query.order_by(Message.received_at.desc()).limit(STEP)).all()
        for number, at in rows:
            found[number] = min(at, found.get(number, at))
        if len(rows) < STEP or rows[-1][1] == before:
            break
        before = rows[-1][1]
    return sorted(found, key=lambda number: found[number])[-PAGE:]


def _alone(session: Session, chat: Chat, before: datetime | None) -> list[Shown]:
    """Answers that hang under no photo."""
    under_photo = select(Message.id).where(
        Message.answer_id == Answer.id, or_(Message.photo_id.is_not(None), Message.failure.is_not(None))
    )
    query: Select[Any] = select(Answer).where(
        Answer.chat_id == chat.id, Answer.state == "open", Answer.platform_id.is_not(None), ~under_photo.exists()
    )
    if before is not None:
        query = query.where(Answer.created_at < before)
    found = session.scalars(query.order_by(Answer.created_at.desc()).limit(PAGE))
    return [shown for answer in found if (shown := _shown(answer)) is not None]


def _photos(rows: Sequence[_Row]) -> Item:
    first = rows[0]
    answer = next((row.answer for row in rows if row.answer is not None), None)
    return Item(
        "photos",
        first.message.platform_id,
        stamp(min(row.message.received_at for row in rows)),
        person=public_id(first.person.platform_id),
        name=first.person.name,
        photos=tuple(_shot(row) for row in rows),
        answer=_shown(answer) if answer is not None else None,
    )


def _shot(row: _Row) -> Shot:
    if row.photo is not None:
        return Shot(row.message.position, "ready", row.photo.width, row.photo.height)
    return Shot(row.message.position, "failed" if row.message.failure else "coming")


def _shown(answer: Answer) -> Shown | None:
    if answer.platform_id is None or answer.state != "open":
        return None
    reply = drawn(answer.platform_id, Reply.from_json(answer.content))
    return Shown(answer.platform_id, stamp(answer.created_at), answer.reply_to, reply)


def reply_of(session: Session, answer: str) -> Reply | None:
    """What an answer of the room should show; None when there is no such answer."""
    chat = room(session)
    if chat is None:
        return None
    query = select(Answer).where(Answer.chat_id == chat.id, Answer.platform_id == answer, Answer.state == "open")
    found = session.scalars(query).first()
    return Reply.from_json(found.content) if found is not None else None


def choices(replies: Iterable[Reply | None]) -> dict[str, Choice]:
    """The buttons of these replies, by what a press of them carries."""
    rows = [row for reply in replies if reply is not None for row in reply.choices]
    return {choice.data: choice for row in rows for choice in row}


def photo_sha256(session: Session, message: str, position: int) -> str | None:
    """Which stored photo a post of the room shows; "" while it is being taken in, None when it has none."""
    query = (
        select(Message.state, Photo.sha256)
        .join(Chat, Chat.id == Message.chat_id)
        .outerjoin(Photo, Photo.id == Message.photo_id)
        .where(Chat.platform == PLATFORM, Chat.platform_id == ROOM, Message.platform_id == message)
        .where(Message.position == position, Message.state != "gone")
    )
    found = session.execute(query).first()
    if found is None:
        return None
    state, sha256 = found
    return sha256 or ("" if state == "received" else None)


def as_shown(stored: bytes) -> bytes:
    """A stored photo as a page gets it: decoded and coded anew, no larger than a screen. Raises ImageError."""
    image = images.load(stored, at_least=SHOWN_SIDE // 2)
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=84)
    return out.getvalue()
