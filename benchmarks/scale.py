"""How fast the house answers when it is full: ten million predictions, a million photos, a hundred thousand people.

    python benchmarks/scale.py [--quick] [--predictions 10_000_000] [--only PART,PART] [--keep] [--json FILE]

Queries: a real PostgreSQL is filled with generated rows (`scale_filling.py`), and everything that a chat or a page
waits for is asked by the product's own functions (`scale_questions.py`), half of it about the three busiest chats and
half about any chat, however old. A query: p95 of the slowest statement that a call issues; 20 ms of it are the promise.
p50, p95, most: all queries of a call together, on the clock, and PostgreSQL's processor time (CPU). Call: with commit
and Python, and Python's processor time. Reads whole: big tables that a plan reads from end to end. FILE has all plans.
Refit: the product's own refit of a classifier with so many labelled photos, in a process of its own.
Workers: photos a second through the whole path with 1, 2 and 4 worker processes, on PostgreSQL and on SQLite.
--quick: a hundredth of the rows, a tenth of the questions and of the rest. --only: queries, refit, workers.
--keep: leaves the database where it says; --folder asks it again.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import scale_filling
import scale_measuring
import scale_server
from scale_filling import Size
from scale_house import House, admins
from scale_measuring import Seen, Watch
from scale_pages import NOBODY_WAITS, PAGES
from scale_questions import COMES_IN, COMMANDS, CORRECTS, Question

from snaplabel import home

# Corrections come late: they leave hundreds of open questions behind, which no admin answers here, for the review.
QUESTIONS = (*COMES_IN, *COMMANDS, *PAGES, *CORRECTS, *NOBODY_WAITS)
PARTS = ("queries", "refit", "workers")
PROMISED_MS = 20.0
OFTEN = 0.05
WAITERS = {"chat": "a chat waits", "page": "a page waits", "worker": "a worker waits", "": "nobody waits"}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--predictions", type=int, default=10_000_000)
    asked.add_argument("--quick", action="store_true")
    asked.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    asked.add_argument("--share", type=float, default=1.0, help="of the times that each question is asked")
    asked.add_argument("--match", default="", help="only questions whose names have one of these in them")
    asked.add_argument("--folder", type=Path, help="a database that --keep left; it is not filled again")
    asked.add_argument("--keep", action="store_true")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    size = Size(args.predictions // 100 if args.quick else args.predictions)
    figures: dict[str, Any] = {"load_before": os.getloadavg()}
    wanted = args.only.split(",")
    if "queries" in wanted:
        figures["queries"] = _queries(size, args.folder, args.match, 0.1 if args.quick else args.share, keep=args.keep)
        _print(figures["queries"])
    if "refit" in wanted:
        import scale_refit

        figures["refit"] = scale_refit.measure(10_000 if args.quick else 100_000)
    if "workers" in wanted:
        import scale_workers

        figures["workers"] = scale_workers.measure(2.0 if args.quick else 10.0)
    figures["load_after"] = os.getloadavg()
    common.write(args.json, figures)


def _queries(size: Size, there: Path | None, match: str, share: float, *, keep: bool) -> dict[str, Any]:
    folder = there or Path(tempfile.mkdtemp(prefix="snaplabel-scale-"))
    server = scale_server.Server(folder / "postgres")
    found: dict[str, Any] = {
        "size": {name: getattr(size, name) for name in ("predictions", "photos", "people", "chats")}
    }
    try:
        if there is None:
            print(f"{size.predictions} predictions are written …", flush=True)
            began = time.monotonic()
            with server.running(*scale_server.CARELESS):
                found["filling_s"] = scale_filling.fill(server.url, size)
            print(f"filled in {time.monotonic() - began:.0f} s: {server.bytes_on_disk() / 1e9:.2f} GB", flush=True)
        server.cool()
        with server.running(*scale_server.SERVING):
            found["bytes"] = _bytes(server.url)
            found["questions"] = _ask_all(server.url, folder, size, match, share)
    finally:
        if keep or there is not None:
            print(f"The database stays in {folder}.")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return found


def _ask_all(url: str, folder: Path, size: Size, match: str, share: float) -> list[dict[str, Any]]:
    settings = common.settings(folder / "home", ADMINS=admins(), DATABASE_URL=url)
    home.prepare(settings)
    house = House(url, folder, size, settings)
    watch = Watch(house.database)
    watch.follow()
    is_big = scale_measuring.big_tables(house.database, size.photos)
    found = []
    for question in QUESTIONS:
        if not match or any(part in question.name for part in match.split(",")):
            found.append(_ask(house, watch, question, is_big, share))
            house.delivered()
            print(*_row(found[-1]), sep="\t", flush=True)
    house.close()
    return found


def _ask(house: House, watch: Watch, question: Question, is_big: Callable[[str], bool], share: float) -> dict[str, Any]:
    seen, first = Seen(), Seen()
    times = max(2, round(question.times * share))
    # The first call is told apart: it finds its pages on disk. Then a few more that nobody counts.
    for n in range(-max(1, times // 10), times):
        counted = seen if n >= 0 else Seen() if first.waited["hot"] or first.waited["cold"] else first
        house.is_hot = n % 2 == 0
        kind = "hot" if house.is_hot else "cold"
        prepared = question.prepare(house)
        with watch.call(counted, kind):
            question.ask(house, prepared)
    plans = watch.plans(seen, is_big)
    scans = sorted({table for plan in plans for table in plan["scans"]})
    about = {"name": question.name, "who": WAITERS[question.who], "scans": scans}
    about["first_ms"] = scale_measuring.figures(first)["max_ms"]
    # Of every SQL text that a call issues by itself; those that only some calls issue stand in `plans`.
    about["slowest_query_p95_ms"] = max((plan["p95_ms"] for plan in plans if plan["per_call"] >= OFTEN), default=0.0)
    return {**about, **scale_measuring.figures(seen), "plans": plans}


def _bytes(url: str) -> dict[str, dict[str, int]]:
    """Rows and bytes of each table, its indexes and what is stored beside it included."""
    import psycopg

    query = (
        "SELECT relname, reltuples::bigint, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class "
        "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_total_relation_size(oid) DESC"
    )
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as line:
        rows = line.execute(query).fetchall()
    return {name: {"rows": count, "bytes": table, "index_bytes": indexes} for name, count, table, indexes in rows}


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    mark = "" if one["slowest_query_p95_ms"] <= PROMISED_MS or one["who"] == WAITERS[""] else "!"
    names = ("slowest_query_p95_ms", "p50_ms", "p95_ms", "max_ms", "postgres_ms")
    queries = (one[name] for name in names)
    numbers = (*queries, one["statements"], one["call"]["p95_ms"], one["python_ms"])
    return (one["name"], *numbers, ", ".join(one["scans"]) or "-", mark)


def _print(found: dict[str, Any]) -> None:
    tables = [(n, t["rows"], t["bytes"] // 10**6, t["index_bytes"] // 10**6) for n, t in found["bytes"].items()]
    print(common.table(("table", "rows", "MB", "MB of indexes"), tables[:10]), end="\n\n")
    heads = ("a query", "p50 ms", "p95 ms", "most ms", "CPU ms", "statements", "call p95", "its CPU", "reads whole", "")
    for who in WAITERS.values():
        rows = [_row(one) for one in found["questions"] if one["who"] == who]
        if rows:
            print(common.table((who, *heads), rows), end="\n\n")
    waited = [one for one in found["questions"] if one["who"] != WAITERS[""]]
    for name, key in (("each query", "slowest_query_p95_ms"), ("all queries of a call together", "p95_ms")):
        well = [one for one in waited if one[key] <= PROMISED_MS]
        print(f"{len(well)} of {len(waited)} that somebody waits for: p95 of {name} within {PROMISED_MS:.0f} ms.")


if __name__ == "__main__":
    main()
