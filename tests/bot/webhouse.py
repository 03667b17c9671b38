"""The web chat as it really runs, in a thread: the real bot, a real server, and a worker told what to see."""

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeVar

import httpx
from PIL import Image
from sqlalchemy import select

from bot.messages import Incoming
from bot.platforms.web.adapter import Web
from bot.run import Bot
from snaplabel import labels, people, registry
from snaplabel.registry import Card, Exam
from snaplabel.settings import Settings
from snaplabel.tables import Classifier, Message, Model, Photo, Prediction

Json = dict[str, Any]
T = TypeVar("T")
TOKEN = "a-token-for-tests-only"
CLUBS = ("Juventus", "Newcastle", "Botafogo")
OURS = {"X-Snaplabel": "1"}
RED, GREEN, GREY = (200, 30, 30), (30, 170, 60), (128, 128, 128)


def picture(colour: tuple[int, int, int] = RED, seed: int = 0, kind: str = "JPEG", side: int = 120) -> bytes:
    """A photo of mostly one colour, unlike that of any other seed."""
    dots = bytearray()
    for n in range(36):
        strength = 0.6 + 0.4 * ((seed * 7919 + n * n * 31) % 97) / 97
        dots += bytes(int(part * strength) for part in colour)
    out = io.BytesIO()
    Image.frombytes("RGB", (6, 6), bytes(dots)).resize((side, side), Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


class House(Bot):
    """The bot with a worker inside: red is Juventus for sure, green perhaps Newcastle, anything else a stranger.

    looks_for_s: how long the worker looks at a photo. rings: (task, id) in the order in which they were rung.
    trouble: an error that writing down raises.
    """

    def __init__(self, settings: Settings, looks_for_s: float = 0.05) -> None:
        super().__init__(settings)
        self.looks_for_s = looks_for_s
        self.rings: list[tuple[str, int]] = []
        self.trouble: Exception | None = None
        self._working: set[asyncio.Task[None]] = set()

    async def receive(self, posts: Sequence[Incoming]) -> None:
        if self.trouble is not None:
            raise self.trouble
        await super().receive(posts)

    async def ring(self, task: str, number: int) -> None:
        self.rings.append((task, number))
        if task == "classify.photo":
            looking = asyncio.create_task(self._look(number))
            self._working.add(looking)
            looking.add_done_callback(self._working.discard)

    async def _look(self, photo_id: int) -> None:
        await asyncio.sleep(self.looks_for_s)
        await asyncio.to_thread(self.predict, photo_id)

    def predict(self, photo_id: int) -> None:
        """Do the worker's work on one photo."""
        with self.database.begin() as session:
            photo = session.get(Photo, photo_id)
            assert photo is not None
            model = registry.current(session, photo.classifier_id)
            assert model is not None
            red, green, blue = (sum(photo.colours[n::3]) for n in range(3))
            ids = {name: labels.make(session, photo.classifier_id, name).id for name in CLUBS}
            voice, chances = "unknown", (0.4, 0.35, 0.25)
            order = list(CLUBS)
            if red > 1.5 * green and red > 1.5 * blue:
                voice, chances = "sure", (0.93, 0.05, 0.02)
            elif green > 1.5 * red:
                voice, chances, order = "maybe", (0.55, 0.38, 0.07), ["Newcastle", "Juventus", "Botafogo"]
            there = select(Prediction).where(Prediction.photo_id == photo_id, Prediction.model_id == model.id)
            if session.scalar(there) is None:
                top = [[ids[name], chance] for name, chance in zip(order, chances, strict=True)]
                session.add(Prediction(photo_id=photo_id, model_id=model.id, top=top, voice=voice))
            waiting = select(Message).where(Message.photo_id == photo_id, Message.state == "waiting")
            for message in session.scalars(waiting):
                message.state = "classified"

    def publish(self, *names: str, error: float | None = 0.06) -> None:
        """Publish a model that knows these labels."""
        with self.database.begin() as session:
            classifier = people.make_classifier(session)
            known = tuple((labels.make(session, classifier.id, name).id, name) for name in names)
            version = registry.next_version(session, classifier.id)
            exam = Exam(error=error, low=0.02, high=0.12, photos=60)
            card = Card("default", version, "refit", "tiny-1", known, exam=exam).to_json()
            made = Model(
                classifier_id=classifier.id, version=version, kind="refit", backbone="tiny-1", key="none", card=card
            )
            session.add(made)
            session.flush()
            registry.publish(session, made)


class Served:
    """A house with its door open: where it is, and clients for those who may come in."""

    def __init__(self, house: House, web: Web) -> None:
        self.house = house
        self.web = web
        self.url = f"http://127.0.0.1:{web.port}"

    @contextlib.contextmanager
    def guest(self) -> Iterator[httpx.Client]:
        """Somebody without a cookie."""
        with httpx.Client(base_url=self.url, timeout=20) as client:
            yield client

    def enter(self, client: httpx.Client, key: str) -> httpx.Response:
        """Show a key at the door, as its page does."""
        return client.post("/door", json={"key": key}, headers={**OURS, "Origin": self.url})

    @contextlib.contextmanager
    def member(self, name: str = "") -> Iterator[httpx.Client]:
        """Somebody who followed the invite link, posting from the page itself."""
        with self.guest() as client:
            self.enter(client, self.web.door.invite)
            client.headers.update({**OURS, "Origin": self.url})
            if name:
                client.post("/name", json={"name": name})
            yield client

    @contextlib.contextmanager
    def admin(self) -> Iterator[httpx.Client]:
        """Somebody who followed the admin link."""
        with self.guest() as client:
            self.enter(client, TOKEN)
            client.headers.update({**OURS, "Origin": self.url})
            yield client

    @contextlib.contextmanager
    def program(self) -> Iterator[httpx.Client]:
        """A program with the token."""
        with self.guest() as client:
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            yield client


@contextlib.contextmanager
def served(settings: Settings, *, looks_for_s: float = 0.05) -> Iterator[Served]:
    """Run a house in a thread until the block ends."""
    settings = replace(settings, web_port=0, web_token=TOKEN)
    settings.home.mkdir(parents=True, exist_ok=True)
    house = House(settings, looks_for_s)
    Classifier.metadata.create_all(house.database.engine)
    house.publish(*CLUBS)
    loop = asyncio.new_event_loop()
    running: list[asyncio.Task[None]] = []
    webs: list[Web] = []

    async def run() -> None:
        web = Web(house.settings, house)
        house.platforms = {"web": web}
        webs.append(web)
        running.append(asyncio.create_task(house.run()))
        with contextlib.suppress(asyncio.CancelledError):
            await running[0]
        await house.close()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=serve, name="web chat", daemon=True)
    thread.start()
    try:
        eventually(lambda: webs and webs[0].port)
        yield Served(house, webs[0])
    finally:
        loop.call_soon_threadsafe(running[0].cancel)
        thread.join(20)
        assert not thread.is_alive(), "the web chat did not stop"


def eventually(look: Callable[[], T | Literal[False] | None], within_s: float = 10.0) -> T:
    """What `look` finds as soon as it is something; fails when it stays nothing for too long."""
    until = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def photo_form(*photos: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("photos", (f"{n}.jpg", data, "image/jpeg")) for n, data in enumerate(photos)]


def post_photos(client: httpx.Client, *photos: bytes, **fields: str) -> Json:
    response = client.post("/photos", files=photo_form(*photos), data=fields)
    assert response.status_code == 202, response.text
    found: Json = response.json()
    return found


def item(client: httpx.Client, wanted: str) -> Json:
    items: list[Json] = client.get("/feed").json()["items"]
    return next(one for one in items if one["id"] == wanted)


def answered(client: httpx.Client, wanted: str) -> Json:
    """The answer under a post, as soon as there is one."""
    found: Json = eventually(lambda: item(client, wanted)["answer"])
    return found


def button(answer: Json, text: str) -> str:
    return str(next(c["data"] for row in answer["reply"]["choices"] for c in row if c["text"] == text))
