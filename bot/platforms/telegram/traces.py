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
        is_alone = chat.startswith(COUNTS_ITSELF)
        since = max(_numbers([answer.reply_to]), default=0)
        heard = max(_numbers(_heard_before(session, answer, is_alone)), default=since)
        known = set(_numbers(*_said(session, answer, is_alone)))
    end = max(known | {since}) + BEYOND
    # A clock that was set back makes the second group matter; else it is all others' talk that we are not told.
    found = [number for number in range(max(since, end - FARTHEST) + 1, end + 1) if number not in known]
    return sorted(found, key=lambda number: (number <= heard, number))[:MOST]


def _heard_before(session: Session, answer: Answer, is_alone: bool) -> Iterable[str]:
    """Ids of what came in before this answer was written, and so before it can have been sent."""
    before = Message.received_at < answer.created_at, *_same_counter(Message, answer, is_alone)
    query = select(Message.platform_id).where(*before)
    return session.scalars(query.order_by(Message.received_at.desc()).limit(LOOK_BACK))


def _said(session: Session, answer: Answer, is_alone: bool) -> Iterable[Iterable[str | None]]:
    """Ids of what we know was said there, by us and by others."""
    ours = select(Answer.platform_id).where(*_same_counter(Answer, answer, is_alone), Answer.platform_id.is_not(None))
    yield session.scalars(ours.order_by(Answer.created_at.desc()).limit(LOOK_AT))
    theirs = select(Message.platform_id).where(*_same_counter(Message, answer, is_alone))
    yield session.scalars(theirs.order_by(Message.received_at.desc()).limit(LOOK_AT))


def _same_counter(
    table: type[Message] | type[Answer], answer: Answer, is_alone: bool
) -> tuple[ColumnElement[bool], ...]:
    """What shares its numbers with an answer's chat. is_alone: that chat counts for itself.

    Such a chat is named by its id, so that its last words are read from an index instead of all it ever said.
    """
    if is_alone:
        return (table.chat_id == answer.chat_id,)
    others = select(Chat.id).where(Chat.platform_id.not_like(f"{COUNTS_ITSELF}%"))
    return table.platform == answer.platform, table.chat_id.in_(others)


def _numbers(*found: Iterable[str | None]) -> list[int]:
    """Those that are ids of messages; a press has another kind of id."""
    return [int(each) for some in found for each in some if each is not None and each.isdecimal()]
