"""`snaplabel label`: what labels there are, and rename, merge, archive, restore and other names, from a terminal."""

import argparse

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import home, labels, naming, output
from snaplabel.settings import Settings
from snaplabel.tables import Label

HEADERS = ("label", "photos", "in the exam", "other names")
RELEARN = "The next training learns it so."


def label(settings: Settings, args: argparse.Namespace) -> int:
    """Without an act: all labels, the archived ones, and those that may be the same. Raises LabelError."""
    with home.opened(settings) as (database, _):
        if args.act is None:
            with database.read() as session:
                _list(session, home.classifier(session, args.classifier).id)
            return 0
        with database.begin() as session:
            done = _do(session, home.classifier(session, args.classifier).id, args, settings.votes_needed)
        output.say(done)
    return 0


def _do(session: Session, classifier_id: int, args: argparse.Namespace, votes_needed: float) -> str:
    """Carry out one act; a sentence about what was done."""
    if args.act == "rename":
        found = naming.find(session, classifier_id, args.old)
        before = found.name
        naming.rename(session, found, args.new, person_id=None)
        return f"{before} is now called {found.name}; its old name stays as another name."
    if args.act == "merge":
        found, into = (naming.find(session, classifier_id, name) for name in (args.label, args.into))
        moved = naming.merge(session, found, into, person_id=None, votes_needed=votes_needed)
        return f"{found.name} is {into.name} now; {output.number(moved, 'photo')} moved. {RELEARN}"
    if args.act == "archive":
        found = naming.find(session, classifier_id, args.label)
        away = output.number(naming.archive(session, found, person_id=None), "photo")
        return f"{found.name} is archived; {away} put away. {RELEARN}"
    if args.act == "restore":
        found = naming.archived(session, classifier_id, args.label)
        count = naming.restore(session, found, person_id=None, votes_needed=votes_needed)
        return f"{found.name} is back, with {output.number(count, 'photo')}. {RELEARN}"
    if args.act == "alias":
        found = naming.find(session, classifier_id, args.label)
        return f"{naming.add_alias(session, found, args.other, person_id=None).name} means {found.name} now."
    found = naming.remove_alias(session, classifier_id, args.other, person_id=None)
    return f"{args.other} is no name of {found.name} any more."


def _list(session: Session, classifier_id: int) -> None:
    rows, others = labels.counts(session, classifier_id), labels.aliases(session, classifier_id)
    if not rows:
        output.say("There are no labels yet. `snaplabel import` makes one of each folder.")
    else:
        lines = [
            (row.label.name, str(row.photos), str(row.exam), ", ".join(others.get(row.label.id, []))) for row in rows
        ]
        output.table(HEADERS, lines)
    query = select(Label).where(Label.classifier_id == classifier_id, Label.archived_at.is_not(None))
    for away in session.scalars(query.order_by(Label.name)):
        into = labels.final(session, away.id)
        merged = f"merged into {into.name}" if into is not None and into.id != away.id else "archived"
        output.say(f"{away.name}: {merged}; `snaplabel label restore` takes it back.")
    for one in labels.duplicates(session, classifier_id):
        output.say(may_be_same(one))


def may_be_same(found: labels.Duplicate) -> str:
    """A sentence that offers to merge two labels."""
    fewer, more = found.fewer.label.name, found.more.label.name
    photos = f"{found.fewer.photos} and {found.more.photos} photos"
    return f'{fewer} and {more} ({photos}) may be the same: snaplabel label merge "{fewer}" "{more}"'
