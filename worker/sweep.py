"""The sweeper: rings again for photos whose doorbell was lost, and lets nobody wait for what can't be done."""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import or_, select, update

from snaplabel.database import Database, now
from snaplabel.tables import Chat, Message, Model

# A photo that was rung for this long ago and still waits was lost on the way, or its worker died.
LOST_AFTER_S = 15.0
MAX_ATTEMPTS = 6
AT_ONCE = 200


def sweep(database: Database, ring: Callable[[str, int], None]) -> int:
    """Ring again for waiting photos, oldest first; how many. After MAX_ATTEMPTS a photo's sender is told instead.

    Tries count only while its classifier has a model to try with: before that, waiting is nobody's fault.
    """
    long_ago = now() - timedelta(seconds=LOST_AFTER_S)
    is_lost = Message.state == "waiting", or_(Message.queued_at.is_(None), Message.queued_at < long_ago)
    with database.read() as session:
        query = select(Message.id, Message.photo_id).where(*is_lost).order_by(Message.id).limit(AT_ONCE)
        lost = session.execute(query).all()
    if not lost:
        return 0
    ids = [message_id for message_id, _ in lost]
    has_model = Message.chat_id.in_(
        select(Chat.id).join(Model, Model.classifier_id == Chat.classifier_id).where(Model.state == "current")
    )
    with database.begin() as session:
        mine = Message.id.in_(ids), Message.state == "waiting"
        session.execute(update(Message).where(*mine).values(queued_at=now()))
        session.execute(update(Message).where(*mine, has_model).values(attempts=Message.attempts + 1))
        worn_out = *mine, Message.attempts > MAX_ATTEMPTS
        session.execute(update(Message).where(*worn_out).values(state="classified", failure="trouble"))
    for photo_id in dict.fromkeys(photo_id for _, photo_id in lost if photo_id is not None):
        ring("classify.photo", photo_id)
    return len(lost)
