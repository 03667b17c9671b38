"""What a bell costs: one look at those who wait, which goes by the index on them and not through all that ever came."""

import time
from typing import Any

from sqlalchemy import event, select, update
from sqlalchemy.engine import Connection

from snaplabel.database import Database
from snaplabel.tables import Message
from tests.worker.conftest import Workplace, coloured
from worker import sweep, tasks, turns
from worker.turns import Turns


def _questions(database: Database, about: str) -> list[str]:
    """Every statement from now on that has these words in it."""
    found: list[str] = []

    def note(_line: Connection, _cursor: Any, statement: str, *_: object) -> None:
        if about in statement:
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return found


def _plan(database: Database, statement: Any) -> str:
    compiled = statement.compile(database.engine, compile_kwargs={"render_postcompile": True})
    given = dict.fromkeys(compiled.params, 0)
    with database.read() as session:
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {compiled}", tuple(given[name] for name in compiled.positiontup)
        )
        return "\n".join(row[3] for row in rows)


def test_a_bell_that_found_everybody_looks_once(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    for n in range(3):
        workplace.photo(coloured(250, 10, 10, seed=n))
    looks = _questions(workplace.database, "row_number")
    hears = tasks.tasks(workplace.context, Turns(workplace.database), lambda *_: None, lambda: 0)

    hears["classify.photo"](0)

    assert len(looks) == 1
    with workplace.database.read() as session:
        assert set(session.scalars(select(Message.state))) == {"classified"}


def test_who_comes_after_a_bell_was_heard_is_found_by_the_next(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    workplace.photo(coloured(250, 10, 10))
    waiting = Turns(workplace.database, glance_s=60.0)
    heard_at = time.monotonic()
    waiting.take_some(8)

    late = workplace.photo(coloured(10, 10, 250))

    assert waiting.are_taken(heard_at)
    assert not waiting.are_taken(time.monotonic())
    assert [turn.photo_id for turn in waiting.take_some(8)] == [late]


def test_those_who_were_left_over_are_not_forgotten(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    for n in range(3):
        workplace.photo(coloured(250, 10, 10, seed=n))
    waiting, heard_at = Turns(workplace.database, glance_s=60.0), time.monotonic()

    waiting.take_some(2)

    assert not waiting.are_taken(heard_at)
    waiting.take_some(2)
    assert waiting.are_taken(heard_at)


def test_photos_that_were_tried_before_are_all_looked_at_for_one_bell(workplace: Workplace) -> None:
    """One begins only when the one before has ended, so the end of each is a reason to look again."""
    workplace.publish("red", "blue")
    for n in range(3):
        workplace.photo(coloured(250, 10, 10, seed=n))
    with workplace.database.begin() as session:
        session.execute(update(Message).values(attempts=1, queued_at=None))
    hears = tasks.tasks(workplace.context, Turns(workplace.database), lambda *_: None, lambda: 0)

    hears["classify.photo"](0)

    with workplace.database.read() as session:
        assert set(session.scalars(select(Message.state))) == {"classified"}


def test_what_waits_is_found_by_its_index(database: Database) -> None:
    """On SQLite, which keeps no count of rows: with the chats' index it went through every message there ever was."""
    looks = {
        "whose turn": turns._waiting(),
        "is anybody lost": select(Message.id).where(*turns.waits()),
        "is anybody worn out": select(Message.id).where(*turns.waits(), Message.attempts >= turns.MAX_ATTEMPTS),
        "does nobody come": select(Message.id).where(*sweep._are_lost(turns.now(), 20.0)).limit(1),
    }

    plans = {name: _plan(database, look) for name, look in looks.items()}

    for name, plan in plans.items():
        ways = [line for line in plan.splitlines() if line.startswith(("SEARCH message ", "SCAN message"))]
        assert ways, (name, plan)
        assert all("state=?" in way for way in ways), (name, plan)
