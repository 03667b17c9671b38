"""A worker in trouble: damaged and vanished models, no broker, a photo that kills the process, another database."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from snaplabel import backbones, home, store
from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.commands import doctor
from snaplabel.database import Base, Database, now
from snaplabel.errors import ModelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Message, Photo
from tests.worker.conftest import Workplace, coloured
from tests.worker.tiny import save_backbone
from worker import classify, runtimes, sweep, turns
from worker.engine import Batcher, Closed, Engine
from worker.turns import Turns

ROOT = Path(__file__).parents[2]


def _states(database: Database) -> dict[int, tuple[str, str | None]]:
    with database.read() as session:
        return {one.photo_id or 0: (one.state, one.failure) for one in session.scalars(select(Message))}


# Models.


@pytest.mark.parametrize("damage", ["cut", "gone", "one bit"])
def test_a_backbone_damaged_while_serving_goes_on_answering_and_is_named_at_the_next_start(
    workplace: Workplace, damage: str
) -> None:
    _seal(workplace)
    workplace.publish("red", "blue")
    classify.classify(workplace.context, workplace.photo(coloured(250, 10, 10)))
    path = workplace.home / "store" / backbones.folder("tiny-1") / "graph.bin"
    whole = bytearray(path.read_bytes())

    if damage == "gone":
        path.unlink()
    else:
        with path.open("r+b") as file:  # In place, as a failing disk does it.
            file.truncate(8 if damage == "cut" else len(whole))
            file.write(bytes([whole[0] ^ 1]))
    photo = workplace.photo(coloured(10, 10, 250, seed=3))
    classify.classify(workplace.context, photo)

    assert _states(workplace.database)[photo] == ("classified", None)
    with pytest.raises(ModelError, match=r"backbones/tiny-1/graph\.bin is (damaged|gone)"):
        runtimes.load(workplace.store, "tiny-1", workplace.home)
    with pytest.raises(ModelError, match=r"backbones/tiny-1/graph\.bin is (damaged|gone)"):
        _check(workplace)


def _seal(workplace: Workplace) -> None:
    """Write into the backbone's card what its files hold, as the trainer does."""
    card = backbones.load_card(workplace.store, "tiny-1")
    workplace.store.put(f"{backbones.folder('tiny-1')}/weights.safetensors", b"weights")
    for name in ("graph.xml", "graph.bin", "weights.safetensors"):
        card.sums[name] = store.sha256_of(workplace.store.get(f"{backbones.folder('tiny-1')}/{name}"))
    backbones.save_card(workplace.store, card)


def _check(workplace: Workplace) -> None:
    backbones.check(workplace.store, "tiny-1")


