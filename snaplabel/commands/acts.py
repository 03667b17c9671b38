"""`snaplabel acts`: the log of what admins did, newest first."""

import argparse
import json
from typing import Any

from sqlalchemy.orm import Session

from snaplabel import acts as log
from snaplabel import home, output
from snaplabel.settings import Settings
from snaplabel.tables import Act, Label, Person

HEADERS = ("act", "when (UTC)", "who", "what", "undone")


def acts(settings: Settings, args: argparse.Namespace) -> int:
    """Of one classifier where --classifier names it, else everything."""
    with home.opened(settings) as (database, _), database.read() as session:
        classifier_id = home.classifier(session, args.classifier).id if args.classifier is not None else None
        found = log.recent(session, classifier_id, args.limit)
        if args.json:
            for act in found:
                output.console().out(json.dumps(_facts(session, act), ensure_ascii=False))
            return 0
        rows = [_row(session, act) for act in found]
    if rows:
        output.table(HEADERS, rows)
    else:
        output.say("No admin has done anything yet that is written down.")
    return 0


def _row(session: Session, act: Act) -> tuple[str, ...]:
    undone = act.undone_at.strftime("%Y-%m-%d %H:%M") if act.undone_at is not None else ""
    return (str(act.id), act.created_at.strftime("%Y-%m-%d %H:%M"), who(session, act), what(session, act), undone)


def who(session: Session, act: Act) -> str:
    """Whoever did it, as this machine's owner may read it."""
    person = session.get(Person, act.person_id) if act.person_id is not None else None
    if person is None:
        return "somebody who was forgotten" if act.facts.get("has_left") else "command line"
    address = f"{person.platform}:{person.platform_id}"
    return f"{person.name} ({address})" if person.name else address


def what(session: Session, act: Act) -> str:
    """What was done, in words; labels go by the names they have now."""
    label, before, into = (_name(session, act.facts.get(fact)) for fact in ("label_id", "before_id", "into_id"))
    if act.verb == "relabel":
        return f"relabel photo {act.photo_id}: {before or 'no label'} → {label}"
    if act.photo_id is not None:
        return f"{act.verb} photo {act.photo_id}" + (f" ({label})" if label else "")
    if label:
        return f"{act.verb} {label}" + (f" → {into}" if into else "")
    told = ", ".join(f"{name} {fact}" for name, fact in act.facts.items() if not name.endswith("_id"))
    return f"{act.verb} ({told})" if told else act.verb


def _name(session: Session, label_id: int | None) -> str:
    label = session.get(Label, label_id) if label_id is not None else None
    return label.name if label is not None else ""


def _facts(session: Session, act: Act) -> dict[str, Any]:
    return {
        "act": act.id,
        "at": act.created_at.isoformat(timespec="seconds"),
        "who": who(session, act),
        "verb": act.verb,
        "what": what(session, act),
        "photo": act.photo_id,
        "facts": act.facts,
        "undone_at": act.undone_at.isoformat(timespec="seconds") if act.undone_at is not None else None,
    }
