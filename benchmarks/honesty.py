"""Does the model know what it knows: its voices on photos that it has not seen, and on photos of something else.

    python benchmarks/honesty.py [--sets kits,scenes] [--seeds 0,1,2] [--json FILE]

Each set's train/ is imported and refitted as the command line does it, in a home of its own; then test/ is asked. A
seed shuffles the files, so that another fifth is kept for the exam. Every photo is embedded once, by the worker's
engine. The second table asks each model about the other sets' test/ too: there, "sure" is a lie and "unknown" is right
(except that some photos of `scenes` show buildings, and so do those of `architecture`).
"""

import argparse
import io
import random
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from vectors import Vectors, opened

from snaplabel import heads, home, registry
from snaplabel.commands import importing, sources
from snaplabel.database import Database
from snaplabel.heads import Floats, Verdict
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer import judge
from trainer.command import train

SETS = ("kits", "ants-bees", "architecture", "scenes")
VOICES = ("sure", "maybe", "unknown")


@dataclass(frozen=True)
class Asked:
    """A set's test photos. vectors: float32 (N, dimension). names: (N,), their labels."""

    vectors: Floats
    names: tuple[str, ...]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--seeds", default="0,1,2")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    names, seeds = args.sets.split(","), [int(seed) for seed in args.seeds.split(",")]
    own: dict[str, list[dict[str, float]]] = {}
    matrix: dict[str, dict[str, list[dict[str, float]]]] = {}
    with opened() as (settings, database, store, vectors):
        tests = {name: _asked(vectors, name, "test") for name in SETS}
        for name in names:
            _asked(vectors, name, "train")
            for seed in seeds:
                head, card = taught(settings, database, store, vectors, name, seed)
                own.setdefault(name, []).append(_own(head, card, tests[name]))
                for other in SETS:
                    found = _shares(heads.judge(head, card, tests[other].vectors))
                    matrix.setdefault(name, {}).setdefault(other, []).append(found)
    _print(own, matrix)
    common.write(args.json, {"seeds": seeds, "own": own, "strangers": matrix})


def taught(
    settings: Settings, database: Database, store: Store, vectors: Vectors, name: str, seed: int
) -> tuple[heads.Head, Card]:
    """The head and card of a model that was imported and refitted from a set's train/, in an order of the seed's."""
    classifier = f"{name}-{seed}"
    with sources.opened(common.photos() / name / "train") as (found, _):
        shuffled = random.Random(seed).sample(found, len(found))
        importing.take_in(database, store, shuffled, classifier_name=classifier)
    with database.read() as session:
        here = home.classifier(session, classifier).id
    said = io.StringIO()
    if train(settings, classifier, False, vectors.fill, Console(file=said)):
        raise SystemExit(said.getvalue())
    with database.read() as session:
        model = registry.current(session, here)
    assert model is not None
    card = Card.from_json(model.card)
    return heads.load(store, model.key, card), card


def _asked(vectors: Vectors, name: str, side: str) -> Asked:
    files = sorted(file for file in (common.photos() / name / side).glob("*/*") if file.is_file())
    return Asked(vectors.of(files), tuple(file.parent.name for file in files))


def _shares(said: list[Verdict]) -> dict[str, float]:
    return {voice: sum(one.voice == voice for one in said) / len(said) for voice in VOICES}


def _own(head: heads.Head, card: Card, asked: Asked) -> dict[str, float]:
    """How a model does on its own set's test photos; shares of none are NaN."""
    said = heads.judge(head, card, asked.vectors)
    names = dict(card.labels)
    right = np.array([names[one.top[0][0]] == name for one, name in zip(said, asked.names, strict=True)])
    listed = [[names[label] for label, _ in one.top[: one.shortlist]] for one in said]
    held = np.array([name in some for some, name in zip(listed, asked.names, strict=True)])
    voice = np.array([one.voice for one in said])
    logits = head.logits(asked.vectors)
    return {
        "right": float(right.mean()),
        **_shares(said),
        "sure_right": _mean(right[voice == "sure"]),
        "listed_held": _mean(held[voice == "maybe"]),
        "named": _mean(np.array([one.shortlist for one in said])[voice == "maybe"]),
        "turned_away": float((head.distance(asked.vectors) > (card.stranger_at or np.inf)).mean()),
        "ece_raw": _ece(right, heads.probabilities(logits, 1.0).max(axis=1)),
        "ece": _ece(right, heads.probabilities(logits, card.temperature).max(axis=1)),
        "temperature": card.temperature,
        "sure_at": card.sure_at,
        "shortlist": card.shortlist,
    }


def _mean(found: NDArray[Any]) -> float:
    return float(found.mean()) if len(found) else float("nan")


def _ece(right: NDArray[np.bool_], chances: Floats) -> float:
    found = judge.calibration(right, chances)
    return found.ece if found is not None else float("nan")


def _print(own: dict[str, list[dict[str, float]]], matrix: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    shown = ("right", "sure", "sure_right", "maybe", "listed_held", "unknown", "turned_away")
    titles = ("right", "sure", "right if sure", "one of", "truth in it", "unknown", "of them too far")
    rows = [(name, *(_cell(runs, key) for key in shown)) for name, runs in own.items()]
    print(f"\nOwn test photos, % (mean ± standard deviation over {len(next(iter(own.values())))} seeds)")
    print(common.table(("set", *titles), rows))
    keys = ("ece_raw", "ece", "temperature", "sure_at", "shortlist", "named")
    rows = [(name, *(_cell(runs, key, 1 if key == "named" else 3) for key in keys)) for name, runs in own.items()]
    print("\nCalibration: expected calibration error before and after the temperature, and what was learnt")
    print(common.table(("set", "ECE raw", "ECE", "temperature", "sure from", "list from", "labels named"), rows))
    rows = [
        (name, *(" / ".join(f"{100 * _average(runs, voice):.0f}" for voice in VOICES) for runs in asked.values()))
        for name, asked in matrix.items()
    ]
    print("\nA model asked about each set's test photos: sure / one of these / unknown, %")
    print(common.table(("model of", *(f"asked {name}" for name in SETS)), rows))


def _average(runs: list[dict[str, float]], key: str) -> float:
    known = [run[key] for run in runs if run[key] == run[key]]
    return statistics.mean(known) if known else float("nan")


def _cell(runs: list[dict[str, float]], key: str, digits: int = -1) -> str:
    """Mean ± standard deviation, of shares in percent; digits: of what is no percentage."""
    factor, places = (100, 1) if digits < 0 else (1, digits)
    known = [factor * run[key] for run in runs if run[key] == run[key]]
    spread = f" ± {statistics.stdev(known):.{places}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{places}f}{spread}" if known else "–"


if __name__ == "__main__":
    main()
