"""What every line to PostgreSQL is told as it opens."""

import pytest
from sqlalchemy import text

from snaplabel.database import Database


@pytest.mark.real
def test_small_questions_are_not_made_large_ones(new_postgres_url: str) -> None:
    database = Database(new_postgres_url)

    with database.read() as session:
        told = [session.scalar(text(f"SHOW {name}")) for name in ("max_parallel_workers_per_gather", "jit")]
    with database.begin() as session:  # A transaction that is undone takes nothing of it back.
        session.rollback()
    with database.read() as session:
        still = session.scalar(text("SHOW jit"))
    database.close()

    assert (told, still) == (["0", "off"], "off")
