"""Embeddings of files as a worker makes them, each photo once, for the benchmarks that ask models about them."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import common
import numpy as np
from sqlalchemy import select

from snaplabel import backbones, home, images, people
from snaplabel.database import Database
from snaplabel.heads import Floats
from snaplabel.settings import Settings
from snaplabel.store import Store, sha256_of
from snaplabel.tables import Photo
from trainer import backbone, dataset
from worker.engine import Engine, Vector

THREADS = 3


@contextmanager
def opened() -> Iterator[tuple[Settings, Database, Store, "Vectors"]]:
    """An installation with the pretrained backbone in a temporary home, and its embeddings."""
    with tempfile.TemporaryDirectory(prefix="snaplabel-bench-") as folder:
        settings = common.settings(Path(folder), WEIGHTS=str(common.weights()))
        with home.opened(settings) as (database, store):
            with database.begin() as session:
                classifier_id = people.make_classifier(session).id
            model = backbone.ensure(database, store, settings, classifier_id, print)
            engine = Engine(database, store, settings.home)
            yield settings, database, store, Vectors(engine, model.backbone)
            engine.close()


class Vectors:
    """Embeddings by one backbone, kept by the bytes of the file. `fill` stands in for `worker.embed.fill`."""

    def __init__(self, engine: Engine, backbone: str) -> None:
        self._engine = engine
        self._backbone = backbone
        self._known: dict[str, Vector] = {}

    def of(self, files: Sequence[Path]) -> Floats:
        """float32 (files, dimension), as they come back from the database."""
        with ThreadPoolExecutor(THREADS) as pool:
            return backbones.from_bytes(list(pool.map(self._stored, files)))

    def fill(
        self,
        database: Database,
        store: Store,
        settings: Settings,
        photo_ids: Sequence[int],
        backbone: str,
        on_done: Callable[[int], None],
    ) -> None:
        """Store the embeddings of photos whose files were asked for before."""
        assert backbone == self._backbone
        with database.begin() as session:
            query = select(Photo.id, Photo.sha256).where(Photo.id.in_(photo_ids))
            rows = [(photo_id, sha256) for photo_id, sha256 in session.execute(query)]
            found = np.stack([self._known[sha256] for _, sha256 in rows])
            dataset.store_embeddings(session, backbone, [photo_id for photo_id, _ in rows], found)
        on_done(len(rows))

    def _stored(self, file: Path) -> bytes:
        data = file.read_bytes()
        sha256 = sha256_of(data)
        if sha256 not in self._known:
            self._known[sha256] = self._engine.embed(self._backbone, images.prepare(data).data)
        return backbones.to_bytes(self._known[sha256])
