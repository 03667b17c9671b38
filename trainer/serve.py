"""The trainer as a service: takes trainings from the queue, prepares backbones, and looks at the clock."""

import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from sqlalchemy import select

from snaplabel import queue, registry
from snaplabel.database import Database
from snaplabel.errors import TrainingError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier, Embedding, Photo
from trainer import backbone, clock, run
from trainer.run import Context

log = logging.getLogger(__name__)

RING_AGAIN_S = 20.0
LOOK_EVERY_S = 0.1
AT_ONCE = 64
PATIENCE_S = 300.0


def serve(settings: Settings, *, with_schedule: bool = True) -> None:
    """Train until SIGTERM or SIGINT. with_schedule: ring the clock's ticks too, the worker's sweep among them."""
    database, store = Database(settings.database), Store(settings.store)
    app = queue.connect(settings)
    bell = Bell(lambda photo_id: queue.enqueue(app, "classify.embed", photo_id), database)
    context = Context(database, store, settings, bell.embed, say=log.warning, is_stopping=queue.is_stopping)
    prepare(context)
    tasks: dict[str, Callable[[int], None]] = {
        "train.run": lambda run_id: run.execute(context, run_id),
        "train.learn": lambda classifier_id: clock.learn(context, classifier_id),
        "train.prepare": lambda _: prepare(context),
        "train.due": lambda _: clock.due(context),
    }
    queue.serve(app, queue.TRAIN, tasks, ticks=queue.TICKS if with_schedule else None)


def prepare(context: Context) -> None:
    """Give every classifier a backbone, so that its first photo can be looked at.

    A process of its own makes it: torch, once imported, would stay in ours with half a gigabyte.
    """
    with context.database.read() as session:
        classifiers = session.scalars(select(Classifier.id)).all()
        models = [registry.current(session, number) for number in classifiers]
    if models and all(backbone.is_ready(context.store, context.settings, model) for model in models):
        return
    environment = {**os.environ, **context.settings.environment()}
    subprocess.run([sys.executable, "-P", "-m", "trainer.prepare"], env=environment, check=False)


class Bell:
    """Rings the workers for embeddings and watches the database for them."""

    def __init__(
        self,
        ring: Callable[[int], None],
        database: Database,
        *,
        ring_again_s: float = RING_AGAIN_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._ring = ring
        self._database = database
        self._ring_again_s = ring_again_s
        self._patience_s = patience_s

    def embed(self, photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        """Return when these photos have an embedding by this backbone, or can't be read.

        Only a few bells ring at a time, so that people's new photos do not queue behind them; one that nobody answered
        rings again after 20 s. Raises TrainingError when no worker answers at all, QueueError without a broker.
        """
        waiting, rung_at = list(photo_ids), dict[int, float]()
        answered_at = time.monotonic()
        while waiting:
            moment = time.monotonic()
            for photo_id in waiting[:AT_ONCE]:
                if moment - rung_at.get(photo_id, -math.inf) >= self._ring_again_s:
                    self._ring(photo_id)
                    rung_at[photo_id] = moment
            time.sleep(LOOK_EVERY_S)
            done = self._done(waiting[:AT_ONCE], backbone)
            if done:
                waiting, answered_at = [photo_id for photo_id in waiting if photo_id not in done], time.monotonic()
            elif time.monotonic() - answered_at > self._patience_s:
                raise TrainingError("The photos were not looked at: no worker is running.")
            on_done(len(photo_ids) - len(waiting))

    def _done(self, photo_ids: Sequence[int], backbone: str) -> set[int]:
        made = select(Embedding.photo_id).where(Embedding.backbone == backbone, Embedding.photo_id.in_(photo_ids))
        unreadable = select(Photo.id).where(Photo.id.in_(photo_ids), Photo.unreadable.is_not(None))
        with self._database.read() as session:
            return {*session.scalars(made), *session.scalars(unreadable)}
