"""Naming: what admins do with labels: rename, merge, archive, restore, and other names; each is written down as an act.

Votes stay as they were cast. A merged label's votes count for the one it was merged into, and an archived label's wait
for it, so that everything here can be undone. Ring "train.learn" after the commit.
"""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from snaplabel import acts, corrections, labels
from snaplabel.database import now
from snaplabel.errors import LabelError
from snaplabel.tables import Act, Alias, Correction, Label, Photo


def find(session: Session, classifier_id: int, name: str) -> Label:
    """The label in use with this name or alias. Raises LabelError naming a near one."""
    found = labels.by_name(session, classifier_id, name)
    if found is not None:
        return found
    there = _holder(session, classifier_id, labels.key(name))
    if there is not None:
        raise LabelError(f"“{there.name}” is archived; restore it first.")
    near = labels.meant(session, classifier_id, name).label
    hint = f" Did you mean “{near.name}”?" if near is not None else ""
    raise LabelError(f"There is no label “{labels.clean(name)}”.{hint}")


def archived(session: Session, classifier_id: int, name: str) -> Label:
    """The archived or merged label of this name. Raises LabelError naming those there are."""
    there = _holder(session, classifier_id, labels.key(labels.clean(name)))
    if there is not None and there.archived_at is not None:
        return there
    if there is not None:
        raise LabelError(f"“{there.name}” is not archived.")
    query = select(Label.name).where(Label.classifier_id == classifier_id, Label.archived_at.is_not(None))
    names = session.scalars(query.order_by(Label.name)).all()
    hint = f" Archived are: {', '.join(names[:10])}." if names else " None is archived."
    raise LabelError(f"There is no archived label “{labels.clean(name)}”.{hint}")


def photos_of(session: Session, label: Label) -> int:
    """How many photos have this label now, those that were taken out or can't be read left aside, as in the list."""
    query = select(func.count()).where(Photo.label_id == label.id, Photo.removed_at.is_(None))
    return session.scalar(query.where(Photo.unreadable.is_(None))) or 0


def make(session: Session, classifier_id: int, name: str, *, person_id: int | None) -> Label:
    """The label of this name or alias, made (or brought back from the archive) when it is not there.

    Raises LabelError.
    """
    there = labels.by_name(session, classifier_id, name)
    if there is not None:
        return there
    made = labels.make(session, classifier_id, name)
    _record(session, "new label", made, person_id)
    return made


def rename(session: Session, label: Label, name: str, *, person_id: int | None) -> Label:
    """Call a label something else; its old name becomes an alias. Raises LabelError when that name is taken."""
    name = labels.clean(name)
    wanted, before = labels.key(name), label.name
    if wanted != label.key:
        _must_be_free(session, label, name)
        alias = _alias(session, label.classifier_id, wanted)
        holder = _holder(session, label.classifier_id, wanted)
        if alias is not None:
            session.delete(alias)
        if holder is not None:
            # What was merged into this label has the wanted name: the two change names.
            holder.key = f"-{holder.id}"  # No name has such a key.
            session.flush()
        old_key = label.key
        label.name, label.key = name, wanted
        session.flush()
        if holder is not None:
            holder.name, holder.key = before, old_key
        session.add(Alias(classifier_id=label.classifier_id, label_id=label.id, name=before, key=old_key))
        session.flush()
    label.name = name
    _record(session, "rename", label, person_id, names=[before, name])
    return label


def merge(session: Session, label: Label, into: Label, *, person_id: int | None, votes_needed: float) -> int:
    """Make one label part of another, with its photos, names and votes; how many photos moved. Raises LabelError."""
    if label.id == into.id:
        raise LabelError(f"“{into.name}” is the same label already.")
    count = photos_of(session, label)
    session.execute(update(Photo).where(Photo.label_id == label.id).values(label_id=into.id, labelled_at=now()))
    aliases = session.scalars(select(Alias).where(Alias.label_id == label.id)).all()
    for alias in aliases:
        alias.label_id = into.id
    label.archived_at, label.merged_into_id = now(), into.id
    session.add(Alias(classifier_id=label.classifier_id, label_id=into.id, name=label.name, key=label.key))
    session.flush()
    # Votes for the two were apart and are together now; elsewhere that may turn the scales.
    corrections.settle(session, _voted(session, label, into), votes_needed)
    facts = {"into_id": into.id, "photos": count, "alias_ids": [alias.id for alias in aliases]}
    _record(session, "merge", label, person_id, **facts)
    return count


def archive(session: Session, label: Label, *, person_id: int | None) -> int:
    """Put a label away: its photos leave lessons and exam until it is restored; how many those are."""
    label.archived_at = now()
    session.flush()
    count = photos_of(session, label)
    _record(session, "archive", label, person_id, photos=count)
    return count


