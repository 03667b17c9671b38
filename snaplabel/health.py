"""Health: whether the whole house works, part by part, for whoever watches it from outside (`/healthz`)."""

import threading
import time
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from snaplabel import alerts, metrics, queue
from snaplabel.database import Database, now
from snaplabel.errors import DatabaseError
from snaplabel.settings import Settings

# However many ask, it is looked at this often; a broker that hangs is waited for by one of them, not by all.
FRESH_S = 2.0

Parts = dict[str, dict[str, Any]]


class Health:
    """Looks at database, broker, services, photos and answers; threads may share it."""

    def __init__(self, settings: Settings, database: Database, fresh_s: float = FRESH_S) -> None:
        self._app = queue.connect(settings)
        self._database = database
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._found: Parts = {}
        self._found_at = -fresh_s

    def look(self) -> tuple[bool, Parts]:
        """Whether all is well, and each part: {"ok": …} with a few numbers; nothing secret, and nothing of people."""
        with self._lock:
            if time.monotonic() - self._found_at >= self._fresh_s:
                self._found = {**self._tables(), "broker": self._broker()}
                self._found_at = time.monotonic()
            found = self._found
        return all(part["ok"] for part in found.values()), found

    def _broker(self) -> dict[str, Any]:
        try:
            bells = queue.length(self._app, queue.CLASSIFY)
        except Exception:  # Each transport has errors of its own.
            return {"ok": False}
        return {"ok": True, "bells": bells}

    def _tables(self) -> Parts:
        try:
            with self._database.read() as session:
                return {"database": {"ok": True}, **read(session)}
        except (DatabaseError, SQLAlchemyError):
            return {"database": {"ok": False}}


def read(session: Session) -> Parts:
    """What the tables say of the services, the photos on their way and the answers to be sent."""
    late, unsent = alerts.late_photos(session), alerts.unsent_answers(session)
    waiting = session.scalar(select(func.count()).where(metrics.IS_ON_THE_WAY)) or 0
    return {
        **{service: _service(session, service) for service in alerts.SERVICES},
        "photos": {"ok": not late, "late": late, "waiting": waiting},
        "answers": {"ok": not unsent, "late": unsent},
    }


def _service(session: Session, service: str) -> dict[str, Any]:
    seen = alerts.last_seen(session, service)
    if seen is None:
        return {"ok": False, "seen_s": None}
    ago_s = (now() - seen).total_seconds()
    return {"ok": ago_s < alerts.SILENT_S, "seen_s": round(max(0.0, ago_s), 1)}
