"""PostgreSQL's own pg_dump and pg_restore, for backups; the password goes by the environment, not by the arguments."""

import os
import subprocess
from pathlib import Path

from snaplabel.errors import SnaplabelError


def dump(url: str, file: Path) -> None:
    """Write one moment's state of the database to a file; others go on writing. Raises SnaplabelError."""
    _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def restore(url: str, file: Path) -> None:
    """Fill an empty database from such a file: all of it, or nothing. Raises SnaplabelError."""
    _run("pg_restore", url, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(file))


def _run(program: str, url: str, *arguments: str) -> None:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    given = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    password = given.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    where = make_conninfo("", **{name: value for name, value in given.items() if value})
    command = [program, *arguments[:-1], f"--dbname={where}", arguments[-1]]
    try:
        # A list, no shell: whatever stands in the URL, it is one argument.
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise SnaplabelError(
            f"There is no {program} here. Install PostgreSQL's client programs, of the server's version or newer."
        ) from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise SnaplabelError(f"{program} failed: {said[0].removeprefix(f'{program}: ')}")
