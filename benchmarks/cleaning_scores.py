"""Which score brings wrong labels to the top soonest: the comparison by which the trainer's was chosen.

    python benchmarks/cleaning_scores.py [--sets SETS] [--seeds 1-20] [--share 0.1] [--json FILE]

Only train/ is used: a share of the lessons gets another label, and each score ranks all photos, lessons and exam.
Reported is the share of the swaps among the first photos, as many as 15 % of the lessons; mean over the seeds.
"self": how unlikely the photo's own label is; "margin": how much likelier another is. Ranks are averaged by "+".
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray

from snaplabel import heads, home
from snaplabel.commands import importing, sources
from snaplabel.heads import Floats
from trainer import backbone, calibrate, dataset, fit, leftout, suspects
from trainer.dataset import Dataset, Ints
from trainer.recipe import Refit
from trainer.suspects import Space
from worker import embed

SETS = "scenes,ants-bees,architecture,kits"
LOOKED_AT = 0.15
NEIGHBOURS = 10
FOLDS = 5
Scores = NDArray[np.float64]


def of_train(folder: Path) -> tuple[Dataset, Floats]:
    """The photos of a set's train/ with their embeddings, made as the product makes them."""
    with tempfile.TemporaryDirectory(prefix="snaplabel-bench-") as made:
        settings = common.settings(Path(made), WEIGHTS=str(common.weights()))
        with home.opened(settings) as (database, store):
            with sources.opened(folder / "train") as (found, _):
                importing.take_in(database, store, found)
            version = backbone.ensure(database, store, settings, 1, print).backbone
            with database.read() as session:
                data = dataset.read(session, 1)
            embed.fill(database, store, settings, data.photo_ids.tolist(), version)
            with database.read() as session:
                vectors, there = dataset.embeddings(session, data, 1, version)
    return data.only(there), vectors


def swapped(data: Dataset, share: float, seed: int) -> tuple[Ints, Ints]:
    """Labels with some swapped, and the rows of those."""
    rng = np.random.default_rng(seed)
    lessons = np.flatnonzero(~data.is_exam)
    rows = rng.choice(lessons, round(share * len(lessons)), replace=False)
    truth = data.truth.copy()
    truth[rows] = (truth[rows] + rng.integers(1, len(data.labels), len(rows))) % len(data.labels)
    return truth, rows


def refit_chances(vectors: Floats, truth: Ints, groups: Ints, labels: int) -> Floats:
    """What the product's own head says in a cross-validation in which everybody is asked."""
    found = fit.fit(vectors, truth, groups, Refit(cross_validate=len(truth), folds=FOLDS))
    logits = np.zeros((len(truth), labels), np.float32)
    logits[found.asked] = found.logits
    return heads.probabilities(logits, calibrate.temperature(found.logits, truth[found.asked]))


def neighbour_chances(vectors: Floats, truth: Ints, groups: Ints, labels: int) -> Floats:
    """Share of each label among the nearest photos of other groups, by cosine around the mean of all."""
    directions = fit.unit(vectors - vectors.mean(axis=0))
    alike = np.where(groups[:, None] == groups[None], -2.0, directions @ directions.T)
    nearest = np.argpartition(-alike, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return np.asarray(fit.one_hot(truth, labels)[nearest].mean(axis=1), np.float32)


def unlikely(chances: Floats, truth: Ints) -> Scores:
    return np.asarray(1.0 - chances[np.arange(len(truth)), truth], np.float64)


def margin(chances: Floats, truth: Ints) -> Scores:
    others = chances.copy()
    others[np.arange(len(truth)), truth] = -1.0
    return np.asarray(others.max(axis=1), np.float64) - chances[np.arange(len(truth)), truth]


def ranks(*scores: Scores) -> Scores:
    return np.asarray(sum(np.argsort(np.argsort(score)) for score in scores), np.float64)


def scores(data: Dataset, vectors: Floats, truth: Ints) -> dict[str, Scores]:
    """Every score, the higher the sooner a photo is looked at; (N,) each."""
    labels, groups = len(data.labels), data.groups
    makers: dict[str, Callable[[Floats, Ints, Ints, int], Floats]] = {
        "left-out ridge": leftout.chances,
        "refit, 5 folds": refit_chances,
        "10 neighbours": neighbour_chances,
    }
    chances = {name: make(vectors, truth, groups, labels) for name, make in makers.items()}
    found: dict[str, Scores] = {}
    for name, one in chances.items():
        found[f"{name}, self"], found[f"{name}, margin"] = unlikely(one, truth), margin(one, truth)
    found["distance to own centre"] = leftout.strangeness(vectors, truth, groups, labels)
    ridge, folds, near = (found[f"{name}, self"] for name in makers)
    found["ridge + neighbours"], found["ridge + refit + neighbours"] = ranks(ridge, near), ranks(ridge, folds, near)
    mine = Dataset(data.labels, data.photo_ids, data.sha256s, truth, groups, data.is_exam, "")
    space = Space(vectors, np.ones(len(data), np.bool_))
    listed = np.zeros(len(data))
    for one_found in suspects.find(mine, [space], [(0, b"")] * len(data)):
        listed[one_found.row] = one_found.score
    found["the review's list"] = listed
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--sets", default=SETS)
    asked.add_argument("--seeds", default="1-20", help="from-to")
    asked.add_argument("--share", type=float, default=0.1)
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    first, last = map(int, args.seeds.split("-"))
    figures: dict[str, dict[str, list[float]]] = {}
    names = args.sets.split(",")
    for name in names:
        data, vectors = of_train(common.photos() / name)
        budget = round(LOOKED_AT * int((~data.is_exam).sum()))
        for seed in range(first, last + 1):
            truth, rows = swapped(data, args.share, seed)
            for score, values in scores(data, vectors, truth).items():
                top = np.argsort(-values, kind="stable")[:budget]
                figures.setdefault(score, {}).setdefault(name, []).append(float(np.isin(rows, top).mean()))
    order = sorted(figures, key=lambda score: -float(np.mean([figures[score][name] for name in names])))
    rows_shown: list[list[Any]] = [
        [score, *(f"{np.mean(figures[score][name]):.1%}" for name in names)] for score in order
    ]
    print(common.table(("found in 15 %", *names), rows_shown))
    common.write(args.json, {"share": args.share, "seeds": args.seeds, "found": figures})


if __name__ == "__main__":
    main()
