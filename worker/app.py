"""Runs a worker: a pool of threads that decode, one batcher that they feed. No fork, so a GPU is no trouble."""

import logging
import os

from sqlalchemy import select

from snaplabel import queue
from snaplabel.database import Database
from snaplabel.errors import QueueError, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier
from worker.classify import Context
from worker.engine import Engine
from worker.tasks import tasks

log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Work on the queue `classify` until SIGTERM or SIGINT."""
    database, store = Database(settings.database), Store(settings.store)
    engine = Engine(database, store, settings.home)
    app = queue.connect(settings)

    def ring(task: str, number: int) -> None:
        try:
            queue.enqueue(app, task, number)
        except QueueError as error:
            log.warning("%s", error)

    _warm_up(database, engine)
    try:
        queue.serve(app, queue.CLASSIFY, tasks(Context(database, store, engine), ring), threads=_threads())
    finally:
        engine.close()
        database.close()


def _threads() -> int:
    """Decoding lets go of the lock; two more than there are cores hide the waits for database and disk."""
    return (os.cpu_count() or 2) + 2


def _warm_up(database: Database, engine: Engine) -> None:
    """Load what the first photo will need; whatever is wrong will be said when a photo needs it."""
    try:
        with database.read() as session:
            ids = session.scalars(select(Classifier.id)).all()
        for classifier_id in ids:
            model = engine.model(classifier_id)
            if model is not None:
                engine.batcher(model.card.backbone)
    except SnaplabelError as error:
        log.warning("%s", error)
