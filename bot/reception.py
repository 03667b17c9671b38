"""Takes posts in: writes them down first, and only then does anybody tell the platform that we have them."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import lessons
from bot.conversation import Talk, respond
from bot.messages import Incoming
from snaplabel import images, people
from snaplabel.database import Database, now
from snaplabel.errors import ImageError
from snaplabel.images import Prepared
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Chat, Message, Person

MAX_ATTEMPTS = 3
INBOX = "inbox"
INBOX_S = 3600


@dataclass(frozen=True)
class After:
    """What is left to do once a post is handled and committed."""

    rings: tuple[tuple[str, int], ...] = ()
    erased: tuple[str, ...] = ()


def write_down(database: Database, posts: Sequence[Incoming]) -> list[int]:
    """Commit posts and return the ids of their messages; one that was written before is left out."""
    found = []
    with database.begin() as session:
        for post in posts:
            chat = people.chat(session, post.platform, post.chat, is_private=post.is_private)
            here = select(Message.id).where(
                Message.platform == post.platform,
                Message.chat_id == chat.id,
                Message.platform_id == post.message,
                Message.position == post.position,
            )
            if session.scalar(here) is not None:
                continue
            message = Message(
                platform=post.platform,
                chat_id=chat.id,
                platform_id=post.message,
                position=post.position,
                album=post.album,
                person_id=people.person(session, post.platform, post.person, post.name).id,
                payload=post.to_json(),
            )
            session.add(message)
            session.flush()
            found.append(message.id)
    return found


def unhandled(database: Database, platforms: Sequence[str]) -> list[int]:
    """Messages that were written down and not handled, oldest first: what a crash left behind."""
    query = select(Message.id).where(Message.platform.in_(platforms), Message.state == "received")
    with database.read() as session:
        return list(session.scalars(query.order_by(Message.id)))


def post_of(database: Database, message_id: int) -> Incoming | None:
    """The post of a message that is still to be handled."""
    with database.read() as session:
        message = session.get(Message, message_id)
        if message is None or message.state != "received" or message.payload is None:
            return None
        return Incoming.from_json(message.payload)


def check(store: Store, data: bytes) -> Prepared | ImageError:
    """A stranger's bytes, made safe and put into the store; or why not."""
    try:
        prepared = images.prepare(data)
    except ImageError as error:
        return error
    key = photo_key(prepared.sha256)
    if not store.has(key):
        store.put(key, prepared.data)
    return prepared


def handle(database: Database, settings: Settings, message_id: int, found: Prepared | ImageError | None) -> After:
    """Handle one message in one transaction. found: a photo's outcome of `check`; None: it can't be fetched any more.

    Raises conversation.NotYet when it is about a photo that is still being taken in.
    """
    with database.begin() as session:
        talk = _talk(session, settings, message_id)
        if talk is None:
            return After()
        if talk.post.kind != "photo":
            respond(talk)
            talk.message.state, talk.message.answered_at = "answered", now()
            talk.message.payload = None
        elif isinstance(found, Prepared):
            lessons.take_in(talk, found)
            talk.message.queued_at = now()
        else:
            lessons.refuse(talk, found)
        return After(tuple(dict.fromkeys(talk.rings)), tuple(talk.erased))


def failed(database: Database, message_id: int) -> bool:
    """Count a failed try of a message; whether it was the last one, after which its sender is told."""
    with database.begin() as session:
        message = session.get(Message, message_id)
        if message is None or message.state != "received":
            return True
        message.attempts += 1
        if message.attempts < MAX_ATTEMPTS:
            return False
        message.failure, message.state = "trouble", "classified"
        return True


def inbox_key() -> str:
    """A fresh key of the store for bytes that came with a post; it tells when they came."""
    return f"{INBOX}/{int(time.time())}-{secrets.token_hex(8)}"


def empty_inbox(store: Store) -> None:
    """Delete what no post claimed: of a post that came twice, or of an upload that broke off."""
    for key in store.keys(INBOX):
        since = key.rpartition("/")[2].partition("-")[0]
        if since.isdecimal() and time.time() - int(since) > INBOX_S:
            store.delete(key)


def erase(store: Store, keys: Sequence[str]) -> None:
    """Delete bytes from the store."""
    for key in keys:
        store.delete(key)


def newest_seen(database: Database, platform: str, chat_id: str) -> str | None:
    """The newest message of a chat that was written down, for platforms that are read by history."""
    here = select(Chat.seen_message_id).where(Chat.platform == platform, Chat.platform_id == chat_id)
    with database.read() as session:
        return session.scalar(here)


def mark_seen(database: Database, platform: str, chat_id: str, message_id: str) -> None:
    """Move a chat's mark to this message; it never moves back. Ids that grow are compared as numbers."""
    with database.begin() as session:
        chat = people.chat(session, platform, chat_id)
        if chat.seen_message_id is None or int(chat.seen_message_id) < int(message_id):
            chat.seen_message_id = message_id


def _talk(session: Session, settings: Settings, message_id: int) -> Talk | None:
    message = session.get(Message, message_id, with_for_update=True)
    if message is None or message.state != "received" or message.payload is None:
        return None
    chat, person = session.get(Chat, message.chat_id), session.get(Person, message.person_id)
    assert chat is not None
    assert person is not None
    return Talk(session, settings, Incoming.from_json(message.payload), message, chat, person)
