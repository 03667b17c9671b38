"""A classifier with photos that have no pixels: each photo's embedding is drawn around its label's direction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snaplabel import backbones, heads, labels, people, registry, trainings
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database, now
from snaplabel.heads import Head
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Embedding, Model, Photo, TrainingRun
from trainer import run
from trainer.run import Context

BACKBONE = "tiny-000000000000"
DIMENSION = 16


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}", backbone="squeezenet1_1", refit_after_s=0.0
    )


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store)


@dataclass
class Planted:
    """A classifier whose photos' embeddings we choose. seen: what `embed` was asked for."""

    database: Database
    store: Store
    settings: Settings
    classifier_id: int
    directions: dict[str, Any]
    seen: list[int]
    rng: np.random.Generator
    looks: dict[int, str]

    def photo(self, label: str | None, split: str = "lesson", looks: str = "", group: int | None = None) -> int:
        """One photo; `looks` is the label its embedding resembles, by default its own."""
        with self.database.begin() as session:
            number = len(self.looks)
            found = Photo(
                classifier_id=self.classifier_id,
                sha256=f"{number:064x}",
                phash=0,
                band0=0,
                band1=0,
                band2=0,
                band3=0,
                colours=b"",
                width=1,
                height=1,
                split=split,
                group_id=group,
            )
            session.add(found)
            session.flush()
            if label is not None:
                found.label_id, found.labelled_at = labels.make(session, self.classifier_id, label).id, now()
            self.looks[found.id] = looks or label or ""
            return found.id

    def photos(self, many: int, label: str, split: str = "lesson", looks: str = "") -> list[int]:
        return [self.photo(label, split, looks) for _ in range(many)]

    def relabel(self, photo_id: int, label: str) -> None:
        with self.database.begin() as session:
            photo = session.get_one(Photo, photo_id)
            photo.label_id, photo.labelled_at = labels.make(session, self.classifier_id, label).id, now()

    def vector(self, photo_id: int) -> Any:
        looks = self.looks[photo_id]
        if looks not in self.directions:
            self.directions[looks] = self.rng.normal(size=DIMENSION)
        return (self.directions[looks] + 0.3 * self.rng.normal(size=DIMENSION)).astype(np.float32)

    def embed(self, photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        self.seen.extend(photo_ids)
        with self.database.begin() as session:
            session.add_all(
                Embedding(photo_id=one, backbone=backbone, vector=backbones.to_bytes(self.vector(one)))
                for one in photo_ids
            )
        on_done(len(photo_ids))

    def context(self, **changes: Any) -> Context:
        return replace(Context(self.database, self.store, self.settings, self.embed), **changes)

    def refit(self, reason: str = "corrections", **changes: Any) -> TrainingRun:
        """A training of the head, over; changes: of its context."""
        with self.database.begin() as session:
            run_id = trainings.ask(session, self.classifier_id, "refit", reason).id
        run.execute(self.context(**changes), run_id)
        with self.database.read() as session:
            return session.get_one(TrainingRun, run_id)

    def current(self) -> Model:
        with self.database.read() as session:
            found = registry.current(session, self.classifier_id)
        assert found is not None
        return found

    def models(self) -> list[Model]:
        with self.database.read() as session:
            return list(registry.versions(session, self.classifier_id))


@pytest.fixture
def planted(database: Database, store: Store, settings: Settings) -> Planted:
    """A classifier that has version 0: a backbone, and no labels."""
    return plant(database, store, settings)


def plant(database: Database, store: Store, settings: Settings) -> Planted:
    """The same in any database that has its tables."""
    card = BackboneCard(BACKBONE, "tiny", DIMENSION, Preparation(32, 32), True, "planted")
    backbones.save_card(store, card)
    nothing = np.zeros((0, DIMENSION), np.float32)
    heads.save(store, "models/1/0", Head(nothing, nothing[:, 0], nothing), Card("default", 0, "backbone", BACKBONE))
    with database.begin() as session:
        classifier = people.make_classifier(session)
        about = Card("default", 0, "backbone", BACKBONE).to_json()
        model = Model(
            classifier_id=classifier.id, version=0, kind="backbone", backbone=BACKBONE, key="models/1/0", card=about
        )
        session.add(model)
        session.flush()
        registry.publish(session, model)
        classifier_id = classifier.id
    return Planted(database, store, settings, classifier_id, {}, [], np.random.default_rng(0), {})
