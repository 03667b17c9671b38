"""Where a message of ours lies if a send that nobody heard of left one: the ids that it can have.

The Bot API has neither a key against sending twice nor a way to look into a chat. But a chat's message ids only grow,
we know those of nearly everything that was said there (once all updates have come in), and only our own messages can
be edited: of the few ids that are left, the one that takes an edit is ours.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from snaplabel.database import Database
from snaplabel.tables import Answer, Chat, Message

# Ids above the highest that we know: service messages, and what other bots or people said that we are not told.
BEYOND = 20
MOST = 60
LOOK_BACK = 20
LOOK_AT = 2000
FARTHEST = 10_000
# Supergroups count their own messages; private chats and basic groups share the counter of the bot's account.
# Source: "message boxes" in https://core.telegram.org/api/updates
COUNTS_ITSELF = "-100"


def candidates(database: Database, chat: str, answer_id: int) -> list[int]:
    """The ids that a message of this answer can have, the likeliest first: after what came in before it was written."""
    with database.read() as session:
        answer = session.get(Answer, answer_id)
        if answer is None:
            return []
        there = _same_counter(chat)
        since = max(_numbers([answer.reply_to]), default=0)
        heard = max(_numbers(_heard_before(session, answer, there)), default=since)
        known = set(_numbers(*_said(session, answer, there)))
    end = max(known | {since}) + BEYOND
    # A clock that was set back makes the second group matter; else it is all others' talk that we are not told.
    found = [number for number in range(max(since, end - FARTHEST) + 1, end + 1) if number not in known]
    return sorted(found, key=lambda number: (number <= heard, number))[:MOST]


def _same_counter(chat: str) -> ColumnElement[bool]:
    if chat.startswith(COUNTS_ITSELF):
        return Chat.platform_id == chat
    return Chat.platform_id.not_like(f"{COUNTS_ITSELF}%")


def _heard_before(session: Session, answer: Answer, there: ColumnElement[bool]) -> Iterable[str]:
    """Ids of what came in before this answer was written, and so before it can have been sent."""
    query = select(Message.platform_id).join(Chat, Chat.id == Message.chat_id)
    before = Message.platform == answer.platform, there, Message.received_at < answer.created_at
    return session.scalars(query.where(*before).order_by(Message.id.desc()).limit(LOOK_BACK))


def _said(session: Session, answer: Answer, there: ColumnElement[bool]) -> Iterable[Iterable[str | None]]:
    """Ids of what we know was said there, by us and by others."""
    ours = select(Answer.platform_id).join(Chat, Chat.id == Answer.chat_id)
    theirs = select(Message.platform_id).join(Chat, Chat.id == Message.chat_id)
    ours = ours.where(Answer.platform == answer.platform, there, Answer.platform_id.is_not(None))
    yield session.scalars(ours.order_by(Answer.id.desc()).limit(LOOK_AT))
    theirs = theirs.where(Message.platform == answer.platform, there).order_by(Message.id.desc())
    yield session.scalars(theirs.limit(LOOK_AT))


def _numbers(*found: Iterable[str | None]) -> list[int]:
    """Those that are ids of messages; a press has another kind of id."""
    return [int(each) for some in found for each in some if each is not None and each.isdecimal()]
