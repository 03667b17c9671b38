"""What `serving.py` is measured against: fastai, LitServe and BentoML, each in an environment of its own."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
from intake import Answered

PEERS = Path(__file__).parent / "peers"
SIDE = 256
IN_FLIGHT = (1, 16)
STARTS_WITHIN_S = 180.0
BOUNDARY = "photo-ends-here"


def measure(
    photos: Sequence[bytes], folder: Path, pythons: Mapping[str, Path | None], seconds: float
) -> dict[str, Any]:
    """Name → in flight → figures, or {"failed": why}: a peer that can't be installed stops no measurement."""
    found: dict[str, Any] = {}
    for name, run in {"fastai": _fastai, "litserve": _litserve, "bentoml": _bentoml}.items():
        try:
            python = pythons[name] or _environment(name)
            found[name] = run(python, photos, folder, seconds)
        except (OSError, subprocess.SubprocessError, TimeoutError, http.client.HTTPException) as error:
            print(f"{name} could not be measured: {error}", flush=True)
            found[name] = {"failed": str(error)}
    return found


def _fastai(python: Path, photos: Sequence[bytes], folder: Path, seconds: float) -> dict[str, Any]:
    kept = folder / "photos"
    kept.mkdir(exist_ok=True)
    for n, photo in enumerate(photos):
        (kept / f"{n:03}.jpg").write_bytes(photo)
    script = (str(PEERS / "fastai_serving.py"), str(kept), str(common.weights()))
    command = [str(python), "-W", "ignore", *script, "--seconds", str(seconds), "--side", str(SIDE)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {"1": json.loads(done.stdout.strip().splitlines()[-1])}


def _litserve(python: Path, photos: Sequence[bytes], folder: Path, seconds: float) -> dict[str, Any]:
    port = _free_port()
    script = (str(PEERS / "litserve_serving.py"), str(common.weights()), str(port))
    command = [str(python), "-W", "ignore", *script, "--side", str(SIDE)]
    return _served(command, port, "/predict", _forms(photos), seconds, {})


def _bentoml(python: Path, photos: Sequence[bytes], folder: Path, seconds: float) -> dict[str, Any]:
    port = _free_port()
    known = {"SNAPLABEL_PEER_WEIGHTS": str(common.weights()), "SNAPLABEL_PEER_SIDE": str(SIDE)}
    known |= {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "1"}
    place = ("bentoml_serving:Classify", "--working-dir", str(PEERS), "--host", "127.0.0.1", "--port", str(port))
    return _served([str(python), "-m", "bentoml", "serve", *place], port, "/classify", _forms(photos), seconds, known)


def _forms(photos: Sequence[bytes]) -> list[tuple[bytes, dict[str, str]]]:
    """Each photo as the body of a post, with its headers."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photos"; filename="photo.jpg"\r\n'
    before, after = f"{head}Content-Type: image/jpeg\r\n\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return [(before + photo + after, headers) for photo in photos]


def _served(
    command: Sequence[str],
    port: int,
    path: str,
    bodies: Sequence[tuple[bytes, dict[str, str]]],
    seconds: float,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """Start a server, wait until it answers, and keep so many requests on their way to it."""
    server = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_for(server, port, path, bodies[0])
        _in_flight(port, path, bodies, 16, seconds / 4)
        return {str(count): _in_flight(port, path, bodies, count, seconds).figures() for count in IN_FLIGHT}
    finally:
        # Its workers are processes of its own, in the session that was made for it.
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(20)


def _wait_for(server: "subprocess.Popen[bytes]", port: int, path: str, body: tuple[bytes, dict[str, str]]) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            return _asker(port, path)(*body)
        except (OSError, http.client.HTTPException) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"it does not answer: {error}") from error
            time.sleep(0.2)


def _in_flight(
    port: int, path: str, bodies: Sequence[tuple[bytes, dict[str, str]]], count: int, seconds: float
) -> Answered:
    waited: list[list[float]] = [[] for _ in range(count)]
    errors: list[Exception] = []
    began = time.perf_counter()

    def ask(number: int) -> None:
        one = _asker(port, path)
        try:
            while (sent := time.perf_counter()) - began < seconds:
                one(*bodies[(number + len(waited[number]) * count) % len(bodies)])
                waited[number].append(time.perf_counter() - sent)
        except (OSError, http.client.HTTPException) as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return Answered([one for some in waited for one in some], time.perf_counter() - began)


def _asker(port: int, path: str) -> Callable[[bytes, dict[str, str]], None]:
    """Posts on one connection that stays open. What it calls raises OSError where the answer is none."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(body: bytes, headers: dict[str, str]) -> None:
        line.request("POST", path, body, headers)
        answer = line.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise OSError(f"{answer.status} {said[:200]!r}")

    return ask


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(name: str) -> Path:
    """A peer's own environment, made once in the user's cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snaplabel-benchmarks" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        print(f"Making an environment for {name} in {folder}: some minutes, once.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / f"{name}.txt")], check=True)
        (folder / "ready").touch()
    return python
