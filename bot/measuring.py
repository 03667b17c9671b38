"""Measuring: when a photo's answer first stands in its chat, the log says so and its time is counted."""

import logging
from collections import OrderedDict

from sqlalchemy import select

from bot.delivery import Outgoing
from snaplabel import logs, metrics
from snaplabel.database import Database, now
from snaplabel.tables import Message

log = logging.getLogger(__name__)
REMEMBERED = 10_000


class Measuring:
    """Remembers which answers were counted: a message is edited many times, and shows its answer first in one of them.

    What was answered before this process began is not counted again when it is edited.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._since = now()
        self._counted: OrderedDict[int, None] = OrderedDict()

    def shown(self, out: Outgoing) -> None:
        """A chat shows this now."""
        query = select(Message).where(Message.answer_id == out.id, Message.state.in_(("answered", "failed")))
        with self._database.read() as session:
            posts = session.scalars(query).all()
        for post in posts:
            is_fresh = out.message is None or (post.answered_at is not None and post.answered_at >= self._since)
            if is_fresh and post.id not in self._counted:
                self._count(post, out)

    def _count(self, post: Message, out: Outgoing) -> None:
        self._counted[post.id] = None
        if len(self._counted) > REMEMBERED:
            self._counted.popitem(last=False)
        took_s = max(0.0, (now() - post.received_at).total_seconds())
        ids = {"message": post.id, "answer": out.id}
        if post.photo_id is not None or post.failure is not None:
            metrics.ANSWER_S.labels(out.platform).observe(took_s)
        if post.photo_id is not None:
            ids["photo"] = post.photo_id
        log.info("answered after %.1f s", took_s, extra=logs.ids(**ids))
