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
# Facts that are marks for ourselves.
OURS = ("has_left",)


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

    person_id None: from the command line. facts: ids and plain numbers of before and after.
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


def who(session: Session, act: Act) -> str:
    """Whoever did it, as other admins may read it."""
    person = session.get(Person, act.person_id) if act.person_id is not None else None
    if person is None:
        return "somebody who was forgotten" if act.facts.get("has_left") else "command line"
    address = f"{person.platform}:{person.platform_id}"
    return f"{person.name} ({address})" if person.name else address


def what(session: Session, act: Act) -> str:
    """What was done, in words; labels go by the names they have now."""
    label, before, into = (_name(session, act.facts.get(fact)) for fact in ("label_id", "before_id", "into_id"))
    if act.photo_id is None and act.verb in ABOUT_A_PHOTO:
        return f"{act.verb} a photo that was erased since"
    if act.verb == "relabel":
        return f"relabel photo {act.photo_id}: {before or 'no label'} → {label}"
    if act.photo_id is not None:
        return f"{act.verb} photo {act.photo_id}" + (f" ({label})" if label else "")
    if label:
        return f"{act.verb} {label}" + (f" → {into}" if into else "")
    if act.verb == "roles":
        return f"roles {'on' if act.facts.get('on') else 'off'}"
    told = ", ".join(
        f"{name} {fact}" for name, fact in act.facts.items() if not name.endswith("_id") and name not in OURS
    )
    return f"{act.verb} ({told})" if told else act.verb


def _name(session: Session, label_id: int | None) -> str:
    label = session.get(Label, label_id) if label_id is not None else None
    return label.name if label is not None else ""
