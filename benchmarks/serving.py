"""Photos a second through the whole path, and how long each waits, beside what this machine could do at most.

    python benchmarks/serving.py [--quick] [--seconds S] [--peer-fastai PYTHON] [--peer-litserve PYTHON]
                                 [--peer-bentoml PYTHON] [--json FILE]

Whole path: a stand-in for chat and intake (`intake.py`: bytes into the store, rows, a bell) → Redis → a real worker →
database → the stand-in sees the answer there; so many photos in flight at any time, SQLite and a private Redis as
`snaplabel up` has them. What the stand-in leaves out, the bot does beside it in processes of its own: fetching, the
safety check, near-duplicates, wording the answer.
Ceiling: in one process two threads that decode a photo and run the network on it, one thread each, and nothing else.
Both see the same 60 photos of 800 pixels, weights and cores; the ceiling is taken before and after, and averaged, since
a shared machine is not always as fast. Peers, unless --quick: fastai's `learn.predict` in a loop, LitServe and BentoML
with torch behind HTTP, each in an environment of its own, made from benchmarks/peers/*.txt unless --peer-… names its
python. CPU: milliseconds of a core per photo, all processes of that row together; it says what a busy machine hides.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import premises
from intake import Intake, drawn

from snaplabel import backbones, heads, home, images, queue, registry
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from worker import runtimes

IN_FLIGHT = (1, 4, 16, 64)
PEERS = ("fastai", "litserve", "bentoml")
THREADS = 2


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--quick", action="store_true", help="ours and the ceiling only, under 50 s")
    asked.add_argument("--seconds", type=float, default=0.0, help="for each figure")
    for name in PEERS:
        asked.add_argument(f"--peer-{name}", type=Path, metavar="PYTHON")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    seconds = args.seconds or (3.0 if args.quick else 10.0)
    photos = drawn()
    with tempfile.TemporaryDirectory(prefix="snaplabel-serving-") as folder:
        settings = common.settings(Path(folder) / "home", WEIGHTS=str(common.weights()))
        home.prepare(settings)
        figures = _ours(settings, photos, seconds)
        figures["peers"] = {}
        if not args.quick:
            import serving_peers

            pythons = {name: getattr(args, f"peer_{name}") for name in PEERS}
            figures["peers"] = serving_peers.measure(photos, Path(folder), pythons, seconds)
    print(common.table(("", "in flight", "photos/s", "p50 ms", "p95 ms", "CPU ms"), _rows(figures)))
    print(*_verdicts(figures), sep="\n")
    common.write(args.json, figures)


def _ours(settings: Settings, photos: Sequence[bytes], seconds: float) -> dict[str, Any]:
    database, store = Database(settings.database), Store(settings.store)
    backbone = premises.teach(settings, database, store)
    both, one = (_alone(database, store, settings, backbone, threads) for threads in (THREADS, 1))
    before = _ceiling(both, photos, seconds)
    found: dict[str, Any] = {"single": _single(one, photos), "whole_path": {}}
    with premises.redis(settings) as redis, premises.workers(settings) as (worker,):
        intake = Intake(database, store, queue.connect(settings), photos)
        intake.run(16, photos=200)  # The worker starts, and what is loaded when it is needed first is loaded.
        for in_flight in IN_FLIGHT:
            began = _spent(redis, worker.pid)
            run = intake.run(in_flight, seconds=seconds)
            spent = (_spent(redis, worker.pid) - began) / len(run.waited) * 1000
            found["whole_path"][str(in_flight)] = {**run.figures(), "cpu_ms": round(spent, 2)}
        found["failed"] = intake.failed()
    after = _ceiling(both, photos, seconds)
    found["ceiling"] = {name: round((before[name] + after[name]) / 2, 2) for name in before}
    found["ceiling_before_and_after"] = [before["photos_per_s"], after["photos_per_s"]]
    database.close()
    return found


def _alone(
    database: Database, store: Store, settings: Settings, backbone: str, threads: int
) -> Callable[[bytes], object]:
    """What turns a photo's bytes into a verdict with nothing in between, for so many threads, a core for each.

    One network for all of them, as a worker has it: of two, OpenVINO would bind each to the first core.
    """
    with database.read() as session:
        row = registry.current(session, 1)
    assert row is not None
    card = Card.from_json(row.card)
    head, runtime = heads.load(store, row.key, card), runtimes.load(store, backbone, settings.home, threads=threads)
    preparation = runtime.card.preparation

    def look(photo: bytes) -> object:
        pixels = backbones.pixels(images.load(photo, preparation.resize), preparation)
        return heads.judge(head, card, runtime.embed(pixels[None]))[0]

    return look


def _ceiling(look: Callable[[bytes], object], photos: Sequence[bytes], seconds: float) -> dict[str, float]:
    """Photos a second of THREADS threads that do nothing else."""
    counts = [0] * THREADS
    look(photos[0])
    end = time.perf_counter() + seconds
    began, spent = time.perf_counter(), time.process_time()

    def work(number: int) -> None:
        while time.perf_counter() < end:
            look(photos[(counts[number] * THREADS + number) % len(photos)])
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, spent = time.perf_counter() - began, time.process_time() - spent
    return {"photos_per_s": round(sum(counts) / took, 2), "cpu_ms": round(spent / sum(counts) * 1000, 2)}


def _single(look: Callable[[bytes], object], photos: Sequence[bytes]) -> dict[str, float]:
    """What one photo takes when nothing else is done: decode and forward, one thread."""
    took: list[float] = []
    look(photos[0])
    for photo in photos:
        began = time.perf_counter()
        look(photo)
        took.append((time.perf_counter() - began) * 1000)
    return {"p50_ms": round(statistics.median(took), 2)}


def _spent(*pids: int) -> float:
    """Seconds of a processor that this process and these have used so far."""
    return time.process_time() + sum(premises.cpu_s(pid) for pid in pids)


def _rows(figures: dict[str, Any]) -> list[tuple[object, ...]]:
    ceiling = figures["ceiling"]
    rows: list[tuple[object, ...]] = [("ceiling", "-", ceiling["photos_per_s"], "-", "-", ceiling["cpu_ms"])]
    rows.append(("decode + forward, alone", 1, "-", figures["single"]["p50_ms"], "-", "-"))
    for name, path in {"whole path": figures["whole_path"], **figures["peers"]}.items():
        if "failed" in path:  # A peer that could not be measured, as was said.
            continue
        for in_flight, one in path.items():
            numbers = (one["photos_per_s"], one["p50_ms"], one["p95_ms"], one.get("cpu_ms", "-"))
            rows.append((name, in_flight, *numbers))
    return rows


def _verdicts(figures: dict[str, Any]) -> list[str]:
    """The promises, in a line each, with what came of them."""
    path, ceiling = figures["whole_path"], figures["ceiling"]
    share = path["16"]["photos_per_s"] / ceiling["photos_per_s"]
    extra = path["1"]["p50_ms"] - figures["single"]["p50_ms"]
    of_cpu = ceiling["cpu_ms"] / path["16"]["cpu_ms"]
    lines = [
        f"16 in flight: {share:.2f} of the ceiling (0.7 wanted); by CPU time {of_cpu:.2f}",
        f"one in flight: {extra:.1f} ms above decode + forward (25 wanted at most)",
        f"ended without a prediction: {figures['failed']}",
    ]
    if "16" in (litserve := figures["peers"].get("litserve", {})):
        times = path["16"]["photos_per_s"] / litserve["16"]["photos_per_s"]
        lines.append(f"16 in flight: {times:.1f} times LitServe (3 wanted)")
    return lines


if __name__ == "__main__":
    main()
