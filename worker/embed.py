"""Fills in embeddings here and now, for the command line: decoding in threads, the network in batches."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from sqlalchemy import insert, select, update

from snaplabel import backbones, photos
from snaplabel.database import Database
from snaplabel.errors import ImageError, NotStored
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Embedding, Photo
from worker.engine import Engine, Vector

COMMIT_EVERY = 200
THREADS = 4


def fill(
    database: Database,
    store: Store,
    settings: Settings,
    photo_ids: Sequence[int],
    backbone_version: str,
    on_done: Callable[[int], None] | None = None,
) -> None:
    """Compute and store the embeddings that these photos lack; on_done is told after each photo how many are done.

    A photo that is gone from the store or damaged is marked unreadable and left out. Raises ModelError, StoreError.
    """
    wanted = _missing(database, photo_ids, backbone_version)
    engine = Engine(database, store, settings.home)
    rows: list[dict[str, object]] = []

    def embed(photo: Photo) -> Vector:
        return engine.embed(backbone_version, photos.read(store, photo))

    with ThreadPoolExecutor(THREADS) as pool:
        futures = {pool.submit(embed, photo): photo for photo in wanted}
        for done, future in enumerate(as_completed(futures), start=1):
            photo = futures.pop(future)
            try:
                vector = backbones.to_bytes(future.result())
                rows.append({"photo_id": photo.id, "backbone": backbone_version, "vector": vector})
            except (ImageError, NotStored) as error:
                with database.begin() as session:
                    session.execute(update(Photo).where(Photo.id == photo.id).values(unreadable=str(error)[:200]))
            if len(rows) >= COMMIT_EVERY:
                _write(database, rows)
            if on_done is not None:
                on_done(done)
    _write(database, rows)
    engine.close()


def _missing(database: Database, photo_ids: Sequence[int], backbone: str) -> list[Photo]:
    found: list[Photo] = []
    has_one = select(Embedding.photo_id).where(Embedding.backbone == backbone)
    with database.read() as session:
        for start in range(0, len(photo_ids), 500):
            some = photo_ids[start : start + 500]
            wanted = Photo.id.in_(some), Photo.id.not_in(has_one), Photo.expired_at.is_(None)
            found += session.scalars(select(Photo).where(*wanted))
    return found


def _write(database: Database, rows: list[dict[str, object]]) -> None:
    """Commit what is collected; what a worker filled in meanwhile is left as it is."""
    if not rows:
        return
    with database.begin() as session:
        here = select(Embedding.photo_id).where(
            Embedding.backbone == rows[0]["backbone"], Embedding.photo_id.in_([row["photo_id"] for row in rows])
        )
        there = set(session.scalars(here))
        fresh = [row for row in rows if row["photo_id"] not in there]
        if fresh:
            session.execute(insert(Embedding), fresh)
    rows.clear()
