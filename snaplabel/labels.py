"""Labels: what may be one, which one a person meant, how many photos each has, and which two may be the same."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from snaplabel import alike, plain
from snaplabel.errors import LabelError
from snaplabel.tables import Alias, Label, Photo

MAX_LENGTH = 40
# A guess this close (alike.ratio, 0–100) is taken without asking; one this close is asked about.
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
    """The text as a label's name: one line of what can be seen (`plain.line`), without # around it.

    Raises LabelError, worded for a person, when nothing is left or it is too long.
    """
    name = plain.line(text).strip("# ")
    if not any(unicodedata.category(ch)[0] in "LNS" for ch in key(name)):
        raise LabelError("A label needs at least one letter.")
    if len(name) > MAX_LENGTH:
        raise LabelError(f"A label has at most {MAX_LENGTH} letters; this one has {len(name)}.")
    return name


# Accents, Hebrew and Arabic points, and the marks that choose between a sign and its emoji. Other marks stay: without
# them バス (a bus) would be ハス (a lotus), and Hindi and Thai would lose their vowels.
ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\ufe00-\ufe0f]")


def key(name: str) -> str:
    """What spellings of one label share: no case, accents, spaces or punctuation between words."""
    apart = ACCENTS.sub("", unicodedata.normalize("NFKD", name.casefold()))
    return "".join(ch for ch in apart if unicodedata.category(ch)[0] in "LMNS" or ch in plain.EMOJI_PARTS)[:64]


def every(session: Session, classifier_id: int) -> Sequence[Label]:
    """The labels in use, by name."""
    query = select(Label).where(Label.classifier_id == classifier_id, Label.archived_at.is_(None)).order_by(Label.name)
    return session.scalars(query).all()


def aliases(session: Session, classifier_id: int) -> dict[int, list[str]]:
    """The other names of each label in use that has some, by label id, oldest first."""
    query = select(Alias).join(Label, Label.id == Alias.label_id).where(Alias.classifier_id == classifier_id)
    found: dict[int, list[str]] = {}
    for alias in session.scalars(query.where(Label.archived_at.is_(None)).order_by(Alias.id)):
        found.setdefault(alias.label_id, []).append(alias.name)
    return found


def some(session: Session, label_ids: Iterable[int | None]) -> Sequence[Label]:
    """Those labels, read in one query; while the caller holds them, `final`, `in_use` and `get` ask nothing more."""
    wanted = sorted({label_id for label_id in label_ids if label_id is not None})
    return session.scalars(select(Label).where(Label.id.in_(wanted))).all() if wanted else []


def final(session: Session, label_id: int) -> Label | None:
    """The label for which this one counts: itself, or what it was merged into, in use or not."""
    label = session.get(Label, label_id)
    while label is not None and label.merged_into_id is not None:
        label = session.get(Label, label.merged_into_id)
    return label


def in_use(session: Session, label_id: int | None) -> Label | None:
    """The label by which this one goes now: itself, or what it was merged into; None when that is archived."""
    label = final(session, label_id) if label_id is not None else None
    return label if label is not None and label.archived_at is None else None


def by_name(session: Session, classifier_id: int, name: str) -> Label | None:
    """The label in use with this name or alias, however it is spelt; a near one does not count.

    Raises LabelError where the text can't be a label at all.
    """
    return _named(session, classifier_id).get(key(clean(name)))


def meant(session: Session, classifier_id: int, text: str) -> Meant:
    """Which label `text` means, by its name or an alias. Raises LabelError where the text can't be a label at all.

    One that only looks the same (Cyrillic “а” in “Arsenal”) is asked about.
    """
    name = clean(text)
    wanted = key(name)
    known = _named(session, classifier_id)
    if wanted in known:
        return Meant(known[wanted], is_sure=True)
    looks_like = {key(plain.look(one)): label for one, label in _names(session, classifier_id)}
    if (twin := looks_like.get(key(plain.look(name)))) is not None:
        return Meant(twin, is_sure=False)
    labels = list(known.values())
    near = alike.nearest(wanted, list(known), CLOSE_ENOUGH)
    if not near:
        return Meant(None, is_sure=False)
    score, best = near[0][0], labels[near[0][1]]
    # Another name of the same label is no rival to it.
    runner_up = max((other for other, place in near if labels[place].id != best.id), default=0.0)
    # "team a" and "team b" are one letter apart: a short name, or a second one as near, is never taken unasked.
    return Meant(best, is_sure=score >= SAME_ENOUGH and len(wanted) >= 5 and score - runner_up > 8)


def _named(session: Session, classifier_id: int) -> dict[str, Label]:
    """Keys of names and aliases → the labels in use."""
    known = {label.key: label for label in every(session, classifier_id)}
    query = select(Alias.key, Label).join(Label, Label.id == Alias.label_id)
    query = query.where(Alias.classifier_id == classifier_id, Label.archived_at.is_(None))
    called = {name: label for name, label in session.execute(query)}  # noqa: C416
    return {**called, **known}


def _names(session: Session, classifier_id: int) -> list[tuple[str, Label]]:
    """Every name and alias as people see it, with its label in use; a label's own name comes last."""
    query = select(Alias.name, Label).join(Label, Label.id == Alias.label_id)
    query = query.where(Alias.classifier_id == classifier_id, Label.archived_at.is_(None))
    called = [(name, label) for name, label in session.execute(query)]
    return [*called, *((label.name, label) for label in every(session, classifier_id))]


