"""Progress: how far a training is, told to the database and to whoever watches; it also hears when to stop."""

import time
from collections.abc import Callable
from typing import Any

from snaplabel import trainings
from snaplabel.database import Database
from snaplabel.errors import Cancelled, Interrupted

# The database hears of it at most this often, so that reporting each batch costs nothing.
TELL_EVERY_S = 1.0


class Progress:
    """What a training run tells: step (a short phrase), done (0 to 1), photos, epoch, losses, error_rate …"""

    def __init__(
        self,
        database: Database,
        run_id: int,
        watch: Callable[[dict[str, Any]], None] | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.facts: dict[str, Any] = {}
        self._database = database
        self._run_id = run_id
        self._watch = watch
        self._is_stopping = is_stopping
        self._told_at = 0.0

    def tell(self, **facts: Any) -> None:
        """Add facts and pass them on.

        Raises Cancelled when somebody asked this training to stop, Interrupted when its process is about to end.
        """
        if self._is_stopping():
            raise Interrupted()
        is_news = any(facts[name] != self.facts.get(name) for name in ("step", "epoch") if name in facts)
        self.facts.update(facts)
        if self._watch is not None:
            self._watch(dict(self.facts))
        if is_news or time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            with self._database.begin() as session:
                goes_on = trainings.report(session, self._run_id, dict(self.facts))
            if not goes_on:
                raise Cancelled()
