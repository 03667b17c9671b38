"""How fast and how well a classifier is trained, beside fastai with the same photos, weights and cores.

    python benchmarks/training.py [--sets SETS] [--seeds 0,1,2] [--full SETS] [--twenty SETS] [--peer PYTHON]

Ours: from files on disk to a published model, in an installation that has looked at a photo before (the weights were
read, the graph was exported and compiled once): import, embeddings, head, exam, version. Then test/ is asked. With
--full the whole network is taught as well. fastai: `fine_tune(4)`, and with --twenty `fine_tune(20)`, in an environment
of its own, which is made from benchmarks/peers/fastai.txt unless --peer names its python. Both read the same files;
only the training is timed, and neither side's imports are. A seed shuffles the files, so that another fifth is kept for
the exam. SETS are separated by commas.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common

SETS = ("kits", "ants-bees", "architecture", "scenes")
PEERS = Path(__file__).parent / "peers"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--seeds", default="0,1,2")
    asked.add_argument("--full", default="", metavar="SETS", help="fine-tune too on these sets")
    asked.add_argument("--twenty", default="", metavar="SETS", help="fastai's fine_tune(20) too on these sets")
    asked.add_argument("--peer", type=Path, help="python of an environment that has fastai")
    asked.add_argument("--no-peer", action="store_true", help="ours only")
    asked.add_argument("--json", type=Path, metavar="FILE")
    asked.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.measure:
        _measure(*args.measure)
        return
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="snaplabel-bench-") as folder:
        home = _installation(Path(folder))
        peer = None if args.no_peer else (args.peer or _environment())
        for name in args.sets.split(","):
            is_full = name in args.full.split(",")
            runs: dict[str, list[dict[str, float]]] = {}
            for seed in map(int, args.seeds.split(",")):
                ours = _ours(home, common.photos() / name, seed, is_full)
                for kind, found in ours.items():
                    runs.setdefault(kind, []).append(found)
                for epochs in ((4, 20) if name in args.twenty.split(",") else (4,)) if peer else ():
                    runs.setdefault(f"fine_tune({epochs})", []).append(
                        _fastai(peer, common.photos() / name, epochs, seed)
                    )
            figures[name] = {kind: _summary(found) for kind, found in runs.items()}
            print(f"\n{name}, {len(args.seeds.split(','))} seeds")
            print(common.table(("", "seconds", "±", "test error", "±"), _rows(figures[name])), flush=True)
            print(*_verdicts(figures[name]), sep="\n", flush=True)
            common.write(args.json, {"sets": figures})


def _installation(folder: Path) -> Path:
    """A home with a migrated database and the pretrained backbone, loaded once, to be copied for each run."""
    home = folder / "ready"
    settings = common.settings(home, WEIGHTS=str(common.weights()))
    from snaplabel import home as homes
    from snaplabel import people
    from trainer import backbone
    from trainer.recipe import Recipe
    from worker import runtimes

    with homes.opened(settings) as (database, store):
        with database.begin() as session:
            classifier_id = people.make_classifier(session).id
        model = backbone.ensure(database, store, settings, classifier_id, print, Recipe())
        runtimes.load(store, model.backbone, settings.home)
    return home


def _ours(ready: Path, photos: Path, seed: int, is_full: bool) -> dict[str, dict[str, float]]:
    """One run in a process and a home of its own."""
    home = ready.with_name(f"{photos.name}-{seed}")
    shutil.copytree(ready, home)
    command = [sys.executable, __file__, "--measure", str(home), str(photos), str(seed), "full" if is_full else ""]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(home)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _measure(home_name: str, photos_name: str, seed: str, full: str) -> None:
    """Import and train in this process, then ask test/; prints one line of JSON."""
    import io

    from rich.console import Console

    from snaplabel import home as homes
    from snaplabel.commands import importing
    from snaplabel.commands.sources import Found
    from trainer.command import train
    from trainer.recipe import Recipe
    from worker import embed

    home, photos, said = Path(home_name), Path(photos_name), io.StringIO()
    settings = common.settings(home, WEIGHTS=str(common.weights()))
    import numpy  # noqa: F401
    import openvino  # noqa: F401
    import scipy.optimize  # noqa: F401

    recipe, console, result = Recipe(seed=int(seed)), Console(file=said), {}
    started, started_at = time.perf_counter(), time.time()
    files = sorted(path for path in (photos / "train").rglob("*") if path.is_file())
    random.Random(int(seed)).shuffle(files)
    found = [Found(str(path), path.parent.name, path.read_bytes) for path in files]
    with homes.opened(settings) as (database, store):
        importing.take_in(database, store, found)
    imported = time.perf_counter()
    if train(settings, "default", False, embed.fill, console, recipe):
        sys.exit(said.getvalue())
    # Its suspects and its report follow when the version answers already.
    seconds = _published_at(settings) - started_at
    result["refit"] = {"seconds": seconds, "import_seconds": imported - started, **_asked(settings, photos)}
    if full:
        begun = time.perf_counter()
        if train(settings, "default", True, embed.fill, console, recipe):
            sys.exit(said.getvalue())
        seconds = imported - started + time.perf_counter() - begun
        result["fine-tune"] = {"seconds": seconds, **_asked(settings, photos)}
        print(said.getvalue(), file=sys.stderr)
    print(json.dumps(result))


def _published_at(settings: Any) -> float:
    """When the version that answers now became current, in seconds since 1970."""
    from snaplabel import home, registry

    with home.opened(settings) as (database, _), database.read() as session:
        model = registry.current(session, 1)
        assert model is not None
        assert model.published_at is not None
        return model.published_at.timestamp()


def _asked(settings: Any, photos: Path) -> dict[str, float]:
    """What the version that answers now says of test/; "published": whether that is the newest one."""
    from snaplabel import heads, home, registry
    from snaplabel.registry import Card
    from worker.engine import Engine

    with home.opened(settings) as (database, store):
        with database.read() as session:
            model = registry.current(session, 1)
            newest = registry.versions(session, 1)[0]
        assert model is not None
        card = Card.from_json(model.card)
        head, engine = heads.load(store, model.key, card), Engine(database, store, settings.home)
        files = [path for path in (photos / "test").rglob("*") if path.is_file()]
        wrong = 0
        for path in files:
            verdict = heads.judge(head, card, engine.embed(card.backbone, path.read_bytes())[None])[0]
            wrong += dict(card.labels)[verdict.top[0][0]] != path.parent.name
        engine.close()
    return {"error": wrong / len(files), "published": float(model.id == newest.id)}


def _fastai(python: Path, photos: Path, epochs: int, seed: int) -> dict[str, float]:
    script = PEERS / "fastai_training.py"
    command = [str(python), "-W", "ignore", str(script), str(photos), str(common.weights())]
    done = subprocess.run(
        [*command, "--epochs", str(epochs), "--seed", str(seed)], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _environment() -> Path:
    """fastai's own environment, made once in the user's cache."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snaplabel-benchmarks" / "fastai"
    python = folder / "bin" / "python"
    if not python.is_file():
        print(f"Making an environment for fastai in {folder}: some minutes, once.", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(PEERS / "fastai.txt")], check=True)
    return python


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {"runs": runs}
    for name in ("seconds", "error"):
        values = [run[name] for run in runs]
        found[name] = statistics.mean(values)
        found[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else 0.0
    return found


def _rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            kind,
            f"{one['seconds']:.2f}",
            f"{one['seconds_sd']:.2f}",
            f"{one['error']:.1%}",
            f"{one['error_sd']:.1%}",
        )
        for kind, one in figures.items()
    ]


def _verdicts(figures: dict[str, Any]) -> list[str]:
    """The promises, in a line each, with what came of them."""
    lines, refit, four = [], figures["refit"], figures.get("fine_tune(4)")
    if four:
        faster, error = four["seconds"] / refit["seconds"], refit["error"] / four["error"]
        lines.append(f"refit: {faster:.0f} times faster than fine_tune(4) (30 wanted), {error:.2f} of its error (0.67)")
    if tuned := figures.get("fine-tune"):
        line = f"fine-tune: {tuned['error']:.1%} error, the refit {refit['error']:.1%}"
        if twenty := figures.get("fine_tune(20)"):
            line += f"; {tuned['seconds']:.0f} s, fine_tune(20) {twenty['seconds']:.0f} s and {twenty['error']:.1%}"
        lines.append(line)
    return lines


if __name__ == "__main__":
    main()