def test_a_new_version_whose_backbone_is_damaged_leaves_the_one_before_answering(
    workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    workplace.publish("red", "blue")
    classify.classify(workplace.context, workplace.photo(coloured(250, 10, 10)))
    (workplace.home / "second").mkdir()
    save_backbone(workplace.store, str(workplace.home / "second"), "tiny-2")
    workplace.store.delete(f"{backbones.folder('tiny-2')}/graph.bin")
    workplace.publish("red", "blue", swapped=True, backbone="tiny-2")

    photo = workplace.photo(coloured(10, 10, 250, seed=3))
    for _ in range(3):
        classify.classify(workplace.context, photo)

    assert _states(workplace.database)[photo] == ("classified", None)
    assert caplog.text.count("v1 is current, but v0 goes on answering") == 1
    assert "backbones/tiny-2/graph.bin is gone" in caplog.text


def test_a_folder_for_compiled_graphs_that_can_t_be_written_stops_no_worker(workplace: Workplace) -> None:
    (workplace.home / "cache").write_text("a file where the folder should be")

    runtime = runtimes.load(workplace.store, "tiny-1", workplace.home)

    assert runtime.embed(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 12)


def test_a_backbone_that_makes_room_for_another_leaves_nobody_waiting_for_ever(workplace: Workplace) -> None:
    for name in ("tiny-2", "tiny-3"):
        (workplace.home / name).mkdir()
        save_backbone(workplace.store, str(workplace.home / name), name)
    engine, photo = Engine(workplace.database, workplace.store, workplace.home, threads=1), coloured(250, 10, 10)
    found: list[int] = []

    def ask(number: int) -> None:
        for n in range(10):
            found.append(len(engine.embed(f"tiny-{1 + (number + n) % 3}", photo)))

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [12] * 60
    engine.close()


def test_a_closed_batcher_takes_no_photo(workplace: Workplace) -> None:
    class Nothing:
        lanes = 1
        card: BackboneCard

        def embed(self, pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            return np.zeros((len(pixels), 1), np.float32)

    batcher = Batcher(Nothing())
    batcher.close()

    with pytest.raises(Closed):
        batcher.embed(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    "lost", ["backbones/tiny-1/graph.bin", "backbones/tiny-1/card.json", "models/1/0/head.safetensors"]
)
def test_the_doctor_names_a_model_file_that_is_gone(settings: Settings, lost: str) -> None:
    place, _ = _installed(settings)
    place.store.put("backbones/tiny-1/weights.safetensors", b"weights")
    before = [found.sentence for found in doctor.examine(settings) if found.part == "models"]

    place.store.delete(lost)

    after = next(found for found in doctor.examine(settings) if found.part == "models")
    assert before == ["default v0 can be loaded"]
    assert lost.rpartition("/")[0].split("/")[1] in after.sentence
    assert "snaplabel rollback" in str(after.problem)
    place.engine.close()


# Another database.


@pytest.mark.real
def test_turns_are_taken_on_postgresql_too(new_postgres_url: str, tmp_path: Path) -> None:
    database, store_ = Database(new_postgres_url), Store(str(tmp_path / "store"))
    Base.metadata.create_all(database.engine)
    save_backbone(store_, str(tmp_path))
    place = Workplace(database, store_, Engine(database, store_, tmp_path, threads=1, glance_s=0.0), tmp_path)
    place.publish("red", "blue")
    mine = [place.photo(coloured(250, 10, 10, seed=n)) for n in range(4)]
    other = place.photo(coloured(10, 10, 250), person="2")
    one, another, rung = Turns(database, glance_s=0.0), Turns(database, glance_s=0.0), list[int]()

    taken = [turn.photo_id for _ in range(2) for worker in (one, another) if (turn := worker.take()) is not None]
    _set_back(database, turns.LEASE_S + 60)
    sweep.sweep(database, lambda task, number: rung.append(number), lambda: 0)
    again = [turn for worker in (one, another) if (turn := worker.take()) is not None]

    assert len(set(taken)) == 4
    assert other in taken
    assert set(rung) == {*mine, other}
    assert sorted(turn.attempt for turn in again) == [1, 2]
    place.engine.close()
    database.close()


def _set_back(database: Database, seconds: float) -> None:
    from datetime import timedelta

    with database.begin() as session:
        for message in session.scalars(select(Message)):
            message.queued_at = (message.queued_at or now()) - timedelta(seconds=seconds)


# Processes.

HARNESS = """
import os, signal, sys, threading
from functools import partial
from pathlib import Path
from snaplabel import queue
from snaplabel.database import Database
from snaplabel.settings import read
from snaplabel.store import Store
from worker import tasks
from worker.classify import Context
from worker.engine import Engine
from worker.turns import Turns

class Deadly(Engine):
    def embed(self, backbone, photo):
        if photo == Path(sys.argv[1]).read_bytes():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(backbone, photo)

settings = read(os.environ)
database, store = Database(settings.database), Store(settings.store)
context = Context(database, store, Deadly(database, store, settings.home, threads=1))
app = queue.connect(settings)
queued = partial(queue.length, app, queue.CLASSIFY)
turns = Turns(database, lease_s=2.0)
threading.Thread(target=turns.keep, args=(threading.Event(),), daemon=True).start()
doors = tasks.tasks(context, turns, partial(queue.enqueue, app), queued)
queue.serve(app, queue.CLASSIFY, doors, threads=4, ticks={"classify.sweep": 0.5})
"""


def _installed(settings: Settings, **environment: str) -> tuple[Workplace, dict[str, str]]:
    """An installation as processes find it, with the tiny backbone and a model; and their environment."""
    home.prepare(settings)
    shutil.rmtree(settings.home / "store", ignore_errors=True)
    database, store_ = Database(settings.database), Store(settings.store)
    folder = settings.home / "made"
    folder.mkdir()
    save_backbone(store_, str(folder))
    place = Workplace(database, store_, Engine(database, store_, settings.home, threads=1), settings.home)
    place.publish("red", "blue")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAPLABEL_")}
    return place, {**kept, **settings.environment(), "PYTHONPATH": str(ROOT), **environment}


def _wait(look: Callable[[], bool], what: str, within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.mark.real
def test_a_photo_that_kills_the_process_again_and_again_is_parked_and_the_others_are_answered(
    settings: Settings, redis_url: str
) -> None:
    place, environment = _installed(settings, SNAPLABEL_BROKER_URL=redis_url)
    poison = place.photo(coloured(250, 10, 10))
    others = [place.photo(coloured(10, 10, 250, seed=n), person="2") for n in range(8)]
    with place.database.read() as session:
        deadly = settings.home / "store" / store.photo_key(session.get_one(Photo, poison).sha256)
    _set_back(place.database, 60)
    command = (sys.executable, "-c", HARNESS, str(deadly))
    process, deaths = subprocess.Popen(command, env=environment), 0
    deadline = time.monotonic() + 200
    try:
        while any(state == "waiting" for state, _ in _states(place.database).values()):
            assert time.monotonic() < deadline, "somebody waits in vain"
            if process.poll() is not None:
                deaths += process.returncode == -signal.SIGKILL
                process = subprocess.Popen(command, env=environment)
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()

    states = _states(place.database)
    assert states.pop(poison) == ("classified", "trouble")
    assert states == dict.fromkeys(others, ("classified", None))
    assert deaths == turns.MAX_ATTEMPTS


@pytest.mark.real
def test_without_a_broker_a_worker_starts_and_answers_all_the_same(settings: Settings) -> None:
    place, environment = _installed(settings, SNAPLABEL_BROKER_URL="redis://127.0.0.1:1/0")
    photo = place.photo(coloured(250, 10, 10))
    _set_back(place.database, 60)

    process = subprocess.Popen((sys.executable, "-m", "snaplabel", "worker"), env=environment, cwd=ROOT)
    try:
        _wait(lambda: _states(place.database)[photo] == ("classified", None), "the answer")
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)
