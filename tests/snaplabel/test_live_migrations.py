"""Migrations while services of the version before go on writing: nobody fails, nothing is lost, on both databases."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from migrations import run
from snaplabel.database import Database
from snaplabel.errors import DatabaseError

ROOT = Path(__file__).parents[2]
WRITERS = 3
# What the bot and the worker of revision 0002 do to one photo, in the columns that they know.
POSTED = text(
    "INSERT INTO message (platform, chat_id, platform_id, position, person_id, payload, state, attempts, received_at) "
    "VALUES ('test', 1, :number, 0, 1, '{}', 'received', 0, CURRENT_TIMESTAMP)"
)
TAKEN_IN = text(
    "INSERT INTO photo (classifier_id, sha256, phash, band0, band1, band2, band3, colours, width, height, split, "
    "created_at) VALUES (1, :number, 0, 0, 0, 0, 0, :colours, 10, 10, 'lesson', CURRENT_TIMESTAMP)"
)
KNOWN = text(
    "SELECT photo.id, photo.label_id, chat.classifier_id FROM photo, chat WHERE sha256 = :number AND chat.id = 1"
)
ANSWERED = text("UPDATE message SET state = 'answered' WHERE platform_id = :number")


def keep_writing(url: str, name: str, folder: str) -> None:
    """A writer's process: photos until its stop file is there; then its tally, as JSON on stdout."""
    database, tally, failures, slowest = Database(url), 0, list[str](), 0.0
    while not (Path(folder) / "stop").exists():
        number = {"number": f"{name}-{tally}"}
        began = time.monotonic()
        try:
            with database.begin() as session:
                session.execute(POSTED, number)
            with database.begin() as session:
                session.execute(TAKEN_IN, {**number, "colours": b"\0" * 48})
                session.execute(KNOWN, number).one()
                session.execute(ANSWERED, number)
        except Exception as error:
            failures.append(repr(error)[:300])
            if len(failures) > 5:
                break
        slowest = max(slowest, time.monotonic() - began)
        tally += 1
        (Path(folder) / name).write_text(str(tally))
        time.sleep(0.002)
    sys.stdout.write(json.dumps({"written": tally, "failures": failures, "slowest_s": slowest}))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database at revision 0002, with a chat in it."""
    found = f"sqlite:///{tmp_path / 'live.db'}"
    if request.param == "postgresql":
        found = request.getfixturevalue("new_postgres_url")
    run.upgrade(found)
    run.downgrade(found, "0002")
    engine = create_engine(found)
    with engine.begin() as connection:
        for row in (
            "INSERT INTO classifier (id, name, created_at) VALUES (1, 'default', CURRENT_TIMESTAMP)",
            "INSERT INTO chat (id, platform, platform_id, is_private, classifier_id, created_at) "
            "VALUES (1, 'test', '1', false, 1, CURRENT_TIMESTAMP)",
            "INSERT INTO person (id, platform, platform_id, name, created_at) "
            "VALUES (1, 'test', '1', '', CURRENT_TIMESTAMP)",
        ):
            connection.exec_driver_sql(row)
    engine.dispose()
    return found


@contextmanager
def _writers(url: str, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    code = "import sys; from tests.snaplabel.test_live_migrations import keep_writing; keep_writing(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, url, f"w{number}", str(folder)], stdout=subprocess.PIPE, env=environment
        )
        for number in range(WRITERS)
    ]
    try:
        yield started
    finally:
        (folder / "stop").touch()
        for process in started:
            try:
                process.wait(60)
            finally:
                process.kill()


def _wait_for_more(folder: Path, photos: int = 5) -> None:
    """Until each writer has written so many more photos."""

    def tallies() -> list[int]:
        # A file is empty for the moment in which it is being written.
        return [int((folder / f"w{n}").read_text() or 0) if (folder / f"w{n}").exists() else 0 for n in range(WRITERS)]

    goals = [tally + photos for tally in tallies()]
    deadline = time.monotonic() + 120
    while any(tally < goal for tally, goal in zip(tallies(), goals, strict=True)):
        assert time.monotonic() < deadline, f"{tallies()} photos, and nobody goes on to {goals}"
        time.sleep(0.02)


@pytest.mark.real
def test_services_of_the_version_before_go_on_while_the_database_goes_up_and_down(url: str, tmp_path: Path) -> None:
    with _writers(url, tmp_path) as writers:
        _wait_for_more(tmp_path)
        for _ in range(2):
            run.upgrade(url)
            _wait_for_more(tmp_path)
            run.downgrade(url, "0002")
            _wait_for_more(tmp_path)
        run.upgrade(url)
        _wait_for_more(tmp_path)
    told = [json.loads(process.communicate()[0]) for process in writers]

    assert [each["failures"] for each in told] == [[]] * WRITERS
    engine = create_engine(url)
    with engine.connect() as connection:
        written = connection.exec_driver_sql("SELECT count(*) FROM message WHERE state = 'answered'").scalar()
        photos = connection.exec_driver_sql("SELECT count(*) FROM photo WHERE expired_at IS NULL").scalar()
        trusting = connection.exec_driver_sql("SELECT count(*) FROM chat WHERE trusts_roles").scalar()
    engine.dispose()
    assert written == photos == sum(each["written"] for each in told)
    assert trusting == 0
    assert run.check(url) == []


@pytest.mark.real
def test_a_migration_that_must_wait_lets_others_through(new_postgres_url: str) -> None:
    url = new_postgres_url
    run.upgrade(url)
    run.downgrade(url, "0002")
    engine = create_engine(url)
    code = "import sys; from migrations import run; run.upgrade(sys.argv[1])"
    with engine.connect() as reader, engine.connect() as other:
        # Somebody reads for long, a pg_dump say.
        reader.exec_driver_sql("SELECT count(*) FROM photo")

        with subprocess.Popen(
            [sys.executable, "-c", code, url], env={**os.environ, "PYTHONPATH": str(ROOT)}
        ) as process:
            _wait_until_it_waits(other)
            other.exec_driver_sql("SELECT count(*) FROM photo")
            other.rollback()
            is_waiting = process.poll() is None
            reader.rollback()
            code_at_the_end = process.wait(60)
    engine.dispose()

    assert is_waiting
    assert code_at_the_end == 0
    assert run.check(url) == []


@pytest.mark.real
def test_who_holds_a_table_for_too_long_is_told_of(new_postgres_url: str) -> None:
    url = new_postgres_url
    run.upgrade(url)
    run.downgrade(url, "0002")
    engine = create_engine(url)

    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM photo")
        with pytest.raises(DatabaseError, match="lock"):
            run.upgrade(url, patience_s=0.0)
    engine.dispose()


def _wait_until_it_waits(connection: Connection) -> None:
    """Until somebody waits for the table of photos."""
    waits = (
        "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE relname = 'photo' AND NOT granted"
    )
    deadline = time.monotonic() + 60
    while not connection.exec_driver_sql(waits).scalar():
        connection.rollback()
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)
    connection.rollback()
