"""For how long is the bot's event loop held up? A bot with the chat page, a worker and a Redis, and much to do at once.

    .venv/bin/python -m benchmarks.loop [--posts N] [--json FILE]

N photos of some 5 MB are posted, PAGES pages listen to what happens, and meanwhile people correct, read the feed and
look at pictures. Measured in the bot: how late a timer of TIMER_S comes, with and without the time for which the loop's
thread was ready and had no core; and, of each callback that the loop runs, its time on the clock and on the processor,
which is the judge. The same timer in a loop without any work, beside it, tells how busy the machine is. What holds up
the timer and is none of these, is another thread of the bot that keeps Python's lock.
"""

import argparse
import asyncio
import asyncio.events
import contextlib
import heapq
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks import common, premises
from snaplabel import home
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.store import Store

TIMER_S = 0.005
PHOTOS, SIZE, IN_FLIGHT, PAGES = 8, (3600, 2700), 4, 3
LIMIT_MS = 50.0
WORST = 12
PATIENCE_S = 300.0
TOKEN = "loop-" + "0" * 27


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--posts", type=int, default=200)
    asked.add_argument("--json", type=Path, metavar="FILE")
    asked.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.inside:
        _inside(args.inside)
        return 0
    figures: dict[str, Any] = {"load": os.getloadavg()[0], "posts": args.posts}
    with tempfile.TemporaryDirectory(prefix="snaplabel-loop-") as folder:
        figures |= _measured(Path(folder), args.posts)
    lines = {"the bot's loop": "late_ms", "… without its wait for a core": "ours_ms"}
    lines["a loop without work"] = "idle_late_ms"
    rows = [(name, *(f"{late:.1f}" for late in figures[key].values())) for name, key in lines.items()]
    print(common.table(("late, ms", "p50", "p99", "p99.9", "most"), rows), end="\n\n")
    rows = [(one["what"][:90], f"{one['cpu_ms']:.1f}", f"{one['ms']:.1f}") for one in figures["worst"]]
    print(common.table(("callback", "processor ms", "clock ms"), rows), end="\n\n")
    print(f"{figures['callbacks']} callbacks; the longest held the loop for {figures['worst'][0]['cpu_ms']:.1f} ms of")
    print(f"the processor ({LIMIT_MS:.0f} at most wanted). {figures['answered']} photos answered, of {args.posts}.")
    common.write(args.json, figures)
    return 0


def _measured(folder: Path, posts: int) -> dict[str, Any]:
    with contextlib.closing(_free_port()) as probe:
        port = int(probe.getsockname()[1])
    given = {"WEIGHTS": str(common.weights()), "WEB_PORT": str(port), "WEB_TOKEN": TOKEN}
    settings = common.settings(folder / "home", **given)
    home.prepare(settings)
    database, store = Database(settings.database), Store(settings.store)
    premises.teach(settings, database, store)
    database.close()
    found, idle = folder / "found.json", folder / "idle.json"
    environment = {**os.environ, **settings.environment(), "SNAPLABEL_LOG_LEVEL": "WARNING"}
    with premises.redis(settings), premises.workers(settings):
        program = (sys.executable, "-m", "benchmarks.loop", "--inside", str(found))
        bot = subprocess.Popen(program, env=environment, cwd=common.ROOT)
        over = multiprocessing.Event()
        twin = multiprocessing.Process(target=_idle, args=(over, str(idle)))
        try:
            answered = _people(settings, port, posts, twin)
        finally:
            over.set()
            bot.terminate()
            bot.wait(60)
        twin.join(30)
    return {**json.loads(found.read_text()), **json.loads(idle.read_text()), "answered": answered}


# In the bot's process.


class Held:
    """What each callback of the loop took; the worst are kept, with what they were."""

    def __init__(self) -> None:
        self.count = 0
        self.worst: list[tuple[float, int, float, str]] = []

    def attach(self) -> None:
        """Time every callback from now on: asyncio has no other place for it than where handles are run."""
        run = asyncio.events.Handle._run

        def timed(handle: asyncio.Handle) -> None:
            began, spent = time.perf_counter(), time.thread_time()
            run(handle)
            cpu_ms, ms = (time.thread_time() - spent) * 1000, (time.perf_counter() - began) * 1000
            self.count += 1
            if len(self.worst) < WORST or cpu_ms > self.worst[0][0]:
                keep = heapq.heappush if len(self.worst) < WORST else heapq.heapreplace
                keep(self.worst, (cpu_ms, self.count, ms, _what(handle)))

        asyncio.events.Handle._run = timed  # type: ignore[method-assign]


def _what(handle: asyncio.Handle) -> str:
    callback = getattr(handle, "_callback", None)
    task = getattr(callback, "__self__", None)
    if isinstance(task, asyncio.Task):
        return f"{task.get_coro()!r}".partition(" at 0x")[0].removeprefix("<")
    return repr(callback).partition(" at 0x")[0].removeprefix("<")


