"""The bell: one that nobody has heard yet speaks for all who came before it is heard."""

import threading
from pathlib import Path

import pytest

from snaplabel import queue
from snaplabel.errors import QueueError
from snaplabel.settings import Settings, read


@pytest.fixture
def house(redis_url: str, tmp_path: Path) -> Settings:
    """Settings with a real Redis in which no bell lies."""
    settings = read({"SNAPLABEL_HOME": str(tmp_path), "SNAPLABEL_BROKER_URL": redis_url}, dotenv=tmp_path / "no.env")
    with queue.connect(settings).connection_for_write() as line:
        line.default_channel.queue_purge(queue.CLASSIFY)
    return settings


@pytest.mark.real
def test_a_bell_that_lies_unheard_is_not_rung_again(house: Settings) -> None:
    app = queue.connect(house)
    bell = queue.Bell(app)

    threads = [threading.Thread(target=bell.ring, args=("classify.photo", n), daemon=True) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert queue.length(app, queue.CLASSIFY) == 1


@pytest.mark.real
def test_a_bell_that_was_heard_is_rung_again(house: Settings) -> None:
    app = queue.connect(house)
    bell = queue.Bell(app)
    bell.ring("classify.photo", 1)

    with app.connection_for_read() as line:
        heard = line.SimpleQueue(queue.CLASSIFY).get(timeout=5)
        bell.ring("classify.photo", 2)
        heard.ack()

    assert queue.length(app, queue.CLASSIFY) == 1


def test_a_broker_that_is_away_has_a_name_and_does_not_silence_the_bell(tmp_path: Path) -> None:
    away = read({"SNAPLABEL_HOME": str(tmp_path), "SNAPLABEL_BROKER_URL": "redis://127.0.0.1:1/0"})
    bell = queue.Bell(queue.connect(away))

    for n in range(2):
        with pytest.raises(QueueError):
            bell.ring("classify.photo", n)
