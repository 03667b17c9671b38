"""`python -m migrations.first` writes the first migration anew from the tables; only until the first release."""

import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command

from migrations.run import config
from snaplabel.database import Database

VERSIONS = Path(__file__).parent / "versions"
ID = "sa.BigInteger().with_variant(sa.Integer(), 'sqlite')"


def main() -> None:
    """Replace every migration by one that makes all tables."""
    for old in VERSIONS.glob("0*.py"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        with database.engine.connect() as connection:
            command.revision(
                config(connection, is_first=True), message="Every table.", autogenerate=True, rev_id="0001"
            )
        database.close()
    made = next(VERSIONS.glob("0001*.py")).rename(VERSIONS / "0001_tables.py")
    text = made.read_text().replace(ID, "ID").replace("\n\n\ndef upgrade", f"\n\nID = {ID}\n\n\ndef upgrade")
    # Autogenerate marks what it wrote; this migration is read, and tested against both databases.
    made.write_text("\n".join(line for line in text.splitlines() if "### " not in line) + "\n")
    for ruff in (("format", "--quiet"), ("check", "--fix", "--quiet")):
        subprocess.run([sys.executable, "-m", "ruff", *ruff, str(made)], check=True)


if __name__ == "__main__":
    main()
