"""`snaplabel review`: photos whose label looks wrong, most doubtful first; decided on, and undone, from a terminal."""

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from snaplabel import acts, home, naming, output, registry, reviews
from snaplabel.errors import LabelError, ReviewError
from snaplabel.reviews import Item
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Act, Classifier, Label, Photo

HEADERS = ("", "photo", "why", "label", "looks like", "score", "file")
# Columns of a terminal below which a file's name, 64 digits long, would take more room than all the rest.
NARROW = 140
REFIT = "`snaplabel train` refits; a running trainer does so by itself."
NO_WAY_BACK = "Nothing takes it back."
# What undoes an act that is no review.
WAYS_BACK = {
    **dict.fromkeys(("merge", "archive"), "`snaplabel label restore` brings the label back."),
    "restore": "`snaplabel label archive`, or `merge`, puts the label away again.",
    "rename": "`snaplabel label rename` gives the label its old name again.",
    "alias": "`snaplabel label unalias` takes the name away.",
    "unalias": "`snaplabel label alias` gives the name again.",
    "new label": "`snaplabel label archive` puts the label away.",
    "new classifier": "Leave it: a classifier without photos costs nothing.",
    "import": "`snaplabel review remove` takes photos out; `snaplabel revert local:import` says how all of it is.",
    "revert": "Importing again brings back what was imported; what people said in chats they have to say again.",
    **dict.fromkeys(("promote", "rollback", "discard"), "`snaplabel rollback VERSION` lets another version answer."),
    "retrain": "`snaplabel rollback` goes back to the version before.",
    "cancel": "`snaplabel train` trains again.",
    "roles": "/roles in that chat switches it back.",
    "use": "/use in that chat switches it back.",
    "export": "Delete the folder that it wrote.",
    **dict.fromkeys(("forget", "undo"), NO_WAY_BACK),
}
REASONS = {
    "unreadable": "can't be read",
    "mislabelled": "probably mislabelled",
    "unlike": "unlike the rest of its label",
    "empty": "nearly one colour",
}


def review(settings: Settings, args: argparse.Namespace) -> int:
    """Without a decision: what should be looked at. Raises ReviewError, LabelError; then nothing was decided."""
    with home.opened(settings) as (database, store):
        if args.decision is None:
            with database.read() as session:
                return _list(session, store, home.classifier(session, args.classifier).id, args)
        with database.begin() as session:
            sentence = _decide(session, args, settings.votes_needed)
    output.say(sentence)
    return 0


def _decide(session: Session, args: argparse.Namespace, votes_needed: float) -> str:
    """Carry out one decision on all photos that were named; a sentence about what was done."""
    classifier_id = home.classifier(session, args.classifier).id
    if args.decision == "undo":
        return _undo(session, classifier_id, args.act, votes_needed)
    found = [_photo(session, classifier_id, photo_id) for photo_id in dict.fromkeys(args.photos)]
    which = _named([photo.id for photo in found])
    if args.decision == "relabel":
        label = _label(session, classifier_id, args)
        done = _each(
            found, lambda photo: reviews.relabel(session, photo, label, person_id=None, votes_needed=votes_needed)
        )
        kept, changed = ([act.photo_id for act in done if act.verb == verb] for verb in ("keep", "relabel"))
        sentences = [f"{_named(changed).capitalize()}: {label.name} now."] if changed else []
        sentences += [f"{_named(kept).capitalize()}: {label.name} already, and kept so."] if kept else []
        return " ".join([*sentences, REFIT] if changed else sentences)
    if args.decision == "keep":
        _each(found, lambda photo: reviews.keep(session, photo, person_id=None, votes_needed=votes_needed))
        return f"Kept {which}."
    _each(found, lambda photo: reviews.remove(session, photo, person_id=None))
    return f"Took out {which}; `snaplabel review undo` takes back the latest. {REFIT}"


def _named(ids: Sequence[int | None]) -> str:
    """photo 1; photos 1, 2."""
    return ("photo " if len(ids) == 1 else "photos ") + ", ".join(map(str, ids))


def _each(photos: list[Photo], act: Callable[[Photo], Act]) -> list[Act]:
    done = []
    for photo in photos:
        try:
            done.append(act(photo))
        except ReviewError as error:
            raise ReviewError(
                f"Photo {photo.id}: {error}" + (" Nothing was done." if len(photos) > 1 else "")
            ) from error
    return done


def _photo(session: Session, classifier_id: int, photo_id: int) -> Photo:
    photo = session.get(Photo, photo_id)
    if photo is None:
        raise ReviewError(f"There is no photo {photo_id}; `snaplabel review` lists ids.")
    _must_be_of(session, classifier_id, photo.classifier_id, f"Photo {photo_id}")
    return photo


