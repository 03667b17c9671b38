"""How few photos of a label are enough: right answers on test/ against photos per label.

    python benchmarks/fewshot.py [--sets scenes,kits] [--photos 1,2,5,10,20] [--labels 3] [--seeds 0,1,2,3,4]
                                 [--json FILE]

A seed draws that many photos of each label from train/ (all there are, where there are fewer); the trainer's own
candidate is made of them, and asked about every photo in test/. --labels N: only N of the labels, drawn by the seed.
"""

import argparse
import statistics
from pathlib import Path

import common
import numpy as np
from vectors import Vectors, opened

from snaplabel import heads
from snaplabel.heads import Floats
from snaplabel.registry import Card
from trainer import candidate
from trainer.dataset import Dataset
from trainer.recipe import Recipe

Files = dict[str, list[Path]]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--sets", default="scenes,kits")
    asked.add_argument("--photos", default="1,2,5,10,20")
    asked.add_argument("--labels", type=int)
    asked.add_argument("--seeds", default="0,1,2,3,4")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    counts, seeds = [int(n) for n in args.photos.split(",")], [int(seed) for seed in args.seeds.split(",")]
    figures: dict[str, dict[int, list[dict[str, float]]]] = {}
    with opened() as (_, _, _, vectors):
        for name in args.sets.split(","):
            taught, test = _files(name, "train"), _files(name, "test")
            runs = {many: [_run(vectors, taught, test, many, args.labels, seed) for seed in seeds] for many in counts}
            figures[name] = runs
            rows = [(many, *(_cell(found, key) for key in found[0])) for many, found in runs.items()]
            which = f"{args.labels} labels drawn by the seed" if args.labels else f"{len(taught)} labels"
            print(f"\n{name}, {which}: % of test/ (mean ± standard deviation over {len(seeds)} seeds)")
            titles = ("right", "sure", "right if sure", "one of", "truth in it", "unknown")
            print(common.table(("photos a label", *titles), rows))
    common.write(args.json, {"seeds": seeds, "labels": args.labels, "sets": figures})


def _files(name: str, side: str) -> Files:
    folders = sorted(folder for folder in (common.photos() / name / side).iterdir() if folder.is_dir())
    return {folder.name: sorted(folder.iterdir()) for folder in folders}


def _run(vectors: Vectors, taught: Files, test: Files, many: int, labels: int | None, seed: int) -> dict[str, float]:
    """What a model taught with `many` photos of each label says of test/; shares of none are NaN."""
    rng = np.random.default_rng(seed)
    names = sorted(rng.choice(sorted(taught), labels, replace=False)) if labels else sorted(taught)
    drawn = {name: [taught[name][n] for n in rng.permutation(len(taught[name]))[:many]] for name in names}
    found, card = _model(vectors.of([file for name in names for file in drawn[name]]), drawn)
    said = heads.judge(found, card, vectors.of([file for name in names for file in test[name]]))
    truth = [row for row, name in enumerate(names) for _ in test[name]]
    right = np.array([one.top[0][0] == row for one, row in zip(said, truth, strict=True)])
    held = np.array(
        [row in [label for label, _ in one.top[: one.shortlist]] for one, row in zip(said, truth, strict=True)]
    )
    voice = np.array([one.voice for one in said])
    return {
        "right": float(right.mean()),
        "sure": float((voice == "sure").mean()),
        "sure_right": float(right[voice == "sure"].mean()) if (voice == "sure").any() else float("nan"),
        "maybe": float((voice == "maybe").mean()),
        "listed_held": float(held[voice == "maybe"].mean()) if (voice == "maybe").any() else float("nan"),
        "unknown": float((voice == "unknown").mean()),
    }


def _model(embeddings: Floats, drawn: Files) -> tuple[heads.Head, Card]:
    """The trainer's candidate, all of whose photos are lessons; its label ids are rows of the sorted names."""
    labels = tuple(enumerate(drawn))
    truth = np.array([row for row, files in enumerate(drawn.values()) for _ in files], np.int64)
    rows = np.arange(len(truth))
    data = Dataset(labels, rows, ("",) * len(rows), truth, rows, np.zeros(len(rows), np.bool_), "")
    found = candidate.make(data, embeddings, Recipe())
    card = Card("few", 1, "refit", "", labels=labels, temperature=found.calibrated.temperature)
    thresholds = {name: getattr(found.calibrated, name) for name in ("sure_at", "shortlist", "stranger_at")}
    return found.head, Card.from_json({**card.to_json(), **thresholds})


def _cell(runs: list[dict[str, float]], key: str) -> str:
    known = [100 * run[key] for run in runs if run[key] == run[key]]
    spread = f" ± {statistics.stdev(known):.1f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.1f}{spread}" if known else "–"


if __name__ == "__main__":
    main()
