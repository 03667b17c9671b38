"""Acts: what admins did, with who and when; the log that `snaplabel acts` lists and that reviews are undone by."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel.tables import Act

VERBS = (
    *("keep", "relabel", "remove"),  # a review
    *("rename", "merge", "archive", "restore", "alias", "unalias"),  # labels
    *("revert", "forget", "retrain", "cancel", "promote", "discard", "rollback", "use", "new classifier"),
)


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


def recent(session: Session, classifier_id: int | None = None, limit: int = 50) -> Sequence[Act]:
    """The latest acts, newest first; of one classifier, or of all."""
    query = select(Act).order_by(Act.id.desc()).limit(limit)
    if classifier_id is not None:
        query = query.where(Act.classifier_id == classifier_id)
    return session.scalars(query).all()