def _must_be_of(session: Session, wanted: int, found: int | None, what: str) -> None:
    """Raises ReviewError naming the classifier to which something belongs."""
    if found != wanted:
        other = session.get(Classifier, found) if found is not None else None
        hint = f": add --classifier {other.name}" if other is not None else ""
        raise ReviewError(f"{what} is another classifier's{hint}.")


def _label(session: Session, classifier_id: int, args: argparse.Namespace) -> Label:
    """The label that was named; made where --new says so. Raises LabelError naming a near one."""
    if args.new:
        return naming.make(session, classifier_id, args.label, person_id=None)
    try:
        return naming.find(session, classifier_id, args.label)
    except LabelError as error:
        raise LabelError(f"{error} --new makes it.") from error


def _undo(session: Session, classifier_id: int, act_id: int | None, votes_needed: float) -> str:
    if act_id is None:
        latest = next(iter(reviews.decided(session, classifier_id, limit=1)), None)
        if latest is None:
            raise ReviewError("There is no review to undo.")
    else:
        latest = session.get(Act, act_id)
        if latest is None:
            raise ReviewError(f"There is no act {act_id}; `snaplabel acts` lists them.")
        if (way_back := WAYS_BACK.get(latest.verb)) is not None:
            raise ReviewError(f"Act {act_id} was no review ({acts.what(session, latest)}). {way_back}")
        _must_be_of(session, classifier_id, latest.classifier_id, f"Act {act_id}")
    if not reviews.undo(session, latest, person_id=None, votes_needed=votes_needed):
        raise ReviewError(f"Act {latest.id} was undone already.")
    return f"Act {latest.id} is undone: photo {latest.photo_id} is as it was before. {REFIT}"


def _list(session: Session, store: Store, classifier_id: int, args: argparse.Namespace) -> int:
    items, total = reviews.page(session, classifier_id, limit=args.limit)
    if args.html is not None:
        from snaplabel.commands import contact_sheet

        contact_sheet.write(session, store, items, args.html, reason)
    if args.json:
        for rank, item in enumerate(items, start=1):
            output.say(json.dumps(_facts(session, store, rank, item), ensure_ascii=False))
        return 0
    if not items:
        output.say(_nothing(session, classifier_id))
        return 0
    if args.html is not None:
        output.say(f"{len(items)} of {total} photos are in {args.html}.")
        return 0
    is_narrow = output.is_terminal() and shutil.get_terminal_size().columns < NARROW
    shown = len(HEADERS) - is_narrow
    rows = [_row(session, store, rank, item)[:shown] for rank, item in enumerate(items, start=1)]
    output.table(HEADERS[:shown], rows)
    if output.is_terminal():
        more = f"{total} in all; --limit shows more. " if total > len(items) else ""
        output.say(f"{more}Decide with `snaplabel review keep ID`, `relabel ID LABEL` or `remove ID`.")
        output.say("`snaplabel review --html FILE` shows the photos.")
    return 0


def _nothing(session: Session, classifier_id: int) -> str:
    current = registry.current(session, classifier_id)
    if current is None or not current.card["labels"]:
        return "Nothing was looked at yet: `snaplabel train` finds what looks wrong."
    return "Nothing looks wrong: no doubtful label, no photo that can't be read, and nobody disagrees."


def reason(item: Item) -> str:
    """Why a photo should be looked at, in words."""
    if item.kind == "conflict":
        return "people disagree: " + ", ".join(f"{n} × {label.name}" for label, n in item.votes)
    if item.kind == "twins":
        return f"shows the same as photo {item.other.id}" if item.other is not None else "has a twin"
    return REASONS[item.kind]


def _file(session: Session, store: Store, item: Item) -> str:
    return f"{store.url}/{photo_key(session.get_one(Photo, item.photo_id).sha256)}"


def _row(session: Session, store: Store, rank: int, item: Item) -> tuple[str, ...]:
    names = (label.name if label is not None else "" for label in (item.label, item.suggested))
    score = f"{item.score:.2f}"
    return (str(rank), str(item.photo_id), reason(item), *names, score, _file(session, store, item))


def _facts(session: Session, store: Store, rank: int, item: Item) -> dict[str, Any]:
    return {
        "rank": rank,
        "photo": item.photo_id,
        "kind": item.kind,
        "score": round(item.score, 4),
        "label": item.label.name if item.label is not None else None,
        "suggested": item.suggested.name if item.suggested is not None else None,
        "other": item.other.id if item.other is not None else None,
        "votes": [[label.name, n] for label, n in item.votes],
        "file": _file(session, store, item),
    }
