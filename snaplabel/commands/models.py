"""`snaplabel models`, `rollback`, `promote` and `discard`: the registry, from a terminal."""

import argparse

from sqlalchemy.orm import Session

from snaplabel import acts, backbones, home, output, registry
from snaplabel.registry import Card, Exam
from snaplabel.settings import Settings
from snaplabel.tables import Model

HEADERS = ("version", "state", "kind", "photos", "exam error", "made (UTC)")


def models(settings: Settings, args: argparse.Namespace) -> int:
    """Newest first; running workers are asked nothing."""
    with home.opened(settings) as (database, _), database.read() as session:
        found = registry.versions(session, home.classifier(session, args.classifier).id)
        rows = [_row(model) for model in found]
    if rows:
        output.table(HEADERS, rows)
    else:
        output.say("There is no model yet. `snaplabel train` makes one once two labels have photos.")
    return 0


def rollback(settings: Settings, args: argparse.Namespace) -> int:
    with home.opened(settings) as (database, store), database.begin() as session:
        model = registry.rollback(session, home.classifier(session, args.classifier).id, args.version, store)
        backbones.check(store, model.backbone)
        version = model.version
        _note(session, "rollback", model)
    output.say(f"v{version} answers from now on; running workers take it for their next photo.")
    output.say("So it stays until the next training publishes a version that has learnt what was said since.")
    return 0


def promote(settings: Settings, args: argparse.Namespace) -> int:
    with home.opened(settings) as (database, store), database.begin() as session:
        model = registry.promote(session, home.classifier(session, args.classifier).id, args.version, store)
        backbones.check(store, model.backbone)
        _note(session, "promote", model)
    output.say(f"v{args.version} answers from now on; `snaplabel rollback` goes back.")
    return 0


def discard(settings: Settings, args: argparse.Namespace) -> int:
    with home.opened(settings) as (database, _), database.begin() as session:
        model = registry.discard(session, home.classifier(session, args.classifier).id, args.version)
        _note(session, "discard", model)
    output.say(f"v{args.version} is put aside; its report stays.")
    return 0


def _note(session: Session, verb: str, model: Model) -> None:
    """For `snaplabel acts`."""
    acts.record(session, verb, classifier_id=model.classifier_id, person_id=None, version=model.version)


def _row(model: Model) -> tuple[str, ...]:
    card = Card.from_json(model.card)
    when = model.created_at.strftime("%Y-%m-%d %H:%M")
    kind = model.kind.replace("_", "-")
    return (f"v{model.version}", model.state, kind, str(card.photos), exam(card.exam), when)


def exam(result: Exam) -> str:
    """An exam as a person reads it: "6.4 % (3.1–11 %) of 189 photos"."""
    if result.error is None:
        return "no exam yet"
    text = f"{_percent(result.error)} %"
    if result.low is not None and result.high is not None:
        text += f" ({_percent(result.low)}–{_percent(result.high)} %)"
    return f"{text} of {result.photos} photos" + (", cross-validated" if result.by != "exam" else "")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:.0f}"
