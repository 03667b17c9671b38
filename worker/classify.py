"""Classifies photos: load, predict, save, several in one transaction. Knows no Celery; again, it does no harm."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import BindParameter, Connection, and_, bindparam, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from snaplabel import backbones, logs, metrics
from snaplabel.database import Database
from snaplabel.errors import ImageError, NotStored
from snaplabel.heads import Verdict
from snaplabel.store import Store, photo_key
from snaplabel.tables import Embedding, Message, Model, Photo, Prediction
from worker.engine import Engine, Loaded, Vector

log = logging.getLogger(__name__)


# Putting a query together takes longer than answering it, so these are made once; and they run on the connection
# itself, since the session's bookkeeping costs as much again.
IDS: BindParameter[list[int]] = bindparam("ids", expanding=True)
ABOUT = (
    select(Photo.id, Photo.sha256, Photo.classifier_id, Embedding.backbone, Embedding.vector)
    .outerjoin(Embedding, Embedding.photo_id == Photo.id)
    .where(Photo.id.in_(IDS))
)
# Of each photo: its embedding and its prediction by this model, whether somebody waits, whether this model is current.
THERE = (
    select(
        Photo.id,
        Embedding.photo_id,
        Prediction.id,
        exists().where(Message.photo_id == Photo.id, Message.state == "waiting"),
        exists().where(
            Model.classifier_id == Photo.classifier_id, Model.state == "current", Model.id == bindparam("model")
        ),
    )
    .outerjoin(Embedding, and_(Embedding.photo_id == Photo.id, Embedding.backbone == bindparam("backbone")))
    .outerjoin(Prediction, and_(Prediction.photo_id == Photo.id, Prediction.model_id == bindparam("model")))
    .where(Photo.id.in_(IDS))
)
KEEP, PREDICT = insert(Embedding), insert(Prediction)
RELEASE = (
    update(Message)
    .where(Message.photo_id.in_(IDS), Message.state == "waiting")
    .values(state="classified", failure=bindparam("why"))
)


@dataclass(frozen=True)
class Context:
    """What the worker's tasks work with. pool: where the photos of a batch are looked at beside each other; None: one
    after the other.
    """

    database: Database
    store: Store
    engine: Engine
    pool: ThreadPoolExecutor | None = None


@dataclass
class Looked:
    """A photo on its way. embedding: what it says, None where it can't be looked at; is_new: it is not stored yet."""

    photo_id: int
    sha256: str
    model: Loaded
    embedding: Vector | None = None
    is_new: bool = False
    verdict: Verdict | None = None
    began: float = field(default_factory=time.monotonic)


def classify(context: Context, photo_id: int) -> None:
    """Store what the current model says of a photo, and tell the bot by the state of the posts that wait for it.

    Without a model yet the posts go on waiting, and the sweeper rings again. Raises StoreError, ModelError.
    """
    for error in classify_all(context, [photo_id]).values():
        raise error


def classify_all(context: Context, photo_ids: Sequence[int]) -> dict[int, Exception]:
    """The same for several; photo id → the error, of those that went wrong. One bad photo does no other any harm.

    Raises DatabaseError; none of them counts then.
    """
    failed: dict[int, Exception] = {}
    coming = _begin(context, photo_ids, failed)
    _look(context, coming, failed)
    by_model: dict[int, list[Looked]] = {}
    for one in coming:
        if one.verdict is not None:
            by_model.setdefault(one.model.model_id, []).append(one)
    for together in by_model.values():
        try:
            _save(context.database, together)
        except IntegrityError:  # Of one of them something was written, or erased, in this very moment.
            for one in together:
                try:
                    _save(context.database, [one])
                except IntegrityError as error:
                    failed[one.photo_id] = error
    return failed


def embed(context: Context, photo_id: int) -> None:
    """Store a photo's embedding by its classifier's current backbone, when it is not there yet."""
    failed: dict[int, Exception] = {}
    coming = _begin(context, [photo_id], failed)
    _look(context, coming, failed)
    for error in failed.values():
        raise error
    with context.database.begin() as session:
        for one in coming:
            there = session.get(Embedding, (photo_id, one.model.card.backbone)) is not None
            if one.is_new and not there and session.get(Photo, photo_id) is not None:
                _keep(session.connection(), [one])


