"""Answers: what a chat should show. Writing one here is all it takes to say something; `delivery` makes it so."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.messages import Reply
from snaplabel.tables import Answer, Chat, Message


def say(session: Session, chat: Chat, reply: Reply, *, reply_to: str | None = None, album: str | None = None) -> Answer:
    """A new message of ours."""
    answer = Answer(
        platform=chat.platform, chat_id=chat.id, reply_to=reply_to, album=album, content=reply.to_json(), revision=1
    )
    session.add(answer)
    session.flush()
    return answer


def show(session: Session, answer: Answer, reply: Reply) -> bool:
    """Make an earlier message show this instead; whether that is a change.

    Who changes it at the same time is waited for: two changes that were the same revision would leave one unshown.
    """
    session.refresh(answer, with_for_update=True)
    if not differs(answer, reply):
        return False
    answer.content = reply.to_json()
    answer.revision += 1
    session.flush()
    return True


def showing(session: Session, store_keys: Sequence[str]) -> list[Answer]:
    """The messages that show one of these pictures and can still be changed."""
    found: list[Answer] = []
    for start in range(0, len(store_keys), 500):
        shown = Answer.content["picture"].as_string().in_(store_keys[start : start + 500])
        found += session.scalars(select(Answer).where(Answer.state == "open", shown))
    return found


def differs(answer: Answer | None, reply: Reply) -> bool:
    """Whether a message shows something else than this, and can still be changed."""
    return answer is not None and answer.state != "gone" and answer.content != _as_stored(reply.to_json())


def reply_handle(message: Message) -> str:
    """What `Platform.send` takes as reply_to for this post."""
    token = (message.payload or {}).get("token")
    return str(token or message.platform_id)


def _as_stored(content: object) -> object:
    """Tuples come back from JSON as lists."""
    if isinstance(content, dict):
        return {name: _as_stored(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_as_stored(value) for value in content]
    return content
