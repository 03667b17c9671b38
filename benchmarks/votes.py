"""Do earned trust and questions to an admin help, on real votes? The accepted labels against the plain majority.

    python benchmarks/votes.py [--seeds 0,1,2,3,4] [--json FILE]

60 photos of cats in three classes, with the counts of 51 to 82 people's votes on each (cats-with-votes/votes.csv). The
counts are real; who cast which vote was not kept, so people are made up, in two ways that both keep every count:

    alike    each photo's votes are dealt at random to a crowd of 82: everybody is as good as everybody else
    skilled  people have a skill, normally distributed, and a photo's right votes go to those for whom skill plus luck
             (as spread out as skill) is greatest; who is wrong on one photo tends to be wrong on others

Votes arrive in rounds, one a photo, in random order, and all photos are settled after each round, with votes_needed at
its default. After 3, 9, 27 and all rounds an admin looks at 0, 10 or 20 % of the photos and says the truth; "right" is
the share of right labels among those that the admin did not look at. Nothing was tuned on these votes. The rows are
written as `corrections.vote` writes them, and what follows is the product's own code.
"""

import argparse
import csv
import random
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import common
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from snaplabel import corrections, labels, people, standing
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Classifier, Correction, Label, Photo

LABELS = ("domestic", "small_wild", "big")
CROWD = 82
ROUNDS = (3, 9, 27, CROWD)
LOOKED_AT = (0.0, 0.1, 0.2)
NEEDED = Settings.__dataclass_fields__["votes_needed"].default


@dataclass(frozen=True)
class Voted:
    """A photo's truth, and its votes as (person, label) in the order in which they arrive."""

    truth: str
    votes: tuple[tuple[int, str], ...]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--seeds", default="0,1,2,3,4")
    asked.add_argument("--json", type=Path, metavar="FILE")
    args = asked.parse_args()
    with (common.photos() / "cats-with-votes" / "votes.csv").open() as file:
        rows = [
            (row["true_label"], {name: int(row[f"{name}_votes"]) for name in LABELS}) for row in csv.DictReader(file)
        ]
    found: list[dict[str, Any]] = []
    for crowd in ("alike", "skilled"):
        for seed in map(int, args.seeds.split(",")):
            found += replay(deal(rows, crowd, seed), crowd, seed)
            print(f"{crowd}, seed {seed}: done", flush=True)
    summary = summarise(found)
    headers = ("crowd", "votes a photo", "looked at", "right", "majority", "undecided", "questions", "of standing")
    print(common.table(headers, [tuple(row.values()) for row in summary]))
    common.write(args.json, {"runs": found, "summary": summary})


def deal(rows: list[tuple[str, dict[str, int]]], crowd: str, seed: int) -> list[Voted]:
    """Give each photo's counted votes to people; every count stays as it is."""
    rng = random.Random(seed)
    skill = [rng.gauss(0, 1) if crowd == "skilled" else 0.0 for _ in range(CROWD)]
    found = []
    for truth, counts in rows:
        voters = rng.sample(range(CROWD), sum(counts.values()))
        voters.sort(key=lambda person: -(skill[person] + rng.gauss(0, 1)))
        wrong = [name for name in LABELS for _ in range(counts[name]) if name != truth]
        rng.shuffle(wrong)
        votes = list(zip(voters, [truth] * counts[truth] + wrong, strict=True))
        rng.shuffle(votes)
        found.append(Voted(truth, tuple(votes)))
    return found


def replay(photos: list[Voted], crowd: str, seed: int) -> list[dict[str, Any]]:
    """Let the votes arrive round by round; what was accepted after each of ROUNDS, for each share looked at."""
    rng = random.Random(1000 + seed)
    with tempfile.TemporaryDirectory(prefix="snaplabel-bench-") as folder:
        database = Database(f"sqlite:///{folder}/votes.db")
        Classifier.metadata.create_all(database.engine)
        with database.begin() as session:
            classifier = people.make_classifier(session)
            made = {name: labels.make(session, classifier.id, name) for name in LABELS}
            voters = [people.person(session, "crowd", str(n)) for n in range(CROWD)]
            admin = people.person(session, "crowd", "admin")
            here = [_photo(session, classifier.id, n) for n in range(len(photos))]
            found = []
            start = now() - timedelta(days=30)
            for turn in range(CROWD):
                for photo, voted in zip(here, photos, strict=True):
                    if turn < len(voted.votes):
                        person, name = voted.votes[turn]
                        when = start + timedelta(hours=2 * turn)
                        _cast(session, photo, voters[person].id, made[name], when, by_admin=False)
                session.flush()
                corrections.settle(session, [photo.id for photo in here], NEEDED)
                if turn + 1 in ROUNDS:
                    for share in LOOKED_AT:
                        looked_at = set(rng.sample(range(len(photos)), round(share * len(photos))))
                        row = _look(session, here, photos, made, admin.id, looked_at, turn + 1)
                        found.append({"crowd": crowd, "seed": seed, "votes": turn + 1, "looked_at": share, **row})
        database.close()
    return found