async def _timer(late: list[float], ours: list[float]) -> None:
    """late: milliseconds on the clock. ours: without those in which the loop's thread could run and had no core."""
    while True:
        due, queued = time.perf_counter() + TIMER_S, _queued_s()
        await asyncio.sleep(TIMER_S)
        late.append((time.perf_counter() - due) * 1000)
        ours.append(max(0.0, late[-1] - (_queued_s() - queued) * 1000))


def _queued_s() -> float:
    """Seconds for which this thread was ready and waited for a core so far (Linux; elsewhere 0)."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


def _inside(path: Path) -> None:
    from bot import run
    from snaplabel import logs, settings

    given = settings.read(dict(os.environ))
    logs.configure(given, "bot")
    late: list[float] = []
    ours: list[float] = []
    held = Held()

    class Timed(run.Bot):
        async def run(self) -> None:
            timer = asyncio.create_task(_timer(late, ours))
            await asyncio.sleep(0.5)
            held.attach()
            late.clear()
            ours.clear()
            try:
                await super().run()
            finally:
                timer.cancel()

    run.Bot = Timed  # type: ignore[misc]
    run.serve(given, ("web",))
    worst = [{"what": what, "cpu_ms": cpu, "ms": ms} for cpu, _, ms, what in sorted(held.worst, reverse=True)]
    found = {"late_ms": _shares(late), "ours_ms": _shares(ours), "worst": worst, "callbacks": held.count}
    path.write_text(json.dumps(found))


def _idle(over: Any, path: str) -> None:
    async def run() -> list[float]:
        late: list[float] = []
        timer = asyncio.create_task(_timer(late, []))
        await asyncio.to_thread(over.wait)
        timer.cancel()
        return late

    Path(path).write_text(json.dumps({"idle_late_ms": _shares(asyncio.run(run()))}))


def _shares(late: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "most": 100.0}
    return {name: round(float(np.percentile(late, share)), 2) for name, share in shares.items()}


# Outside: those who have so much to do.


def _people(settings: Settings, port: int, posts: int, twin: Any) -> int:
    photos = [_photo(n) for n in range(PHOTOS)]
    print(f"{posts} photos of {sum(map(len, photos)) / len(photos) / 1e6:.1f} MB each", flush=True)
    house = f"http://127.0.0.1:{port}"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    over, lock, known = threading.Event(), threading.Lock(), list[str]()
    numbers = iter(range(posts))
    with httpx.Client(base_url=house, headers=bearer, timeout=PATIENCE_S) as program:
        _until(lambda: _answers(program))
        twin.start()

        def post() -> int:
            count = 0
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return count
                # Bytes after the end make each another photo to the store's inbox, and none to the eye.
                data = photos[number % PHOTOS] + number.to_bytes(4, "big")
                said = program.post("/api/photos", files={"file": ("a.jpg", data)}).raise_for_status().json()
                count += "label" in said
                with lock:
                    known.append(said["id"])

        def browse(number: int) -> None:
            with _page(house) as page:
                while not over.wait(0.05):
                    feed = page.get("/feed").raise_for_status().json()
                    shots = [item["id"] for item in feed["items"] if item["kind"] == "photos"][-3:]
                    for shot in shots:
                        page.get(f"/photo/{shot}/0")
                    with lock:
                        some = known[-1 - number] if len(known) > number else None
                    if some is not None:
                        lesson = {"label": f"label {number}"}
                        program.post(f"/api/photos/{some}/correction", json=lesson)

        def listen() -> None:
            with _page(house) as page, page.stream("GET", "/events") as stream:
                for _ in stream.iter_lines():
                    if over.is_set():
                        return

        with ThreadPoolExecutor(IN_FLIGHT + 2 * PAGES) as pool:
            beside = [pool.submit(listen) for _ in range(PAGES)] + [pool.submit(browse, n) for n in range(PAGES)]
            sending = [pool.submit(post) for _ in range(IN_FLIGHT)]
            answered = sum(one.result() for one in sending)
            over.set()
            program.post("/api/photos", files={"file": ("a.jpg", photos[0])})  # Each page hears of this one.
            for one in beside:
                one.result()
    return answered


@contextlib.contextmanager
def _page(house: str) -> Iterator[httpx.Client]:
    """A browser that came by the admin's link."""
    headers = {"X-Snaplabel": "1", "Origin": house}
    with httpx.Client(base_url=house, headers=headers, timeout=PATIENCE_S) as page:
        page.post("/door", json={"key": TOKEN}).raise_for_status()
        yield page


def _photo(seed: int) -> bytes:
    """A JPEG of some 5 MB, as phones make them."""
    chance = np.random.default_rng(seed)
    coarse = Image.fromarray(chance.integers(0, 256, (60, 80, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    grain = Image.fromarray(chance.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8))
    out = io.BytesIO()
    Image.blend(coarse, grain, 0.2).save(out, "JPEG", quality=92)
    return out.getvalue()


def _answers(program: httpx.Client) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return program.get("/api/health").status_code == 200
    return False


def _until(is_so: Any) -> None:
    until = time.monotonic() + 60.0
    while not is_so():
        if time.monotonic() > until:
            sys.exit("The bot did not get ready.")
        time.sleep(0.05)


def _free_port() -> Any:
    import socket

    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    return probe


if __name__ == "__main__":
    sys.exit(main())
