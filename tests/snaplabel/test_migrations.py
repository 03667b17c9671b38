"""Migrations lead from nothing to the tables and back, on both databases, whoever else migrates at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

import migrations
from migrations import run
from snaplabel import corrections, labels, naming, people, photos, reviews, trainings
from snaplabel.database import Database
from snaplabel.errors import DatabaseError
from snaplabel.images import Prepared

PREPARED = Prepared(b"", "e" * 64, 1, b"\0" * 48, 10, 10)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'migrated.db'}"
    found: str = request.getfixturevalue("new_postgres_url")
    return found


def _tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_down_and_up_again_ends_at_the_tables(url: str) -> None:
    assert not migrations.is_current(url)

    run.upgrade(url)
    assert migrations.is_current(url)
    assert run.check(url) == []

    run.downgrade(url)
    assert not migrations.is_current(url)
    assert _tables(url) == {"alembic_version"}

    run.upgrade(url)
    assert migrations.is_current(url)
    assert run.check(url) == []


def test_a_second_upgrade_changes_nothing(url: str) -> None:
    run.upgrade(url)

    run.upgrade(url)

    assert migrations.is_current(url)


def test_check_names_what_is_missing(url: str) -> None:
    run.upgrade(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE training_photo")
    engine.dispose()

    found = run.check(url)

    assert any(difference[0] == "add_table" and difference[1].name == "training_photo" for difference in found)


@pytest.mark.real
def test_three_processes_may_migrate_at_once(url: str, tmp_path: Path) -> None:
    # From another folder: nothing may hang on the working directory.
    code = "import sys; from migrations import run; run.upgrade(sys.argv[1])"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], cwd=tmp_path, stderr=subprocess.PIPE, env=_with_project_on_path()
        )
        for _ in range(3)
    ]

    ended = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in started]

    assert [code for _, code in ended] == [0, 0, 0], ended
    assert run.check(url) == []


def test_a_database_of_a_newer_snaplabel_is_refused_in_a_sentence(url: str) -> None:
    run.upgrade(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    assert not migrations.is_current(url)
    with pytest.raises(DatabaseError, match="9999"):
        run.upgrade(url)


def test_asking_does_not_make_a_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "none.db"

    assert not migrations.is_current(f"sqlite:///{path}")

    assert not path.exists()


def test_a_database_that_is_away_is_said_so_without_its_password() -> None:
    with pytest.raises(DatabaseError) as caught:
        migrations.is_current("postgresql+psycopg://somebody:hush@127.0.0.1:1/nothing")

    assert "hush" not in str(caught.value)


def _with_project_on_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_the_newest_revision_is_the_one_that_services_look_for() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def _rows(url: str, query: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]
    finally:
        engine.dispose()


def test_what_is_in_the_database_survives_the_way_down_and_up(url: str) -> None:
    run.upgrade(url)
    database = Database(url)
    with database.begin() as session:
        classifier = people.make_classifier(session)
        person = people.person(session, "telegram", "1", "Ann")
        kept, gone = (labels.make(session, classifier.id, name) for name in ("ant", "ants"))
        naming.merge(session, gone, kept, person_id=person.id, votes_needed=0.5)
        photo = photos.add(session, classifier.id, PREPARED, person_id=person.id).photo
        corrections.vote(session, photo, person, kept, is_admin=True, votes_needed=0.5)
        reviews.remove(session, photo, person_id=person.id)
        for kind in ("refit", "fine_tune"):
            trainings.ask(session, classifier.id, kind, "command")
    database.close()

    run.downgrade(url, "0001")
    below = {
        "photos": _rows(url, "SELECT sha256, label_id, split FROM photo"),
        "labels": _rows(url, "SELECT name FROM label ORDER BY name"),
        "votes": _rows(url, "SELECT count(*) FROM correction"),
        "trainings": _rows(url, "SELECT kind, state FROM training_run ORDER BY id"),
    }
    run.upgrade(url)

    assert below["photos"] == [(PREPARED.sha256, kept.id, "lesson")]
    assert below["labels"] == [("ant",), ("ants",)]
    assert below["votes"] == [(1,)]
    assert below["trainings"] == [("refit", "cancelled"), ("fine_tune", "queued")]
    assert run.check(url) == []
    assert _rows(url, "SELECT label_id, removed_at FROM photo") == [(kept.id, None)]
