"""A backlog: everybody has a turn, waiting wears nothing out, and a photo that kills its worker is parked alone."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select, update

from snaplabel.database import now
from snaplabel.errors import QueueError
from snaplabel.store import photo_key
from snaplabel.tables import Message, Photo
from tests.worker.conftest import Workplace, coloured
from worker import classify, sweep, tasks, turns
from worker.classify import Context
from worker.engine import Engine, Vector
from worker.turns import Turn, Turns

MANY = 1500
NOTHING = {"phash": 0, "band0": 0, "band1": 0, "band2": 0, "band3": 0, "colours": b"", "width": 1, "height": 1}


def _flood(workplace: Workplace, count: int, person: str = "1") -> None:
    """So many photos of one person that wait; only their rows are there."""
    first = workplace.photo(coloured(250, 10, 10), person=person)
    with workplace.database.begin() as session:
        one = session.scalars(select(Message).where(Message.photo_id == first)).one()
        same = {name: getattr(one, name) for name in ("platform", "chat_id", "person_id", "state", "queued_at")}
        names = {first + n: f"{person}-{n}" for n in range(1, count)}
        rows = {"classifier_id": 1, "split": "lesson", **NOTHING}
        session.execute(insert(Photo), [{"id": n, "sha256": name, **rows} for n, name in names.items()])
        posts = [{"photo_id": n, "platform_id": name, "payload": {}, **same} for n, name in names.items()]
        session.execute(insert(Message), posts)


def _age(workplace: Workplace, seconds: float, *where: object) -> None:
    """Move what has been noted so many seconds into the past."""
    with workplace.database.begin() as session:
        noted = session.scalars(select(Message.queued_at).where(*where).distinct()).all()  # type: ignore[arg-type]
        for moment in sorted(when for when in noted if when is not None):
            here = update(Message).where(Message.queued_at == moment, *where)  # type: ignore[arg-type]
            session.execute(here.values(queued_at=moment - timedelta(seconds=seconds)))


def _states(workplace: Workplace) -> Counter[tuple[str, str | None]]:
    with workplace.database.read() as session:
        return Counter((one.state, one.failure) for one in session.scalars(select(Message)))


def _messages(workplace: Workplace) -> dict[int, Message]:
    """Photo id → its post."""
    with workplace.database.read() as session:
        return {one.photo_id or 0: one for one in session.scalars(select(Message))}


def _photos(taken: Iterable[Turn | None]) -> list[int | None]:
    return [turn.photo_id if turn is not None else None for turn in taken]


class Broker:
    """Rings are counted; nobody answers them."""

    def __init__(self, queued: int = 0) -> None:
        self.rung: list[int] = []
        self.queued = queued

    def ring(self, task: str, number: int) -> None:
        self.rung.append(number)

    def length(self) -> int:
        return self.queued + len(self.rung)


# Waiting.


def test_waiting_in_a_long_queue_wears_no_photo_out_and_rings_no_bell_twice(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    _flood(workplace, MANY)
    broker = Broker(queued=MANY)

    for _ in range(20):
        _age(workplace, 60)
        sweep.sweep(workplace.database, broker.ring, broker.length)

    assert broker.rung == []
    assert _states(workplace) == {("waiting", None): MANY}
    assert {one.attempts for one in _messages(workplace).values()} == {0}


def test_a_broker_that_lost_everything_gets_a_bell_for_each_photo_and_no_more(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    _flood(workplace, MANY)
    broker = Broker()

    for _ in range(6):
        _age(workplace, 60)
        sweep.sweep(workplace.database, broker.ring, broker.length)

    assert len(broker.rung) <= MANY
    assert broker.length() >= sweep.AT_ONCE


def test_the_sweeper_rings_for_what_waits_too_long_and_only_for_that(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    lost, fresh = workplace.photo(coloured(250, 10, 10)), workplace.photo(coloured(10, 10, 250))
    _age(workplace, 60, Message.photo_id == lost)
    broker = Broker()

    sweep.sweep(workplace.database, broker.ring, broker.length)

    assert broker.rung == [lost]
    assert fresh not in broker.rung


def test_waiting_for_the_first_model_rings_no_bell_and_wears_nothing_out(workplace: Workplace) -> None:
    photo = workplace.photo(coloured(250, 10, 10))
    waiting, broker = Turns(workplace.database), Broker()

    for _ in range(turns.MAX_ATTEMPTS + 2):
        _age(workplace, 60)
        sweep.sweep(workplace.database, broker.ring, broker.length)
        assert waiting.take() is None

    assert broker.rung == []
    workplace.publish("red", "blue")
    sweep.sweep(workplace.database, broker.ring, broker.length)
    assert broker.rung == [photo]


def test_a_broker_that_can_t_be_asked_is_an_error_with_a_name(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    _age(workplace, 60)

    def away() -> int:
        raise QueueError()

    with pytest.raises(QueueError):
        sweep.sweep(workplace.database, lambda task, number: None, away)

    assert sweep.is_due(workplace.database)
    assert _messages(workplace)[photo].state == "waiting"


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_by_an_hour_holds_nobody_up(workplace: Workplace, hours: int) -> None:
    workplace.publish("red", "blue")
    rung, begun = workplace.photo(coloured(250, 10, 10)), workplace.photo(coloured(10, 10, 250))
    _set(workplace, begun, attempts=1, queued_at=now() + timedelta(seconds=turns.LEASE_S))
    _age(workplace, 3600 * hours)
    broker, waiting = Broker(), Turns(workplace.database)

    sweep.sweep(workplace.database, broker.ring, broker.length)

    assert sorted(broker.rung) == sorted((rung, begun))
    assert sorted(str(n) for n in _photos((waiting.take(), waiting.take()))) == sorted(map(str, (rung, begun)))


def _set(workplace: Workplace, photo_id: int, **values: int | datetime) -> None:
    with workplace.database.begin() as session:
        session.execute(update(Message).where(Message.photo_id == photo_id).values(**values))


# Turns.


def test_a_newcomer_has_the_next_turn_but_one_behind_a_flood(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    _flood(workplace, MANY)
    waiting = Turns(workplace.database, glance_s=0.0)
    for _ in range(5):
        waiting.take()
    mine = [workplace.photo(coloured(10, 10, 250, seed=n), person="2") for n in range(3)]

    taken = _photos(waiting.take() for _ in range(7))

    assert [taken.index(photo) for photo in mine] == sorted(taken.index(photo) for photo in mine)
    assert all(photo in taken for photo in mine)


def test_a_stream_of_newcomers_does_not_keep_the_flood_waiting(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    _flood(workplace, 30)
    waiting = Turns(workplace.database, glance_s=0.0)
    waiting.take()
    of_the_flood = 0

    for n in range(20):
        workplace.photo(coloured(10, 10, 250, seed=n), person=f"new {n}")
        workplace.photo(coloured(10, 250, 10, seed=n), person=f"newer {n}")
        turn = waiting.take()
        assert turn is not None
        of_the_flood += _messages(workplace)[turn.photo_id].person_id == 1

    assert of_the_flood >= 1


def test_two_workers_never_look_at_the_same_photo_at_once(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    _flood(workplace, 30)
    one, other = Turns(workplace.database), Turns(workplace.database)

    taken = _photos(worker.take() for _ in range(15) for worker in (one, other))

    assert len(set(taken)) == 30
    assert one.take() is None


def test_a_slow_look_keeps_its_lease_and_a_dead_one_loses_it(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    workplace.photo(coloured(250, 10, 10))
    slow, other = Turns(workplace.database, lease_s=0.4, glance_s=0.0), Turns(workplace.database, glance_s=0.0)
    turn = slow.take()
    assert turn is not None
    first, stop = _messages(workplace)[turn.photo_id].queued_at, threading.Event()
    keeper = threading.Thread(target=slow.keep, args=(stop,), daemon=True)

    keeper.start()
    deadline = time.monotonic() + 20
    while (renewed := _messages(workplace)[turn.photo_id].queued_at) == first and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    keeper.join()

    assert renewed is not None
    assert first is not None
    assert renewed > first
    _age(workplace, 30)
    taken_over = other.take()
    assert taken_over is not None
    assert taken_over.attempt == 2


def test_a_bell_too_many_finds_nobody_and_changes_nothing(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    workplace.photo(coloured(250, 10, 10))
    waiting = Turns(workplace.database)

    looked = [tasks.look(workplace.context, waiting) for _ in range(3)]

    assert looked == [True, False, False]
    assert _states(workplace) == {("classified", None): 1}


# Photos that kill, and what is not their fault.


class Died(BaseException):
    """A process that ended in the middle of a look: nothing after it happens."""


class Deadly(Engine):
    """An engine that dies of one photo, as a crash in a library would have it."""

    poison = b""

    def embed(self, backbone: str, photo: bytes) -> Vector:
        if photo == self.poison:
            raise Died()
        return super().embed(backbone, photo)


def _deadly(workplace: Workplace, photo_id: int) -> Context:
    engine = Deadly(workplace.database, workplace.store, workplace.home, threads=1)
    with workplace.database.read() as session:
        engine.poison = workplace.store.get(photo_key(session.get_one(Photo, photo_id).sha256))
    return replace(workplace.context, engine=engine)


def test_a_photo_that_kills_its_worker_is_parked_after_four_tries_and_takes_nobody_with_it(
    workplace: Workplace,
) -> None:
    workplace.publish("red", "blue")
    poison = workplace.photo(coloured(250, 10, 10))
    others = [workplace.photo(coloured(10, 10, 250, seed=n), person="2") for n in range(6)]
    context, deaths, broker = _deadly(workplace, poison), 0, Broker()

    for _ in range(40):
        # A worker begins with four photos at once; a death is the death of all four tries.
        worker = Turns(workplace.database, glance_s=0.0)
        begun = [turn for _ in range(4) if (turn := worker.take()) is not None]
        if any(turn.photo_id == poison for turn in begun):
            deaths += 1
        else:
            for turn in begun:
                classify.classify(context, turn.photo_id)
        _age(workplace, turns.LEASE_S + 1)
        sweep.sweep(workplace.database, broker.ring, broker.length)

    posts = _messages(workplace)
    assert deaths == turns.MAX_ATTEMPTS
    assert (posts[poison].state, posts[poison].failure) == ("classified", "trouble")
    assert {(posts[photo].state, posts[photo].failure) for photo in others} == {("classified", None)}
    context.engine.close()


def test_a_photo_that_is_no_photo_to_the_runtime_is_parked_with_a_reason(
    workplace: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    workplace.publish("red", "blue")
    workplace.photo(coloured(250, 10, 10))
    context = replace(workplace.context, engine=Failing(workplace, lambda: RuntimeError("not this one")))
    waiting = Turns(workplace.database, glance_s=0.0)

    for _ in range(turns.MAX_ATTEMPTS):
        assert tasks.look(context, waiting)
        _age(workplace, turns.LEASE_S)
    sweep.sweep(workplace.database, lambda task, number: None, lambda: 0)

    assert _states(workplace) == {("classified", "trouble"): 1}
    assert "try 4 failed" in caplog.text


class Failing(Engine):
    """An engine to which something happens at every photo."""

    def __init__(self, workplace: Workplace, error: Callable[[], Exception]) -> None:
        super().__init__(workplace.database, workplace.store, workplace.home, threads=1)
        self.error = error

    def embed(self, backbone: str, photo: bytes) -> Vector:
        raise self.error()


def test_a_model_that_can_t_be_loaded_wears_no_photo_out_and_is_named(
    workplace: Workplace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAUSE_S", 0.0)
    workplace.publish("red", "blue")
    whole = workplace.store.get("models/1/0/head.safetensors")
    workplace.store.put("models/1/0/head.safetensors", b"not a model")
    workplace.photo(coloured(250, 10, 10))
    waiting = Turns(workplace.database, glance_s=0.0)

    for _ in range(turns.MAX_ATTEMPTS + 2):
        assert tasks.look(workplace.context, waiting)
        sweep.sweep(workplace.database, lambda task, number: None, lambda: 0)

    assert _states(workplace) == {("waiting", None): 1}
    assert "models/1/0/head.safetensors is damaged" in caplog.text
    workplace.store.put("models/1/0/head.safetensors", whole)
    assert tasks.look(workplace.context, waiting)
    assert _states(workplace) == {("classified", None): 1}


def test_a_store_that_fails_wears_no_photo_out_but_one_lost_file_is_not_tried_for_ever(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PAUSE_S", 0.0)
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    with workplace.database.read() as session:
        path = workplace.home / "store" / photo_key(session.get_one(Photo, photo).sha256)
    path.unlink()
    path.mkdir()  # Reading a folder is an error, for root too.
    waiting = Turns(workplace.database, glance_s=0.0)

    for _ in range(turns.MAX_ATTEMPTS + 2):
        assert tasks.look(workplace.context, waiting)
    assert _messages(workplace)[photo].attempts == 0

    _set(workplace, photo, received_at=now() - timedelta(hours=2))
    for _ in range(turns.MAX_ATTEMPTS):
        tasks.look(workplace.context, Turns(workplace.database, glance_s=0.0))
        _age(workplace, turns.LEASE_S)
    sweep.sweep(workplace.database, lambda task, number: None, lambda: 0)
    assert _states(workplace) == {("classified", "trouble"): 1}
