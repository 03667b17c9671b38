"""Votes: whose counts, what they say together, and what is left when they are taken back."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from snaplabel import corrections, labels, people, standing, tally
from snaplabel.database import Database, now
from snaplabel.tables import Correction, Label, Person, Photo


class Ballot:
    """A photo, three labels, and people who vote."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classifier = people.make_classifier(session)
        self.labels: dict[str, Label] = {n: labels.make(session, self.classifier.id, n) for n in ("cat", "dog", "owl")}
        self._count = 0

    def photo(self, split: str = "lesson", group: int | None = None) -> Photo:
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
            split=split,
            group_id=group,
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

    def accepted(self, photo: Photo) -> str | None:
        return next((name for name, label in self.labels.items() if label.id == photo.label_id), None)

    def give_standing(self, *names: str) -> None:
        """Let these people be right five times before an admin says the same."""
        for _ in range(5):
            photo = self.photo()
            for name in names:
                self.vote(photo, name, "cat")
            self.vote(photo, "anna", "cat", admin=True)


@pytest.fixture
def ballot(database: Database) -> Iterator[Ballot]:
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


NEWCOMERS = [f"newcomer {n}" for n in range(10)]


def test_repeating_what_an_admin_said_already_earns_nothing(ballot: Ballot) -> None:
    for _ in range(5):
        photo = ballot.photo()
        ballot.vote(photo, "anna", "cat", admin=True)
        ballot.vote(photo, "parrot", "cat")

    assert corrections.trust(ballot.session, ballot.person("parrot").id) == 0.5


def test_newcomers_who_agree_with_each_other_earn_nothing(ballot: Ballot) -> None:
    for _ in range(5):
        photo = ballot.photo()
        for name in NEWCOMERS:
            ballot.vote(photo, name, "owl")

    assert {corrections.trust(ballot.session, ballot.person(name).id) for name in NEWCOMERS} == {0.5}


def test_ten_newcomers_do_not_overturn_an_admin_but_ask_one(ballot: Ballot) -> None:
    photo = ballot.photo()
    ballot.vote(photo, "anna", "cat", admin=True)

    for name in NEWCOMERS:
        ballot.vote(photo, name, "owl")

    assert ballot.accepted(photo) == "cat"
    (question,) = corrections.conflicts(ballot.session, ballot.classifier.id)
    assert question.photo is photo
    assert question.decided is ballot.labels["cat"]
    assert [(side.label.name, side.weight) for side in question.sides] == [("cat", 1.0), ("owl", 5.0)]


def test_ten_newcomers_do_not_overturn_somebody_of_standing(ballot: Ballot) -> None:
    ballot.give_standing("olga")
    photo = ballot.photo()
    ballot.vote(photo, "olga", "cat")

    for name in NEWCOMERS:
        ballot.vote(photo, name, "owl")

    assert ballot.accepted(photo) == "cat"
    assert tally.of(ballot.session, photo).is_question
    assert tally.of(ballot.session, photo).is_confirmed


def test_somebody_of_standing_overturns_ten_newcomers(ballot: Ballot) -> None:
    ballot.give_standing("olga")
    photo = ballot.photo()
    for name in NEWCOMERS:
        ballot.vote(photo, name, "owl")

    ballot.vote(photo, "olga", "cat")

    assert ballot.accepted(photo) == "cat"


def test_an_admins_word_settles_a_question_until_somebody_disagrees_again(ballot: Ballot) -> None:
    photo = ballot.photo()
    ballot.vote(photo, "max", "cat")
    ballot.vote(photo, "olga", "dog")
    asked = tally.of(ballot.session, photo).is_question

    ballot.vote(photo, "anna", "dog", admin=True)
    settled = tally.of(ballot.session, photo).is_question
    ballot.vote(photo, "max", "owl")

    assert (asked, settled) == (True, False)
    assert tally.of(ballot.session, photo).is_question


def test_those_who_were_wrong_twice_and_never_right_ask_no_more(ballot: Ballot) -> None:
    for _ in range(2):
        photo = ballot.photo()
        ballot.vote(photo, "troll", "owl")
        ballot.vote(photo, "anna", "cat", admin=True)
    photo = ballot.photo()
    ballot.vote(photo, "anna", "cat", admin=True)

    ballot.vote(photo, "troll", "owl")

    assert corrections.conflicts(ballot.session, ballot.classifier.id) == []


def test_three_against_one_need_no_admin(ballot: Ballot) -> None:
    photo = ballot.photo()
    ballot.vote(photo, "max", "cat")
    ballot.vote(photo, "olga", "dog")
    ballot.vote(photo, "mia", "cat")
    two_to_one = tally.of(ballot.session, photo).is_question

    ballot.vote(photo, "tom", "cat")

    assert two_to_one
    assert not tally.of(ballot.session, photo).is_question


