"""Labels: what may be one, which one a person meant, and how many photos each has."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from snaplabel.errors import LabelError
from snaplabel.tables import Label, Photo

MAX_LENGTH = 40
# A guess this close (rapidfuzz ratio, 0–100) is taken without asking; one this close is asked about.
SAME_ENOUGH = 88.0
CLOSE_ENOUGH = 60.0


@dataclass(frozen=True)
class Meant:
    """Which label a text means. label None: none is near. is_sure False: ask before taking it."""

    label: Label | None
    is_sure: bool


@dataclass(frozen=True)
class LabelCount:
    """A label with its photos: all, and those that are the exam."""

    label: Label
    photos: int
    exam: int


def clean(text: str) -> str:
    """The text as a label's name: one line, NFC, no control or direction characters, single spaces.

    Raises LabelError, worded for a person, when nothing is left or it is too long.
    """
    # Emoji are joined by U+200D, a format character that must stay.
    seen = (ch for ch in text if ch.isspace() or ch == "\u200d" or unicodedata.category(ch) not in UNSEEN)
    kept = [" " if ch.isspace() else ch for ch in seen]
    name = " ".join(unicodedata.normalize("NFC", "".join(kept)).split()).strip("#").strip()
    if not any(unicodedata.category(ch)[0] in "LNS" for ch in name):
        raise LabelError("A label needs at least one letter.")
    if len(name) > MAX_LENGTH:
        raise LabelError(f"A label has at most {MAX_LENGTH} letters; this one has {len(name)}.")
    return name


UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def key(name: str) -> str:
    """What spellings of one label share: no case, accents, spaces or punctuation between words."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(ch for ch in plain if not unicodedata.combining(ch))
    words = "".join(ch if unicodedata.category(ch)[0] in "LNS" or ch == "\u200d" else "" for ch in bare)
    return words[:64]


def every(session: Session, classifier_id: int) -> Sequence[Label]:
    """The labels in use, by name."""
    query = select(Label).where(Label.classifier_id == classifier_id, Label.archived_at.is_(None)).order_by(Label.name)
    return session.scalars(query).all()


def meant(session: Session, classifier_id: int, text: str) -> Meant:
    """Which label `text` means. Raises LabelError where the text can't be a label at all."""
    from rapidfuzz import fuzz, process

    wanted = key(clean(text))
    known = {label.key: label for label in every(session, classifier_id)}
    if wanted in known:
        return Meant(known[wanted], is_sure=True)
    near = process.extract(wanted, list(known), scorer=fuzz.ratio, limit=2, score_cutoff=CLOSE_ENOUGH)
    if not near:
        return Meant(None, is_sure=False)
    best, score, _ = near[0]
    runner_up = near[1][1] if len(near) > 1 else 0.0
    # "team a" and "team b" are one letter apart: a short name, or a second one as near, is never taken unasked.
    return Meant(known[best], is_sure=score >= SAME_ENOUGH and len(wanted) >= 5 and score - runner_up > 8)


def make(session: Session, classifier_id: int, name: str) -> Label:
    """The label of this name, made (or brought back from the archive) when it is not there."""
    name = clean(name)
    query = select(Label).where(Label.classifier_id == classifier_id, Label.key == key(name))
    label = session.scalar(query)
    if label is None:
        label = Label(classifier_id=classifier_id, name=name, key=key(name))
        session.add(label)
        session.flush()
    label.archived_at = None
    return label


def counts(session: Session, classifier_id: int) -> list[LabelCount]:
    """Every label in use with its photos, most photos first."""
    query = (
        select(Photo.label_id, Photo.split, func.count())
        .where(Photo.classifier_id == classifier_id, Photo.label_id.is_not(None), Photo.unreadable.is_(None))
        .group_by(Photo.label_id, Photo.split)
    )
    found: dict[tuple[int | None, str], int] = {(label, split): n for label, split, n in session.execute(query)}
    rows = []
    for label in every(session, classifier_id):
        exam = found.get((label.id, "exam"), 0)
        rows.append(LabelCount(label, found.get((label.id, "lesson"), 0) + exam, exam))
    return sorted(rows, key=lambda row: (-row.photos, row.label.name))
