"""How long a call takes, which statements it issues, and by which way PostgreSQL finds their rows."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import premises
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from snaplabel.database import Database

# A table is big from this part of the number of photos on: reading all of it takes longer than a person should wait.
BIG = 0.02
CHEAP = 100.0


@dataclass
class Statement:
    """One SQL text as it was issued: how often, how long altogether, and what its slowest execution was asked."""

    seconds: list[float] = field(default_factory=list)
    slowest: float = -1.0
    parameters: Any = None


@dataclass
class Seen:
    """What the calls of one question did."""

    # Seconds of each call: all of it, and of that in queries.
    waited: dict[str, list[float]] = field(default_factory=lambda: {"hot": [], "cold": []})
    asking: dict[str, list[float]] = field(default_factory=lambda: {"hot": [], "cold": []})
    statements: dict[str, Statement] = field(default_factory=dict)
    # The processor's seconds: Python's, and PostgreSQL's.
    cpu_s: float = 0.0
    served_s: float = 0.0


class Watch:
    """Listens to a database's engine while something is measured."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._seen: Seen | None = None
        self._began = self._asking = 0.0
        event.listen(database.engine, "before_cursor_execute", self._before)
        event.listen(database.engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _after(self, _line: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if self._seen is None:
            return
        took = time.perf_counter() - self._began
        found = self._seen.statements.setdefault(statement, Statement())
        found.seconds.append(took)
        self._asking += took
        if took > found.slowest:
            found.slowest, found.parameters = took, parameters[0] if isinstance(parameters, list) else parameters

    @contextmanager
    def call(self, seen: Seen, kind: str) -> Iterator[None]:
        """Count and time what is called inside."""
        self._seen, self._asking = seen, 0.0
        served, spent, began = self._served(), time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            seen.waited[kind].append(time.perf_counter() - began)
            seen.asking[kind].append(self._asking)
            self._seen = None
            seen.cpu_s += time.process_time() - spent
            seen.served_s += self._served() - served

    def _served(self) -> float:
        """Seconds that PostgreSQL's process on the other end has worked; it counts in hundredths."""
        return premises.cpu_s(self._pid) if self._pid else 0.0

    _pid = 0

    def follow(self) -> None:
        """Find the process that serves us: calls one after the other share one connection."""
        with self.database.read() as session:
            self._pid = int(session.scalar(text("SELECT pg_backend_pid()")) or 0)

    def plans(self, seen: Seen, is_big: Callable[[str], bool]) -> list[dict[str, Any]]:
        """Of each statement: how often a call issued it, milliseconds, and its plan in a line; slowest first."""
        calls = sum(map(len, seen.waited.values()))
        found = []
        with self.database.engine.connect() as line:
            for statement, one in seen.statements.items():
                way, scans = _plan(line, statement, one.parameters, is_big)
                found.append(
                    {
                        "sql": " ".join(statement.split())[:400],
                        "per_call": round(len(one.seconds) / calls, 2),
                        "ms": round(sum(one.seconds) / len(one.seconds) * 1000, 2),
                        **_percentiles(one.seconds),
                        "plan": way,
                        "scans": scans,
                    }
                )
        return sorted(found, key=lambda each: -float(str(each["ms"])) * float(str(each["per_call"])))


def figures(seen: Seen) -> dict[str, Any]:
    """p50, p95 and the most in milliseconds, of queries alone and of whole calls; of hot and cold calls apart, too.

    python_ms, postgres_ms: the processor's time a call, which does not depend on who else uses the machine.
    """
    calls = [one for some in seen.waited.values() for one in some]
    asking = [one for some in seen.asking.values() for one in some]
    found: dict[str, Any] = {"calls": len(calls), **_percentiles(asking)}
    found["call"] = _percentiles(calls)
    found["python_ms"] = round(seen.cpu_s / len(calls) * 1000, 2)
    found["postgres_ms"] = round(seen.served_s / len(calls) * 1000, 2)
    found["statements"] = round(sum(len(one.seconds) for one in seen.statements.values()) / len(calls), 1)
    return {**found, **{f"{kind}_p95_ms": _percentiles(some)["p95_ms"] for kind, some in seen.asking.items() if some}}


def _percentiles(waited: list[float]) -> dict[str, float]:
    p50, p95, most = (float(np.percentile(waited, share)) * 1000 for share in (50, 95, 100))
    return {"p50_ms": round(p50, 2), "p95_ms": round(p95, 2), "max_ms": round(most, 2)}


def _plan(line: Connection, statement: str, parameters: Any, is_big: Callable[[str], bool]) -> tuple[str, list[str]]:
    """How PostgreSQL would find the rows now, in a line; and the big tables that it would read from end to end."""
    cursor = line.connection.cursor()
    try:
        cursor.execute("EXPLAIN (FORMAT JSON) " + statement, parameters)
        (found,) = cursor.fetchone() or ([],)
    except Exception as error:
        return f"no plan: {type(error).__name__}", []
    finally:
        line.rollback()
        cursor.close()
    tree = found if isinstance(found, list) else json.loads(found)
    nodes = list(_nodes(tree[0]["Plan"])) if tree else []
    ways = [_way(node) for node in nodes if "Relation Name" in node or "Index Name" in node]
    # One that stops at its first rows reads little, however large the table.
    is_short = bool(nodes) and nodes[0]["Total Cost"] < CHEAP
    scans = {
        node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan" and is_big(node["Relation Name"])
    }
    return "; ".join(dict.fromkeys(ways)), [] if is_short else sorted(scans)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _way(node: dict[str, Any]) -> str:
    kind = node["Node Type"].replace(" Scan", "").lower()
    where = node.get("Index Name") or node["Relation Name"]
    return f"{kind} {where} ({node['Plan Rows']})"


def big_tables(database: Database, photos: int) -> Callable[[str], bool]:
    """Says of a table whether it is big, by PostgreSQL's own statistics."""
    query = text("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'")
    with database.read() as session:
        rows: dict[str, float] = {name: count for name, count in session.execute(query)}  # noqa: C416
    return lambda table: rows.get(table, 0) >= BIG * photos