def make(session: Session, classifier_id: int, name: str) -> Label:
    """The label of this name or alias, made (or brought back from the archive) when it is not there."""
    name = clean(name)
    query = select(Label).where(Label.classifier_id == classifier_id, Label.key == key(name))
    label = session.scalar(query)
    if label is None or label.archived_at is not None:
        called = select(Alias.label_id).where(Alias.classifier_id == classifier_id, Alias.key == key(name))
        alias_of = session.scalar(called)
        label = (final(session, alias_of) if alias_of is not None else None) or label
    if label is None:
        label = Label(classifier_id=classifier_id, name=name, key=key(name))
        session.add(label)
        session.flush()
    if label.archived_at is not None:
        label.archived_at = label.merged_into_id = None
    return label


def counts(session: Session, classifier_id: int) -> list[LabelCount]:
    """Every label in use with its photos, most photos first."""
    query = (
        select(Photo.label_id, Photo.split, func.count())
        .where(Photo.classifier_id == classifier_id, Photo.label_id.is_not(None), Photo.unreadable.is_(None))
        .where(Photo.removed_at.is_(None))
        .group_by(Photo.label_id, Photo.split)
    )
    found: dict[tuple[int | None, str], int] = {(label, split): n for label, split, n in session.execute(query)}
    rows = []
    for label in every(session, classifier_id):
        exam = found.get((label.id, "exam"), 0)
        rows.append(LabelCount(label, found.get((label.id, "lesson"), 0) + exam, exam))
    return sorted(rows, key=lambda row: (-row.photos, row.label.name))


@dataclass(frozen=True)
class Duplicate:
    """Two labels that are spelt nearly alike; the one with fewer photos would be merged into the other."""

    fewer: LabelCount
    more: LabelCount


# Names this alike (alike.ratio) may be one name with a typing error, if they are long enough.
ALIKE = 90.0
LONG_ENOUGH = 5


def duplicates(session: Session, classifier_id: int, rows: list[LabelCount] | None = None) -> list[Duplicate]:
    """Pairs of labels in use that may be the same: an English plural, a small typing error, letters that look alike.

    rows: what `counts` says, where that was asked already.
    Names that differ by a number or by a single letter standing alone ("team a", "team b") mean to differ.
    """
    # Most photos first, so that of each pair the one found later has fewer.
    rows = counts(session, classifier_id) if rows is None else rows
    keys = [row.label.key for row in rows]
    looks = [key(plain.look(row.label.name)) for row in rows]
    found = []
    for n, row in enumerate(rows):
        others = alike.nearest(keys[n], keys[:n], CLOSE_ENOUGH)
        near = {place for score, place in others if _is_mistyped(keys[n], keys[place], score)}
        near |= {place for _, place in others if _is_plural(keys[n], keys[place])}
        near |= {place for place in range(n) if looks[place] == looks[n]}
        more = [rows[place] for place in sorted(near) if not _mean_to_differ(row.label.name, rows[place].label.name)]
        found += [Duplicate(row, other) for other in more[:1]]
    return found


def _is_mistyped(one: str, other: str, score: float) -> bool:
    if min(len(one), len(other)) < LONG_ENOUGH:
        return False
    # Two neighbours changing places cost a ratio more than a letter too many does, and are as common.
    swapped = [n for n, (left, right) in enumerate(zip(one, other, strict=False)) if left != right]
    is_swap = (
        len(one) == len(other)
        and len(swapped) == 2
        and swapped[1] == swapped[0] + 1
        and one[swapped[0]] == other[swapped[1]]
        and one[swapped[1]] == other[swapped[0]]
    )
    return score >= ALIKE or is_swap


def _is_plural(one: str, other: str) -> bool:
    """ant, ants; fox, foxes; butterfly, butterflies. No word of one or two letters."""
    short, long = sorted((one, other), key=len)
    if len(short) < 3:
        return False
    if short.endswith(("s", "x", "z", "ch", "sh")):
        return long == short + "es"
    if short.endswith("y") and short[-2] not in "aeiou":
        return long == short[:-1] + "ies"
    return long in (short + "s", short + "es")


def _mean_to_differ(one: str, other: str) -> bool:
    """Whether what tells two names apart is a number, or a letter that stands alone."""
    mine, theirs = (_words(name) for name in (one, other))
    if [ch for ch in "".join(mine) if ch.isdigit()] != [ch for ch in "".join(theirs) if ch.isdigit()]:
        return True
    apart = (set(mine) ^ set(theirs)) if len(mine) == len(theirs) or abs(len(mine) - len(theirs)) == 1 else set()
    return any(len(word) == 1 or not set(word) - set("ivx") for word in apart)


def _words(name: str) -> list[str]:
    """The words of a name without case, accents and punctuation."""
    parts = (key(word) for word in name.replace("-", " ").replace("_", " ").split())
    return [word for word in parts if word]
