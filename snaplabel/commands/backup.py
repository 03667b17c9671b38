"""`snaplabel backup` and `restore`: database, photos, models and the web token in one folder, copied while all runs."""

import argparse
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import func, inspect, make_url, select

from snaplabel import __version__, home, output
from snaplabel.commands import postgres
from snaplabel.database import Database, now
from snaplabel.errors import NotStored, SnaplabelError
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Model, Photo

CARD, TOKEN = "backup.json", "web-token"
FILES = {"sqlite": "database.db", "postgresql": "database.dump"}
# Their bytes never change under one key; what is anywhere else might, after a restore of an older backup.
NEVER_CHANGED = "photos/"


def backup(settings: Settings, args: argparse.Namespace) -> int:
    """Copy everything into the folder; one that holds an earlier backup gets what is new, and loses what was erased.

    Whatever interrupts it, an earlier backup stays whole: photos come first, then the database in one step, then the
    photos that it knew and that arrived meanwhile; only then are erased ones taken away.
    """
    folder: Path = args.folder
    there = _card(folder)
    if there is None and folder.is_dir() and any(folder.iterdir()):
        raise SnaplabelError(f"{folder} holds something else than a backup; name an empty folder.")
    kind, url = _kind(settings), settings.database
    if there is not None and there["database"] != kind:
        raise SnaplabelError(f"{folder} holds a backup of another installation, on {there['database']}.")
    counts = _counts(url)  # Before anything is written: an unreachable database ends here.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours, copies = Store(settings.store), Store(str(folder / "store"))
    before = set(copies.walk())
    missing = _missing(url, _copy(ours, copies))
    aside = folder / f".{FILES[kind]}"
    aside.unlink(missing_ok=True)
    if kind == "sqlite":
        _copy_sqlite(_path(url), aside)
    else:
        postgres.dump(url, aside)
    aside.chmod(0o600)
    aside.replace(folder / FILES[kind])
    kept = _copy(ours, copies)
    for key in list(copies.walk()):
        if key not in kept:
            copies.delete(key)
    _copy_token(settings.home, folder)
    card = {"snaplabel": __version__, "database": kind, "made_at": now().isoformat(timespec="seconds"), **counts}
    Store(str(folder)).put(CARD, json.dumps(card, indent=1).encode())
    new = sum(key.startswith(NEVER_CHANGED) for key in kept - before)
    added = f" New this time: {output.number(new, 'photo')}." if there is not None else ""
    output.say(f"{_numbers(counts)} are in {folder}.{added}")
    if missing:
        output.say(f"The bytes of {missing} of these photos are not in the store, and so not in the backup either.")
    return 0


def restore(settings: Settings, args: argparse.Namespace) -> int:
    """Bring a backup into an installation that has no database yet. The database comes last: until then it can be
    repeated."""
    folder: Path = args.folder
    card, kind, url = _card(folder), _kind(settings), settings.database
    if card is None:
        raise SnaplabelError(f"{folder} holds no whole backup; `snaplabel backup` makes one.")
    if card["database"] != kind:
        raise SnaplabelError(f"The backup is of {card['database']}, and SNAPLABEL_DATABASE_URL names {kind}.")
    if _has_database(url, kind):
        raise SnaplabelError("There is a database already, and it is left as it is; restore into an empty one.")
    home.make(settings)
    store = Store(settings.store)
    _copy(Store(str(folder / "store")), store)
    if not (settings.home / TOKEN).exists():
        _copy_token(folder, settings.home)
    if kind == "sqlite":
        path = _path(url)
        aside = path.with_name(f".{path.name}.restored")
        aside.unlink(missing_ok=True)
        _copy_sqlite(folder / FILES[kind], aside)
        aside.replace(path)
    else:
        postgres.restore(url, folder / FILES[kind])
    from migrations import run

    run.upgrade(url)
    output.say(f"{_numbers(_counts(url))} are back as they were on {card['made_at'][:16].replace('T', ' ')} UTC.")
    return 0


def _copy(source: Store, target: Store) -> set[str]:
    """Copy what the target lacks, or has otherwise; every key of the source. What is erased meanwhile is left out."""
    found = set(source.walk())
    for key in sorted(found):
        if key.startswith(NEVER_CHANGED) and target.has(key):
            continue
        try:
            data = source.get(key)
        except NotStored:
            continue
        if not target.has(key) or target.get(key) != data:
            target.put(key, data)
    return found


def _missing(url: str, there: set[str]) -> int:
    """How many photos are known and have no bytes. Raises SnaplabelError when that looks like the wrong store: taking
    away from the backup what such a store lacks would empty it."""
    database = Database(url)
    try:
        with database.read() as session:
            readable = select(Photo.sha256).where(Photo.unreadable.is_(None), Photo.expired_at.is_(None))
            known = session.scalars(readable).all()
    finally:
        database.close()
    missing = sum(photo_key(sha256) not in there for sha256 in known)
    if missing > len(known) / 10:
        raise SnaplabelError(
            f"The store lacks {missing} of {len(known)} photos. Is SNAPLABEL_STORE_URL right, and its disk mounted? "
            "An earlier backup was left as it is."
        )
    return missing


def _copy_sqlite(source: Path, target: Path) -> None:
    """One moment's state of a database that others may be writing to; they don't wait for it. Raises SnaplabelError."""
    try:
        with closing(sqlite3.connect(source, timeout=30)) as ours, closing(sqlite3.connect(target)) as copy:
            ours.backup(copy)
            # One file without a journal beside it, which nobody could forget to copy.
            copy.execute("PRAGMA journal_mode=DELETE")
            state = copy.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        raise SnaplabelError(f"The database at {source} can't be copied: {error}.") from error
    if state != "ok":
        raise SnaplabelError(f"The copy of the database at {source} is damaged: {state}.")


def _copy_token(source: Path, target: Path) -> None:
    if (source / TOKEN).is_file():
        aside = target / f".{TOKEN}"
        aside.touch(mode=0o600)
        aside.write_bytes((source / TOKEN).read_bytes())
        aside.replace(target / TOKEN)


def _card(folder: Path) -> dict[str, Any] | None:
    """What a backup says of itself; None where there is none, or none that was finished."""
    try:
        found: dict[str, Any] = json.loads((folder / CARD).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SnaplabelError(f"{folder / CARD} can't be read: {error}.") from error
    return found


def _kind(settings: Settings) -> str:
    return make_url(settings.database).get_backend_name()


def _path(url: str) -> Path:
    return Path(make_url(url).database or "")


def _has_database(url: str, kind: str) -> bool:
    if kind == "sqlite":
        return _path(url).exists()
    database = Database(url)
    try:
        with database.read() as session:
            return bool(inspect(session.connection()).get_table_names())
    finally:
        database.close()


def _counts(url: str) -> dict[str, int]:
    """Photos and versions that the database knows. Raises SnaplabelError when there is none."""
    if make_url(url).get_backend_name() == "sqlite" and not _path(url).is_file():
        raise SnaplabelError(f"There is no database at {_path(url)}, so there is nothing to back up.")
    database = Database(url)
    tables: Iterable[tuple[str, type]] = (("photos", Photo), ("versions", Model))
    try:
        with database.read() as session:
            return {name: session.scalar(select(func.count()).select_from(table)) or 0 for name, table in tables}
    finally:
        database.close()


def _numbers(counts: dict[str, int]) -> str:
    return f"{counts['photos']} photos and {counts['versions']} versions of models"
