"""Runs a worker: a pool of threads that decode, one batcher that they feed. No fork, so a GPU is no trouble."""

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sqlalchemy import select

from snaplabel import alerts, queue
from snaplabel.database import Database
from snaplabel.errors import DatabaseError, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier
from worker import sweep
from worker.classify import Context
from worker.engine import Engine
from worker.tasks import look, tasks
from worker.turns import Turns

log = logging.getLogger(__name__)

# A look takes a fraction of a second, so its lease is a fraction of what long work gets (settings.lease_s).
LOOKS_A_LEASE = 3
WATCH_EVERY_S = 5.0


def serve(settings: Settings) -> None:
    """Work on the queue `classify` until SIGTERM or SIGINT."""
    database, store = Database(settings.database, is_redone=True), Store(settings.store)
    engine = Engine(database, store, settings.home)
    app = queue.connect(settings)

    pool = ThreadPoolExecutor(_cores(), thread_name_prefix="look")
    context, turns = Context(database, store, engine, pool), Turns(database, lease_s=settings.lease_s / LOOKS_A_LEASE)
    ring, queued = partial(queue.enqueue, app), partial(queue.length, app, queue.CLASSIFY)
    stop = threading.Event()
    pulse = alerts.Pulse(database, settings, "worker")
    watch = threading.Thread(target=_watch, args=(stop, context, turns, pulse), name="watch", daemon=True)
    _warm_up(database, engine)
    threading.Thread(target=turns.keep, args=(stop,), name="keep", daemon=True).start()
    watch.start()
    try:
        queue.serve(app, queue.CLASSIFY, tasks(context, turns, ring, queued, pulse.tick), threads=_threads())
    finally:
        stop.set()
        watch.join(WATCH_EVERY_S)
        pool.shutdown(wait=False)
        engine.close()
        database.close()


def _watch(stop: threading.Event, context: Context, turns: Turns, pulse: alerts.Pulse) -> None:
    """Look at photos that no bell comes for: while the broker is away or hangs, people are answered all the same."""
    while not stop.wait(WATCH_EVERY_S):
        try:
            pulse.beat()
            while not stop.is_set() and sweep.is_due(context.database, turns.lease_s) and look(context, turns):
                pass
        except DatabaseError as error:
            log.warning("%s", error)
        except Exception:  # A thread's end would go unnoticed.
            log.exception("looking for forgotten photos failed; going on")


def _threads() -> int:
    """While the cores look at photos, two more threads wait for database and broker."""
    return _cores() + 2


def _cores() -> int:
    return os.cpu_count() or 2


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
