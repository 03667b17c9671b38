"""Does a worker grow? So many photos through one worker, and what it holds on the way.

    python benchmarks/memory.py [--photos 20000] [--in-flight 32] [--json FILE]

A real worker with MobileNetV2 between a private Redis and SQLite, fed by a stand-in for the intake (`intake.py`). What
its process holds (ps) is read after every fortieth part of the photos. Growth: the median of the last quarter over that
of the second one; the first quarter is left out, since what is loaded when it is needed first is loaded there. Exit
code 1 when it grew by more than FLAT.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import premises
from intake import Intake, drawn

from snaplabel import home, queue
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.store import Store

PARTS = 40
FLAT = 0.03


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--photos", type=int, default=20_000)
    asked.add_argument("--in-flight", type=int, default=32)
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="snaplabel-memory-") as folder:
        settings = common.settings(Path(folder) / "home", WEIGHTS=str(common.weights()))
        home.prepare(settings)
        figures = _measure(settings, args.photos, args.in_flight)
    rows = [(f"after {done} photos", f"{mb:.1f} MB") for done, mb in figures["resident_mb"][:: PARTS // 8]]
    rows += [("most", f"{figures['most_mb']:.1f} MB"), ("growth", f"{figures['growth']:+.1%}")]
    print(common.table(("one worker", ""), [*rows, ("photos a second", figures["photos_per_s"])]))
    common.write(args.json, figures)
    sys.exit(0 if figures["growth"] <= FLAT and not figures["failed"] else 1)


def _measure(settings: Settings, photos: int, in_flight: int) -> dict[str, Any]:
    database, store = Database(settings.database), Store(settings.store)
    premises.teach(settings, database, store)
    held: list[tuple[int, float]] = []
    with premises.redis(settings), premises.workers(settings) as (worker,):
        intake = Intake(database, store, queue.connect(settings), drawn())
        began = time.perf_counter()
        each = max(1, photos // PARTS)
        for part in range(PARTS):
            intake.run(in_flight, photos=each)
            held.append(((part + 1) * each, round(premises.resident_mb(worker.pid), 1)))
        seconds = time.perf_counter() - began
        failed = intake.failed()
    database.close()
    sizes = [mb for _, mb in held]
    before, after = statistics.median(sizes[PARTS // 4 : PARTS // 2]), statistics.median(sizes[-PARTS // 4 :])
    rate = {"photos": PARTS * each, "photos_per_s": round(PARTS * each / seconds, 1), "failed": failed}
    return {**rate, "resident_mb": held, "most_mb": max(sizes), "growth": round(after / before - 1, 4)}


if __name__ == "__main__":
    main()
