"""Teaching a network takes long: meanwhile corrections are learnt, nothing is done twice, and a stop loses nothing."""

import sys
from pathlib import Path

import pytest
import redis

from snaplabel import corrections, labels, people, queue, registry, trainings
from snaplabel.tables import Photo, TrainingPhoto, TrainingRun
from tests.walks.conftest import NewHouse
from tests.walks.house import House, taught_shirts, wait_for
from trainer import dataset

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


def _begin(house: House) -> int:
    """Ask for a fine-tune and ring for it, as a chat does; its run's id once it has taught an epoch."""
    with house.database.begin() as session:
        run_id = trainings.ask(session, 1, "fine_tune", "command").id
    queue.enqueue(queue.connect(house.settings), "train.run", run_id)
    wait_for(lambda: "epoch" in _row(house, run_id).progress, "the first epoch", 120)
    return run_id


def _row(house: House, run_id: int) -> TrainingRun:
    with house.database.read() as session:
        return session.get_one(TrainingRun, run_id)


def _correct(house: House, photo_id: int, label: str) -> None:
    with house.database.begin() as session:
        admin, made = people.person(session, "test", "1", "Anna"), labels.make(session, 1, label)
        photo = session.get_one(Photo, photo_id)
        corrections.vote(session, photo, admin, made, is_admin=True, votes_needed=0.5)
    queue.enqueue(queue.connect(house.settings), "train.learn", 1)


def _teachers(house: House) -> list[str]:
    """The folders of the processes that teach for this house."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "trainer.lesson" in words and Path(words[-2]).is_relative_to(house.settings.home):
            found.append(words[-2])
    return found


def _lesson(house: House) -> int:
    with house.database.read() as session:
        data = dataset.read(session, people.make_classifier(session).id)
    return int(data.photo_ids[~data.is_exam][0])


def test_a_long_training_neither_blocks_nor_is_delivered_twice_nor_lost(new_house: NewHouse, tmp_path: Path) -> None:
    house = new_house(fine_tune_after="0", fine_tune_every_h="0")
    house.run("import", str(taught_shirts(tmp_path / "shirts", 8)))
    house.run("train")
    house.up()
    corrected, first = _lesson(house), house.version()
    run_id = _begin(house)

    _correct(house, corrected, "Somewhere Else")
    wait_for(lambda: house.version() > first, "the refit beside it")

    with redis.Redis(unix_socket_path=str(queue.socket_path(house.settings))) as broker:
        wait_for(lambda: broker.hlen("unacked") == 0, "the end of its message, which can't be delivered again then")
    assert _row(house, run_id).state == "running"
    wait_for(lambda: _row(house, run_id).state == "done", "its end", 240)
    over = _row(house, run_id)
    assert (over.attempts, over.failure) == (1, None)
    with house.database.read() as session:
        newest = registry.versions(session, 1)[0]
        kept = session.query(TrainingPhoto).filter_by(photo_id=corrected, last_version=None).one()
        assert kept.label_id == labels.make(session, 1, "Somewhere Else").id
        assert newest.card["fingerprint"] == dataset.read(session, 1).fingerprint
        assert newest.id == over.model_id
    assert _teachers(house) == []

    again = _begin(house)
    codes = house.stop()

    assert codes == [0]
    row = _row(house, again)
    assert (row.state, row.attempts) == ("queued", 0)
    assert str(house.settings.home / "checkpoints" / str(again)) not in _teachers(house)
    assert (house.settings.home / "checkpoints" / str(again) / "teach.safetensors").is_file()
