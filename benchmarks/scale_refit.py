"""The product's own refit of a hundred thousand labelled photos: time, memory, what is stored, and how it is read."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import refit
from sqlalchemy import event, func, select

from snaplabel import home, trainings
from snaplabel.tables import Embedding, Model, TrainingRun
from trainer import run

LABELS = 50
NUMBERS = 1280
# A second of a fit on so many photos is what the paper's million is worked out from.
PAPER = 1_000_000


def measure(photos: int) -> dict[str, Any]:
    """Figures of one refit by `trainer.run.execute`, in a process of its own, on SQLite; prints them."""
    with tempfile.TemporaryDirectory(prefix="snaplabel-refit-") as folder:
        done = subprocess.run(
            [sys.executable, __file__, folder, str(photos)], stdout=subprocess.PIPE, text=True, check=True
        )
    found = dict(json.loads(done.stdout.splitlines()[-1]))
    rows = [
        ("labelled photos", found["photos"]),
        ("until the new version answers", f"{found['answers_s']:.1f} s"),
        ("then it looks for suspects: in all", f"{found['seconds']:.1f} s, {found['cpu_s']:.1f} s of a processor"),
        ("the next one, after one correction", f"{found['again_answers_s']:.1f} s, in all {found['again_s']:.1f} s"),
        ("memory: most, of it before the refit", f"{found['peak_mb']:.0f} MB, {found['before_mb']:.0f} MB"),
        ("queries that read embeddings", found["reads"]),
        ("an embedding, stored", f"{found['bytes_each']} bytes"),
        ("embeddings of a million photos, on paper", f"{found['bytes_each'] * PAPER / 1e9:.2f} GB"),
        ("published", f"v{found['version']}, {found['error']:.1%} wrong"),
    ]
    print(common.table(("refit", ""), rows), end="\n\n")
    return found


def _refit(folder: Path, photos: int) -> dict[str, Any]:
    settings = common.settings(folder / "home", REFIT_AFTER_S="0", FINE_TUNE_AFTER="0", FINE_TUNE_EVERY_H="0")
    with home.opened(settings) as (database, store):
        ids = refit.install(database, store, photos, LABELS)
        reads = 0

        def count(_line: Any, _cursor: Any, statement: str, *_: Any) -> None:
            nonlocal reads
            reads += statement.startswith("SELECT embedding")

        event.listen(database.engine, "after_cursor_execute", count)
        context = run.Context(database, store, settings, embed=lambda *_: None)
        before = _memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # The peak is counted from here.
        first = _run(context)
        read_first, peak = reads, _memory("VmHWM")
        refit.relabel(database, ids[0])
        again = _run(context)
        with database.read() as session:
            newest = session.scalars(select(Model).order_by(Model.version.desc()).limit(1)).one()
            each = session.scalar(select(func.max(func.length(Embedding.vector))))
            version, error = newest.version, newest.card["exam"]["error"]
    return {
        "photos": photos,
        "labels": LABELS,
        "seconds": first[0],
        "cpu_s": first[1],
        "answers_s": first[2],
        "again_s": again[0],
        "again_answers_s": again[2],
        "before_mb": before,
        "peak_mb": peak,
        "reads": read_first,
        "bytes_each": each,
        "database_mb": round(os.path.getsize(settings.home / "snaplabel.db") / 1e6),
        "version": version,
        "error": error,
    }


def _run(context: run.Context) -> tuple[float, float, float]:
    """Seconds, seconds of a processor, and seconds until the new version answers, of one training by the trainer.

    Afterwards it looks for suspects, which nobody waits for.
    """
    with context.database.begin() as session:
        number = trainings.ask(session, 1, "refit", "corrections").id
    began, spent = time.perf_counter(), time.process_time()
    run.execute(context, number)
    took = time.perf_counter() - began, time.process_time() - spent
    with context.database.read() as session:
        done = session.get_one(TrainingRun, number)
        if done.state != "done":
            sys.exit(f"The training ended {done.state}: {done.failure}")
        made = session.get(Model, done.model_id) if done.model_id is not None else None
        if made is None or made.published_at is None or done.started_at is None:
            sys.exit("The training published nothing.")
        answers_s = (made.published_at - done.started_at).total_seconds()
    return round(took[0], 2), round(took[1], 2), round(answers_s, 2)


def _memory(name: str) -> float:
    return round(refit.memory(name), 1)


if __name__ == "__main__":
    print(json.dumps(_refit(Path(sys.argv[1]), int(sys.argv[2]))))
