"""The bell: embeddings are made elsewhere, and the database says when they are there."""

import threading
import time
from typing import Any

import pytest

from snaplabel.database import Database
from snaplabel.errors import TrainingError
from snaplabel.tables import Photo
from trainer.serve import Bell, prepare


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


def test_preparing_twice_changes_nothing(planted: Any, database: Database) -> None:
    prepare(planted.context())
    prepare(planted.context())

    assert [model.version for model in planted.models()] == [0]
