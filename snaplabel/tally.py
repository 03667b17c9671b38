"""Tallies: what the votes on a photo say together, who stands behind each label, and whether an admin should decide."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import labels, standing
from snaplabel.standing import Record
from snaplabel.tables import Correction, Label, Person, Photo

MANY = 500
# People without standing who disagree settle it among themselves when one side is so many times as heavy as the others.
CLEAR = 3.0


@dataclass(frozen=True)
class Side:
    """Those who say one label of a photo, the earliest first.

    weight: their trust together, 0 for a vote that came too fast. standing: the part of it by people of standing.
    """

    label: Label
    people: tuple[Person, ...]
    weight: float
    standing: float


@dataclass(frozen=True)
class Tally:
    """The votes on a photo that stand, under the labels that they count for now.

    sides: heaviest first. decided: the label of the latest admin's vote; None: no admin voted.
    is_question: an admin should decide. People disagree with an admin since, or with somebody of standing, or with each
    other without one side being CLEAR; or they vote too fast to count.
    waiting: ids of people whose vote came too fast and waits for an admin. trusted: of those who have standing.
    """

    photo: Photo
    sides: tuple[Side, ...]
    decided: Label | None
    is_question: bool
    waiting: frozenset[int]
    trusted: frozenset[int]

    def accepted(self, votes_needed: float) -> int | None:
        """Id of the label that the votes accept.

        An admin's word decides; else that of the people of standing, however many others there are; else the others'.
        One side must lead and weigh `votes_needed`; where none does, a label that is among the leaders stays.
        """
        if self.decided is not None:
            return self.decided.id
        if not self.sides:
            return None
        most = max(side.standing for side in self.sides)
        weights = [side.standing if most else side.weight for side in self.sides]
        leaders = [side for side, weight in zip(self.sides, weights, strict=True) if weight == max(weights)]
        if len(leaders) == 1 and leaders[0].weight > 0 and leaders[0].weight >= votes_needed:
            return leaders[0].label.id
        return self.photo.label_id if self.photo.label_id in [side.label.id for side in leaders] else None

    @property
    def is_confirmed(self) -> bool:
        """Whether an admin or somebody of standing stands behind the photo's label."""
        accepted = self.photo.label_id
        if self.decided is not None and self.decided.id == accepted:
            return True
        return any(side.standing > 0 and side.label.id == accepted for side in self.sides)


def of(session: Session, photo: Photo) -> Tally:
    """The tally of one photo: one query, or three where people who are no admins voted, however many."""
    return of_many(session, [photo])[0]


def of_many(session: Session, photos: Sequence[Photo]) -> list[Tally]:
    """The tallies of these photos, in their order."""
    found: list[Tally] = []
    for start in range(0, len(photos), MANY):
        some = [photo.id for photo in photos[start : start + MANY]]
        query = select(Correction, Person).outerjoin(Person, Person.id == Correction.person_id)
        query = query.where(Correction.photo_id.in_(some), Correction.taken_back_at.is_(None))
        rows = session.execute(query.order_by(Correction.changed_at, Correction.id)).all()
        votes: dict[int, list[tuple[Correction, Person | None]]] = {photo_id: [] for photo_id in some}
        for vote, person in rows:
            votes[vote.photo_id].append((vote, person))
        members = {vote.person_id for vote, _ in rows if not vote.by_admin and vote.person_id is not None}
        known = standing.records(session, members)
        newcomers = [vote for vote, _ in rows if not vote.by_admin and not _record(known, vote).has_standing]
        hasty = standing.too_fast(session, newcomers)
        named = labels.some(session, (vote.label_id for vote, _ in rows))
        found += [_count(session, photo, votes[photo.id], known, hasty) for photo in photos[start : start + MANY]]
        del named  # Held until now, so that the session asked once for all of them.
    return found


def _count(
    session: Session,
    photo: Photo,
    votes: list[tuple[Correction, Person | None]],
    known: dict[int, Record],
    hasty: set[int],
) -> Tally:
    people: dict[int, list[Person]] = {}
    weight: dict[int, float] = {}
    standing_of: dict[int, float] = {}
    decided: Correction | None = None
    said: list[tuple[Correction, int]] = []
    for vote, person in votes:
        label = labels.in_use(session, vote.label_id)
        if label is None:  # A vote for an archived label waits until that is restored.
            continue
        said.append((vote, label.id))
        record = _record(known, vote)
        counts = 1.0 if vote.by_admin else 0.0 if vote.id in hasty else record.trust
        weight[label.id] = weight.get(label.id, 0.0) + counts
        if vote.by_admin or record.has_standing:
            standing_of[label.id] = standing_of.get(label.id, 0.0) + counts
        people.setdefault(label.id, []).extend([person] if person is not None else [])
        decided = vote if vote.by_admin else decided
    sides = [
        Side(session.get_one(Label, n), tuple(people[n]), round(weight[n], 6), round(standing_of.get(n, 0.0), 6))
        for n in people
    ]
    word = labels.in_use(session, decided.label_id) if decided is not None else None
    heard = [(vote, n) for vote, n in said if not vote.by_admin and _record(known, vote).is_heard]
    if word is not None and decided is not None:
        is_question = any(n != word.id and vote.changed_at > decided.changed_at for vote, n in heard)
    else:
        waits = photo.label_id is None and bool(heard) and not any(weight.values())
        most = max(weight.values(), default=0.0)
        is_clear = not standing_of and most >= CLEAR * (sum(weight.values()) - most)
        is_question = waits or (len({n for _, n in heard}) > 1 and not is_clear)
    in_order = sorted(sides, key=lambda side: (-side.standing, -side.weight, side.label.id))
    waiting = frozenset(vote.person_id for vote, _ in said if vote.id in hasty and vote.person_id is not None)
    members = (vote for vote, _ in said if not vote.by_admin and vote.person_id is not None)
    trusted = frozenset(vote.person_id for vote in members if vote.person_id and _record(known, vote).has_standing)
    return Tally(photo, tuple(in_order), word, is_question, waiting, trusted)


def _record(known: dict[int, Record], vote: Correction) -> Record:
    return known.get(vote.person_id, Record()) if vote.person_id is not None else Record()
