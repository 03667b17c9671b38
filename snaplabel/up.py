"""`snaplabel up`: everything in one go (database, private Redis, worker, trainer, bot) until it is told to stop."""

import contextlib
import errno
import fcntl
import functools
import http.client
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from snaplabel import home, redis_server
from snaplabel.errors import SnaplabelError
from snaplabel.queue import socket_path
from snaplabel.settings import PREFIX, Settings
from snaplabel.supervise import Program, Supervisor

READY_WITHIN_S = 120.0
log = logging.getLogger(__name__)


def run(
    settings: Settings,
    *,
    port: int | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Run everything until SIGTERM, SIGINT or `stop`; an exit code comes back.

    port: of the web chat, in place of the setting; 0 takes a free one. on_ready: called once, in a thread of its own,
    with the chat's address (its admin token in it) as soon as the chat answers; None: the address is printed.
    Raises SnaplabelError when another `up` has this home, or the port is taken.
    """
    home.make(settings)
    with alone(settings.home, "or set SNAPLABEL_HOME to another folder"):
        settings = replace(settings, web_port=_free_port(settings, settings.web_port if port is None else port))
        home.prepare(settings)
        supervisor = Supervisor(programs(settings))
        if stop is not None:
            supervisor.stop = stop
        announce = functools.partial(_announce, settings)
        ready = threading.Thread(target=_when_ready, args=(settings, supervisor, on_ready or announce), daemon=True)
        with _signals(supervisor):
            ready.start()
            supervisor.run()
    return 0


def programs(settings: Settings) -> tuple[Program, ...]:
    """What `up` keeps running, in the order of starting; makes the private Redis's folders when it is needed."""
    ports = [settings.metrics_port + place if settings.metrics_port else 0 for place in range(3)]
    worker, trainer, bot = (_environment(os.environ, replace(settings, metrics_port=port)) for port in ports)
    # -P: a folder named `bot` or `worker` where somebody happens to stand must not come before ours.
    ours = (sys.executable, "-P", "-m", "snaplabel")
    found = [
        Program("worker", (*ours, "worker"), worker, grace_s=30),
        Program("trainer", (*ours, "trainer", "--with-schedule"), trainer, grace_s=15),
        Program("bot", (*ours, "bot", *settings.platforms), bot, grace_s=10),
    ]
    if not settings.broker_url:
        listens_at = socket_path(settings)
        redis = redis_server.command(settings)
        found.insert(0, Program("redis", redis, {}, grace_s=5, is_ready=lambda: redis_server.answers(listens_at)))
    return tuple(found)


def _environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """Our settings as they were understood, in place of the variables and secret files they came from."""
    kept = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    ours = str(Path(__file__).parent.parent)
    paths = [ours, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**kept, **settings.environment(), "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def alone(folder: Path, otherwise: str = "") -> Iterator[None]:
    """The lock of a home. The kernel lets go of it however we end; the file stays, and only names the last holder.

    otherwise: what else could be done than to stop whoever has it. Raises SnaplabelError when somebody does.
    """
    with (folder / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            way = f"Stop that one first{', ' if otherwise else ''}{otherwise}."
            raise SnaplabelError(f"snaplabel is up in {folder} (process {pid}). {way}") from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _free_port(settings: Settings, port: int) -> int:
    """The port, or a free one for 0. Raises SnaplabelError when another program has it."""
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web_host, port))
        except OverflowError as error:
            raise SnaplabelError(f"{port} is no port; ports go up to 65535.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                another = "`snaplabel up --port 0` takes a free one, or set SNAPLABEL_WEB_PORT."
                raise SnaplabelError(f"Port {port} is taken by another program. {another}") from error
            raise SnaplabelError(f"The web chat can't listen on {settings.web_host}: {error.strerror}.") from error
        found: int = probe.getsockname()[1]
        return found


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops in order, the second at once; only the main thread can hear them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def _hear(_number: int, _frame: object) -> None:
        if supervisor.stop.is_set():
            supervisor.hurry.set()
        supervisor.stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    # Under nohup a hang-up is to be ignored.
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _hear) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _when_ready(settings: Settings, supervisor: Supervisor, on_ready: Callable[[str], None]) -> None:
    try:
        for _ in range(int(READY_WITHIN_S / 0.1)):
            if _answers(settings):
                on_ready(_address(settings))
                return
            if supervisor.stop.wait(0.1):
                return
        log.error("the chat does not answer after %g s; the lines above say why", READY_WITHIN_S)
    except Exception:  # A thread's end would go unnoticed.
        log.exception("could not say that the chat is ready")


def _host(settings: Settings) -> str:
    """Where to reach the web chat from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.web_host, settings.web_host)  # noqa: S104


def _address(settings: Settings) -> str:
    from bot.platforms.web.door import admin_link

    return admin_link(settings)


def shown(settings: Settings, address: str) -> str:
    """The chat's address as it may be printed: a key that somebody chose stays out of files and journals.

    One that was made here can be read nowhere else but in the home folder, so whoever started us gets to see it.
    """
    if not settings.web_token or sys.stdout.isatty():
        return address
    return f"{address.partition('#')[0]} (the key is SNAPLABEL_WEB_TOKEN)"


def _answers(settings: Settings) -> bool:
    line = http.client.HTTPConnection(_host(settings), settings.web_port, timeout=2)
    try:
        line.request("GET", "/api/health")
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _announce(settings: Settings, address: str) -> None:
    from snaplabel.output import say

    say(f"\nsnaplabel is up. The chat: {shown(settings, address)}")
    say("Whoever opens this address is an admin: keep it to yourself. Ctrl-C stops.\n")