def _look(
    session: Session,
    here: list[Photo],
    photos: list[Voted],
    made: dict[str, Label],
    admin_id: int,
    looked_at: set[int],
    votes: int,
) -> dict[str, float]:
    """What is accepted once an admin said the truth about some photos; afterwards all is as it was before."""
    before = [photo.label_id for photo in here]
    for n in sorted(looked_at):
        _cast(session, here[n], admin_id, made[photos[n].truth], now(), by_admin=True)
    session.flush()
    corrections.settle(session, [here[n].id for n in sorted(looked_at)], NEEDED)
    session.flush()
    corrections.settle(session, [photo.id for photo in here], NEEDED)
    others = [n for n in range(len(photos)) if n not in looked_at]
    right = [here[n].label_id == made[photos[n].truth].id for n in others]
    crowd = [_majority(photos[n].votes[:votes]) == photos[n].truth for n in others]
    people_ids = session.scalars(select(Correction.person_id).where(~Correction.by_admin).distinct()).all()
    known = standing.records(session, [one for one in people_ids if one is not None])
    row = {
        "right": statistics.mean(right),
        "majority": statistics.mean(crowd),
        "undecided": statistics.mean(here[n].label_id is None for n in others),
        "questions": float(len(corrections.conflicts(session, here[0].classifier_id, most=10**6))),
        "of_standing": float(sum(record.has_standing for record in known.values())),
    }
    session.execute(delete(Correction).where(Correction.by_admin))
    for photo, label_id in zip(here, before, strict=True):
        photo.label_id = label_id
    session.flush()
    return row


def _majority(votes: tuple[tuple[int, str], ...]) -> str:
    """The label that most say; of equals, the one that was said first."""
    return Counter(name for _, name in votes).most_common(1)[0][0]


def _photo(session: Session, classifier_id: int, number: int) -> Photo:
    bands = {f"band{n}": 0 for n in range(4)}
    photo = Photo(classifier_id=classifier_id, sha256=f"{number:064x}", phash=0, colours=b"", split="lesson", **bands)
    photo.width = photo.height = 1
    session.add(photo)
    session.flush()
    return photo


def _cast(session: Session, photo: Photo, person_id: int, label: Label, when: Any, *, by_admin: bool) -> None:
    vote = Correction(photo_id=photo.id, person_id=person_id, label_id=label.id, by_admin=by_admin)
    vote.created_at = vote.changed_at = when
    session.add(vote)


def summarise(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Means over the seeds, with the least and the greatest where they matter."""
    summary = []
    for crowd in ("alike", "skilled"):
        for votes in ROUNDS:
            for share in LOOKED_AT:
                rows = [row for row in found if (row["crowd"], row["votes"], row["looked_at"]) == (crowd, votes, share)]
                if rows:
                    summary.append(_line(crowd, votes, share, rows))
    return summary


def _line(crowd: str, votes: int, share: float, rows: list[dict[str, Any]]) -> dict[str, str]:
    def spread(name: str) -> str:
        values = [100 * row[name] for row in rows]
        return f"{statistics.mean(values):.1f} % ({min(values):.0f}–{max(values):.0f})"

    return {
        "crowd": crowd,
        "votes": "all" if votes == CROWD else str(votes),
        "looked_at": f"{share:.0%}",
        "right": spread("right"),
        "majority": spread("majority"),
        "undecided": f"{100 * statistics.mean(row['undecided'] for row in rows):.1f} %",
        "questions": f"{statistics.mean(row['questions'] for row in rows):.0f}",
        "of_standing": f"{statistics.mean(row['of_standing'] for row in rows):.1f}",
    }


if __name__ == "__main__":
    main()
