"""The engine: loaded backbones and heads, and a batcher that takes whatever is waiting, without a timer."""

import logging
import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from snaplabel import backbones, heads, images, metrics, registry
from snaplabel.backbones import Pixels
from snaplabel.database import Database
from snaplabel.errors import ModelError, StoreError
from snaplabel.heads import Head, Verdict
from snaplabel.registry import Card
from snaplabel.store import Store
from worker import runtimes
from worker.runtimes import MAX_BATCH, Runtime

log = logging.getLogger(__name__)

Vector = NDArray[np.float32]
KEPT_BACKBONES = 2
# How long a worker may answer with the model before; rollback and publishing are seen this late.
GLANCE_S = 0.25


@dataclass(frozen=True)
class Loaded:
    """A model ready to answer: its row's id, its card, its head."""

    model_id: int
    card: Card
    head: Head

    def judge(self, vector: Vector) -> Verdict:
        """What this model says of an embedding; vector: float32 (dimension,)."""
        return heads.judge(self.head, self.card, vector[None])[0]


class Closed(Exception):
    """A batcher that had to make room for another backbone in this very moment."""


class Batcher:
    """One thread that runs a backbone on what is waiting, up to MAX_BATCH photos at once.

    An idle one answers at once; a busy one finds more waiting when it comes back, and so batches by itself. A runtime
    with lanes has no use for batches: there those who ask run it themselves, and wait for a free lane.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._waiting: queue.Queue[tuple[Pixels, Future[Vector]] | None] = queue.Queue(maxsize=4 * MAX_BATCH)
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._entry = threading.Lock()
        self._is_closed = False
        if runtime.lanes == 1:
            self._thread.start()

    def embed(self, pixels: Pixels) -> Vector:
        """The embedding of one photo, uint8 (crop, crop, 3) → float32 (dimension,); waits for its turn.

        Raises Closed when nobody would ever take it.
        """
        future: Future[Vector] = Future()
        with self._entry:
            if self._is_closed:
                raise Closed()
            if self.runtime.lanes == 1:
                self._waiting.put((pixels, future))
        if self.runtime.lanes > 1:
            found: Vector = self.runtime.embed(pixels[None])[0]
            return found
        return future.result()

    def close(self) -> None:
        """Finish what is waiting, take no more."""
        with self._entry:
            if not self._is_closed:
                self._is_closed = True
                self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < MAX_BATCH:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._waiting.put(None)
                    break
                batch.append(more)
            self._run(batch)

    def _run(self, batch: list[tuple[Pixels, Future[Vector]]]) -> None:
        try:
            found = self.runtime.embed(np.stack([pixels for pixels, _ in batch]))
        except Exception as error:
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            for one in batch:  # One bad photo must not fail the others.
                self._run([one])
            return
        for (_, future), vector in zip(batch, found, strict=True):
            future.set_result(vector)


class Engine:
    """What a worker keeps in memory: the last backbones used, and each classifier's current head."""

    def __init__(
        self, database: Database, store: Store, home: Path, *, threads: int = 0, glance_s: float = GLANCE_S
    ) -> None:
        self._database = database
        self._store = store
        self._home = home
        self._threads = threads
        self._glance_s = glance_s
        self._batchers: dict[str, Batcher] = {}
        self._models: dict[int, Loaded] = {}
        self._glanced: dict[int, float] = {}
        # Classifier → the version that could not be loaded; it is named once.
        self._named: dict[int, int] = {}
        self._lock = threading.Lock()

    def model(self, classifier_id: int) -> Loaded | None:
        """The current model of a classifier, as the registry has it now; None while there is none.

        A version that can't be loaded, its backbone included, leaves the one before in its place; ModelError is raised
        when there is none.
        """
        with self._lock:
            known = self._models.get(classifier_id)
            if known is not None and time.monotonic() - self._glanced[classifier_id] < self._glance_s:
                return known
            with self._database.read() as session:
                found = self._load(session, classifier_id, known)
            if found is not None:
                self._models[classifier_id] = found
                self._glanced[classifier_id] = time.monotonic()
            return found

    def _load(self, session: Session, classifier_id: int, known: Loaded | None) -> Loaded | None:
        row = registry.current(session, classifier_id)
        if row is None or (known is not None and known.model_id == row.id):
            return known if row is not None else None
        card = Card.from_json(row.card)
        if not card.labels:
            nothing = np.zeros((0, 0), np.float32)
            return Loaded(row.id, card, Head(nothing, np.zeros(0, np.float32), nothing))
        try:
            found = Loaded(row.id, card, heads.load(self._store, row.key, card))
            self._ready(card.backbone)
        except (ModelError, StoreError) as error:
            if known is None:
                raise
            if self._named.get(classifier_id) != row.id:
                log.error("v%d is current, but v%d goes on answering: %s", row.version, known.card.version, error)
                self._named[classifier_id] = row.id
            return known
        return found

    def embed(self, backbone: str, photo: bytes) -> Vector:
        """The embedding of a stored photo: float32 (dimension,). Raises ImageError, ModelError."""
        preparation = self.batcher(backbone).runtime.card.preparation
        with metrics.DECODE_S.time():
            pixels = backbones.pixels(images.load(photo, preparation.resize), preparation)
        while True:
            try:
                return self.batcher(backbone).embed(pixels)
            except Closed:
                continue

    def batcher(self, backbone: str) -> Batcher:
        """The batcher of a backbone version, loaded when it is not there; the least recently used one makes room."""
        with self._lock:
            return self._ready(backbone)

    def _ready(self, backbone: str) -> Batcher:
        found = self._batchers.pop(backbone, None) or Batcher(self._runtime(backbone))
        self._batchers[backbone] = found
        for version in list(self._batchers)[:-KEPT_BACKBONES]:
            self._batchers.pop(version).close()
        return found

    def _runtime(self, backbone: str) -> Runtime:
        return runtimes.load(self._store, backbone, self._home, threads=self._threads)

    def close(self) -> None:
        for batcher in self._batchers.values():
            batcher.close()
