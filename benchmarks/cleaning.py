"""How soon a review finds wrong labels, and what a model is worth once the suggested photos are out.

    python benchmarks/cleaning.py [--sets scenes,ants-bees] [--seeds 0,1,2] [--share 0.1] [--json FILE]

train/ is imported as the product does it, and trained; test/ is asked. Then a share of the lessons gets another label,
drawn at random, and it is trained again. Reported are the share of those swaps among the first photos of
`snaplabel review` (as many as 15 % of the lessons), the time that the search takes after a training, and the test error
with clean labels, with the swaps, without the photos that the review suggests to take out (those it calls mislabelled),
and with the first 15 % looked at by somebody who knows. Every decision is undone before the next seed.
Nothing was tuned on test/; the scores were chosen on train/ with other seeds (benchmarks/cleaning_scores.py).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import corrections, heads, home, labels, people, registry, reviews, trainings
from snaplabel.commands import importing, sources
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Photo, TrainingRun
from trainer import backbone, suspects
from trainer.run import Context, execute
from worker import embed
from worker.engine import Engine

LOOKED_AT = 0.15
CLASSIFIER = 1


class House:
    """One classifier with the photos of a set's train/, and the embeddings of its test/."""

    def __init__(self, settings: Settings, database: Database, store: Store, folder: Path) -> None:
        self.settings, self.database, self.store = settings, database, store

        def fill(photo_ids: Sequence[int], version: str, on_done: Any) -> None:
            embed.fill(database, store, settings, photo_ids, version, on_done)

        self.context = Context(database, store, settings, fill)
        with sources.opened(folder / "train") as (found, _):
            importing.take_in(database, store, found)
        current = backbone.ensure(database, store, settings, CLASSIFIER, print)
        files = sorted(path for path in (folder / "test").rglob("*") if path.is_file())
        engine = Engine(database, store, settings.home)
        self.test = np.stack([engine.embed(current.backbone, path.read_bytes()) for path in files]).astype(np.float32)
        self.truth = [path.parent.name for path in files]
        engine.close()

    def error(self) -> float:
        """Train, and ask test/ of the newest version, published or not."""
        with self.database.begin() as session:
            run_id = trainings.ask(session, CLASSIFIER, "refit", "corrections").id
        execute(self.context, run_id)
        with self.database.read() as session:
            run = session.get_one(TrainingRun, run_id)
            assert run.state == "done", run.failure
            model = registry.versions(session, CLASSIFIER)[0]
        card = Card.from_json(model.card)
        said = heads.load(self.store, model.key, card).logits(self.test).argmax(axis=1)
        return float(np.mean([card.labels[n][1] != truth for n, truth in zip(said, self.truth, strict=True)]))

    def lessons(self) -> list[tuple[int, str]]:
        """Ids of the lesson photos with their labels."""
        with self.database.read() as session:
            names = {label.id: label.name for label in labels.every(session, CLASSIFIER)}
            query = select(Photo).where(Photo.classifier_id == CLASSIFIER, Photo.split == "lesson").order_by(Photo.id)
            return [(photo.id, names[photo.label_id or 0]) for photo in session.scalars(query)]

    def say(self, said: Sequence[tuple[int, str]]) -> None:
        """Give photos labels, in the importer's name."""
        with self.database.begin() as session:
            importer = people.person(session, "local", "import")
            for photo_id, name in said:
                photo, label = session.get_one(Photo, photo_id), labels.make(session, CLASSIFIER, name)
                corrections.vote(session, photo, importer, label, is_admin=True, votes_needed=0.5)

    def undo(self) -> None:
        """Take every review back."""
        with self.database.begin() as session:
            while standing := reviews.decided(session, CLASSIFIER, limit=1):
                reviews.undo(session, standing[0], person_id=None, votes_needed=0.5)

    def search_seconds(self) -> float:
        started = time.perf_counter()
        suspects.look(self.database, self.store, CLASSIFIER)
        return time.perf_counter() - started


