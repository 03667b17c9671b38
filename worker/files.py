"""Classifies files from the command line, without the service: `snaplabel classify FILE…`."""

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from snaplabel import home, images, labels, voices
from snaplabel.database import Database
from snaplabel.errors import ImageError, ModelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from worker.engine import Engine, Loaded

AT_ONCE = 64


def classify(settings: Settings, classifier_name: str, paths: Sequence[Path], as_json: bool) -> int:
    """Print what the current model says of each file, in order; 1 when one of them can't be read.

    Folders stand for the files in them. Raises SnaplabelError when nothing was learnt yet, or there is no such
    classifier.
    """
    database, store = Database(settings.database), Store(settings.store)
    engine = Engine(database, store, settings.home)
    with database.read() as session:
        classifier_id = home.classifier(session, classifier_name).id
    model = engine.model(classifier_id)
    if model is None or not model.card.labels:
        raise ModelError(
            f"The classifier {classifier_name!r} has learnt nothing yet: "
            "`snaplabel import DIR`, then `snaplabel train`, teaches it."
        )
    with database.read() as session:
        # A model's card knows what its labels were called on the day on which it was trained.
        known = {label_id: labels.in_use(session, label_id) for label_id, _ in model.card.labels}
    names = {label_id: label.name if label is not None else None for label_id, label in known.items()}
    failed = False
    for found in _answers(engine, model, names, list(_files(paths))):
        failed = failed or "error" in found
        _print(found, as_json)
    engine.close()
    return 1 if failed else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
        else:
            yield path


def _answers(
    engine: Engine, model: Loaded, names: dict[int, str | None], paths: list[Path]
) -> Iterator[dict[str, Any]]:
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(paths), AT_ONCE):
            yield from pool.map(lambda path: _answer(engine, model, names, path), paths[start : start + AT_ONCE])


def _answer(engine: Engine, model: Loaded, names: dict[int, str | None], path: Path) -> dict[str, Any]:
    """names: label id → what it is called now, None: it was archived since."""
    try:
        data = path.read_bytes()
        vector = engine.embed(model.card.backbone, images.prepare(data).data)
    except OSError as error:
        return {"file": str(path), "error": f"can't be read: {error.strerror or error}"}
    except ImageError as error:
        return {"file": str(path), "error": voices.FAULTS[error.reason]}
    verdict = model.judge(vector)
    voice, top = voices.as_now(verdict.voice, verdict.top, names)
    label, confidence = top[0] if top else (None, None)
    return {"file": str(path), "label": label, "confidence": confidence, "voice": voice, "top": top}


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        line = json.dumps(found, ensure_ascii=False)
    elif "error" in found:
        line = f"{found['file']}: {found['error']}"
    else:
        top = [(name, chance) for name, chance in found["top"]]
        title, detail = voices.guess(found["voice"], top, voices.shortlist(top))
        # Nobody can press a button here.
        detail = detail.removesuffix(f". {voices.WHAT_IS_IT}")
        line = f"{found['file']}: {title}{f' ({detail})' if detail else ''}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
