"""Whose photo is looked at next: everybody has a turn, however many photos somebody else has sent.

A doorbell only says that somebody waits. Which photo is looked at is decided here, in the database: so a photo behind
5,000 of another person's has its turn at once, and a bell too many finds nobody waiting and costs a glance.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from snaplabel.database import Database, UtcDateTime, now
from snaplabel.errors import DatabaseError
from snaplabel.tables import Chat, Message, Model

log = logging.getLogger(__name__)

# A worker that is gone for longer (killed, stopped) has its photos looked at by another; the first to finish answers.
LEASE_S = 20.0
HANGS_AFTER = 10
# A photo whose worker died under it so many times is not tried again.
MAX_ATTEMPTS = 4
# A newcomer is noticed this late while others wait.
GLANCE_S = 0.5
EACH, AT_ONCE = 50, 1000
# After a failure that was no photo's fault (no model, no store) its classifier is left alone for so long.
PAUSE_S = 5.0
# The present, and the latest end that a lease can have: filled in when a query runs.
Moment = datetime | BindParameter[datetime]
MOMENT, LATEST = bindparam("moment", type_=UtcDateTime()), bindparam("latest", type_=UtcDateTime())


@dataclass(frozen=True)
class Turn:
    """A photo that is ours to look at until the lease ends. attempt: 1 for the first try."""

    message_id: int
    photo_id: int
    person_id: int
    classifier_id: int
    attempt: int
    received_at: datetime


class Turns:
    """Hands out waiting photos, one person after the other. Threads share one; other workers have their own."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S, glance_s: float = GLANCE_S) -> None:
        self._database = database
        self.lease_s = lease_s
        self._glance_s = glance_s
        self._lock = threading.Lock()
        self._next: deque[Turn] = deque()
        self._seen_at = -glance_s
        # Person → when they last had a turn, counted in turns.
        self._served: dict[int, int] = {}
        self._count = 0
        self._paused: dict[int, float] = {}
        self._in_vain = False
        # When the last look began that found all who wait, and none of them tried before.
        self._saw_all_at = -glance_s
        self._held: dict[Turn, float] = {}
        # Putting such a query together takes longer than answering it; each is made once.
        self._waiting, self._first_try, self._next_try = _waiting(), _claim(), _claim(is_again=True)

    def take(self) -> Turn | None:
        """The next photo that waits for a look, now ours; None when nobody waits. It counts as a try."""
        return next(iter(self.take_some(1)), None)

    def take_some(self, most: int) -> list[Turn]:
        """The next photos that wait, now ours, claimed in one transaction; none when nobody waits.

        One that was tried before comes alone: it may be the one that killed its worker.
        """
        while picked := self._pick(most):
            ours = self._claim(picked)
            self._held.update(dict.fromkeys(ours, time.monotonic()))
            if ours:
                return ours
        return []

    def done(self, turn: Turn) -> None:
        """Nobody works on it any longer, however it ended."""
        self._held.pop(turn, None)
        if turn.attempt > 1:  # One that waited until this try ended may begin now.
            with self._lock:
                self._saw_all_at = -self._glance_s

    def are_taken(self, since: float) -> bool:
        """Whether everybody was taken who waited at this moment (`time.monotonic`): then nobody need look once more."""
        with self._lock:
            return not self._next and self._saw_all_at >= since

    def keep(self, stop: threading.Event) -> None:
        """Renew the leases of what is being looked at, until `stop`: a slow machine is no dead worker.

        After HANGS_AFTER leases somebody else may try.
        """
        while not stop.wait(self.lease_s / 4):
            oldest = time.monotonic() - HANGS_AFTER * self.lease_s
            held = [turn for turn, since in self._held.copy().items() if since > oldest]
            for turn in held:
                try:
                    self._end(turn, queued_at=now() + timedelta(seconds=self.lease_s))
                except DatabaseError as error:
                    log.warning("%s", error)

    def give_back(self, turn: Turn) -> None:
        """It was not the photo's fault: the try doesn't count. Its classifier is left alone for a moment."""
        self._paused[turn.classifier_id] = time.monotonic() + PAUSE_S
        self._end(turn, attempts=turn.attempt - 1, queued_at=now())

    def put_off(self, turn: Turn) -> None:
        """This try failed and counts; the next may begin in a moment."""
        self._end(turn, queued_at=now() + timedelta(seconds=min(PAUSE_S, self.lease_s)))

    def _end(self, turn: Turn, **values: Any) -> None:
        ours = Message.id == turn.message_id, Message.state == "waiting", Message.attempts == turn.attempt
        with self._database.begin() as session:
            session.execute(update(Message).where(*ours).values(**values))

    def _pick(self, most: int) -> list[Turn]:
        with self._lock:
            moment = time.monotonic()
            # Thousands of bells for what can't be looked at just now must not ask the database each.
            if (not self._next and not self._in_vain) or moment - self._seen_at > self._glance_s:
                found = self._look()
                if len(found) < EACH and all(turn.attempt == 1 for turn in found):
                    self._saw_all_at = moment
                able = [turn for turn in found if self._paused.get(turn.classifier_id, 0.0) <= moment]
                self._next, self._in_vain, self._seen_at = deque(self._in_turn(able)), bool(found and not able), moment
            picked: list[Turn] = []
            while self._next and len(picked) < most:
                if self._next[0].attempt > 1 and picked:
                    break
                turn = self._next.popleft()
                if self._paused.get(turn.classifier_id, 0.0) <= moment:
                    self._count += 1
                    self._served[turn.person_id] = self._count
                    picked.append(turn)
                    if turn.attempt > 1:
                        break
            return picked

    def _in_turn(self, waiting: list[Turn]) -> Iterable[Turn]:
        """Everybody's first photo, then everybody's second, …; among the first that of whoever had no turn for longest.

        A newcomer counts as served just now: else a stream of newcomers would keep a flood waiting for ever. One photo
        that was tried before comes first of all, the one with the fewest tries.
        """
        again = min((turn for turn in waiting if turn.attempt > 1), key=lambda turn: turn.attempt, default=None)
        self._served = {turn.person_id: self._served.get(turn.person_id, self._count) for turn in waiting}
        place: dict[int, int] = {}
        fresh = []
        for turn in (turn for turn in waiting if turn.attempt == 1):
            place[turn.person_id] = place.get(turn.person_id, 0) + 1
            fresh.append(((place[turn.person_id], self._served[turn.person_id], turn.message_id), turn))
        in_turn = [turn for _, turn in sorted(fresh, key=lambda pair: pair[0])]
        return [again, *in_turn] if again is not None else in_turn

    def _look(self) -> list[Turn]:
        """Free photos, a few of each person's, as the turns that they would be."""
        with self._database.read() as session:
            rows = session.connection().execute(self._waiting, self._times(now())).all()
        return [Turn(row[0], row[1], row[2], row[3], row[4] + 1, row[5]) for row in rows]

    def _claim(self, turns: Sequence[Turn]) -> list[Turn]:
        """Those that are ours now, and no other worker's. All of them have had the same number of tries."""
        moment, attempt = now(), turns[0].attempt
        new = {"tries": attempt, "until": moment + timedelta(seconds=self.lease_s)}
        which = {"ids": [turn.message_id for turn in turns], "before": attempt - 1}
        claim = self._first_try if attempt == 1 else self._next_try
        times = {} if attempt == 1 else self._times(moment)
        with self._database.begin() as session:
            ours = set(session.connection().scalars(claim, {**which, **new, **times}))
        return [turn for turn in turns if turn.message_id in ours]

    def _times(self, moment: datetime) -> dict[str, datetime]:
        return {"moment": moment, "latest": moment + timedelta(seconds=2 * self.lease_s)}


