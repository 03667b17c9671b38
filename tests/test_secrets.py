"""Secrets, planted in every setting that holds one: no command, service, process list, answer or file shows them."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from snaplabel import hidden, logs, settings
from snaplabel.cli import COMMANDS
from snaplabel.settings import Settings
from tests.bot.webhouse import served

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
# Nobody listens there: connecting is refused at once.
AWAY = "127.0.0.1:1"
PLANTED = {
    "SNAPLABEL_TELEGRAM_TOKEN": "987654321:planted-telegram-SECRET",
    "SNAPLABEL_DISCORD_TOKEN": "planted.discord.SECRET",
    "SNAPLABEL_WEB_TOKEN": "planted-web-SECRET/+&",
    "SNAPLABEL_DATABASE_URL": f"postgresql://somebody:planted-db%40SECRET@{AWAY}/snaplabel",
    "SNAPLABEL_BROKER_URL": f"redis://:planted-broker-SECRET@{AWAY}/0",
    "SNAPLABEL_STORE_URL": "s3://planted-id:planted-store-SECRET@bucket/snaplabel",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-SECRET",
    "AWS_SESSION_TOKEN": "planted-session-SECRET",
}
# Anything of the kind, however it is quoted.
SECRET = re.compile(r"planted[-._%@\w]*SECRET")
ARGUMENTS = {
    "bot": ["telegram", "discord", "web"],
    "up": ["--port", "0"],
    "import": ["photos"],
    "classify": ["photo.jpg"],
    "export": ["out"],
    "backup": ["out"],
    "restore": ["out"],
    "promote": ["1"],
    "discard": ["1"],
    "revert": ["telegram:1"],
    "forget": ["telegram:1"],
}
# The demo has a database, a broker and a store of its own, and would go on for minutes.
COMMANDS_TO_TRY = sorted(set(COMMANDS) - {"demo"})


def _environment(home: Path, **more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SNAPLABEL_", "AWS_"))}
    found = {**ours, **PLANTED, "SNAPLABEL_HOME": str(home), "SNAPLABEL_LOG_LEVEL": "DEBUG", "PYTHONPATH": str(ROOT)}
    return {**found, **more}


def _ran(command: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "snaplabel", *command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


def test_every_setting_that_holds_a_secret_is_planted_here() -> None:
    secret = {settings.PREFIX + f.name.upper() for f in fields(Settings) if f.metadata["secret"]}

    assert secret <= set(PLANTED)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"SNAPLABEL_BROKER_URL": f"amqp://somebody:planted-broker-SECRET@{AWAY}//", "SNAPLABEL_STORE_URL": ""},
        {
            "SNAPLABEL_DATABASE_URL": "postgresql://somebody:planted-db@#/SECRET@[/x",
            "SNAPLABEL_BROKER_URL": "redis://[",
        },
        {"SNAPLABEL_DATABASE_URL": "", "SNAPLABEL_STORE_URL": ""},
        {"SNAPLABEL_DATABASE_URL": "mysql://somebody:planted-db-SECRET@nowhere/x"},
    ],
    ids=["nobody answers", "rabbitmq", "no addresses", "only the broker is away", "another database"],
)
def test_no_command_that_fails_says_a_secret(tmp_path: Path, broken: dict[str, str]) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photo.jpg").write_bytes(b"none")
    # Where much works, services would serve until they are stopped; `up` is tried by itself below.
    works = broken.get("SNAPLABEL_DATABASE_URL") == ""
    wanted = COMMANDS_TO_TRY if not broken else ["doctor", "migrate", "models", *([] if works else ["bot", "worker"])]

    def run(command: str) -> tuple[str, subprocess.CompletedProcess[str]]:
        environment = _environment(tmp_path / command, **broken)
        return command, _ran([command, *ARGUMENTS.get(command, [])], tmp_path, environment)

    with ThreadPoolExecutor(3) as pool:
        ran = dict(pool.map(run, wanted))

    for command, found in ran.items():
        assert not SECRET.search(found.stdout + found.stderr), (command, found.stdout + found.stderr)
    said = {command: found.stderr.strip().splitlines()[-1:] for command, found in ran.items() if found.returncode}
    assert len(said) >= len(wanted) - 2, said
    assert not [line for command, line in said.items() if command != "doctor" and not line]


@contextmanager
def _refusing() -> Iterator[str]:
    """A chat platform that takes no token, and repeats in its answer everything that it was sent."""

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = f"Unauthorized: {self.path} {self.headers.get('Authorization')}"
            body = json.dumps(
                {"ok": False, "error_code": 401, "description": said, "message": said, "code": 0}
            ).encode()
            self.send_response(401, "Unauthorized")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _family(pid: int) -> set[int]:
    """A process and all that it started, and those started."""
    found, new = set(), {pid}
    while new:
        found |= new
        for parent in tuple(new):
            new.discard(parent)
            for path in Path(f"/proc/{parent}/task").glob("*/children"):
                try:
                    new |= {int(child) for child in path.read_text().split()} - found
                except OSError:
                    continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_everything_runs_and_nothing_shows_a_secret(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    with _refusing() as platforms, log.open("wb") as out:
        here = {"SNAPLABEL_DATABASE_URL": "", "SNAPLABEL_BROKER_URL": "", "SNAPLABEL_STORE_URL": ""}
        urls = {"SNAPLABEL_TELEGRAM_API_URL": platforms, "SNAPLABEL_DISCORD_API_URL": f"{platforms}/api/v10"}
        environment = _environment(home, **here, **urls, SNAPLABEL_WEIGHTS=str(tmp_path / "no.pth"))
        up = subprocess.Popen(
            [sys.executable, "-m", "snaplabel", "up", "--port", "0"],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            lines, answers = set(), []
            wanted = ("snaplabel is up", "SNAPLABEL_TELEGRAM_TOKEN", "SNAPLABEL_DISCORD_TOKEN")
            until = time.monotonic() + 150
            while not all(sentence in log.read_text() for sentence in wanted):
                assert up.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                lines |= {_line_of(pid) for pid in _family(up.pid)}
                time.sleep(0.05)
            found = re.search(r"(http://\S+)/door", log.read_text())
            assert found is not None, log.read_text()
            with httpx.Client(base_url=found[1], timeout=60) as guest:
                paths = (
                    "/",
                    "/door",
                    "/healthz",
                    "/api/health",
                    "/api/openapi.json",
                    "/metrics",
                    "/api/photos/x",
                    "/nowhere",
                )
                answers = [guest.get(path) for path in paths]
                token = {"Authorization": f"Bearer {PLANTED['SNAPLABEL_WEB_TOKEN']}"}
                answers += [guest.get(path, headers=token) for path in (*paths, "/api/model", "/api/photos/%00")]
            doctor = _ran(["doctor"], tmp_path, {**environment, "SNAPLABEL_HOME": str(home)})
            lines |= {_line_of(pid) for pid in _family(up.pid)}
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(90)

    assert any("redis-server" in line for line in lines), lines
    assert any("worker" in line for line in lines), lines
    for line in lines:
        assert not SECRET.search(line), line
    for answer in answers:
        assert not SECRET.search(answer.text + str(answer.headers)), answer.url
    assert not SECRET.search(doctor.stdout + doctor.stderr), doctor.stdout
    assert not SECRET.search(log.read_text()), [line for line in log.read_text().splitlines() if SECRET.search(line)]
    for path in home.rglob("*"):
        if path.is_file():
            assert not SECRET.search(path.read_bytes().decode("latin-1")), path


def _line_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def test_an_answer_to_our_own_trouble_says_nothing_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = settings.read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")
    with served(given) as place, place.member() as member:
        place.house.trouble = RuntimeError(f"could not reach {PLANTED['SNAPLABEL_DATABASE_URL']}")
        response = member.post("/messages", json={"text": "hello"})

    assert response.status_code == 500
    assert not SECRET.search(response.text)
    assert "Traceback" not in response.text
    assert any(record.exc_info for record in caplog.records), "our trouble was not logged"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_log_blots_out_a_secret_in_every_spelling(kind: str, tmp_path: Path) -> None:
    given = settings.read({**PLANTED, "SNAPLABEL_HOME": str(tmp_path)}, dotenv=tmp_path / "no.env")
    unsaid = hidden.words(given)
    formatter = (logs.Json if kind == "json" else logs.OneLine)("bot", unsaid)
    said = (*given.secrets().values(), "planted-db@SECRET", "planted-web-SECRET%2F%2B%26", "planted-store-SECRET")
    try:
        raise RuntimeError(f"no answer from {given.database}")
    except RuntimeError as error:
        trouble = (RuntimeError, error, error.__traceback__)

    for text in said:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "sent %s", (text,), trouble)

        assert not SECRET.search(formatter.format(record)), text
        assert hidden.BLOT in formatter.format(record)
    assert "somebody" in hidden.blotted("somebody@nowhere", unsaid)


def test_what_nobody_caught_is_logged_without_secrets(tmp_path: Path) -> None:
    code = (
        "import threading\n"
        "from snaplabel import logs, settings\n"
        "given = settings.read()\n"
        "logs.configure(given, 'bot')\n"
        "logs.catch_all()\n"
        "def fail(): raise RuntimeError(given.database)\n"
        "thread = threading.Thread(target=fail, name='one')\n"
        "thread.start(); thread.join(); fail()\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 1
    assert not SECRET.search(ran.stdout + ran.stderr), ran.stderr
    assert "the thread one ended" in ran.stderr
    assert ran.stderr.count(hidden.BLOT) >= 2


def test_the_environment_of_our_processes_is_for_their_owner_only() -> None:
    with closing(os.scandir(f"/proc/{os.getpid()}") if Path("/proc/self").exists() else os.scandir(ROOT)) as there:
        modes = {entry.name: entry.stat().st_mode & 0o777 for entry in there if entry.name == "environ"}

    # Children get their settings by it: it is no argument, and the kernel shows it to nobody else.
    assert modes in ({"environ": 0o400}, {})
