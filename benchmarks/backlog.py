"""A backlog: photos of one person waiting when a worker starts, and somebody else's that come while it works.

    python benchmarks/backlog.py [--photos 5000] [--late 20] [--workers 1] [--json FILE]

Drawn fields of colour (JPEG, 480 pixels) in a home of their own, each with its bell in a private Redis; then a real
worker with MobileNetV2. Every second a photo of another person comes. Waited: from being written down to being looked
at. Memory: what the workers' processes hold (ps), every half second. Exit code 1 when a photo was not looked at.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
import premises
from celery import Celery
from PIL import Image
from sqlalchemy import func, select

from snaplabel import home, images, people, photos, queue
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Message

LATE_EVERY_S = 1.0
LOOK_EVERY_S = 0.02
MEMORY_EVERY_S = 0.5
GIVE_UP_S = 1800.0


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--photos", type=int, default=5000, help="of the one who floods")
    asked.add_argument("--late", type=int, default=20, help="of the other one, while the worker works")
    asked.add_argument("--workers", type=int, default=1)
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="snaplabel-backlog-") as folder:
        settings = common.settings(Path(folder), WEIGHTS=str(common.weights()))
        home.prepare(settings)
        figures = _measure(settings, args.photos, args.late, args.workers)
    _print(figures)
    common.write(args.json, figures)
    sys.exit(0 if figures["left"] == 0 else 1)


def _measure(settings: Settings, many: int, late: int, workers: int) -> dict[str, Any]:
    database, store = Database(settings.database), Store(settings.store)
    premises.prepare(settings, database)
    with premises.redis(settings):
        app = queue.connect(settings)
        print(f"{many} photos are taken in …", flush=True)
        for n in range(many):
            _take_in(database, store, app, n, "flood")
        with premises.workers(settings, workers) as started:
            found = _watch(database, store, app, started, late)
    with database.read() as session:
        states = session.execute(select(Message.state, Message.failure, func.count()).group_by("state", "failure"))
        found["states"] = {f"{state} {failure or ''}".strip(): count for state, failure, count in states}
        found["tries"] = session.scalar(select(func.max(Message.attempts)))
    database.close()
    return {"photos": many, "workers": workers, **found}


def _take_in(database: Database, store: Store, app: Celery, n: int, person: str) -> int:
    """As the bot does: bytes into the store, rows into the database, and a bell; the message's id."""
    prepared = images.prepare(_draw(n if person == "flood" else 500_000 + n))
    store.put(photo_key(prepared.sha256), prepared.data)
    with database.begin() as session:
        chat, author = people.chat(session, "bench", "room"), people.person(session, "bench", person, "")
        photo = photos.add(session, chat.classifier_id, prepared, person_id=author.id).photo
        message = Message(
            platform="bench",
            chat_id=chat.id,
            platform_id=f"{person}-{n}",
            person_id=author.id,
            payload={},
            state="waiting",
            photo_id=photo.id,
            queued_at=now(),
        )
        session.add(message)
        session.flush()
        ids = message.id, photo.id
    queue.enqueue(app, "classify.photo", ids[1])
    return ids[0]


def _draw(seed: int) -> bytes:
    """A picture that no other seed gives."""
    fields = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(fields).resize((480, 480), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
    return out.getvalue()


def _watch(
    database: Database, store: Store, app: Celery, workers: Sequence[subprocess.Popen[bytes]], late: int
) -> dict[str, Any]:
    """Look on until nobody waits, and send the late photos meanwhile."""
    begun: float | None = None
    memory: list[float] = []
    coming: dict[int, float] = {}
    waited: list[float] = []
    ahead: list[int] = []
    next_late = next_memory = 0.0
    deadline = time.monotonic() + GIVE_UP_S
    left = _waiting(database)
    total = left
    while (left or len(waited) < late) and time.monotonic() < deadline:
        moment = time.monotonic()
        if begun is None and left < total:
            begun = next_late = moment
        if begun is not None and len(coming) + len(waited) < late and moment >= next_late:
            coming[_take_in(database, store, app, len(coming) + len(waited), "late")] = time.monotonic()
            ahead.append(left)
            next_late = moment + LATE_EVERY_S
        if moment >= next_memory:
            memory.append(sum(premises.resident_mb(process.pid) for process in workers))
            next_memory = moment + MEMORY_EVERY_S
        for message_id in _looked_at(database, list(coming)):
            waited.append(time.monotonic() - coming.pop(message_id))
        left = _waiting(database)
        time.sleep(LOOK_EVERY_S)
    seconds = time.monotonic() - (begun or deadline)
    return {
        "left": left,
        "seconds": round(seconds, 2),
        "per_second": round((total + late) / seconds, 1),
        "late": {
            "ahead_of_the_first": ahead[0] if ahead else 0,
            "ahead_of_the_last": ahead[-1] if ahead else 0,
            "median_s": round(statistics.median(waited), 3) if waited else None,
            "worst_s": round(max(waited), 3) if waited else None,
        },
        "memory_mb": _over_time(memory),
    }


def _waiting(database: Database) -> int:
    with database.read() as session:
        here = Message.platform == "bench", Message.state == "waiting"
        return session.scalar(select(func.count()).select_from(Message).where(*here)) or 0


def _looked_at(database: Database, message_ids: Sequence[int]) -> list[int]:
    with database.read() as session:
        query = select(Message.id).where(Message.id.in_(message_ids), Message.state != "waiting")
        return list(session.scalars(query))


def _over_time(memory: Sequence[float]) -> dict[str, float]:
    """At a tenth, a half and the end of the time, and the most."""
    at = {"after a tenth": len(memory) // 10, "half-way": len(memory) // 2, "at the end": len(memory) - 1}
    return {**{name: round(memory[n]) for name, n in at.items()}, "most": round(max(memory))}


def _print(figures: dict[str, Any]) -> None:
    late, memory = figures["late"], figures["memory_mb"]
    rows = [
        ("photos of the flood", figures["photos"]),
        ("all looked at after", f"{figures['seconds']} s"),
        ("photos a second", figures["per_second"]),
        ("late photo: waited (median)", f"{late['median_s']} s"),
        ("late photo: waited (worst)", f"{late['worst_s']} s"),
        ("ahead of the first, of the last late one", f"{late['ahead_of_the_first']}, {late['ahead_of_the_last']}"),
        *((f"memory {name}", f"{mb:.0f} MB") for name, mb in memory.items()),
        ("most tries of a photo", figures["tries"]),
        ("states", ", ".join(f"{count} {state}" for state, count in figures["states"].items())),
    ]
    print(common.table(("backlog", ""), rows))


if __name__ == "__main__":
    main()
