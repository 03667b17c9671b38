"""Votes: whose counts, what they say together, and what is left when they are taken back."""

import pytest
from sqlalchemy.orm import Session

from snaplabel import corrections, labels, people
from snaplabel.database import Database
from snaplabel.tables import Label, Person, Photo


class Ballot:
    """A photo, three labels, and people who vote."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classifier = people.make_classifier(session)
        self.labels: dict[str, Label] = {n: labels.make(session, self.classifier.id, n) for n in ("cat", "dog", "owl")}
        self._count = 0

    def photo(self) -> Photo:
        self._count += 1
        made = Photo(
            classifier_id=self.classifier.id,
            sha256=f"{self._count:064x}",
            phash=self._count,
            band0=0,
            band1=0,
            band2=0,
            band3=0,
            colours=b"",
            width=1,
            height=1,
            split="lesson",
        )
        self.session.add(made)
        self.session.flush()
        return made

    def person(self, name: str) -> Person:
        return people.person(self.session, "test", name, name)

    def vote(self, photo: Photo, who: str, label: str, *, admin: bool = False, needed: float = 0.5) -> str | None:
        person = self.person(who)
        found = corrections.vote(
            self.session, photo, person, self.labels[label], is_admin=admin, votes_needed=needed
        ).accepted
        return found.name if found else None


@pytest.fixture
def ballot(database: Database):  # type: ignore[no-untyped-def]
    with database.begin() as session:
        yield Ballot(session)


def test_a_newcomers_vote_counts_by_default(ballot: Ballot) -> None:
    assert ballot.vote(ballot.photo(), "max", "cat") == "cat"


def test_a_quorum_of_two_waits_for_a_second_voice(ballot: Ballot) -> None:
    photo = ballot.photo()

    assert ballot.vote(photo, "max", "cat", needed=1.0) is None
    assert ballot.vote(photo, "olga", "cat", needed=1.0) == "cat"


def test_one_person_voting_twice_is_one_vote(ballot: Ballot) -> None:
    photo = ballot.photo()

    ballot.vote(photo, "max", "cat", needed=1.0)

    assert ballot.vote(photo, "max", "cat", needed=1.0) is None


def test_a_tie_keeps_what_was_accepted_first(ballot: Ballot) -> None:
    photo = ballot.photo()
    ballot.vote(photo, "max", "cat")

    assert ballot.vote(photo, "olga", "dog") == "cat"
    assert ballot.vote(photo, "ida", "dog") == "dog"


def test_the_latest_admin_decides(ballot: Ballot) -> None:
    photo = ballot.photo()
    for who in ("max", "olga", "ida"):
        ballot.vote(photo, who, "cat")

    ballot.vote(photo, "anna", "dog", admin=True)

    assert ballot.vote(photo, "bert", "owl", admin=True) == "owl"
    assert ballot.vote(photo, "max", "dog") == "owl"


def test_trust_is_earned_by_agreeing_with_others(ballot: Ballot) -> None:
    for _ in range(4):
        photo = ballot.photo()
        ballot.vote(photo, "right", "cat")
        ballot.vote(photo, "wrong", "dog")
        ballot.vote(photo, "anna", "cat", admin=True)

    assert corrections.trust(ballot.session, ballot.person("right").id) == pytest.approx(5 / 6)
    assert corrections.trust(ballot.session, ballot.person("wrong").id) == pytest.approx(1 / 6)
    assert corrections.trust(ballot.session, ballot.person("newcomer").id) == 0.5
    assert ballot.vote(ballot.photo(), "wrong", "dog") is None


def test_agreeing_with_oneself_earns_nothing(ballot: Ballot) -> None:
    for _ in range(5):
        ballot.vote(ballot.photo(), "max", "cat")

    assert corrections.trust(ballot.session, ballot.person("max").id) == 0.5


def test_a_vote_taken_back_leaves_what_the_others_say(ballot: Ballot) -> None:
    photo = ballot.photo()
    ballot.vote(photo, "max", "cat")
    ballot.vote(photo, "anna", "dog", admin=True)

    corrections.take_back(ballot.session, photo, ballot.person("anna"), votes_needed=0.5)

    assert photo.label_id == ballot.labels["cat"].id


def test_everything_a_person_said_can_be_taken_back_at_once(ballot: Ballot) -> None:
    mine, both = ballot.photo(), ballot.photo()
    ballot.vote(mine, "troll", "owl")
    ballot.vote(both, "olga", "cat")
    ballot.vote(both, "troll", "owl")

    count = corrections.revert_all(ballot.session, ballot.person("troll"), votes_needed=0.5)

    assert count == 2
    assert mine.label_id is None
    assert both.label_id == ballot.labels["cat"].id
