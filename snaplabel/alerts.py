"""Alerts: what admins should know of, as rows from a beginning to an end; the bot tells of them (`bot.alerting`).

A service's sign of life is such a row too, a dead man's switch: it moves `since` of its open "silent:…" all the time,
and when that stands still it is an alert. The worker does so while it looks for photos, the trainer with each of the
clock's ticks, and both for the scheduler with each tick that they hear of.
"""

import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from snaplabel import metrics
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Message, Prediction, TrainingRun

# A photo, or an answer that could not be sent, is late after this long; what is a day old nobody waits for any more.
LATE_S, FORGOTTEN_S = 120.0, 86_400.0
SILENT_S = 90.0
SERVICES = ("worker", "trainer", "scheduler")
BEAT_S = 10.0
# Tries of one answer after which somebody should look: the waits between them add up to a minute.
MANY_TRIES = 5
# So many photos failed, or errors logged by one process, within this time.
LATELY_S, MANY_PHOTOS, MANY_ERRORS = 600.0, 3, 10
DISK_LOW_BYTES, DISK_WELL_BYTES = 1_000_000_000, 1_200_000_000
# Trainings that somebody watches in a chat or a terminal tell of their end there.
UNWATCHED = ("corrections", "schedule", "threshold")


def begin(session: Session, kind: str, **facts: Any) -> None:
    """This holds now. While its alert is open nothing changes, but for when it was last seen to hold."""
    there = _open(session, kind)
    if there is None:
        try:
            with session.begin_nested():
                session.add(Alert(kind=kind, facts={**facts, "seen": int(time.time())}))
        except IntegrityError:  # Another process saw it at the same moment.
            return
    elif _is_stale(there):
        there.facts = {**there.facts, "seen": int(time.time())}


def end(session: Session, kind: str, unseen_for_s: float = 0.0) -> None:
    """This does not hold. unseen_for_s: what others may still see ends only when nobody did for so long."""
    there = _open(session, kind)
    if there is not None and abs(time.time() - there.facts.get("seen", 0)) >= unseen_for_s:
        there.over_at = now()


def settle(database: Database, found: Mapping[str, Mapping[str, Any] | None], unseen_for_s: float = 0.0) -> None:
    """Begin and end alerts. found: kind → facts, None: it does not hold. Writes only where that is news."""
    with database.read() as session:
        there = {row.kind: row for row in session.scalars(select(Alert).where(Alert.over_at.is_(None)))}
    news = [
        kind for kind, facts in found.items() if (kind in there) != (facts is not None) or _is_stale(there.get(kind))
    ]
    if not news:
        return
    with database.begin() as session:
        for kind in news:
            if (facts := found[kind]) is not None:
                begin(session, kind, **facts)
            else:
                end(session, kind, unseen_for_s)


