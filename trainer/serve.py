"""The trainer as a service: takes trainings from the queue, prepares backbones, and looks at the clock."""

import logging
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy import select

from snaplabel import alerts, expiry, queue, registry
from snaplabel.database import Database
from snaplabel.errors import Overtaken, TrainingError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier, Embedding, Model, Photo, TrainingRun
from trainer import backbone, clock, finetune, fit, run
from trainer.run import Context

log = logging.getLogger(__name__)

RING_AGAIN_S = 20.0
LOOK_EVERY_S = 0.1
AT_ONCE = 64
PATIENCE_S = 300.0
# Less than `snaplabel up` and a container wait before they kill.
LEAVE_WITHIN_S = 12.0


def serve(settings: Settings, *, with_schedule: bool = True) -> None:
    """Train until SIGTERM or SIGINT. with_schedule: ring the clock's ticks too, the worker's sweep among them."""
    database, store = Database(settings.database), Store(settings.store)
    app = queue.connect(settings)
    bell = Bell(lambda photo_id: queue.enqueue(app, "classify.embed", photo_id), database)
    lane = Lane(lambda run_id: run.execute(context, run_id))
    context = Context(
        database,
        store,
        settings,
        bell.embed,
        say=log.warning,
        is_stopping=lambda: queue.is_stopping() or lane.is_closing,
    )

    def begin(run_id: int) -> None:
        with database.read() as session:
            kind = session.scalar(select(TrainingRun.kind).where(TrainingRun.id == run_id))
        lane.take(run_id) if kind == "fine_tune" else run.execute(context, run_id)

    pulse = alerts.Pulse(database, settings, "trainer")
    sweeper = expiry.Sweeper(database, store, settings.photo_days)

    def due(_: int) -> None:
        pulse.beat()
        pulse.tick()
        sweeper.tick()
        finetune.clear(database, settings.home)
        clock.due(context, begin)

    prepare(context)
    fit.warm_up()
    tasks: dict[str, Callable[[int], None]] = {
        "train.run": begin,
        "train.learn": lambda classifier_id: clock.learn(context, classifier_id),
        "train.prepare": lambda _: prepare(context),
        "train.report": lambda run_id: run.draw(context, run_id),
        "train.due": due,
    }
    try:
        queue.serve(app, queue.TRAIN, tasks, ticks=queue.TICKS if with_schedule else None)
    finally:
        lane.close()


class Lane:
    """One fine-tune at a time on a thread of its own, so that lessons go on being learnt while a network is taught.

    Its task is over for the queue at once, and so never delivered twice however long it takes: the row in the database
    says that it runs, and the clock takes it up again if we die.
    """

    def __init__(self, work: Callable[[int], None]) -> None:
        self.is_closing = False
        self._work = work
        self._thread: threading.Thread | None = None

    @property
    def is_idle(self) -> bool:
        return self._thread is None or not self._thread.is_alive()

    def take(self, run_id: int) -> None:
        """Begin with this run. While another one is under way nothing happens: its row waits, and the clock asks again.

        Call it from one thread only.
        """
        if self.is_closing or not self.is_idle:
            return
        self._thread = threading.Thread(target=self._run, args=(run_id,), name="fine-tune", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Have the run under way left off and put back; it hears of it within a second."""
        self.is_closing = True
        if self._thread is not None:
            self._thread.join(LEAVE_WITHIN_S)

    def _run(self, run_id: int) -> None:
        try:
            self._work(run_id)
        except Exception:  # The database is away, say; its row goes silent, and the clock takes it up.
            log.exception("training run %s was left in the middle", run_id)


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
        """Return when these photos have an embedding by this backbone, can't be read or are gone.

        Only a few bells ring at a time, so that people's new photos do not queue behind them; one that nobody answered
        rings again after 20 s. Workers look with the current backbone only: Overtaken is raised when that is, or
        becomes, another one. Raises TrainingError when no worker answers at all, QueueError without a broker.
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
            elif self._is_past(photo_ids[0], backbone):
                raise Overtaken()
            elif time.monotonic() - answered_at > self._patience_s:
                raise TrainingError("The photos were not looked at: no worker is running.")
            on_done(len(photo_ids) - len(waiting))

    def _done(self, photo_ids: Sequence[int], backbone: str) -> set[int]:
        """Those that nobody has to wait for any longer; somebody may have had their photos erased."""
        made = select(Embedding.photo_id).where(Embedding.backbone == backbone, Embedding.photo_id.in_(photo_ids))
        readable = select(Photo.id).where(
            Photo.id.in_(photo_ids), Photo.unreadable.is_(None), Photo.expired_at.is_(None)
        )
        with self._database.read() as session:
            return set(photo_ids) - (set(session.scalars(readable)) - set(session.scalars(made)))

    def _is_past(self, photo_id: int, backbone: str) -> bool:
        """Whether another backbone than this one is current for the photo's classifier."""
        its = select(Photo.classifier_id).where(Photo.id == photo_id).scalar_subquery()
        with self._database.read() as session:
            here = session.scalar(select(Model.backbone).where(Model.classifier_id == its, Model.state == "current"))
        return here is not None and here != backbone
