"""The bell: embeddings are made elsewhere, and the database says when they are there."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from snaplabel.database import Database
from snaplabel.errors import TrainingError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier, Model, Photo
from trainer.serve import Bell


def _nothing(_: int) -> None:
    pass


def test_the_bell_waits_until_the_photos_were_looked_at(planted: Any) -> None:
    ids = planted.photos(3, "ant")
    done: list[int] = []
    bell = Bell(lambda photo_id: planted.embed([photo_id], "tiny", _nothing), planted.database)

    bell.embed(ids, "tiny", done.append)

    assert done[-1] == 3
    assert planted.seen == ids


def test_an_unreadable_photo_is_not_waited_for(planted: Any) -> None:
    photo_id = planted.photo("ant")

    def ring(number: int) -> None:
        with planted.database.begin() as session:
            session.get_one(Photo, number).unreadable = "broken"

    Bell(ring, planted.database).embed([photo_id], "tiny", _nothing)


def test_a_bell_that_nobody_heard_rings_again(planted: Any) -> None:
    photo_id = planted.photo("ant")
    rung: list[int] = []

    def ring(number: int) -> None:
        rung.append(number)
        if len(rung) == 2:
            planted.embed([number], "tiny", _nothing)

    Bell(ring, planted.database, ring_again_s=0.2).embed([photo_id], "tiny", _nothing)

    assert rung == [photo_id, photo_id]


def test_without_a_worker_the_wait_ends_with_a_sentence(planted: Any) -> None:
    photo_id = planted.photo("ant")

    with pytest.raises(TrainingError, match="no worker is running"):
        Bell(_nothing, planted.database, patience_s=0.3).embed([photo_id], "tiny", _nothing)


def test_only_a_few_bells_ring_at_a_time(planted: Any) -> None:
    ids = planted.photos(100, "ant")
    rung: list[int] = []
    bell = Bell(rung.append, planted.database)
    waiting = threading.Thread(target=lambda: bell.embed(ids, "tiny", _nothing), daemon=True)

    waiting.start()
    time.sleep(0.5)
    early = list(rung)
    planted.embed(ids, "tiny", _nothing)
    waiting.join(10)

    assert early == ids[:64]
    assert not waiting.is_alive()


@pytest.mark.real
def test_preparing_makes_the_first_backbone_and_loads_no_torch_here(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'test.db'}", backbone="squeezenet1_1")
    database, store = Database(settings.database), Store(settings.store)
    Classifier.metadata.create_all(database.engine)
    code = (
        "import sys; from snaplabel.settings import read; from snaplabel.database import Database\n"
        "from snaplabel.store import Store; from trainer.run import Context; from trainer.serve import prepare\n"
        "given = read(); here = Context(Database(given.database), Store(given.store), given, print)\n"
        "prepare(here); prepare(here); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, **settings.environment()}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    with database.read() as session:
        models = session.scalars(select(Model)).all()
        assert [(model.version, model.state, model.kind) for model in models] == [(0, "current", "backbone")]
    assert store.has(f"backbones/{models[0].backbone}/graph.xml")
    database.close()
