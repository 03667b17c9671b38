"""Takes posts in: writes them down first, and only then does anybody tell the platform that we have them."""

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import lessons
from bot.conversation import Talk, respond
from bot.messages import Incoming
from snaplabel import darkroom, logs, metrics, people
from snaplabel.database import Database, now
from snaplabel.errors import ImageError
from snaplabel.images import Prepared
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Chat, Message, Person

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
PATIENCE = timedelta(hours=1)
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
                person_id=people.person(session, post.platform, post.person, post.name if post.is_signed else "").id,
                payload=post.to_json(),
            )
            session.add(message)
            session.flush()
            found.append(message.id)
    for message_id in found:
        log.info("written down", extra=logs.ids(message=message_id))
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
        with metrics.DECODE_S.time():
            prepared = darkroom.prepare(data)
    except ImageError as error:
        return error
    key = photo_key(prepared.sha256)
    if not store.has(key):
        store.put(key, prepared.data)
    return prepared


def handle(
    database: Database,
    settings: Settings,
    message_id: int,
    found: Prepared | ImageError | None,
    *,
    is_chat_admin: bool = False,
) -> After:
    """Handle one message in one transaction. found: a photo's outcome of `check`; None: it can't be fetched any more.

    is_chat_admin: the platform, asked a moment ago, said that its author manages the chat.
    Raises conversation.NotYet when it is about a photo that is still being taken in.
    """
    with database.begin() as session:
        talk = _talk(session, settings, message_id)
        if talk is None:
            return After()
        if is_chat_admin:
            talk.post = replace(talk.post, is_chat_admin=True)
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


def tell(after: After, found: Prepared | ImageError | None) -> None:
    """Log what became of a photo once that is committed, and count what was refused."""
    photo = next((number for task, number in after.rings if task == "classify.photo"), None)
    if photo is not None:
        log.info("taken in", extra=logs.ids(photo=photo))
    elif not isinstance(found, Prepared):
        reason = found.reason if found is not None else "lost"
        metrics.REFUSED.labels(reason).inc()
        log.info("refused: %s", reason)


def failed(database: Database, message_id: int, *, passes: bool = False) -> bool:
    """Count a failed try of a message; whether it was the last one, after which its sender is told.

    passes: it was no fault of this message's but of something that comes back, the platform or the store; then it is
    tried for PATIENCE.
    """
    with database.begin() as session:
        message = session.get(Message, message_id)
        if message is None or message.state != "received":
            return True
        if passes and now() - message.received_at < PATIENCE:
            return False
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