def _waiting() -> Select[Any]:
    # Who was tried before is seen, however many photos of the same person came earlier.
    order = (Message.attempts == 0, Message.attempts, Message.id)
    place = func.row_number().over(partition_by=Message.person_id, order_by=order)
    columns = Message.id, Message.photo_id, Message.person_id, Chat.classifier_id, Message.attempts, Message.received_at
    ranked = (
        select(*columns, place.label("place"))
        .join(Chat, Chat.id == Message.chat_id)
        .where(*waits(), _is_free(MOMENT, LATEST), _may_begin())
        .subquery()
    )
    return select(ranked).where(ranked.c.place <= EACH).order_by(ranked.c.place, ranked.c.id).limit(AT_ONCE)


def _claim(*, is_again: bool = False) -> ReturningUpdate[int]:
    """Ids of those that nobody else has claimed meanwhile."""
    ids = Message.id.in_(bindparam("ids", expanding=True))
    mine = update(Message).where(ids, Message.state == "waiting", Message.attempts == bindparam("before"))
    if is_again:
        mine = mine.where(_is_free(MOMENT, LATEST), _may_begin())
    mine = mine.values(queued_at=bindparam("until", type_=UtcDateTime()), attempts=bindparam("tries"))
    return mine.returning(Message.id).execution_options(synchronize_session=False)


def _may_begin() -> ColumnElement[bool]:
    """A photo that was tried before is tried while no other such photo is.

    All that a worker had in hand when it died was tried; the one that killed it can't take the others along twice.
    """
    other = aliased(Message)
    again = other.state == "waiting", other.attempts > 1, _is_taken(other, MOMENT, LATEST)
    nobody_else = ~select(other.id).where(_on_a_platform(other), *again).exists()
    return or_(Message.attempts == 0, and_(Message.attempts < MAX_ATTEMPTS, nobody_else))


def waits() -> tuple[ColumnElement[bool], ...]:
    """Photos that wait for a look which their classifier's model can give them."""
    # Asked of each that waits: as `chat_id IN (…)` it had SQLite go through every message that these chats ever had.
    models = select(Model.id).join(Chat, Chat.classifier_id == Model.classifier_id)
    can_look = models.where(Chat.id == Message.chat_id, Model.state == "current").exists()
    return _on_a_platform(Message), Message.state == "waiting", Message.photo_id.is_not(None), can_look


def is_free(moment: datetime, lease_s: float) -> ColumnElement[bool]:
    """Nobody is looking at it. attempts 0: nobody began; else `queued_at` is when the worker's lease ends.

    A lease that ends later than any could, was given before the clock was set back.
    """
    return _is_free(moment, moment + timedelta(seconds=2 * lease_s))


def _is_free(moment: Moment, latest: Moment) -> ColumnElement[bool]:
    return or_(Message.attempts == 0, Message.queued_at.is_(None), ~_is_taken(Message, moment, latest))


def _is_taken(message: type[Message], moment: Moment, latest: Moment) -> ColumnElement[bool]:
    return and_(message.queued_at > moment, message.queued_at <= latest)


def _on_a_platform(message: type[Message]) -> ColumnElement[bool]:
    """True of every message; it lets the index on platform and state be used."""
    return message.platform.in_(select(Chat.platform).distinct())
