"""A stand-in for the chat and the bot's intake, for benchmarks: photos in flight, from their bytes to their answers."""

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import common
import numpy as np
from celery import Celery
from PIL import Image, ImageOps
from sqlalchemy import bindparam, func, insert, select

from snaplabel import images, people, queue
from snaplabel.database import Database, now
from snaplabel.images import Prepared
from snaplabel.store import Store, photo_key
from snaplabel.tables import Message, Photo, Prediction

DIFFERENT, SIDE = 60, 800
PEOPLE = 5
# Looking costs something too: it is for the one photo whose milliseconds are counted that it is done so often.
LOOK_EVERY_S, LOOK_AT_MANY_S = 0.002, 0.005
GIVE_UP_S = 120.0
WRITERS = 4
# Made once, and run on the connection: what this stand-in costs is in every figure.
PHOTOS, POSTS = insert(Photo).returning(Photo.id), insert(Message).returning(Message.id)
READY = (
    select(Message.id)
    .join(Prediction, Prediction.photo_id == Message.photo_id)
    .where(Message.id.in_(bindparam("ids", expanding=True)), Message.state == "classified")
)


@dataclass
class Answered:
    """What came of a run: seconds from a photo's bytes to its answer, and how long all of it took."""

    waited: list[float]
    seconds: float

    def figures(self) -> dict[str, float]:
        p50, p95 = (float(np.percentile(self.waited, share)) * 1000 for share in (50, 95))
        rate = len(self.waited) / self.seconds
        return {"photos_per_s": round(rate, 2), "p50_ms": round(p50, 2), "p95_ms": round(p95, 2)}


def drawn() -> list[bytes]:
    """DIFFERENT JPEGs whose longer side is SIDE, as Telegram sends them: crops of shared photos, or drawn ones."""
    import io

    try:
        files = sorted((common.photos() / "full-size-photos").rglob("*"))
    except SystemExit:
        files = []
    sources = [path for path in files if path.suffix.lower() in (".jpg", ".jpeg")]
    random, found = np.random.default_rng(0), []
    for n in range(DIFFERENT):
        if sources:
            with Image.open(sources[n % len(sources)]) as opened:
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))
                picture = ImageOps.exif_transpose(opened).convert("RGB")
            share = 1.0 - 0.05 * (n // len(sources))
            picture = picture.crop((0, 0, round(picture.width * share), round(picture.height * share)))
        else:
            picture = Image.fromarray(random.integers(0, 256, (75, 100, 3), np.uint8)).resize((1600, 1200))
        picture = ImageOps.contain(picture, (SIDE, SIDE))
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=87)
        found.append(out.getvalue())
    return found


class Intake:
    """Takes photos in as the bot does (bytes, rows, a bell) but without its checks, and sees when they are answered.

    Each photo is another one to the house: its sha256 and its fingerprint are its own, while its picture is one of
    DIFFERENT. What arrives together is committed together. An answer is ready when its post is classified and the
    prediction is in the database.
    """

    def __init__(self, database: Database, store: Store, app: Celery, photos: Sequence[bytes]) -> None:
        self._database, self._store = database, store
        self._bell = queue.Bell(app)
        self._prepared = [images.prepare(data) for data in photos]
        self._pool = ThreadPoolExecutor(WRITERS)
        self._sent = 0
        self._run = secrets.token_hex(4)
        with database.begin() as session:
            self._chats = [people.chat(session, "bench", f"room {n}").id for n in range(PEOPLE)]
            self._people = [people.person(session, "bench", f"person {n}", "").id for n in range(PEOPLE)]
            classifier = people.classifier(session)
            assert classifier is not None
            self._classifier_id = classifier.id

    def run(self, in_flight: int, *, seconds: float = 0.0, photos: int = 0) -> Answered:
        """Keep so many photos on their way until the time is up or so many are sent; then wait for the last."""
        began = time.perf_counter()
        changes = self._database.changes()
        flying: dict[int, float] = {}
        waited: list[float] = []
        sent, last = 0, began
        while True:
            moment = time.perf_counter()
            is_over = sent >= photos if photos else moment - began >= seconds
            room = in_flight - len(flying) if not is_over else 0
            if photos:
                room = min(room, photos - sent)
            if room:
                flying.update(dict.fromkeys(self._post(room), moment))
                sent += room
            if not flying:
                return Answered(waited, last - began)
            while not changes.are_new():
                time.sleep(LOOK_EVERY_S if in_flight == 1 else LOOK_AT_MANY_S)
                if time.perf_counter() - last > GIVE_UP_S:
                    sys.exit(f"{len(flying)} photos were not answered within {GIVE_UP_S:.0f} s.")
            ready, last_seen = self._ready(list(flying)), time.perf_counter()
            for message_id in ready:
                waited.append(last_seen - flying.pop(message_id))
            last = last_seen if ready else last

    def _post(self, count: int) -> list[int]:
        """Photos' bytes into the store, their rows into the database, a bell; the ids of their posts."""
        new = [self._next(self._sent + n) for n in range(count)]
        self._sent += count
        list(self._pool.map(lambda one: self._store.put(photo_key(one.sha256), one.data), new))
        moment = now()
        with self._database.begin() as session:
            line = session.connection()
            photo_ids = list(line.scalars(PHOTOS, [self._photo(one) for one in new]))
            message_ids = list(line.scalars(POSTS, [self._message(photo_id, moment) for photo_id in photo_ids]))
        self._bell.ring("classify.photo", photo_ids[0])
        return message_ids

    def _next(self, n: int) -> Prepared:
        """The next photo: no two have the same address in the store, nor the same fingerprint."""
        one = self._prepared[n % len(self._prepared)]
        sha256 = hashlib.sha256(f"{self._run} {n}".encode()).hexdigest()
        return replace(one, sha256=sha256, phash=int.from_bytes(os.urandom(8), "big", signed=True))

    def _photo(self, one: Prepared) -> dict[str, Any]:
        bands = {f"band{n}": part for n, part in enumerate(images.bands(one.phash))}
        about = {"sha256": one.sha256, "phash": one.phash, "colours": one.colours, "split": "lesson"}
        return {"classifier_id": self._classifier_id, "width": one.width, "height": one.height, **about, **bands}

    def _message(self, photo_id: int, moment: Any) -> dict[str, Any]:
        who = photo_id % PEOPLE
        about = {"platform": "bench", "chat_id": self._chats[who], "person_id": self._people[who], "payload": {}}
        here = {"platform_id": str(photo_id), "photo_id": photo_id, "state": "waiting", "queued_at": moment}
        return {**about, **here, "received_at": moment}

    def _ready(self, message_ids: Sequence[int]) -> list[int]:
        """Which of these are answered."""
        with self._database.read() as session:
            return list(session.connection().scalars(READY, {"ids": message_ids}))

    def failed(self) -> int:
        """Posts that ended without a prediction."""
        with self._database.read() as session:
            query = select(func.count()).select_from(Message).where(Message.failure.is_not(None))
            return session.scalar(query) or 0
