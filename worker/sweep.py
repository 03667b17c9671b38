"""The sweeper: rings again for photos whose doorbell was lost, and lets nobody wait for what can't be done."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select, update

from snaplabel.database import Database, now
from snaplabel.tables import Message
from worker.turns import LEASE_S, MAX_ATTEMPTS, is_free, waits

# A photo that was rung for this long ago and still waits was lost on the way, unless bells for it are still queued.
LOST_AFTER_S = 15.0
AT_ONCE = 1000


def sweep(
    database: Database, ring: Callable[[str, int], None], queued: Callable[[], int], lease_s: float = LEASE_S
) -> int:
    """Ring for photos that waited too long, oldest first, as far as the queue has fewer bells than that; how many.

    A bell stands for any photo, so a long queue is no reason to ring again, and waiting in it wears nothing out. Only
    tries do: a photo under which a worker died MAX_ATTEMPTS times is parked, and its sender is told. queued: how many
    bells the broker has. Raises QueueError.
    """
    _park(database, lease_s)
    moment = now()
    query = select(Message.id, Message.photo_id).where(*_are_lost(moment, lease_s))
    with database.read() as session:
        waiting = session.execute(query.order_by(Message.id).limit(AT_ONCE)).all()
    missing = waiting[: max(0, len(waiting) - queued())] if waiting else []
    if not missing:
        return 0
    fresh = Message.id.in_([message_id for message_id, _ in missing]), Message.attempts == 0
    with database.begin() as session:
        session.execute(update(Message).where(*fresh, Message.state == "waiting").values(queued_at=moment))
    for _, photo_id in missing:
        ring("classify.photo", photo_id or 0)  # Which photo is looked at is decided when the bell is heard.
    return len(missing)


def is_due(database: Database, lease_s: float = LEASE_S) -> bool:
    """Whether a photo waits that no bell seems to be coming for."""
    with database.read() as session:
        return session.scalar(select(Message.id).where(*_are_lost(now(), lease_s)).limit(1)) is not None


def _are_lost(moment: datetime, lease_s: float) -> tuple[ColumnElement[bool], ...]:
    """A bell that is to ring in a distant future was rung before the clock was set back."""
    long_ago, too_late = moment - timedelta(seconds=LOST_AFTER_S), moment + timedelta(seconds=2 * lease_s)
    was_rung = and_(Message.attempts == 0, Message.queued_at >= long_ago, Message.queued_at <= too_late)
    is_tried = Message.attempts < MAX_ATTEMPTS
    return *waits(), is_free(moment, lease_s), is_tried, or_(Message.queued_at.is_(None), ~was_rung)


def _park(database: Database, lease_s: float) -> None:
    worn_out = *waits(), is_free(now(), lease_s), Message.attempts >= MAX_ATTEMPTS
    with database.read() as session:
        ids = session.scalars(select(Message.id).where(*worn_out).limit(AT_ONCE)).all()
    if ids:
        with database.begin() as session:
            still = Message.id.in_(ids), Message.state == "waiting", Message.attempts >= MAX_ATTEMPTS
            session.execute(update(Message).where(*still).values(state="classified", failure="trouble"))
