"""Disputes in a large house: remembered between two looks at all votes, and yet never missed."""

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from snaplabel import corrections, labels, naming, people, remembered
from snaplabel.database import Database
from snaplabel.tables import Correction, Label, Photo

NEEDED = 0.5


class Undone(Exception):
    """What a transaction ends with that shall leave nothing."""


class Table:
    """A classifier with two labels, whose votes are so many that looking through all of them takes long."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classifier_id = people.make_classifier(session).id
        self.cat, self.dog = (labels.make(session, self.classifier_id, name) for name in ("cat", "dog"))
        self._count = 0
        # One vote with a high number stands for all those that are not here.
        many = self.photo(self.cat)
        self.session.query(Correction).filter_by(photo_id=many.id).update({"id": remembered.MANY + 1})

    def photo(self, label: Label) -> Photo:
        """A photo that an admin labelled."""
        self._count += 1
        about = {"phash": 0, "band0": 0, "band1": 0, "band2": 0, "band3": 0, "colours": b"", "width": 1, "height": 1}
        made = Photo(classifier_id=self.classifier_id, sha256=f"{self._count:064x}", split="lesson", **about)
        self.session.add(made)
        self.session.flush()
        self.vote(made, "anna", label, is_admin=True)
        return made

    def vote(self, photo: Photo, who: str, label: Label, *, is_admin: bool = False) -> None:
        person = people.person(self.session, "test", who, who)
        corrections.vote(self.session, photo, person, label, is_admin=is_admin, votes_needed=NEEDED)

    def asked(self) -> list[int]:
        return [one.photo.id for one in corrections.conflicts(self.session, self.classifier_id)]


@pytest.fixture
def table(database: Database) -> Iterator[Table]:
    with database.begin() as session:
        yield Table(session)


def test_a_disagreement_after_the_look_is_a_question_at_once(table: Table) -> None:
    before, later = table.photo(table.cat), table.photo(table.cat)
    table.vote(before, "max", table.dog)
    assert table.asked() == [before.id]

    table.vote(later, "max", table.dog)

    assert sorted(table.asked()) == [before.id, later.id]


def test_what_an_admin_decides_after_the_look_is_no_question_any_more(table: Table) -> None:
    photo = table.photo(table.cat)
    table.vote(photo, "max", table.dog)
    assert table.asked() == [photo.id]

    table.vote(photo, "anna", table.cat, is_admin=True)

    assert table.asked() == []


def test_a_decision_taken_back_makes_it_a_question_again(table: Table) -> None:
    photo = table.photo(table.cat)
    for who in ("max", "olga"):
        table.vote(photo, who, table.dog)
    table.vote(photo, "paul", table.cat)
    table.vote(photo, "anna", table.cat, is_admin=True)
    assert table.asked() == []

    anna = people.person(table.session, "test", "anna")
    corrections.take_back(table.session, photo, anna, votes_needed=NEEDED)

    assert table.asked() == [photo.id]


def test_a_merge_of_the_two_labels_settles_what_they_were_about(table: Table) -> None:
    photo = table.photo(table.cat)
    table.vote(photo, "max", table.dog)
    assert table.asked() == [photo.id]

    naming.merge(table.session, table.dog, table.cat, person_id=None, votes_needed=NEEDED)

    assert table.asked() == []


def test_what_is_undone_with_its_transaction_is_still_a_question(database: Database) -> None:
    with database.begin() as session:
        table = Table(session)
        photo = table.photo(table.cat)
        table.vote(photo, "max", table.dog)
        assert table.asked() == [photo.id]
        asked = photo.id

    with contextlib.suppress(Undone), database.begin() as session:
        table.session = session
        table.vote(session.get_one(Photo, asked), "anna", session.merge(table.cat), is_admin=True)
        assert table.asked() == []
        raise Undone

    with database.read() as session:
        table.session = session
        assert table.asked() == [asked]


def test_of_very_many_questions_those_about_the_latest_photos_are_asked_and_the_others_later(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrections, "MOST_ASKED", 2)
    photos = [table.photo(table.cat) for _ in range(5)]
    for photo in photos[:4]:
        table.vote(photo, "max", table.dog)
    first = table.asked()

    for photo in photos[2:4]:
        table.vote(photo, "anna", table.dog, is_admin=True)

    assert first == [photos[2].id, photos[3].id]
    assert table.asked() == [photos[0].id, photos[1].id]
