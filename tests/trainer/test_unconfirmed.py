"""What people without standing can do to the published model: teach it, but never make it worse."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from snaplabel import corrections, heads, labels, people, registry, standing, trainings
from snaplabel.backbones import from_bytes
from snaplabel.registry import Card
from snaplabel.tables import Correction, Embedding, Label, Photo, TrainingPhoto, TrainingRun
from trainer import candidate, dataset, run, unconfirmed
from trainer.recipe import Recipe

ADMIN = "anna"
NEWCOMERS = [f"newcomer {n}" for n in range(10)]
OTHER = {"ant": "bee", "bee": "ant"}


class Club:
    """A classifier of ants and bees that look alike, an admin, and people who vote."""

    def __init__(self, planted: Any) -> None:
        self.planted = planted
        middle, apart = planted.rng.normal(size=(2, 16))
        apart *= 0.45 / np.linalg.norm(apart)
        planted.directions.update(ant=middle + apart, bee=middle - apart)
        self.exam: dict[int, str] = {}

    def photos(self, many: int, looks: str, split: str, who: Iterable[str] = (ADMIN,), label: str = "") -> list[int]:
        found = [self.planted.photo(None, split, looks=looks) for _ in range(many)]
        self.vote([(photo_id, name, label or looks) for photo_id in found for name in who])
        return found

    def admins_photos(self, lessons: int = 14, exam: int = 10) -> None:
        """Lessons and exam that an admin labelled."""
        for label in ("ant", "bee"):
            self.photos(lessons, label, "lesson")
            self.exam.update(dict.fromkeys(self.photos(exam, label, "exam"), label))

    def vote(self, votes: Iterable[tuple[int, str, str]]) -> None:
        """Photo, person, label; one after the other."""
        with self.planted.database.begin() as session:
            for photo_id, who, label in votes:
                person = people.person(session, "test", who, who)
                said = labels.make(session, self.planted.classifier_id, label)
                photo = session.get_one(Photo, photo_id)
                corrections.vote(session, photo, person, said, is_admin=who == ADMIN, votes_needed=0.5)

    def an_hour_passes(self) -> None:
        """All votes were cast an hour earlier."""
        with self.planted.database.begin() as session:
            for vote in session.scalars(select(Correction)):
                vote.changed_at -= timedelta(hours=1)

    def refit(self) -> TrainingRun:
        with self.planted.database.begin() as session:
            asked = trainings.ask(session, self.planted.classifier_id, "refit", "corrections").id
        run.execute(self.planted.context(), asked)
        with self.planted.database.read() as session:
            over = session.get_one(TrainingRun, asked)
        assert over.state == "done", over.failure
        return over

    def wrong(self) -> int:
        """How many of the admin's exam photos the published model gets wrong."""
        model = self.planted.current()
        card = Card.from_json(model.card)
        with self.planted.database.read() as session:
            query = select(Embedding).where(Embedding.photo_id.in_(self.exam)).order_by(Embedding.photo_id)
            rows = session.scalars(query).all()
            names = {label.id: label.name for label in session.scalars(select(Label))}
        head = heads.load(self.planted.store, model.key, card)
        said = heads.judge(head, card, from_bytes([row.vector for row in rows]))
        assert len(rows) == len(self.exam)
        return sum(names[one.top[0][0]] != self.exam[row.photo_id] for one, row in zip(said, rows, strict=True))

    def taught(self) -> set[int]:
        """The photos that the newest version was trained on."""
        with self.planted.database.read() as session:
            return set(session.scalars(select(TrainingPhoto.photo_id).where(TrainingPhoto.last_version.is_(None))))

    def everything(self) -> list[int]:
        with self.planted.database.read() as session:
            return list(session.scalars(select(Photo.id).order_by(Photo.id)))

    def mislabel(self) -> None:
        """Ten newcomers mislabel every photo there is, the exam too; slowly, so that each vote of theirs counts."""
        here = self.everything()
        for start in range(0, len(here), standing.VOTES_AN_HOUR):
            some = here[start : start + standing.VOTES_AN_HOUR]
            self.vote((n, name, OTHER[self.planted.looks[n]]) for n in some for name in NEWCOMERS)
            self.an_hour_passes()

    def post(self) -> list[int]:
        """They post sixty photos of their own with the wrong labels, in which they agree; ids of those."""
        theirs = []
        for n, name in enumerate(NEWCOMERS):
            friends = [name, NEWCOMERS[n - 1]]
            for looks in ("ant", "bee"):
                theirs += self.photos(2, looks, "lesson", friends, OTHER[looks])
                theirs += self.photos(1, looks, "exam", friends, OTHER[looks])
        return theirs


@pytest.fixture
def club(planted: Any) -> Club:
    return Club(planted)