def measure(house: House, share: float, seed: int) -> dict[str, Any]:
    """One seed: swap, train, review in two ways, and put everything back."""
    clean = house.error()
    before = house.lessons()
    swaps = swapped(before, share, np.random.default_rng(seed))
    house.say(list(swaps.items()))
    noisy = house.error()
    seconds = house.search_seconds()
    budget = round(LOOKED_AT * len(before))
    with house.database.begin() as session:
        queue = reviews.queue(session, CLASSIFIER, limit=len(before) * 2)
        first = {item.photo_id for item in queue[:budget]}
        suggested = [item for item in queue if item.kind == "mislabelled"]
        for item in suggested:
            reviews.remove(session, session.get_one(Photo, item.photo_id), person_id=None)
    without = house.error()
    house.undo()
    with house.database.begin() as session:
        _look_through(session, sorted(first), dict(before), swaps)
    mended = house.error()
    house.undo()
    house.say([(photo_id, name) for photo_id, name in before if photo_id in swaps])
    hits = sum(item.photo_id in swaps for item in suggested)
    return {
        "seed": seed,
        "lessons": len(before),
        "swaps": len(swaps),
        "looked_at": budget,
        "found": len(first & set(swaps)) / len(swaps),
        "listed": len(queue),
        "suggested": len(suggested),
        "suggested_right": hits / max(1, len(suggested)),
        "suggested_found": hits / len(swaps),
        "seconds": seconds,
        "error_clean": clean,
        "error_swapped": noisy,
        "error_without_suggested": without,
        "error_reviewed": mended,
    }


def swapped(lessons: Sequence[tuple[int, str]], share: float, rng: np.random.Generator) -> dict[int, str]:
    """A share of the lessons, each with another label that is as likely as the rest."""
    names = sorted({name for _, name in lessons})
    picked: NDArray[np.int64] = rng.choice(len(lessons), round(share * len(lessons)), replace=False)
    found = {}
    for place in picked.tolist():
        photo_id, name = lessons[place]
        others = [other for other in names if other != name]
        found[photo_id] = others[int(rng.integers(len(others)))]
    return found


def _look_through(session: Session, photo_ids: list[int], names: dict[int, str], swaps: dict[int, str]) -> None:
    """Decide as somebody who knows: swapped labels are put right, the others kept."""
    for photo_id in photo_ids:
        photo = session.get_one(Photo, photo_id)
        if photo_id in swaps:
            label = labels.make(session, CLASSIFIER, names[photo_id])
            reviews.relabel(session, photo, label, person_id=None, votes_needed=0.5)
        else:
            reviews.keep(session, photo, person_id=None, votes_needed=0.5)


HEADERS = (
    *("", "lessons", "swaps", "found in 15 %", "suggested", "of them right", "search"),
    *("clean", "swapped", "suggested out", "first 15 % reviewed"),
)


def _row(name: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    def mean(what: str) -> float:
        return float(statistics.mean(run[what] for run in runs))

    errors = ("error_clean", "error_swapped", "error_without_suggested", "error_reviewed")
    least = f" (least {min(run['found'] for run in runs):.0%})" if len(runs) > 1 else ""
    return (
        name,
        str(runs[0]["lessons"]),
        str(runs[0]["swaps"]),
        f"{mean('found'):.1%}{least}",
        f"{mean('suggested'):.0f}",
        f"{mean('suggested_right'):.0%}",
        f"{mean('seconds'):.2f} s",
        *(f"{mean(error):.1%}" for error in errors),
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--sets", default="scenes,ants-bees")
    asked.add_argument("--seeds", default="0")
    asked.add_argument("--share", type=float, default=0.1, help="of the lessons that get another label")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    figures: dict[str, list[dict[str, Any]]] = {}
    for name in args.sets.split(","):
        with tempfile.TemporaryDirectory(prefix="snaplabel-bench-") as folder:
            settings = common.settings(Path(folder), WEIGHTS=str(common.weights()))
            with home.opened(settings) as (database, store):
                house = House(settings, database, store, common.photos() / name)
                figures[name] = [measure(house, args.share, int(seed)) for seed in args.seeds.split(",")]
    print(common.table(HEADERS, [_row(name, runs) for name, runs in figures.items()]))
    for name, runs in figures.items():
        found = min(run["found"] for run in runs)
        worse = [100 * (run["error_without_suggested"] - run["error_clean"]) for run in runs]
        mean, most = statistics.mean(worse), max(worse)
        print(
            f"{name}: at least {found:.1%} of the swaps in the first 15 % (80 % wanted); without the suggested photos"
        )
        print(f"  test/ is {mean:+.1f} points from clean labels on average, {most:+.1f} at worst (+2 allowed)")
    common.write(args.json, {"share": args.share, "sets": figures})


if __name__ == "__main__":
    main()
