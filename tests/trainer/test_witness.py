"""Witnesses: the first backbone sees, in a process of its own, what only a taught one has seen."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from snaplabel import backbones, images, labels, people
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from snaplabel.tables import Embedding, Photo
from trainer import backbone, witness
from trainer.recipe import Recipe
from trainer.run import Context

pytestmark = pytest.mark.real
ARCHITECTURE = "shufflenet_v2_x0_5"


def _nobody(*_: Any) -> None:
    raise AssertionError("workers look with the current backbone only")


@pytest.fixture
def house(database: Database, store: Store, settings: Settings) -> Context:
    """A classifier with six photos, of which the fifth can't be decoded, and a first backbone as if it were taught."""
    rng = np.random.default_rng(0)
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        for number in range(6):
            out = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (40, 48, 3), dtype=np.uint8)).save(out, "JPEG")
            prepared = images.prepare(out.getvalue())
            sha256 = sha256_of(out.getvalue())
            store.put(photo_key(sha256), prepared.data if number != 4 else b"broken")
            photo = Photo(
                classifier_id=classifier_id,
                sha256=sha256,
                phash=number,
                band0=0,
                band1=0,
                band2=0,
                band3=0,
                colours=prepared.colours,
                width=48,
                height=40,
                split="lesson",
                label_id=labels.make(session, classifier_id, "red" if number % 2 else "blue").id,
                labelled_at=now(),
            )
            session.add(photo)
    card = backbone._from_chance(store, ARCHITECTURE, Recipe())
    backbone._register(database, store, classifier_id, replace(card, is_pretrained=True))
    backbones.save_card(store, replace(card, is_pretrained=True))
    return Context(database, store, replace(settings, backbone=ARCHITECTURE), embed=_nobody)


def _seen(house: Context) -> list[int]:
    with house.database.read() as session:
        return list(session.scalars(select(Embedding.photo_id).order_by(Embedding.photo_id)))


def test_the_first_backbone_sees_what_it_has_not_seen_and_nothing_twice(house: Context) -> None:
    assert witness.call(house, 1) == 5
    with house.database.begin() as session:
        session.delete(session.get_one(Embedding, (2, backbone.base(house.database, house.store, 1).version)))

    assert witness.call(house, 1) == 1

    assert _seen(house) == [1, 2, 3, 4, 6]
    assert not list((house.settings.home / "checkpoints").glob("*"))


def test_a_backbone_that_knows_nothing_is_no_witness(house: Context) -> None:
    card = backbone.base(house.database, house.store, 1)
    backbones.save_card(house.store, replace(card, is_pretrained=False))

    assert witness.call(house, 1) == 0

    assert _seen(house) == []