def _begin(context: Context, photo_ids: Sequence[int], failed: dict[int, Exception]) -> list[Looked]:
    """What is known of these photos; those that are gone, or whose classifier has no model yet, are left out."""
    with context.database.read() as session:
        rows = session.connection().execute(ABOUT, {"ids": photo_ids}).all()
    found: dict[int, Looked] = {}
    for photo_id, sha256, classifier_id, backbone, vector in rows:
        if photo_id not in found and photo_id not in failed:
            try:
                model = context.engine.model(classifier_id)
            except Exception as error:
                failed[photo_id] = error
                continue
            if model is not None:
                found[photo_id] = Looked(photo_id, sha256, model)
        one = found.get(photo_id)
        if one is not None and vector is not None and backbone == one.model.card.backbone:
            one.embedding = backbones.from_bytes([vector])[0]
    return list(found.values())


def _look(context: Context, photos: Sequence[Looked], failed: dict[int, Exception]) -> None:
    def one(photo: Looked) -> None:
        try:
            if photo.embedding is None:
                data = context.store.get(photo_key(photo.sha256))
                photo.embedding, photo.is_new = context.engine.embed(photo.model.card.backbone, data), True
            photo.verdict = photo.model.judge(photo.embedding)
        except (ImageError, NotStored) as error:
            _give_up(context.database, photo.photo_id, error)
        except Exception as error:
            failed[photo.photo_id] = error

    run: Callable[..., Iterable[None]] = map if context.pool is None or len(photos) == 1 else context.pool.map
    for _ in run(one, photos):
        pass


def _save(database: Database, photos: Sequence[Looked]) -> None:
    """Write down what one model says of these. Whoever finishes first answers: who was held up must not put another
    model's word after that.
    """
    model = photos[0].model
    asked = {"ids": [one.photo_id for one in photos], "model": model.model_id, "backbone": model.card.backbone}
    with database.begin() as session:
        line = session.connection()
        there = {row[0]: row for row in line.execute(THERE, asked)}
        counts = [one for one in photos if one.photo_id in there and any(there[one.photo_id][3:])]
        _keep(line, [one for one in counts if one.is_new and there[one.photo_id][1] is None])
        _predict(line, [one for one in counts if there[one.photo_id][2] is None])
        _release(line, [one.photo_id for one in counts], None)
    for one in photos:
        said = "forgotten in the meantime" if one.photo_id not in there else "too late to count"
        if one in counts and one.verdict is not None:
            said = one.verdict.voice
        took_s = time.monotonic() - one.began
        metrics.CLASSIFY_S.observe(took_s)
        about = logs.ids(photo=one.photo_id)
        log.info("classified in %.0f ms by v%d: %s", took_s * 1000, model.card.version, said, extra=about)


def _keep(line: Connection, photos: Sequence[Looked]) -> None:
    rows = [
        {
            "photo_id": one.photo_id,
            "backbone": one.model.card.backbone,
            "vector": backbones.to_bytes(one.embedding),
        }
        for one in photos
        if one.embedding is not None
    ]
    if rows:
        line.execute(KEEP, rows)


def _predict(line: Connection, photos: Sequence[Looked]) -> None:
    rows = [
        {
            "photo_id": one.photo_id,
            "model_id": one.model.model_id,
            "top": [list(pair) for pair in one.verdict.top],
            "voice": one.verdict.voice,
        }
        for one in photos
        if one.verdict is not None
    ]
    if rows:
        line.execute(PREDICT, rows)


def _give_up(database: Database, photo_id: int, error: ImageError | NotStored) -> None:
    """The stored bytes are gone or damaged: nobody waits for them any longer, and no training trips over them."""
    reason = error.reason if isinstance(error, ImageError) else "lost"
    metrics.REFUSED.labels(reason).inc()
    log.warning("can't be looked at: %s", reason, extra=logs.ids(photo=photo_id))
    with database.begin() as session:
        # Of an expired photo no picture is expected.
        has_picture = Photo.id == photo_id, Photo.expired_at.is_(None)
        session.execute(update(Photo).where(*has_picture).values(unreadable=str(error)[:200]))
        _release(session.connection(), [photo_id], reason)


def _release(line: Connection, photo_ids: Sequence[int], failure: str | None) -> None:
    line.execute(RELEASE, {"ids": photo_ids, "why": failure})