def test_ten_colluding_newcomers_change_nothing_that_the_exam_sees(club: Club) -> None:
    club.admins_photos()
    club.refit()
    before, version, truth = club.wrong(), club.planted.current().version, _labels(club)

    club.mislabel()
    theirs = club.post()
    over = club.refit()

    assert 0 < before < 10, "an exam that is not already all right or all wrong"
    assert club.planted.current().version == version + 1
    assert club.wrong() == before
    labelled = _labels(club)
    assert {n: labelled[n] for n in truth} == truth
    assert all(labelled[n] is not None for n in theirs), "what they posted is answered as they said"
    assert not club.taught() & set(theirs)
    assert "left out: I'd do worse with them" in over.progress["verdict"]


def test_what_they_said_would_do_harm_if_it_were_learnt(club: Club) -> None:
    club.admins_photos()
    club.refit()
    before = club.wrong()

    club.post()
    club.refit()  # It looks at the new photos; nothing of them is learnt.
    with club.planted.database.read() as session:
        data = dataset.read(session, club.planted.classifier_id)
        vectors, _ = dataset.embeddings(session, data, club.planted.classifier_id, club.planted.current().backbone)
    made = candidate.make(data, vectors, Recipe())
    is_ours = np.isin(data.photo_ids[data.is_exam], list(club.exam))

    assert int((made.exam_answers != data.truth[data.is_exam])[is_ours].sum()) > before


def test_many_small_lies_one_at_a_time_do_not_add_up(club: Club) -> None:
    club.admins_photos()
    club.refit()
    before = club.wrong()

    history = []
    for n in range(24):
        looks = ("ant", "bee")[n % 2]
        club.photos(2, looks, "lesson", [NEWCOMERS[n % 10]], OTHER[looks])
        club.refit()
        history.append(club.wrong())

    assert max(history) <= before


def test_colluders_who_first_repeat_what_admins_said_earn_no_standing_by_it(club: Club) -> None:
    club.admins_photos()
    club.refit()
    before = club.wrong()
    club.vote((n, name, club.planted.looks[n]) for n in club.everything()[:5] for name in NEWCOMERS)
    club.an_hour_passes()

    theirs = club.post()
    club.refit()

    assert club.wrong() == before
    assert not club.taught() & set(theirs)


def test_a_friends_first_lessons_are_learnt_at_once(club: Club) -> None:
    club.admins_photos()
    club.refit()

    mine = club.photos(1, "wasp", "lesson", ["max"])
    club.refit()

    assert set(mine) <= club.taught()
    card = Card.from_json(club.planted.current().card)
    assert "wasp" in [name for _, name in card.labels]


def test_an_exam_photo_that_only_newcomers_labelled_sits_out_until_an_admin_says_the_same(club: Club) -> None:
    club.admins_photos()
    (photo_id,) = club.photos(1, "ant", "exam", ["max"])
    club.refit()
    before = Card.from_json(club.planted.current().card).exam.photos

    club.vote([(photo_id, ADMIN, "ant")])
    club.refit()

    assert before == 20
    assert Card.from_json(club.planted.current().card).exam.photos == 21


def test_where_no_admin_ever_spoke_everybody_teaches_and_examines(club: Club) -> None:
    for looks in ("ant", "bee"):
        club.photos(12, looks, "lesson", ["max"])
        club.photos(6, looks, "exam", ["olga"])

    over = club.refit()

    assert over.progress["photos"] == 36
    assert Card.from_json(club.planted.current().card).exam.photos == 12


def test_a_small_club_without_an_exam_is_guarded_by_what_its_admin_taught(club: Club) -> None:
    for looks in ("ant", "bee"):
        club.photos(12, looks, "lesson")
    club.refit()

    theirs = []
    for name in NEWCOMERS:
        for looks in ("ant", "bee"):
            theirs += club.photos(3, looks, "lesson", [name], OTHER[looks])
    club.refit()

    assert not club.taught() & set(theirs)


def test_somebody_who_earned_standing_teaches_like_an_admin(club: Club) -> None:
    club.admins_photos()
    for _ in range(5):
        club.photos(1, "ant", "lesson", ["olga", ADMIN])
    theirs = club.photos(1, "bee", "exam", ["olga"])
    with club.planted.database.read() as session:
        olga = people.person(session, "test", "olga")
        record = standing.records(session, [olga.id])[olga.id]

    club.refit()

    assert record.has_standing
    assert Card.from_json(club.planted.current().card).exam.photos == 20 + len(theirs)


def test_a_sift_without_newcomers_leaves_everything_as_it_is(club: Club) -> None:
    club.admins_photos()
    club.refit()
    with club.planted.database.read() as session:
        data = dataset.read(session, club.planted.classifier_id)
        vectors, _ = dataset.embeddings(session, data, club.planted.classifier_id, club.planted.current().backbone)

    sifted = unconfirmed.sift(data, vectors, set(), replace(Recipe(), seed=1))

    assert sifted.data is data
    assert sifted.remark == ""


def _labels(club: Club) -> dict[int, int | None]:
    with club.planted.database.read() as session:
        assert registry.current(session, club.planted.classifier_id) is not None
        return {n: label for n, label in session.execute(select(Photo.id, Photo.label_id))}  # noqa: C416
