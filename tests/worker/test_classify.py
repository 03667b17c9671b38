"""One photo id in, one prediction out; again, does no harm."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import select

from snaplabel import registry
from snaplabel.backbones import BackboneCard, Pixels
from snaplabel.errors import ModelError
from snaplabel.store import photo_key
from snaplabel.tables import Embedding, Message, Photo, Prediction
from tests.worker.conftest import Workplace, coloured
from worker import classify
from worker.engine import Batcher, Engine, Vector


def _said(workplace: Workplace, photo_id: int) -> list[tuple[str, float]]:
    with workplace.database.read() as session:
        rows = session.scalars(select(Prediction).where(Prediction.photo_id == photo_id)).all()
        return [(row.voice, row.top[0][0] if row.top else 0) for row in rows]


def _states(workplace: Workplace) -> list[tuple[str, str | None]]:
    with workplace.database.read() as session:
        return [(one.state, one.failure) for one in session.scalars(select(Message).order_by(Message.id))]


def test_a_photo_gets_a_prediction_an_embedding_and_its_post_is_told(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))

    classify.classify(workplace.context, photo)

    assert _said(workplace, photo) == [("sure", 1)]
    assert _states(workplace) == [("classified", None)]
    with workplace.database.read() as session:
        assert session.get(Embedding, (photo, "tiny-1")) is not None


def test_the_same_task_twice_leaves_one_prediction(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))

    for _ in range(2):
        classify.classify(workplace.context, photo)

    assert len(_said(workplace, photo)) == 1


def test_an_untaught_model_says_so(workplace: Workplace) -> None:
    workplace.publish()
    photo = workplace.photo(coloured(250, 10, 10))

    classify.classify(workplace.context, photo)

    assert _said(workplace, photo) == [("untaught", 0)]


def test_without_a_model_the_post_goes_on_waiting(workplace: Workplace) -> None:
    photo = workplace.photo(coloured(250, 10, 10))

    classify.classify(workplace.context, photo)

    assert _states(workplace) == [("waiting", None)]


def test_a_published_model_answers_without_a_restart_and_so_does_a_rollback(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    classify.classify(workplace.context, photo)

    workplace.publish("red", "blue", swapped=True)
    classify.classify(workplace.context, photo)
    with workplace.database.begin() as session:
        registry.rollback(session, 1)
    other = workplace.photo(coloured(240, 30, 20, seed=5))
    classify.classify(workplace.context, other)

    assert _said(workplace, photo) == [("sure", 1), ("sure", 2)]
    assert _said(workplace, other) == [("sure", 1)]


def test_a_photo_whose_bytes_are_gone_is_refused_with_a_reason(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    with workplace.database.read() as session:
        row = session.get(Photo, photo)
        assert row is not None
        workplace.store.delete(photo_key(row.sha256))

    classify.classify(workplace.context, photo)

    assert _states(workplace) == [("classified", "lost")]


def test_a_damaged_model_leaves_the_one_before_in_its_place(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    classify.classify(workplace.context, photo)
    workplace.publish("red", "blue", swapped=True)
    workplace.store.put("models/1/1/head.safetensors", b"not a model")

    other = workplace.photo(coloured(240, 30, 20, seed=5))
    classify.classify(workplace.context, other)

    assert _said(workplace, other) == [("sure", 1)]


def test_a_damaged_first_model_is_named(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    workplace.store.put("models/1/0/head.safetensors", b"not a model")

    with pytest.raises(ModelError, match=r"models/1/0/head\.safetensors is damaged"):
        workplace.engine.model(1)


def test_who_was_held_up_does_not_put_an_older_model_s_word_after_the_answer(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    photo = workplace.photo(coloured(250, 10, 10))
    slow = SlowEngine(workplace)
    held_up = threading.Thread(
        target=classify.classify, args=(replace(workplace.context, engine=slow), photo), daemon=True
    )
    held_up.start()
    slow.has_begun.wait(10)

    workplace.publish("red", "blue", swapped=True)
    classify.classify(workplace.context, photo)
    slow.may_go_on.set()
    held_up.join(10)

    assert _said(workplace, photo) == [("sure", 2)]
    assert _states(workplace) == [("classified", None)]


class SlowEngine(Engine):
    """An engine whose process is stopped between looking and saying."""

    def __init__(self, workplace: Workplace) -> None:
        super().__init__(workplace.database, workplace.store, workplace.home, threads=1)
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def embed(self, backbone: str, photo: bytes) -> Vector:
        found = super().embed(backbone, photo)
        self.has_begun.set()
        self.may_go_on.wait(10)
        return found


def test_the_batcher_answers_everyone_with_their_own_photo() -> None:
    batches: list[int] = []

    class Counting:
        lanes = 1
        card = BackboneCard("x", "x", 1, replace, True, "")  # type: ignore[arg-type]

        def embed(self, pixels: Pixels) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            batches.append(len(pixels))
            if any(one.max() == 13 for one in pixels):
                raise ValueError("bad photo")
            return pixels.reshape(len(pixels), -1)[:, :1].astype(np.float32)

    batcher = Batcher(Counting())
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        try:
            found[number] = float(batcher.embed(np.full((2, 2, 3), number, np.uint8))[0])
        except ValueError as error:
            found[number] = str(error)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    batcher.close()

    assert found == {number: "bad photo" if number == 13 else float(number) for number in range(40)}
    assert max(batches) <= 16
