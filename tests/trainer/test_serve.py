"""The service: one fine-tune at a time beside the refits, and embeddings that are made elsewhere."""

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
from snaplabel.errors import Overtaken, TrainingError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier, Model, Photo
from trainer.serve import Bell, Lane


def _nothing(_: int) -> None:
    pass


def test_the_bell_waits_until_the_photos_were_looked_at(planted: Any) -> None:
    ids = planted.photos(3, "ant")
    done: list[int] = []
    bell = Bell(lambda photo_id: planted.embed([photo_id], planted.current().backbone, _nothing), planted.database)

    bell.embed(ids, planted.current().backbone, done.append)

    assert done[-1] == 3
    assert planted.seen == ids


def test_an_unreadable_photo_is_not_waited_for(planted: Any) -> None:
    photo_id = planted.photo("ant")

    def ring(number: int) -> None:
        with planted.database.begin() as session:
            session.get_one(Photo, number).unreadable = "broken"

    Bell(ring, planted.database).embed([photo_id], planted.current().backbone, _nothing)


def test_a_bell_that_nobody_heard_rings_again(planted: Any) -> None:
    photo_id = planted.photo("ant")
    rung: list[int] = []

    def ring(number: int) -> None:
        rung.append(number)
        if len(rung) == 2:
            planted.embed([number], planted.current().backbone, _nothing)

    Bell(ring, planted.database, ring_again_s=0.2).embed([photo_id], planted.current().backbone, _nothing)

    assert rung == [photo_id, photo_id]


def test_a_photo_that_was_erased_is_not_waited_for(planted: Any) -> None:
    photo_id = planted.photo("ant")

    def ring(number: int) -> None:
        with planted.database.begin() as session:
            session.delete(session.get_one(Photo, number))

    Bell(ring, planted.database).embed([photo_id], planted.current().backbone, _nothing)


def test_nobody_waits_for_embeddings_by_a_backbone_that_is_no_longer_current(planted: Any) -> None:
    photo_id = planted.photo("ant")

    with pytest.raises(Overtaken):
        Bell(_nothing, planted.database).embed([photo_id], "another-000000000000", _nothing)


def test_one_fine_tune_runs_at_a_time_and_the_next_may_follow() -> None:
    begun: list[int] = []
    goes_on, is_over = threading.Event(), threading.Event()

    def work(run_id: int) -> None:
        begun.append(run_id)
        goes_on.wait(10)
        is_over.set()

    lane = Lane(work)
    lane.take(1)
    lane.take(2)
    goes_on.set()
    is_over.wait(10)
    lane.close()
    lane.take(3)

    assert begun == [1]
    assert lane.is_closing


def test_trouble_in_a_fine_tune_does_not_end_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    begun: list[int] = []

    def work(run_id: int) -> None:
        begun.append(run_id)
        raise ZeroDivisionError

    lane = Lane(work)
    for run_id in (1, 2):
        lane.take(run_id)
        while not lane.is_idle:
            time.sleep(0.01)

    assert begun == [1, 2]
    assert "left in the middle" in caplog.text


def test_without_a_worker_the_wait_ends_with_a_sentence(planted: Any) -> None:
    photo_id = planted.photo("ant")

    with pytest.raises(TrainingError, match="no worker is running"):
        Bell(_nothing, planted.database, patience_s=0.3).embed([photo_id], planted.current().backbone, _nothing)


def test_only_a_few_bells_ring_at_a_time(planted: Any) -> None:
    ids = planted.photos(100, "ant")
    rung: list[int] = []
    bell = Bell(rung.append, planted.database)
    waiting = threading.Thread(target=lambda: bell.embed(ids, planted.current().backbone, _nothing), daemon=True)

    waiting.start()
    time.sleep(0.5)
    early = list(rung)
    planted.embed(ids, planted.current().backbone, _nothing)
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