def restore(session: Session, label: Label, *, person_id: int | None, votes_needed: float) -> int:
    """Bring back an archived label, or part a merged one again by the votes; how many photos have it now.

    Raises LabelError when its name is another label's by now.
    """
    if label.archived_at is None:
        raise LabelError(f"“{label.name}” is not archived.")
    alias = _alias(session, label.classifier_id, label.key)
    into_id = label.merged_into_id
    if alias is not None:
        here = labels.final(session, alias.label_id)
        if here != labels.final(session, label.id) or here == label:
            raise LabelError(f"“{label.name}” is another name of “{here.name if here else '?'}” now; unalias it first.")
        session.delete(alias)
    if into_id is not None:
        for one in session.scalars(select(Alias).where(Alias.id.in_(_moved_with(session, label)))):
            one.label_id = label.id
    label.archived_at = label.merged_into_id = None
    session.flush()
    session.execute(update(Photo).where(Photo.label_id == label.id).values(labelled_at=now()))
    corrections.settle(session, _voted(session, label, label), votes_needed)
    session.flush()
    count = photos_of(session, label)
    _record(session, "restore", label, person_id, photos=count, into_id=into_id)
    return count


def add_alias(session: Session, label: Label, name: str, *, person_id: int | None) -> Alias:
    """Another name for a label. Raises LabelError when it is taken."""
    name = labels.clean(name)
    there = _alias(session, label.classifier_id, labels.key(name))
    if labels.key(name) == label.key or (there is not None and there.label_id == label.id):
        raise LabelError(f"“{label.name}” goes by that name already.")
    _must_be_free(session, label, name)
    made = Alias(classifier_id=label.classifier_id, label_id=label.id, name=name, key=labels.key(name))
    session.add(made)
    session.flush()
    _record(session, "alias", label, person_id, names=[label.name, name])
    return made


def remove_alias(session: Session, classifier_id: int, name: str, *, person_id: int | None) -> Label:
    """Take another name away; the label that it was a name of. Raises LabelError."""
    there = _alias(session, classifier_id, labels.key(labels.clean(name)))
    label = session.get(Label, there.label_id) if there is not None else None
    if there is None or label is None:
        raise LabelError(f"“{labels.clean(name)}” is no other name of any label.")
    _record(session, "unalias", label, person_id, names=[label.name, there.name])
    session.delete(there)
    session.flush()
    return label


def _must_be_free(session: Session, label: Label, name: str) -> None:
    """Raises LabelError when another label has this name, or goes by it."""
    wanted = labels.key(name)
    holder = _holder(session, label.classifier_id, wanted)
    if holder is not None and holder.archived_at is None:
        raise LabelError(f"There is a label “{holder.name}” already; merge the two instead.")
    if holder is not None and labels.final(session, holder.id) != label:
        raise LabelError(f"An archived label is called “{holder.name}”; restore it, or take another name.")
    alias = _alias(session, label.classifier_id, wanted)
    if alias is not None and alias.label_id != label.id:
        other = labels.final(session, alias.label_id)
        raise LabelError(f"“{alias.name}” is another name of “{other.name if other else '?'}”; unalias it first.")


def _holder(session: Session, classifier_id: int, key: str) -> Label | None:
    return session.scalar(select(Label).where(Label.classifier_id == classifier_id, Label.key == key))


def _alias(session: Session, classifier_id: int, key: str) -> Alias | None:
    return session.scalar(select(Alias).where(Alias.classifier_id == classifier_id, Alias.key == key))


def _voted(session: Session, label: Label, has: Label) -> list[int]:
    """Photos with a vote for `label`, or for what was merged into it, whose label is not `has`."""
    ids = {label.id}
    while more := set(session.scalars(select(Label.id).where(Label.merged_into_id.in_(ids), Label.id.not_in(ids)))):
        ids |= more
    query = select(Photo.id).join(Correction, Correction.photo_id == Photo.id).where(Correction.label_id.in_(ids))
    query = query.where(Correction.taken_back_at.is_(None))
    return list(session.scalars(query.where(Photo.label_id.is_distinct_from(has.id)).distinct()))


def _moved_with(session: Session, label: Label) -> list[int]:
    """Ids of the aliases that came along when this label was merged last."""
    query = select(Act).where(Act.classifier_id == label.classifier_id, Act.verb == "merge").order_by(Act.id.desc())
    found = next((act for act in session.scalars(query) if act.facts.get("label_id") == label.id), None)
    return list(found.facts.get("alias_ids", [])) if found is not None else []


def _record(session: Session, verb: str, label: Label, person_id: int | None, **facts: Any) -> None:
    acts.record(session, verb, classifier_id=label.classifier_id, person_id=person_id, label_id=label.id, **facts)
