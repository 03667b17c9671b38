"""How small is each part, and how soon is it there? Disk, memory, imports and start-up, as a table each.

    .venv/bin/python -m benchmarks.footprint [--json FILE] [--no-disk]

Disk: what pip puts into site-packages for an extra, in a fresh environment without pip itself, as `du` counts it (whole
blocks), with byte code and without; snaplabel's own code is in it. The trainer's, several GB of torch, is summed over
what is installed here. Start-up: the best of several starts on the clock, and the processor's time, which is the fairer
one on a busy machine. Ready is what the log calls so: the bot has loaded everything and is about to connect or listen
(`web answers`: its page was fetched); the worker has its model, and its broker answers.
Memory: resident megabytes of each process, a few seconds after it was ready and at most while photos are posted.
"""

import argparse
import contextlib
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from packaging.requirements import Requirement
from PIL import Image

from benchmarks import common, premises
from snaplabel import home
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.store import Store

STARTS = 5
PATIENCE_S = 120.0
LIMITS_MB = {"bot": 150, "worker": 450}
IMPORTS = {
    "help": "snaplabel.cli",
    "bot": "bot.run",
    "bot, web": "bot.run, bot.platforms.web.adapter",
    "bot, telegram": "bot.run, bot.platforms.telegram.adapter",
    "bot, discord": "bot.run, bot.platforms.discord.adapter",
    "worker": "worker.app, openvino",
    "trainer": "trainer.serve, trainer.run",
}
PARTS = {
    "bot, web": (("bot", "web"), "ready: takes posts"),
    "worker": (("worker",), "ready: hears"),
    "trainer": (("trainer", "--with-schedule"), "ready: hears"),
}
PHOTOS, IN_FLIGHT, REST_S = 200, 8, 3.0


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--json", type=Path, metavar="FILE")
    asked.add_argument("--no-disk", action="store_true", help="without installing anything anew")
    args = asked.parse_args()
    figures: dict[str, Any] = {"load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="snaplabel-footprint-") as folder:
        if not args.no_disk:
            figures["disk_mb"] = _disk(Path(folder))
            limits = [(f"≤ {LIMITS_MB[name]}" if name in LIMITS_MB else "") for name in figures["disk_mb"]]
            rows = [
                (name, *row.values(), limit)
                for (name, row), limit in zip(figures["disk_mb"].items(), limits, strict=True)
            ]
            print(common.table(("extra", "MB", "without byte code", "packages", "limit"), rows), end="\n\n")
        figures["import_s"] = {name: _fastest(("-c", f"import {what}")) for name, what in IMPORTS.items()}
        figures["start_s"], figures["resident_mb"] = _house(Path(folder))
    rows = [(name, *(f"{s:.2f}" for s in row.values())) for name, row in figures["import_s"].items()]
    print(common.table(("import", "s", "processor s"), rows), end="\n\n")
    rows = [(name, *(f"{s:.2f}" for s in row.values())) for name, row in figures["start_s"].items()]
    print(common.table(("start", "s", "processor s"), rows), end="\n\n")
    rows = [(name, *(f"{mb:.0f}" for mb in row.values())) for name, row in figures["resident_mb"].items()]
    print(common.table(("resident MB", "at rest", "under load"), rows))
    print(f"\nOther processes wanted {figures['load']:.1f} cores of {os.cpu_count()} when this began.")
    common.write(args.json, figures)
    return 0


def _disk(folder: Path) -> dict[str, dict[str, int]]:
    source = folder / "source"
    source.mkdir()
    # pip builds where the code lies; here it must leave nothing behind.
    for name in ("snaplabel", "bot", "worker", "trainer", "demo", "migrations", "requirements"):
        shutil.copytree(common.ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(common.ROOT / name, source)
    found = {}
    for extra in ("bot", "worker", "bot,postgres", "worker,postgres"):
        place = folder / extra
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
        pip = (sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "install", "--quiet")
        pins = ("--disable-pip-version-check", "-c", "requirements/constraints.txt", f".[{extra}]")
        subprocess.run([*pip, *pins], cwd=source, check=True, stderr=subprocess.DEVNULL)
        packages = next(place.glob("lib/python*/site-packages"))
        found[extra] = {
            "mb": _blocks_mb(packages.rglob("*")),
            "without_byte_code_mb": _blocks_mb(path for path in packages.rglob("*") if path.suffix != ".pyc"),
            "packages": len(list(packages.glob("*.dist-info"))),
        }
        shutil.rmtree(place)
    return {**found, "trainer": _installed("trainer")}


def _blocks_mb(paths: Iterator[Path]) -> int:
    """Megabytes (10⁶ bytes) on the disk; 512 is st_blocks' own unit, whatever the file system's is."""
    return round(sum(path.lstat().st_blocks for path in paths) * 512 / 1e6)


def _installed(extra: str) -> dict[str, int]:
    """An extra as it is installed in this environment: the files of every package that it asks for."""
    wanted, seen = [f"snaplabel[{extra}]"], dict[str, importlib.metadata.Distribution]()
    asked: set[tuple[str, str]] = set()
    while wanted:
        one = Requirement(wanted.pop())
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        for of in ("", *one.extras):
            if (name, of) in asked:
                continue
            asked.add((name, of))
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                seen[name] = importlib.metadata.distribution(one.name)
                lines = [Requirement(line) for line in seen[name].requires or ()]
                wanted += [str(line) for line in lines if line.marker is None or line.marker.evaluate({"extra": of})]
    files = {Path(str(each.locate_file(file))) for each in seen.values() for file in each.files or ()}
    files = {path for path in files if path.is_file()}
    whole = _blocks_mb(iter(files))
    plain = _blocks_mb(path for path in files if path.suffix != ".pyc")
    return {"mb": whole, "without_byte_code_mb": plain, "packages": len(seen)}


def _fastest(arguments: Sequence[str], environment: dict[str, str] | None = None) -> dict[str, float]:
    """The best of STARTS runs of Python to their end: seconds on the clock, and of the processor."""
    found = []
    for _ in range(STARTS):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
        took, after = time.perf_counter() - began, os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        found.append((took, spent))
    return {"s": min(took for took, _ in found), "processor_s": min(spent for _, spent in found)}


def _house(folder: Path) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Every part started by itself in one home with a taught model, several times; and then all of them at work."""
    port = _free_port()
    given = {"WEIGHTS": str(common.weights()), "WEB_PORT": str(port), "WEB_TOKEN": "footprint-" + "0" * 24}
    settings = common.settings(folder / "home", **given)
    home.prepare(settings)
    database, store = Database(settings.database), Store(settings.store)
    premises.teach(settings, database, store)
    database.close()
    environment = {**os.environ, **settings.environment(), "SNAPLABEL_LOG_LEVEL": "INFO"}
    starts = {"--help": _fastest(("-P", "-m", "snaplabel", "--help"), environment)}
    with premises.redis(settings):
        for name, (command, sign) in PARTS.items():
            found = [_started(command, sign, environment, folder) for _ in range(STARTS)]
            for process, _, _ in found:
                assert process.poll() is not None
            starts[name] = {"s": min(s for _, s, _ in found), "processor_s": min(spent for _, _, spent in found)}
        answers = [_started(PARTS["bot, web"][0], lambda: _answers(port), environment, folder) for _ in range(STARTS)]
        starts["bot, web answers"] = {"s": min(s for _, s, _ in answers), "processor_s": min(c for _, _, c in answers)}
        return starts, _memory(settings, environment, folder, port)


def _started(
    command: Sequence[str],
    sign: str | Callable[[], bool],
    environment: dict[str, str],
    folder: Path,
    keep: bool = False,
) -> tuple[subprocess.Popen[bytes], float, float]:
    """A part, how long it took until its log has the sign, and what it took of the processor; ended, unless kept."""
    path = folder / "log"
    began = time.perf_counter()
    with path.open("wb") as log:
        program = (sys.executable, "-P", "-m", "snaplabel", *command)
        process = subprocess.Popen(program, env=environment, stdout=log, stderr=log)
    while not (sign in path.read_text() if isinstance(sign, str) else sign()):
        if process.poll() is not None or time.perf_counter() - began > PATIENCE_S:
            process.kill()
            sys.exit(f"{' '.join(command)} did not get ready:\n{path.read_text()}")
        time.sleep(0.005)
    took, spent = time.perf_counter() - began, premises.cpu_s(process.pid)
    if not keep:
        process.terminate()
        process.wait(60)
    return process, took, spent


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _memory(settings: Settings, environment: dict[str, str], folder: Path, port: int) -> dict[str, dict[str, float]]:
    running = {name: _started(*part, environment, folder, keep=True)[0] for name, part in PARTS.items()}
    try:
        time.sleep(REST_S)
        rest = {name: premises.resident_mb(process.pid) for name, process in running.items()}
        most, over = dict(rest), threading.Event()

        def watch() -> None:
            while not over.wait(0.1):
                for name, process in running.items():
                    most[name] = max(most[name], premises.resident_mb(process.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        _post(port, settings.web_token)
        over.set()
        watching.join()
        return {name: {"rest": rest[name], "load": most[name]} for name in running}
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(60)


def _post(port: int, token: str) -> None:
    """PHOTOS different photos of 800 by 600, IN_FLIGHT at a time, each waited for until it is answered."""
    chance = np.random.default_rng(0)

    def photo(_: int) -> bytes:
        out, coarse = io.BytesIO(), chance.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((800, 600), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        return out.getvalue()

    photos = [photo(n) for n in range(PHOTOS)]
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=bearer, timeout=PATIENCE_S) as client:

        def post(data: bytes) -> None:
            client.post("/api/photos", files={"file": ("a.jpg", data)}).raise_for_status()

        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            list(pool.map(post, photos))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