def look(session: Session, platforms: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """What the tables say of these platforms and of all trainings: kind → facts, None: that is well."""
    found: dict[str, dict[str, Any] | None] = {}
    for platform in platforms:
        late, unsent, failed = (
            late_photos(session, platform),
            unsent_answers(session, platform),
            _failed(session, platform),
        )
        found[f"late:{platform}"] = {"platform": platform, "photos": late} if late else None
        found[f"unsent:{platform}"] = {"platform": platform, "answers": unsent} if unsent else None
        found[f"failing:{platform}"] = {"platform": platform, "photos": failed} if failed >= MANY_PHOTOS else None
    return {**found, **_trainings(session)}


def late_photos(session: Session, platform: str | None = None) -> int:
    """Photos that wait for their answer, and posts for being handled, for longer than LATE_S."""
    moment = now()
    query = select(func.count()).where(
        metrics.IS_ON_THE_WAY,
        Message.received_at < moment - timedelta(seconds=LATE_S),
        Message.received_at > moment - timedelta(seconds=FORGOTTEN_S),
    )
    return session.scalar(query if platform is None else query.where(Message.platform == platform)) or 0


def unsent_answers(session: Session, platform: str | None = None) -> int:
    """Answers that should be in a chat for longer than LATE_S, or were tried again and again."""
    moment = now()
    is_late = and_(Answer.platform_id.is_(None), Answer.created_at < moment - timedelta(seconds=LATE_S))
    query = select(func.count()).where(
        Answer.shown < Answer.revision,
        Answer.state == "open",
        or_(is_late, Answer.attempts >= MANY_TRIES),
        Answer.created_at > moment - timedelta(seconds=FORGOTTEN_S),
    )
    return session.scalar(query if platform is None else query.where(Answer.platform == platform)) or 0


def last_seen(session: Session, service: str) -> datetime | None:
    """When a service last gave a sign of life; None: it never did.

    Ticks wait behind photos and behind a refit, so what these leave in the tables counts too.
    """
    signs = [session.scalar(select(Alert.since).where(Alert.kind == f"silent:{service}", Alert.over_at.is_(None)))]
    if service == "worker":
        signs.append(session.scalar(select(Prediction.created_at).order_by(Prediction.id.desc()).limit(1)))
    if service == "trainer":
        signs.append(session.scalar(select(func.max(TrainingRun.beat_at)).where(TrainingRun.state == "running")))
    return max((sign for sign in signs if sign is not None), default=None)


def _failed(session: Session, platform: str) -> int:
    lately = now() - timedelta(seconds=LATELY_S)
    ours = Message.failure.in_(("trouble", "lost")), Message.answered_at > lately
    query = select(func.count()).where(Message.platform == platform, Message.state == "failed", *ours)
    return session.scalar(query) or 0


def _trainings(session: Session) -> dict[str, dict[str, Any] | None]:
    """Whether each kind of training of each classifier failed when it was last tried by itself."""
    newest = select(func.max(TrainingRun.id)).where(TrainingRun.finished_at.is_not(None))
    per_kind = newest.group_by(TrainingRun.classifier_id, TrainingRun.kind)
    found: dict[str, dict[str, Any] | None] = {}
    for run in session.scalars(select(TrainingRun).where(TrainingRun.id.in_(per_kind))):
        has_failed = run.state == "failed" and run.reason in UNWATCHED
        facts = {"run": run.id, "training": run.kind, "classifier": run.classifier_id}
        found[f"training:{run.classifier_id}:{run.kind}"] = facts if has_failed else None
    return found


class Pulse:
    """One process's own view: that it works, whether its disk is nearly full, whether its errors pile up."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        service: str,
        *,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._free_bytes = free_bytes
        self._database = database
        self._settings = settings
        self._service = service
        # (when, errors so far), one for each beat of the last LATELY_S.
        self._errors: deque[tuple[float, int]] = deque([(time.monotonic(), metrics.errors_so_far())])
        self._beat_at = -BEAT_S

    def beat(self) -> None:
        """Give a sign of life; called however often, it writes every BEAT_S at most. Never waits for anything else."""
        if time.monotonic() - self._beat_at < BEAT_S:
            return
        self._beat_at = time.monotonic()
        if self._service in SERVICES:
            _live(self._database, f"silent:{self._service}")
        settle(self._database, self.disk())
        settle(self._database, self.errors(), unseen_for_s=2 * SILENT_S)

    def tick(self) -> None:
        """A tick of the clock has come through the broker."""
        _live(self._database, "silent:scheduler")

    def disk(self) -> dict[str, dict[str, Any] | None]:
        """Whether the disk with the home folder is nearly full; many processes, even in containers, share one."""
        try:
            free = self._free_bytes(self._settings.home)
            kind = f"disk:{self._settings.home.stat().st_dev:x}"
        except OSError:  # Gone, or out of reach: whatever needs it says so.
            return {}
        if free < DISK_LOW_BYTES:
            return {kind: {"free_mb": free // 1_000_000}}
        return {kind: None} if free > DISK_WELL_BYTES else {}

    def errors(self) -> dict[str, dict[str, Any] | None]:
        """Whether this process logged many errors lately."""
        moment, total = time.monotonic(), metrics.errors_so_far()
        self._errors.append((moment, total))
        while len(self._errors) > 2 and moment - self._errors[1][0] > LATELY_S:
            self._errors.popleft()
        lately = total - self._errors[0][1]
        is_many = lately >= MANY_ERRORS
        return {f"errors:{self._service}": {"service": self._service, "errors": lately} if is_many else None}


def _live(database: Database, kind: str) -> None:
    """Move the dead man's switch; one that went off is over, and a fresh one takes its place."""
    with database.read() as session:
        there = _open(session, kind)
    if there is not None and there.told_at is None and abs((now() - there.since).total_seconds()) < BEAT_S / 2:
        return  # Another process of this kind has just done so.
    with database.begin() as session:
        there = _open(session, kind)
        if there is not None and there.told_at is None:
            there.since = now()
            return
        if there is not None:
            there.over_at = now()
            session.flush()
        begin(session, kind, service=kind.partition(":")[2])


def _is_stale(there: Alert | None) -> bool:
    """Whether it is time to say again that this still holds."""
    return there is not None and abs(time.time() - there.facts.get("seen", 0)) > SILENT_S


def _open(session: Session, kind: str) -> Alert | None:
    return session.scalar(select(Alert).where(Alert.kind == kind, Alert.over_at.is_(None)))
