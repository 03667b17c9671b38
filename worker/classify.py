"""Classifies one photo: load, predict, save. Knows no Celery; running it twice does no harm."""

import logging
import time
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from snaplabel import backbones, logs, metrics, photos, registry
from snaplabel.database import Database
from snaplabel.errors import ImageError, NotStored
from snaplabel.store import Store
from snaplabel.tables import Embedding, Message, Photo, Prediction
from worker.engine import Engine, Loaded, Vector

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Context:
    """What the worker's tasks work with."""

    database: Database
    store: Store
    engine: Engine


def classify(context: Context, photo_id: int) -> None:
    """Store what the current model says of a photo, and tell the bot by the state of the posts that wait for it.

    Without a model yet the posts go on waiting, and the sweeper rings again. Raises StoreError, ModelError.
    """
    began = time.monotonic()
    with context.database.read() as session:
        photo = session.get(Photo, photo_id)
    if photo is None:
        return
    model = context.engine.model(photo.classifier_id)
    if model is None:
        return
    try:
        vector, is_new = _vector(context, photo, model.card.backbone)
    except (ImageError, NotStored) as error:
        _give_up(context.database, photo_id, error)
        return
    voice = _save(context.database, photo_id, model, vector, is_new=is_new)
    took_ms = (time.monotonic() - began) * 1000
    log.info("classified in %.0f ms by v%d: %s", took_ms, model.card.version, voice, extra=logs.ids(photo=photo_id))


def embed(context: Context, photo_id: int) -> None:
    """Store a photo's embedding by its classifier's current backbone, when it is not there yet."""
    with context.database.read() as session:
        photo = session.get(Photo, photo_id)
    model = context.engine.model(photo.classifier_id) if photo is not None else None
    if photo is None or model is None:
        return
    try:
        vector, is_new = _vector(context, photo, model.card.backbone)
    except (ImageError, NotStored) as error:
        _give_up(context.database, photo_id, error)
        return
    if is_new:
        with context.database.begin() as session:
            _keep(session, photo_id, model.card.backbone, vector)


def _vector(context: Context, photo: Photo, backbone: str) -> tuple[Vector, bool]:
    """A photo's embedding, and whether it had to be computed."""
    with context.database.read() as session:
        stored = session.get(Embedding, (photo.id, backbone))
    if stored is not None:
        return backbones.from_bytes([stored.vector])[0], False
    return context.engine.embed(backbone, photos.read(context.store, photo)), True


def _save(database: Database, photo_id: int, model: Loaded, vector: Vector, *, is_new: bool) -> str:
    """The voice. Whoever finishes first answers; who was held up must not put another model's word after that."""
    verdict = model.judge(vector)
    with database.begin() as session:
        photo = session.get(Photo, photo_id)
        if photo is None:
            return "forgotten in the meantime"
        current = registry.current(session, photo.classifier_id)
        if not _waits(session, photo_id) and (current is None or current.id != model.model_id):
            return "too late to count"
        if is_new:
            _keep(session, photo_id, model.card.backbone, vector)
        there = select(Prediction.id).where(Prediction.photo_id == photo_id, Prediction.model_id == model.model_id)
        if session.scalar(there) is None:
            top = [list(pair) for pair in verdict.top]
            session.add(Prediction(photo_id=photo_id, model_id=model.model_id, top=top, voice=verdict.voice))
            session.flush()
        _release(session, photo_id, None)
    return verdict.voice


def _keep(session: Session, photo_id: int, backbone: str, vector: Vector) -> None:
    if session.get(Photo, photo_id) is not None and session.get(Embedding, (photo_id, backbone)) is None:
        session.add(Embedding(photo_id=photo_id, backbone=backbone, vector=backbones.to_bytes(vector)))
        session.flush()


def _waits(session: Session, photo_id: int) -> bool:
    here = Message.photo_id == photo_id, Message.state == "waiting"
    return session.scalar(select(Message.id).where(*here).limit(1)) is not None


def _give_up(database: Database, photo_id: int, error: ImageError | NotStored) -> None:
    """The stored bytes are gone or damaged: nobody waits for them any longer, and no training trips over them."""
    reason = error.reason if isinstance(error, ImageError) else "lost"
    metrics.REFUSED.labels(reason).inc()
    log.warning("can't be looked at: %s", reason, extra=logs.ids(photo=photo_id))
    with database.begin() as session:
        # Of an expired photo no picture is expected.
        has_picture = Photo.id == photo_id, Photo.expired_at.is_(None)
        session.execute(update(Photo).where(*has_picture).values(unreadable=str(error)[:200]))
        _release(session, photo_id, reason)


def _release(session: Session, photo_id: int, failure: str | None) -> None:
    session.execute(
        update(Message)
        .where(Message.photo_id == photo_id, Message.state == "waiting")
        .values(state="classified", failure=failure)
    )
