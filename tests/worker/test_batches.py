"""Several photos in one transaction: claimed together, written down together, and no one at another's cost."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, select

from snaplabel.store import photo_key
from snaplabel.tables import Embedding, Message, Photo, Prediction
from tests.worker.conftest import Workplace, coloured
from worker import classify, tasks, turns
from worker.turns import Turns

ROOT = Path(__file__).parents[2]
FIRST_PHOTOS = """
import sys, threading
from pathlib import Path
import numpy as np
from snaplabel.store import Store
from worker import runtimes

home = Path(sys.argv[1])
sys.setswitchinterval(1e-6)
runtime, gate = runtimes.load(Store(str(home / "store")), "tiny-1", home, threads=4), threading.Barrier(4)

def embed():
    gate.wait()
    runtime.embed(np.zeros((1, 32, 32, 3), np.uint8))

threads = [threading.Thread(target=embed, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
sys.exit(any(thread.is_alive() for thread in threads))
"""


def _states(workplace: Workplace) -> dict[int, tuple[str, str | None]]:
    with workplace.database.read() as session:
        return {one.photo_id or 0: (one.state, one.failure) for one in session.scalars(select(Message))}


def _photos(workplace: Workplace, count: int) -> list[int]:
    return [workplace.photo(coloured(250, 10, 10, seed=n), person=str(n % 3)) for n in range(count)]


def test_photos_that_wait_are_claimed_in_one_transaction_and_written_down_in_another(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photos = _photos(workplace, 6)
    waiting, writes = Turns(workplace.database), list[str]()
    event.listen(workplace.database.engine, "commit", lambda line: _note(writes, line))

    with ThreadPoolExecutor(2) as pool:
        looked = tasks.look(replace(workplace.context, pool=pool), waiting, 8)

    assert looked == 6
    assert _states(workplace) == dict.fromkeys(photos, ("classified", None))
    assert len(writes) == 2
    with workplace.database.read() as session:
        assert len(session.scalars(select(Prediction)).all()) == 6
        assert len(session.scalars(select(Embedding)).all()) == 6


def _note(writes: list[str], line: object) -> None:
    if line.get_execution_options().get("writes"):  # type: ignore[attr-defined]
        writes.append("commit")


def test_a_photo_that_is_gone_fails_alone_in_its_batch(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    lost, *others = _photos(workplace, 4)
    with workplace.database.read() as session:
        workplace.store.delete(photo_key(session.get_one(Photo, lost).sha256))

    tasks.look(workplace.context, Turns(workplace.database), 8)

    assert _states(workplace) == {lost: ("classified", "lost"), **dict.fromkeys(others, ("classified", None))}


def test_a_photo_that_was_tried_before_is_taken_alone(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    tried, *others = _photos(workplace, 4)
    with workplace.database.begin() as session:
        session.scalars(select(Message).where(Message.photo_id == tried)).one().attempts = 1
    waiting = Turns(workplace.database)

    first, second = waiting.take_some(8), waiting.take_some(8)

    assert [(turn.photo_id, turn.attempt) for turn in first] == [(tried, 2)]
    assert sorted(turn.photo_id for turn in second) == others


def test_the_same_batch_twice_leaves_one_prediction_each(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photos = _photos(workplace, 3)

    failed = [classify.classify_all(workplace.context, photos) for _ in range(2)]

    assert failed == [{}, {}]
    with workplace.database.read() as session:
        assert sorted(session.scalars(select(Prediction.photo_id))) == photos


def test_one_bell_is_enough_for_all_who_wait(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photos = _photos(workplace, tasks.AT_ONCE + 3)
    waiting = Turns(workplace.database, glance_s=0.0)
    doors = tasks.tasks(workplace.context, waiting, lambda task, number: None, lambda: 0)

    doors["classify.photo"](photos[0])

    assert _states(workplace) == dict.fromkeys(photos, ("classified", None))


@pytest.mark.parametrize("other", ["classify.embed", "classify.sweep"])
def test_whatever_is_heard_on_the_queue_stands_for_a_bell(workplace: Workplace, other: str) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    doors = tasks.tasks(workplace.context, Turns(workplace.database), lambda task, number: None, lambda: 0)

    doors[other](0)

    assert _states(workplace) == {photo: ("classified", None)}


def test_who_listens_for_long_lets_others_have_a_turn_and_leaves_a_bell(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LISTENS_S", -1.0)
    workplace.publish("red", "blue")
    _photos(workplace, tasks.AT_ONCE + 3)
    rung = list[tuple[str, int]]()
    waiting = Turns(workplace.database, glance_s=turns.GLANCE_S)
    doors = tasks.tasks(workplace.context, waiting, lambda task, number: rung.append((task, number)), lambda: 0)

    doors["classify.photo"](0)

    assert sum(state == "waiting" for state, _ in _states(workplace).values()) == 3
    assert rung == [("classify.photo", 0)]


@pytest.mark.real
def test_the_first_photos_of_a_process_may_come_to_all_lanes_at_once(workplace: Workplace) -> None:
    command = (sys.executable, "-c", FIRST_PHOTOS, str(workplace.home))

    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]

    assert [process.wait(120) for process in started] == [0, 0, 0]
