"""Photos a second through the whole path with 1, 2 and 4 workers, on PostgreSQL and on SQLite."""

import tempfile
from pathlib import Path
from typing import Any

import common
import premises
import scale_server
from intake import Intake, drawn
from sqlalchemy import text

from migrations import run
from snaplabel import home, queue
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.store import Store

WORKERS = (1, 2, 4)
IN_FLIGHT = 32
WARM_UP = 200


def measure(seconds: float) -> dict[str, Any]:
    """Figures by database and number of workers; prints them. The network is MobileNetV2, the photos 800 pixels."""
    with tempfile.TemporaryDirectory(prefix="snaplabel-workers-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        server = scale_server.Server(place / "postgres")
        with server.running(*scale_server.SERVING):
            run.upgrade(server.url)
            found = {"postgresql": _throughput(place / "one", seconds, server.url)}
        found["sqlite"] = _throughput(place / "other", seconds, "")
    rows = [
        (f"{name}, {count} workers", one["photos_per_s"], one["p50_ms"], one["p95_ms"], *_costs(one))
        for name, counts in found.items()
        for count, one in counts.items()
    ]
    heads = ("photos/s", "p50 ms", "p95 ms", "worker ms", "database ms", "Redis ms", "stand-in ms")
    print(common.table((f"{IN_FLIGHT} in flight", *heads), rows), end="\n\n")
    return found


def _throughput(folder: Path, seconds: float, url: str) -> dict[str, Any]:
    settings = common.settings(folder, WEIGHTS=str(common.weights()), **({"DATABASE_URL": url} if url else {}))
    home.prepare(settings)
    database, store = Database(settings.database), Store(settings.store)
    premises.teach(settings, database, store)
    found = {}
    with premises.redis(settings) as redis:
        for count in WORKERS:
            with premises.workers(settings, count) as started:
                intake = Intake(database, store, queue.connect(settings), drawn())
                intake.run(IN_FLIGHT, photos=WARM_UP * count)
                found[str(count)] = _one(settings, database, intake, [redis, *(one.pid for one in started)], seconds)
                if failed := intake.failed():
                    raise SystemExit(f"{failed} photos ended without a prediction.")
    database.close()
    return found


def _one(settings: Settings, database: Database, intake: Intake, pids: list[int], seconds: float) -> dict[str, Any]:
    """Photos a second, how long each waited, and milliseconds of a processor for each, by who spent them."""
    import time

    before, ours = [premises.cpu_s(pid) for pid in pids], time.process_time()
    served = _served(database)
    done = intake.run(IN_FLIGHT, seconds=seconds)
    spent = [premises.cpu_s(pid) - then for pid, then in zip(pids, before, strict=True)]
    photos = len(done.waited)
    figures = {"redis_ms": spent[0], "worker_ms": sum(spent[1:]), "stand_in_ms": time.process_time() - ours}
    figures["database_ms"] = _served(database) - served
    return {**done.figures(), **{name: round(value / photos * 1000, 2) for name, value in figures.items()}}


def _served(database: Database) -> float:
    """Seconds that PostgreSQL has worked for those that are connected now; SQLite works inside the others."""
    if database.engine.dialect.name == "sqlite":
        return 0.0
    with database.read() as session:
        pids = session.scalars(text("SELECT pid FROM pg_stat_activity")).all()
    return sum(premises.cpu_s(int(pid)) for pid in pids)


def _costs(one: dict[str, Any]) -> tuple[object, ...]:
    return tuple(one[name] for name in ("worker_ms", "database_ms", "redis_ms", "stand_in_ms"))
