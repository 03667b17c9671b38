"""`snaplabel acts`: the log of what admins did, newest first."""

import argparse
import json
from typing import Any

from sqlalchemy.orm import Session

from snaplabel import acts as log
from snaplabel import home, output
from snaplabel.settings import Settings
from snaplabel.tables import Act

HEADERS = ("act", "when (UTC)", "who", "what", "undone")


def acts(settings: Settings, args: argparse.Namespace) -> int:
    """Of one classifier where --classifier names it, else everything."""
    with home.opened(settings) as (database, _), database.read() as session:
        classifier_id = home.classifier(session, args.classifier).id if args.classifier is not None else None
        found = log.recent(session, classifier_id, args.limit)
        if args.json:
            for act in found:
                output.say(json.dumps(_facts(session, act), ensure_ascii=False))
            return 0
        rows = [_row(session, act) for act in found]
    if rows:
        output.table(HEADERS, rows)
    else:
        output.say("No admin has done anything yet that is written down.")
    return 0


def _row(session: Session, act: Act) -> tuple[str, ...]:
    undone = act.undone_at.strftime("%Y-%m-%d %H:%M") if act.undone_at is not None else ""
    return (
        str(act.id),
        act.created_at.strftime("%Y-%m-%d %H:%M"),
        log.who(session, act),
        log.what(session, act),
        undone,
    )


def _facts(session: Session, act: Act) -> dict[str, Any]:
    return {
        "act": act.id,
        "at": act.created_at.isoformat(timespec="seconds"),
        "who": log.who(session, act),
        "verb": act.verb,
        "what": log.what(session, act),
        "photo": act.photo_id,
        "facts": act.facts,
        "undone_at": act.undone_at.isoformat(timespec="seconds") if act.undone_at is not None else None,
    }
