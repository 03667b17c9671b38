"""What admins do with labels: nothing is lost by it, and everything can be undone."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import acts, corrections, labels, naming, people, standing
from snaplabel.database import Database, now
from snaplabel.errors import LabelError
from snaplabel.tables import Act, Label, Photo
from tests.snaplabel.test_corrections import Ballot


class Names(Ballot):
    """A ballot whose labels are called by name."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        for name in ("ant", "ants", "bee"):
            self.labels[name] = labels.make(session, self.classifier.id, name)

    def label(self, name: str) -> Label:
        return naming.find(self.session, self.classifier.id, name)

    def photo_of(self, name: str, who: str = "anna") -> Photo:
        photo = self.photo()
        self.vote(photo, who, name, admin=who == "anna")
        return photo

    def merge(self, name: str, into: str) -> int:
        return naming.merge(self.session, self.label(name), self.label(into), person_id=None, votes_needed=0.5)

    def restore(self, name: str) -> int:
        label = naming.archived(self.session, self.classifier.id, name)
        return naming.restore(self.session, label, person_id=None, votes_needed=0.5)

    def name_of(self, photo: Photo) -> str | None:
        label = labels.in_use(self.session, photo.label_id)
        return label.name if label is not None else None

    def meant(self, text: str) -> str | None:
        found = labels.meant(self.session, self.classifier.id, text)
        return found.label.name if found.label is not None and found.is_sure else None

    def verbs(self) -> list[str]:
        return [act.verb for act in self.session.scalars(select(Act).order_by(Act.id))]


@pytest.fixture
def names(database: Database) -> Iterator[Names]:
    with database.begin() as session:
        yield Names(session)


def test_a_renamed_label_keeps_its_photos_and_answers_to_its_old_name(names: Names) -> None:
    photo = names.photo_of("ant")

    naming.rename(names.session, names.label("ant"), "Formica rufa", person_id=None)

    assert names.name_of(photo) == "Formica rufa"
    assert names.meant("ANT") == "Formica rufa"
    assert labels.make(names.session, names.classifier.id, "ant").name == "Formica rufa"
    assert names.verbs() == ["rename"]


def test_another_spelling_of_the_same_name_needs_no_other_name(names: Names) -> None:
    naming.rename(names.session, names.label("ant"), "Ant", person_id=None)

    assert names.meant("ant") == "Ant"
    assert labels.aliases(names.session, names.classifier.id) == {}


@pytest.mark.parametrize("taken", ["bee", "BEE", "hymenopteran"])
def test_a_name_that_is_taken_is_refused(names: Names, taken: str) -> None:
    naming.add_alias(names.session, names.label("bee"), "hymenopteran", person_id=None)

    with pytest.raises(LabelError, match="bee"):
        naming.rename(names.session, names.label("ant"), taken, person_id=None)


def test_a_label_may_be_renamed_back_and_forth(names: Names) -> None:
    label = names.label("ant")

    for name in ("wood ant", "ant", "wood ant"):
        naming.rename(names.session, label, name, person_id=None)

    assert label.name == "wood ant"
    assert names.meant("ant") == "wood ant"
    assert labels.aliases(names.session, names.classifier.id) == {label.id: ["ant"]}


def test_merging_moves_photos_names_and_votes(names: Names) -> None:
    naming.add_alias(names.session, names.label("ants"), "Ameisen", person_id=None)
    photo = names.photo_of("ants")
    before = photo.labelled_at

    moved = names.merge("ants", "ant")

    assert moved == 1
    assert names.name_of(photo) == "ant"
    assert photo.labelled_at is not None
    assert before is not None
    assert photo.labelled_at > before, "so that the clock sees something new"
    assert {names.meant(name) for name in ("ants", "Ameisen", "ant")} == {"ant"}
    assert labels.make(names.session, names.classifier.id, "ants").name == "ant"


def test_votes_for_two_labels_are_one_side_once_these_are_merged(names: Names) -> None:
    photo = names.photo()
    for who, name in (("troll", "bee"), ("tom", "bee"), ("max", "ant"), ("tim", "ant"), ("olga", "ants")):
        names.vote(photo, who, name)
    before = names.name_of(photo)

    names.merge("ants", "ant")

    assert before == "bee", "a tie keeps what was there"
    assert names.name_of(photo) == "ant"


def test_votes_follow_a_chain_of_merges(names: Names) -> None:
    photo = names.photo_of("ants", "max")
    names.merge("ants", "ant")
    names.merge("ant", "bee")

    names.vote(photo, "olga", "bee")

    assert names.name_of(photo) == "bee"
    assert labels.in_use(names.session, names.labels["ants"].id) is names.labels["bee"]


