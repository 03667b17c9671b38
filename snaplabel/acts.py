"""Acts: what admins did, with who and when; the log that `snaplabel acts` lists and that reviews are undone by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import false, func, or_, select
from sqlalchemy.orm import Session

from snaplabel.tables import Act, Label, Person

VERBS = (
    *("keep", "relabel", "remove"),  # a review
    "undo",  # of a review
    *("new label", "rename", "merge", "archive", "restore", "alias", "unalias"),
    *("retrain", "cancel", "promote", "discard", "rollback"),  # models
    *("revert", "forget", "roles"),  # people
    *("use", "new classifier", "import", "export"),
)
# These are nothing without their photo; when that is erased, only who and when remain.
ABOUT_A_PHOTO = ("keep", "relabel", "remove", "undo")
# Telegram's and Discord's numbers are shown whole; of the browser chat's, which are longer, so much tells people apart.
LONGEST_ID, SHORT_ID = 20, 8


def record(
    session: Session,
    verb: str,
    *,
    classifier_id: int | None,
    person_id: int | None,
    photo_id: int | None = None,
    **facts: Any,
) -> Act:
    """Write down that somebody did this; in the transaction of the act itself, so that neither is without the other.

    person_id None: from the command line. facts: ids and plain numbers of before and after; names: a label's and its
    new or other one, as they were then.
    """
    assert verb in VERBS, verb
    act = Act(classifier_id=classifier_id, person_id=person_id, verb=verb, photo_id=photo_id, facts=facts)
    session.add(act)
    session.flush()
    return act


def recent(
    session: Session, classifier_id: int | None = None, limit: int = 50, *, with_general: bool = False
) -> Sequence[Act]:
    """The latest acts, newest first; of one classifier, or of all. with_general: also what concerns no single one."""
    query = select(Act).order_by(Act.id.desc()).limit(limit)
    if classifier_id is not None:
        general = Act.classifier_id.is_(None) if with_general else false()
        query = query.where(or_(Act.classifier_id == classifier_id, general))
    return session.scalars(query).all()


def lessons_erased_at(session: Session, classifier_id: int) -> datetime | None:
    """When photos that had been learnt from were last erased, so that what learnt from them must learn anew."""
    query = select(func.max(Act.created_at)).where(Act.classifier_id == classifier_id, Act.verb == "forget")
    return session.scalar(query.where(Act.facts["lessons"].as_integer() > 0))


def named(session: Session, found: Sequence[Act]) -> list[Person | Label]:
    """Whom and what these acts name, read in two queries; while the caller holds them, `who` and `what` ask no more."""
    facts = ("label_id", "before_id", "into_id")
    labels = {act.facts[fact] for act in found for fact in facts if act.facts.get(fact) is not None}
    people = {n for act in found for n in (act.person_id, act.facts.get("reverted_id")) if n is not None}
    known: list[Person | Label] = list(session.scalars(select(Label).where(Label.id.in_(labels)))) if labels else []
    return [*known, *(session.scalars(select(Person).where(Person.id.in_(people))) if people else ())]


def who(session: Session, act: Act) -> str:
    """Whoever did it, as other admins may read it."""
    person = session.get(Person, act.person_id) if act.person_id is not None else None
    if person is None:
        return "somebody who was forgotten" if act.facts.get("has_left") else "command line"
    number = person.platform_id if len(person.platform_id) <= LONGEST_ID else person.platform_id[:SHORT_ID]
    return f"{person.name or 'somebody'} ({person.platform}:{number})"


# What was done, where a single sentence says it all.
WORDS = {
    "cancel": "cancelled the training",
    "use": "switched a chat to this classifier",
    "new classifier": "made this classifier",
}
# What was done: to a photo, to a label, to a version.
ABOUT_PHOTOS = {"keep": "kept", "relabel": "relabelled", "remove": "took out", "undo": "undid what was decided about"}
ABOUT_LABELS = {"new label": "made the label", "archive": "archived", "restore": "brought back"}
ABOUT_NAMES = {
    "rename": "renamed {} to {}",
    "alias": "gave {} the other name {}",
    "unalias": "took from {} the other name {}",
}
ABOUT_VERSIONS = {"promote": "made {} the one that answers", "discard": "put {} aside", "rollback": "went back to {}"}


def what(session: Session, act: Act) -> str:
    """What was done, in words; people go by what `people` lists them by, labels by their names of now, except where
    the act was about a name."""
    facts = act.facts
    label, before, into = (_name(session, facts.get(fact)) for fact in ("label_id", "before_id", "into_id"))
    if act.verb in ABOUT_A_PHOTO:
        done = ABOUT_PHOTOS[act.verb]
        if act.photo_id is None:
            return f"{done} a photo that was erased since"
        if act.verb == "relabel":
            return f"{done} photo {act.photo_id}: {before or 'no label'} → {label}"
        return f"{done} photo {act.photo_id}" + (f" ({label})" if label else "")
    if act.verb in ABOUT_VERSIONS:
        return ABOUT_VERSIONS[act.verb].format(f"v{facts.get('version', '?')}")
    if "label_id" in facts:
        return _about_a_label(act, label or "a label", into)
    if act.verb == "retrain":
        return "asked for a full training" if facts.get("kind") == "fine_tune" else "asked for a training"
    if act.verb == "roles":
        return f"switched /roles {'on' if facts.get('on') else 'off'}"
    if act.verb == "revert":
        return f"took back {_number(act, 'corrections')} by {_address(session, facts.get('reverted_id'))}"
    if act.verb == "forget":
        return "erased a person: " + " and ".join(
            _number(act, one) for one in ("photos", "corrections") if one in facts
        )
    if act.verb in ("import", "export"):
        return f"{act.verb}ed " + _number(act, "files" if act.verb == "import" else "photos")
    return WORDS.get(act.verb, act.verb)


def _about_a_label(act: Act, label: str, into: str) -> str:
    if act.verb in ABOUT_NAMES:
        return ABOUT_NAMES[act.verb].format(*act.facts.get("names", (label, "another name")))
    if act.verb == "merge":
        return f"merged {label} into {into} ({_number(act, 'photos')})"
    done = f"{ABOUT_LABELS.get(act.verb, act.verb)} {label}"
    return f"{done} ({_number(act, 'photos')})" if "photos" in act.facts else done


def _number(act: Act, things: str) -> str:
    """1 photo, 2 photos."""
    count = act.facts.get(things, 0)
    return f"{count} {things.removesuffix('s') if count == 1 else things}"


def _address(session: Session, person_id: int | None) -> str:
    person = session.get(Person, person_id) if person_id is not None else None
    return f"{person.platform}:{person.platform_id}" if person is not None else "somebody who was forgotten"


def _name(session: Session, label_id: int | None) -> str:
    label = session.get(Label, label_id) if label_id is not None else None
    return label.name if label is not None else ""