def test_labels_of_newcomers_are_unconfirmed_until_an_admin_says_the_same(ballot: Ballot) -> None:
    by_max, by_both, by_import = ballot.photo(), ballot.photo(), ballot.photo()
    ballot.vote(by_max, "max", "cat")
    ballot.vote(by_both, "max", "dog")
    ballot.vote(by_import, "import", "cat", admin=True)
    before = corrections.unconfirmed(ballot.session, ballot.classifier.id)

    outcome = corrections.vote(
        ballot.session, by_both, ballot.person("anna"), ballot.labels["dog"], is_admin=True, votes_needed=0.5
    )

    assert before == {by_max.id, by_both.id}
    assert corrections.unconfirmed(ballot.session, ballot.classifier.id) == {by_max.id}
    assert outcome.changed, "there is something to learn: it may be in the exam now"


def test_standing_that_is_earned_counts_for_what_was_said_before(ballot: Ballot) -> None:
    disputed, alone = ballot.photo(), ballot.photo()
    ballot.vote(disputed, "olga", "cat")
    ballot.vote(disputed, "max", "dog")
    ballot.vote(disputed, "mia", "dog")
    ballot.vote(alone, "olga", "owl")
    before = ballot.accepted(disputed)

    ballot.give_standing("olga")

    assert before == "dog"
    assert ballot.accepted(disputed) == "cat"
    assert corrections.unconfirmed(ballot.session, ballot.classifier.id) == set()


def test_standing_that_is_lost_takes_its_labels_along(ballot: Ballot) -> None:
    ballot.give_standing("olga")
    photo = ballot.photo()
    ballot.vote(photo, "olga", "owl")
    ballot.vote(photo, "max", "cat")
    ballot.vote(photo, "mia", "cat")
    before = ballot.accepted(photo)

    wrong = ballot.photo()
    ballot.vote(wrong, "olga", "owl")
    ballot.vote(wrong, "anna", "cat", admin=True)

    assert before == "owl"
    assert ballot.accepted(photo) == "cat"


def test_the_31st_vote_within_an_hour_waits_for_an_admin_and_is_not_lost(ballot: Ballot) -> None:
    for _ in range(standing.VOTES_AN_HOUR):
        assert ballot.vote(ballot.photo(), "max", "cat") == "cat"
    photo = ballot.photo()
    person = ballot.person("max")

    outcome = corrections.vote(ballot.session, photo, person, ballot.labels["owl"], is_admin=False, votes_needed=0.5)

    assert (outcome.accepted, outcome.waits, outcome.is_question) == (None, True, True)
    assert [one.photo.id for one in corrections.conflicts(ballot.session, ballot.classifier.id)] == [photo.id]
    assert ballot.vote(photo, "anna", "owl", admin=True) == "owl"


def test_votes_at_a_human_pace_never_wait(ballot: Ballot) -> None:
    photos = [ballot.photo() for _ in range(standing.VOTES_AN_HOUR + 10)]
    for n, photo in enumerate(photos):
        ballot.vote(photo, "max", "cat")
        vote = ballot.session.scalars(select(Correction).where(Correction.photo_id == photo.id)).one()
        vote.changed_at -= timedelta(minutes=3 * (len(photos) - n))

    assert ballot.vote(ballot.photo(), "max", "owl") == "owl"


def test_somebody_of_standing_may_teach_as_fast_as_they_like(ballot: Ballot) -> None:
    ballot.give_standing("olga")

    said = [ballot.vote(ballot.photo(), "olga", "dog") for _ in range(standing.VOTES_AN_HOUR + 5)]

    assert set(said) == {"dog"}


def test_a_settle_asks_the_database_a_few_times_whoever_voted(ballot: Ballot) -> None:
    photo = ballot.photo()
    for name in NEWCOMERS:
        ballot.vote(photo, name, "owl")
    ballot.session.expire_all()
    asked: list[str] = []
    event.listen(ballot.session.get_bind(), "before_cursor_execute", lambda *args: asked.append(args[2]))

    tally.of(ballot.session, photo)

    # Votes, records, haste; photo, label and classifier have to be read again after expire_all.
    assert len(asked) <= 6


def test_the_first_photo_of_a_label_becomes_a_lesson_and_the_next_ones_stay_in_the_exam(ballot: Ballot) -> None:
    first = ballot.photo("exam")
    first.group_id = first.id
    twin, second = ballot.photo("exam", group=first.id), ballot.photo("exam")

    ballot.vote(first, "ada", "cat", admin=True)
    ballot.vote(second, "ada", "cat", admin=True)
    ballot.session.expire_all()

    assert [one.split for one in (first, twin, second)] == ["lesson", "lesson", "exam"]


def test_a_lesson_never_becomes_an_exam_photo_and_one_that_was_taken_out_is_none(ballot: Ballot) -> None:
    gone, kept = ballot.photo(), ballot.photo("exam")
    ballot.vote(gone, "ada", "owl", admin=True)
    gone.removed_at = now()

    ballot.vote(kept, "ada", "owl", admin=True)
    ballot.vote(kept, "ada", "dog", admin=True)

    assert gone.split == "lesson"
    assert kept.split == "lesson"
