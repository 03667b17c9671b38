"""What the worker's tests start from: a store with a tiny backbone, and a model that knows red from blue."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from snaplabel import heads, images, labels, people, photos, registry
from snaplabel.database import Database, now
from snaplabel.heads import Head
from snaplabel.registry import Card
from snaplabel.store import Store, photo_key
from snaplabel.tables import Message, Model
from tests.worker.tiny import save_backbone
from worker.classify import Context
from worker.engine import Engine


def coloured(red: int, green: int, blue: int, *, seed: int = 0) -> bytes:
    """A JPEG of nearly one colour; no two seeds have the same bytes."""
    grain = np.random.default_rng(seed).integers(-6, 6, (40, 40, 1))
    pixels = np.clip(np.full((40, 40, 3), (red, green, blue)) + grain, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST).save(out, "JPEG", quality=95)
    return out.getvalue()


@dataclass
class Workplace:
    """A database, a store and an engine, with ways to put photos and models into them."""

    database: Database
    store: Store
    engine: Engine
    home: Path

    @property
    def context(self) -> Context:
        return Context(self.database, self.store, self.engine)

    def photo(self, data: bytes, *, waits: bool = True, person: str = "1", chat: str = "room") -> int:
        """A photo in the store, and this person's post that waits for it since now; the photo's id."""
        prepared = images.prepare(data)
        self.store.put(photo_key(prepared.sha256), prepared.data)
        with self.database.begin() as session:
            here = people.chat(session, "test", chat)
            photo = photos.add(session, here.classifier_id, prepared).photo
            if waits:
                author = people.person(session, "test", person, "Anna").id
                session.add(
                    Message(
                        platform="test",
                        chat_id=here.id,
                        platform_id=prepared.sha256[:12],
                        person_id=author,
                        payload={},
                        state="waiting",
                        photo_id=photo.id,
                        queued_at=now(),
                    )
                )
            return photo.id

    def publish(self, *names: str, swapped: bool = False, backbone: str = "tiny-1") -> int:
        """A model on the tiny backbone: its first label is red, its second blue; the version."""
        weight = np.zeros((len(names), 12), np.float32)
        for corner in range(0, 12, 3):
            for row, column in enumerate((0, 2)[: len(names)]):
                weight[(1 - row) if swapped else row, corner + column] = 4.0
        centres = weight / np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 1e-9)
        with self.database.begin() as session:
            classifier = people.make_classifier(session)
            known = tuple((labels.make(session, classifier.id, name).id, name) for name in names)
            version = registry.next_version(session, classifier.id)
            card = Card("default", version, "refit", backbone, known)
            key = f"models/{classifier.id}/{version}"
            heads.save(self.store, key, Head(weight, np.zeros(len(names), np.float32), centres), card)
            model = Model(
                classifier_id=classifier.id,
                version=version,
                kind="refit",
                backbone=backbone,
                key=key,
                card=card.to_json(),
            )
            session.add(model)
            session.flush()
            registry.publish(session, model)
            return version


@pytest.fixture
def workplace(database: Database, tmp_path: Path) -> Iterator[Workplace]:
    """A worker's surroundings with the tiny backbone in the store and no model yet."""
    store = Store(str(tmp_path / "store"))
    save_backbone(store, str(tmp_path))
    engine = Engine(database, store, tmp_path, threads=1, glance_s=0.0)
    yield Workplace(database, store, engine, tmp_path)
    engine.close()
