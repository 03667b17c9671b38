"""`snaplabel report`: how well a version does, as text, as JSON, or as files to keep."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from snaplabel import backbones, home, output, people, registry, reports
from snaplabel.commands.models import exam
from snaplabel.errors import ModelError, SnaplabelError
from snaplabel.registry import Card
from snaplabel.reports import Change, Report
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Model

HEADERS = ("label", "right", "asked", "before", "lessons")
PAIRS = 10


def report(settings: Settings, args: argparse.Namespace) -> int:
    """Of one version, or of the one that answers now; --out draws its picture here and now."""
    with home.opened(settings) as (database, store):
        with database.read() as session:
            classifier_id = home.classifier(session, args.classifier).id
            model = _model(session, classifier_id, args.version)
            found = reports.of(session, store, model)
            run = reports.run_of(session, model)
            whole = _json(session, store, model, found)
        if args.out is not None:
            from trainer import report as drawing

            picture = drawing.draw(database, store, run.id) if run is not None else None
            name = f"v{model.version}" if args.classifier == people.DEFAULT else f"{args.classifier}-v{model.version}"
            _write(store, args.out, name, whole, picture)
            if not args.json:
                output.say(f"{name}.json{' and its picture are' if picture else ' is'} in {args.out}.")
    if args.json:
        sys.stdout.write(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    elif args.out is None:
        _say(model, found)
        if model.state == "candidate":
            output.say(_ways(model.version, args.classifier))
    return 0


def _model(session: Session, classifier_id: int, version: int | None) -> Model:
    if version is not None:
        return registry.find(session, classifier_id, version)
    model = registry.current(session, classifier_id)
    if model is None:
        raise ModelError("There is no model yet. `snaplabel train` makes one once two labels have photos.")
    return model


def _json(session: Session, store: Store, model: Model, found: Report) -> dict[str, Any]:
    """Everything: the card, how photos are prepared for its backbone, the report and the learning curve."""
    try:
        preparation = asdict(backbones.load_card(store, model.backbone).preparation)
    except ModelError:
        preparation = None
    return {
        "version": model.version,
        "state": model.state,
        "card": model.card,
        "preparation": preparation,
        "report": found.to_json(),
        "curve": [asdict(point) for point in reports.curve(session, model.classifier_id, model.version)],
    }


def _write(store: Store, folder: Path, name: str, whole: dict[str, Any], picture: str | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False))
        if picture is not None:
            (folder / f"{name}.png").write_bytes(store.get(picture))
    except OSError as error:
        raise SnaplabelError(f"Can't write to {folder}: {error.strerror or error}.") from error


def _say(model: Model, found: Report) -> None:
    """Score, verdict, calibration, labels from the worst on, and what is confused most."""
    card = Card.from_json(model.card)
    output.say(
        f"v{model.version} ({model.state}): {exam(card.exam)} wrong" if found.new else f"v{model.version}: no exam yet"
    )
    if card.verdict:
        output.say(card.verdict)
    if found.change is not None:
        output.say(_gain(found.change, found.parent))
    sure = found.new.calibration if found.new is not None else None
    if sure is not None:
        output.say(f"Calibration error {100 * sure.ece:.1f} %; chance alone makes {100 * sure.by_chance:.1f} %.")
    asked = sorted((label for label in found.labels if label.asked), key=lambda label: label.right / label.asked)
    if asked:
        output.say("")
        before = ["" if label.was_right is None else str(label.was_right) for label in asked]
        rows = [
            (label.name, str(label.right), str(label.asked), was, str(label.lessons))
            for label, was in zip(asked, before, strict=True)
        ]
        output.table(HEADERS, rows)
    pairs = found.pairs()[:PAIRS]
    if pairs:
        output.say("")
        output.table(
            ("truth", "taken for", "times"),
            [(found.labels[t].name, found.labels[a].name, str(len(ids))) for t, a, ids in pairs],
        )


def _ways(version: int, classifier: str) -> str:
    """What can be done with a candidate."""
    which = f"{version}{people.option(classifier)}"
    return f"\n`snaplabel promote {which}` lets it answer all the same, `snaplabel discard {which}` puts it aside."


def _gain(change: Change, parent: int | None) -> str:
    """How much more, or less, it gets right than the version before."""
    gain, low, high = (f"{100 * share:+.1f}" for share in (change.gain, change.low, change.high))
    turned = f"{output.number(len(change.fixed), 'exam photo')} came right, {len(change.broken)} went wrong"
    return f"Right beside v{parent}, in points: {gain} ({low} to {high}); {turned}."