def test_a_merge_that_is_taken_back_parts_photos_and_names_by_their_votes(names: Names) -> None:
    naming.add_alias(names.session, names.label("ants"), "Ameisen", person_id=None)
    ants, ant = names.photo_of("ants"), names.photo_of("ant")
    names.merge("ants", "ant")

    back = names.restore("ants")

    assert back == 1
    assert (names.name_of(ants), names.name_of(ant)) == ("ants", "ant")
    assert (names.meant("Ameisen"), names.meant("ants")) == ("ants", "ants")
    assert names.verbs() == ["alias", "merge", "restore"]


def test_the_name_of_a_merged_label_may_become_the_others(names: Names) -> None:
    names.merge("ants", "ant")

    naming.rename(names.session, names.label("ant"), "ants", person_id=None)

    assert names.label("ant").name == "ants"
    assert names.meant("ant") == "ants"
    assert len(labels.every(names.session, names.classifier.id)) == 5


def test_an_archived_label_can_be_neither_meant_nor_told_and_comes_back_whole(names: Names) -> None:
    photo = names.photo_of("bee")

    naming.archive(names.session, names.label("bee"), person_id=None)
    gone = (names.meant("bee"), names.name_of(photo))
    names.restore("bee")

    assert gone == (None, None)
    assert (names.meant("bee"), names.name_of(photo)) == ("bee", "bee")


def test_photos_that_were_taken_out_are_not_counted_but_go_along(names: Names) -> None:
    kept, gone = names.photo_of("ants"), names.photo_of("ants")
    gone.removed_at = now()

    moved = names.merge("ants", "ant")

    assert moved == 1
    assert [names.name_of(photo) for photo in (kept, gone)] == ["ant", "ant"]


def test_votes_for_an_archived_label_wait_for_it(names: Names) -> None:
    photo = names.photo_of("bee")
    naming.archive(names.session, names.label("bee"), person_id=None)
    meanwhile = names.vote(photo, "max", "cat")

    names.restore("bee")

    assert meanwhile == "cat"
    assert names.name_of(photo) == "bee", "an admin had said so"
    assert [one.photo for one in corrections.conflicts(names.session, names.classifier.id)] == [photo]


def test_the_name_of_an_archived_label_is_kept_for_it(names: Names) -> None:
    naming.archive(names.session, names.label("ants"), person_id=None)

    with pytest.raises(LabelError, match="archived label"):
        naming.add_alias(names.session, names.label("bee"), "ants", person_id=None)

    assert names.restore("ants") == 0


def test_other_names_come_and_go(names: Names) -> None:
    naming.add_alias(names.session, names.label("ant"), "Red Admiral", person_id=None)
    known = names.meant("redadmiral")

    naming.remove_alias(names.session, names.classifier.id, "red admiral", person_id=None)

    assert known == "ant"
    assert names.meant("red admiral") is None
    assert names.verbs() == ["alias", "unalias"]


@pytest.mark.parametrize(("name", "sentence"), [("juven", "no label “juven”"), ("beee", "Did you mean “bee”")])
def test_a_wrong_name_gets_a_near_one(names: Names, name: str, sentence: str) -> None:
    with pytest.raises(LabelError, match=sentence):
        names.label(name)


def test_acts_say_who_and_what_with_plain_numbers_only(names: Names) -> None:
    anna = names.person("anna")
    names.photo_of("ants")

    naming.merge(names.session, names.label("ants"), names.label("ant"), person_id=anna.id, votes_needed=0.5)

    (act,) = acts.recent(names.session, names.classifier.id)
    assert act.person_id == anna.id
    assert act.facts == {
        "label_id": names.labels["ants"].id,
        "into_id": names.labels["ant"].id,
        "photos": 1,
        "alias_ids": [],
    }


@pytest.mark.real
def test_votes_and_names_on_postgresql(new_postgres_url: str) -> None:
    from bot import questions
    from snaplabel.settings import Settings
    from snaplabel.tables import Classifier, Message

    database = Database(new_postgres_url)
    Classifier.metadata.create_all(database.engine)
    with database.begin() as session:
        names = Names(session)
        names.give_standing("olga")
        ants, disputed = names.photo_of("ants"), names.photo_of("bee", "max")
        for who in ("mia", "tom"):
            names.vote(disputed, who, "ant")

        names.merge("ants", "ant")
        merged = names.name_of(ants)
        names.restore("ants")

        assert (merged, names.name_of(ants), names.name_of(disputed)) == ("ant", "ants", "ant")
        assert corrections.unconfirmed(session, names.classifier.id) == {disputed.id}
        assert [one.photo for one in corrections.conflicts(session, names.classifier.id)] == [disputed]
        chat, anna = people.chat(session, "test", "private", is_private=True), names.person("anna")
        session.add(Message(platform="test", chat_id=chat.id, platform_id="1", person_id=anna.id))
        session.flush()
        told = [questions.ask_admins(session, Settings(admins=("test:anna",)), names.classifier.id) for _ in "ab"]
        assert told == [1, 0], "once an hour"
        assert [teacher.corrections for teacher in standing.teachers(session)] == [6, 5, 1, 1, 1]
    database.close()
