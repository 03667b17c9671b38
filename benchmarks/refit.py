"""How long a head takes to fit, how much memory, and how soon a correction changes what a worker answers.

    python benchmarks/refit.py [--photos 250,1000,10000] [--served 1000,10000] [--json FILE]

Fit: embeddings of 1,280 numbers, drawn around their label's direction so that labels overlap, fitted with the default
recipe in a process of its own; the least of three, the most memory above what the embeddings take (Linux). Where CPU
seconds are fewer than seconds, other programs had the cores: it fits on one.
Served: an installation with that many embeddings, a private Redis, a real trainer and a worker's look-up of the current
model; from the vote of an admin to the first look-up that finds the new head, without SNAPLABEL_REFIT_AFTER_S.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import common
import numpy as np
import premises
from sqlalchemy import insert

from snaplabel import backbones, corrections, heads, home, labels, people, queue, redis_server, registry
from snaplabel.database import Database, now
from snaplabel.heads import Floats, Head
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Embedding, Model, Photo
from trainer.dataset import Ints
from worker.engine import Engine

DIMENSION = 1280
PHOTOS = "250,500,1000,2000,5000,10000,20000"
BACKBONE = "drawn-000000000000"
CORRECTIONS = 6
# After a correction the trainer looks for suspects; the next one comes when it is done, as people are not that quick.
PAUSE_S = 5.0


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--photos", default=PHOTOS, help="how many to fit a head to; empty: none")
    asked.add_argument("--served", default="1000,10000", help="how many there are when a correction comes; empty: none")
    asked.add_argument("--json", type=Path, metavar="FILE")
    asked.add_argument("--measure", nargs=2, type=int, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.measure:
        print(json.dumps(_fit(*args.measure)))
        return
    fits = [_in_a_process(many, of) for many in _numbers(args.photos) for of in (10, 50) if many >= 5 * of]
    if fits:
        rows = [
            (f["photos"], f["labels"], f"{f['seconds']:.2f}", f"{f['cpu']:.2f}", f"{f['megabytes']:.0f}") for f in fits
        ]
        print(common.table(("photos", "labels", "seconds", "CPU s", "MB more"), rows), end="\n\n")
    served = [_served(many, of) for many, of in zip(_numbers(args.served), (10, 50), strict=False)]
    if served:
        rows = [
            (one["photos"], one["labels"], f"{one['first']:.2f}", f"{one['middle']:.2f}", f"{one['longest']:.2f}")
            for one in served
        ]
        print(common.table(("photos", "labels", "first s", "median s", "longest s"), rows))
    common.write(args.json, {"fit": fits, "served": served})


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _drawn(photos: int, of: int) -> tuple[Floats, Ints]:
    """Embeddings as a network's last ReLU gives them, and each one's label; the same for the same numbers."""
    rng = np.random.default_rng(photos + of)
    truth = np.arange(photos) % of
    middles = 0.13 * rng.normal(size=(of, DIMENSION)).astype(np.float32)
    found = rng.standard_normal((photos, DIMENSION), np.float32)
    found += middles[truth]
    return np.maximum(found, 0, out=found), truth


def _in_a_process(photos: int, of: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", str(photos), str(of)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def _fit(photos: int, of: int) -> dict[str, Any]:
    from trainer import fit
    from trainer.recipe import Refit

    vectors, truth = _drawn(photos, of)
    fit.warm_up()
    before, seconds = memory("VmRSS"), []
    Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here.
    for _ in range(3):
        started, worked = time.perf_counter(), time.process_time()
        fit.fit(vectors, truth, np.arange(photos), Refit())
        seconds.append((time.perf_counter() - started, time.process_time() - worked))
    more = memory("VmHWM") - before
    found = {"photos": photos, "labels": of, "megabytes": round(more, 1)}
    return {
        **found,
        "seconds": round(min(one for one, _ in seconds), 3),
        "cpu": round(min(one for _, one in seconds), 3),
    }


def memory(name: str) -> float:
    """Megabytes that the kernel counts for this process under a name of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def _served(photos: int, of: int) -> dict[str, Any]:
    """Seconds until each of some corrections is answered with: the first after a start, and the others."""
    with tempfile.TemporaryDirectory(prefix="snaplabel-refit-", dir="/tmp") as folder:
        settings = common.settings(Path(folder) / "home", REFIT_AFTER_S="0", FINE_TUNE_AFTER="0", FINE_TUNE_EVERY_H="0")
        with home.opened(settings) as (database, store):
            ids = install(database, store, photos, of)
            with _running(settings) as ring:
                engine = Engine(database, store, settings.home)
                _until(engine, 1, 120)  # The trainer finds by itself that there is something to learn.
                ring()  # For nothing: a bot's line to the broker is open long before somebody corrects.
                time.sleep(2 * PAUSE_S)
                seconds = [_correct(database, engine, ring, photo_id) for photo_id in ids[:: photos // CORRECTIONS]]
                engine.close()
    first, *others = seconds
    return {
        "photos": photos,
        "labels": of,
        "first": round(first, 3),
        "middle": round(statistics.median(others), 3),
        "longest": round(max(others), 3),
    }


def install(database: Database, store: Store, photos: int, of: int) -> list[int]:
    """A classifier with labelled photos and their embeddings, and a model that knows nothing yet; the photos' ids."""
    vectors, truth = _drawn(photos, of)
    with tempfile.TemporaryDirectory(prefix="snaplabel-graph-") as folder:
        premises.draw_backbone(store, Path(folder), BACKBONE, DIMENSION)
    nothing, card = np.zeros((0, DIMENSION), np.float32), Card("default", 0, "backbone", BACKBONE)
    heads.save(store, "models/1/0", Head(nothing, nothing[:, 0], nothing), card)
    bands = dict.fromkeys(("band0", "band1", "band2", "band3"), 0)
    with database.begin() as session:
        classifier = people.make_classifier(session)
        model = Model(classifier_id=classifier.id, version=0, kind="backbone", backbone=BACKBONE, key="models/1/0")
        model.card = card.to_json()
        session.add(model)
        session.flush()
        registry.publish(session, model)
        names = [labels.make(session, classifier.id, f"label {n}").id for n in range(of)]
        rows = [
            {
                "id": n + 1,
                "classifier_id": classifier.id,
                "sha256": f"{n:064x}",
                "phash": n * 0x9E3779B97F4A7C15 % 2**63,
                **bands,
                "colours": n.to_bytes(4, "big") * 12,
                "width": 1,
                "height": 1,
                "split": "exam" if n // of % 5 == 0 else "lesson",
                "label_id": names[label],
                "labelled_at": now(),
            }
            for n, label in enumerate(truth.tolist())
        ]
        session.execute(insert(Photo), rows)
        made = [
            {"photo_id": n + 1, "backbone": BACKBONE, "vector": backbones.to_bytes(v)} for n, v in enumerate(vectors)
        ]
        session.execute(insert(Embedding), made)
    return [row["id"] for row in rows]


@contextmanager
def _running(settings: Settings) -> Iterator[Any]:
    """A Redis and a trainer as `snaplabel up` starts them; what comes rings the trainer."""
    redis = subprocess.Popen(redis_server.command(settings), env={})
    program = (sys.executable, "-P", "-m", "snaplabel", "trainer", "--with-schedule")
    environment = {**os.environ, **settings.environment(), "SNAPLABEL_LOG_LEVEL": "WARNING"}
    while not redis_server.answers(queue.socket_path(settings)):
        time.sleep(0.02)
    trainer = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL)
    app = queue.connect(settings)
    try:
        yield lambda: queue.enqueue(app, "train.learn", 1)
    finally:
        for process in (trainer, redis):
            process.terminate()
            process.wait(30)


def _correct(database: Database, engine: Engine, ring: Any, photo_id: int) -> float:
    """Seconds from an admin's vote to the worker's new head."""
    time.sleep(PAUSE_S)
    before = engine.model(1)
    assert before is not None
    started = relabel(database, photo_id)
    ring()
    _until(engine, before.card.version + 1, 120)
    return time.perf_counter() - started


def relabel(database: Database, photo_id: int) -> float:
    """An admin says another label of a photo; the moment (`time.perf_counter`) at which they say it."""
    with database.begin() as session:
        photo = session.get_one(Photo, photo_id)
        other = next(one for one in labels.counts(session, 1) if one.label.id != photo.label_id)
        admin = people.person(session, "web", "1", "Anna")
        started = time.perf_counter()
        corrections.vote(session, photo, admin, other.label, is_admin=True, votes_needed=0.5)
    return started


def _until(engine: Engine, version: int, within_s: float) -> None:
    """Wait until a worker that asks with every photo would answer with this version."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = engine.model(1)
        if found is not None and found.card.version >= version:
            return
        time.sleep(0.005)
    sys.exit(f"v{version} did not come within {within_s:.0f} s.")


if __name__ == "__main__":
    main()
