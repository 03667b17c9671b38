"""The rows of a house that a hundred thousand people have used for a year, written by PostgreSQL itself.

Skewed as people are: one chat in a thousand has a quarter of all posts, thirty have half of them, and one classifier of
ten has about 65 of 100 photos. Photos come in fours, one four in ten is an album. 15 of 100 photos have a label; models
say something of these whenever their label changed, so they have most predictions. One photo in ten is plain, and its
fingerprint is nearly that of many others. Chats 1, 2 and 3 are a group on Telegram, the web page's room, and the API.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from migrations import run
from snaplabel import backbones
from snaplabel.database import now
from snaplabel.registry import Card, Exam

ROWS = Path(__file__).with_name("scale_rows.sql")
LABELS, SPARE = 50, 10  # Of each classifier: in use; archived or merged ones besides.
CLASSIFIERS = 10
DIMENSION = 1280
BACKBONE = "drawn-000000000000"
LABELLED = 0.15
SUSPECTS = 500
# Messages besides photos: commands, texts, presses.
TALK = 0.5


@dataclass(frozen=True)
class Size:
    """How many rows of each kind; all follow from how many predictions there shall be."""

    predictions: int

    @property
    def photos(self) -> int:
        return self.predictions // 40 * 4

    @property
    def people(self) -> int:
        return max(300, self.photos // 10)

    @property
    def chats(self) -> int:
        return max(20, self.photos // 1000)

    @property
    def waiting(self) -> int:
        """Photos on their way while somebody asks: a flood in some chats."""
        return max(40, self.photos // 500)

    def versions(self, classifier: int) -> int:
        """Each refit is a version."""
        return max(60, self.predictions // (3_333 if classifier == 1 else 33_333))


def fill(url: str, size: Size) -> dict[str, float]:
    """Make the tables and fill them; seconds of each step."""
    run.upgrade(url)
    took: dict[str, float] = {}
    where = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(where, autocommit=True) as line:
        # Triggers that check references would take longer than all the rest; no row here points at nothing.
        line.execute("SET session_replication_role = replica")
        line.execute("SELECT setseed(0.5)")
        again = _without_indexes(line)
        for name, step in _steps(size):
            began = time.monotonic()
            step(line)
            took[name] = round(time.monotonic() - began, 1)
            print(f"  {name}: {took[name]:.1f} s", flush=True)
        began = time.monotonic()
        for statement in again:
            line.execute(statement.encode())
        numbered = (
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'id'"
        )
        for (table,) in line.execute(numbered).fetchall():
            if table != "post":
                last = f"(SELECT coalesce(max(id), 1) FROM {table})"
                line.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {last})".encode())
        line.execute("DROP TABLE post")
        line.execute("VACUUM (ANALYZE)")
        took["indexes and statistics"] = round(time.monotonic() - began, 1)
        print(f"  indexes and statistics: {took['indexes and statistics']:.1f} s", flush=True)
    return took


def _steps(size: Size) -> Iterator[tuple[str, Callable[["psycopg.Connection[Any]"], object]]]:
    """What is written, in order: the sections of ROWS, and between them what Python draws."""
    for section in ROWS.read_text().split("-- # ")[1:]:
        name, _, statements = section.partition("\n")
        if name == "answers":
            yield "embeddings", lambda line: _embeddings(line)
            yield "models", lambda line: _models(line, size)
        yield name, lambda line, text=statements: line.execute(text.format(**_numbers(size)).encode())


def _numbers(size: Size) -> dict[str, Any]:
    return {
        "photos": size.photos,
        "people": size.people // 3,
        "chats": size.chats,
        "labels": LABELS,
        "all_labels": LABELS + SPARE,
        "classifiers": CLASSIFIERS,
        "labelled": LABELLED,
        "talk": int(size.photos * TALK),
        "waiting": size.waiting,
        "suspects": SUSPECTS,
        "v1": size.versions(1),
        "v2": size.versions(2),
        "acts": size.photos // 50,
    }


def _without_indexes(line: "psycopg.Connection[Any]") -> list[str]:
    """Drop the indexes but the primary keys'; the statements that make them again, which is quicker afterwards."""
    again = []
    constraints = line.execute(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype = 'u' AND connamespace = 'public'::regnamespace"
    )
    for table, name, definition in constraints.fetchall():
        line.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        again.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    indexes = line.execute("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    for name, definition in indexes.fetchall():
        if not name.startswith("pk_") and name != "alembic_version_pkc":
            line.execute(f"DROP INDEX {name}".encode())
            again.append(definition)
    return again


def card(classifier: int, version: int) -> Card:
    """A card as a refit writes it."""
    first = (classifier - 1) * (LABELS + SPARE)
    labels = tuple((first + n + 1, f"label {classifier} {n}") for n in range(LABELS))
    recall = {name: (35, 40) for _, name in labels}
    pairs = tuple((f"label {classifier} {n}", f"label {classifier} {n + 1}", 2) for n in range(LABELS - 1))
    exam = Exam(0.1, 0.08, 0.12, 2000, "exam", recall, pairs, 0.02, 0.01)
    about = {"recipe": {"refit": {"steps": 100}}, "fingerprint": "0" * 64, "photos": 10_000, "exam": exam}
    return Card("default", version, "refit", BACKBONE, labels, parent=max(0, version - 1), verdict="Better.", **about)


def _models(line: "psycopg.Connection[Any]", size: Size) -> None:
    """Every version of every classifier, the last one current; the training that made each."""
    progress = {"old_error": 0.11, "new_error": 0.1, "fixed": 3, "broken": 1, "version": 1, "published": True}
    made = [
        (_first_model(size, classifier) + version, classifier, version)
        for classifier in range(1, CLASSIFIERS + 1)
        for version in range(1, size.versions(classifier) + 1)
    ]
    cards = {classifier: json.dumps(card(classifier, 0).to_json()) for classifier in range(1, CLASSIFIERS + 1)}
    columns = "id, classifier_id, version, kind, backbone, state, key, card, created_at, published_at"
    with line.cursor() as cursor, cursor.copy(f"COPY model ({columns}) FROM STDIN") as rows:
        for number, classifier, version in made:
            last = size.versions(classifier)
            state = "current" if version == last else "candidate" if version % 97 == 0 else "retired"
            at = _moment(version, last)
            about = cards[classifier].replace('"version": 0', f'"version": {version}', 1)
            key = f"models/{classifier}/head"  # Whichever is rolled back to: they share one.
            published = at if state != "candidate" else None
            first = (number, classifier, version, _kind(version), BACKBONE)
            rows.write_row((*first, state, key, about, at, published))
    columns = "id, classifier_id, kind, reason, state, progress, cancel_asked, attempts, model_id"
    columns += ", created_at, started_at, beat_at, finished_at"
    with line.cursor() as cursor, cursor.copy(f"COPY training_run ({columns}) FROM STDIN") as rows:
        for number, classifier, version in made:
            at = _moment(version, size.versions(classifier))
            about = (number, classifier, _kind(version), "corrections", "done", json.dumps(progress), False, 1, number)
            rows.write_row((*about, at, at, at, at))


def _kind(version: int) -> str:
    return "fine_tune" if version % 50 == 0 else "refit"


def _moment(version: int, last: int) -> datetime:
    """When a version was made, of a year."""
    return now() - timedelta(days=365.0 * (last - version) / last)


def _first_model(size: Size, classifier: int) -> int:
    """Ids of a classifier's models begin after this one."""
    return 0 if classifier == 1 else size.versions(1) + (classifier - 2) * size.versions(2)


def _embeddings(line: "psycopg.Connection[Any]") -> None:
    """An embedding for each photo: one of a thousand different ones."""
    vectors = np.maximum(np.random.default_rng(0).standard_normal((1000, DIMENSION), np.float32), 0)
    line.execute("CREATE TEMP TABLE drawn (n integer, vector bytea)")
    with line.cursor() as cursor, cursor.copy("COPY drawn FROM STDIN (FORMAT BINARY)") as rows:
        rows.set_types(["int4", "bytea"])
        for n, vector in enumerate(vectors):
            rows.write_row((n, backbones.to_bytes(vector)))
    line.execute(
        "INSERT INTO embedding (photo_id, backbone, vector) SELECT p.id, %s, d.vector FROM photo p "
        "JOIN drawn d ON d.n = p.id %% 1000 ORDER BY p.id",
        (BACKBONE,),
    )
