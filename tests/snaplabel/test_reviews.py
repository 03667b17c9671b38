"""Reviews: what is offered and in which order, what decisions do, and that undoing restores what was before."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import corrections, forgetting, labels, naming, people, reviews
from snaplabel.database import Database, now
from snaplabel.errors import ReviewError
from snaplabel.reviews import Item
from snaplabel.tables import Act, Classifier, Correction, Label, Person, Photo, Suspect


class Table:
    """A classifier with cats, dogs and owls, and an admin who reviews its photos."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.classifier_id = people.make_classifier(session).id
        self.label: dict[str, Label] = {
            name: labels.make(session, self.classifier_id, name) for name in ("cat", "dog", "owl")
        }
        self.admin = people.person(session, "test", "anna", "Anna")
        self._count = 0

    def photo(self, label: str | None = "cat", *, unreadable: str | None = None) -> Photo:
        """A photo that was imported under this label."""
        self._count += 1
        made = Photo(
            classifier_id=self.classifier_id,
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
            unreadable=unreadable,
        )
        self.session.add(made)
        self.session.flush()
        if label is not None:
            importer = people.person(self.session, "local", "import", "import")
            self.vote(made, importer, label, is_admin=True)
        return made

    def vote(self, photo: Photo, who: Person | str, label: str, *, is_admin: bool = False) -> None:
        person = people.person(self.session, "test", who, who) if isinstance(who, str) else who
        corrections.vote(self.session, photo, person, self.label[label], is_admin=is_admin, votes_needed=0.5)

    def suspect(
        self,
        photo: Photo,
        score: float = 0.9,
        suggested: str | None = "dog",
        kind: str = "mislabelled",
        twin: Photo | None = None,
    ) -> Suspect:
        made = Suspect(
            classifier_id=self.classifier_id,
            photo_id=photo.id,
            kind=kind,
            score=score,
            suggested_id=self.label[suggested].id if suggested else None,
            other_photo_id=twin.id if twin else None,
        )
        self.session.add(made)
        self.session.flush()
        return made

    def queue(self) -> list[Item]:
        return reviews.queue(self.session, self.classifier_id)

    def offered(self) -> list[int]:
        found = [item.photo_id for item in self.queue()]
        assert reviews.count(self.session, self.classifier_id) == len(found)
        return found

    def keep(self, photo: Photo) -> Act:
        return reviews.keep(self.session, photo, person_id=self.admin.id, votes_needed=0.5)

    def relabel(self, photo: Photo, label: str, person_id: int | None = -1) -> Act:
        who = self.admin.id if person_id == -1 else person_id
        return reviews.relabel(self.session, photo, self.label[label], person_id=who, votes_needed=0.5)

    def remove(self, photo: Photo) -> Act:
        return reviews.remove(self.session, photo, person_id=self.admin.id)

    def undo(self, act: Act) -> bool:
        return reviews.undo(self.session, act, person_id=self.admin.id, votes_needed=0.5)

    def name(self, photo: Photo) -> str | None:
        self.session.flush()
        return next((name for name, label in self.label.items() if label.id == photo.label_id), None)

    def votes(self, photo: Photo) -> list[tuple[object, ...]]:
        """Every vote on a photo, with all that is written down of it."""
        query = select(Correction).where(Correction.photo_id == photo.id).order_by(Correction.id)
        return [
            (v.person_id, v.label_id, v.by_admin, v.changed_at, v.taken_back_at) for v in self.session.scalars(query)
        ]


@pytest.fixture
def table(database: Database):  # type: ignore[no-untyped-def]
    with database.begin() as session:
        yield Table(session)


def test_what_people_disagree_on_comes_first_then_the_unreadable_then_suspects_by_score(table: Table) -> None:
    doubtful, worse, broken, disputed = (
        table.photo(),
        table.photo(),
        table.photo(unreadable="broken"),
        table.photo(None),
    )
    table.suspect(doubtful, 0.6)
    table.suspect(worse, 0.9)

    table.vote(disputed, "max", "dog")
    table.vote(disputed, "olga", "cat")

    assert table.offered() == [disputed.id, broken.id, worse.id, doubtful.id]
    assert [item.kind for item in table.queue()] == ["conflict", "unreadable", "mislabelled", "mislabelled"]


def test_a_conflict_says_who_is_for_what_most_votes_first(table: Table) -> None:
    photo = table.photo(None)
    for who, label in (("max", "dog"), ("olga", "cat"), ("ida", "cat")):
        table.vote(photo, who, label)

    (item,) = table.queue()

    assert [(label.name, n) for label, n in item.votes] == [("cat", 2), ("dog", 1)]
    assert item.score == pytest.approx(1 / 3)
    assert item.suggested is table.label["dog"]


def test_a_photo_is_offered_once(table: Table) -> None:
    photo = table.photo(None)
    table.vote(photo, "max", "dog")
    table.vote(photo, "olga", "cat")
    table.suspect(photo, suggested="owl")

    (item,) = table.queue()

    assert item.kind == "conflict"
    assert item.suggested is table.label["owl"]


def test_the_queue_comes_in_pages(table: Table) -> None:
    photos = [table.photo() for _ in range(5)]
    for n, photo in enumerate(photos):
        table.suspect(photo, 1 - n / 10)

    page = reviews.queue(table.session, table.classifier_id, limit=2, offset=2)

    assert [item.photo_id for item in page] == [photos[2].id, photos[3].id]
    assert reviews.count(table.session, table.classifier_id) == 5


def test_another_classifiers_photos_are_not_offered(table: Table) -> None:
    table.suspect(table.photo())

    other = people.make_classifier(table.session, "shirts")

    assert reviews.queue(table.session, other.id) == []


def test_what_was_kept_is_not_offered_again_by_a_later_training(table: Table) -> None:
    photo = table.photo()
    first = table.suspect(photo)
    table.keep(photo)
    assert table.offered() == []

    table.session.delete(first)
    table.session.flush()
    table.suspect(photo)

    assert table.offered() == []


def test_what_was_kept_is_offered_again_once_its_label_changed(table: Table) -> None:
    photo = table.photo()
    table.keep(photo)

    table.vote(photo, "boris", "owl", is_admin=True)
    table.suspect(photo)

    assert table.offered() == [photo.id]


def test_keeping_settles_a_conflict_as_an_admin(table: Table) -> None:
    photo = table.photo(None)
    for who, label in (("max", "cat"), ("olga", "dog")):
        table.vote(photo, who, label)
    assert table.name(photo) == "cat"

    table.keep(photo)
    table.vote(photo, "ida", "dog")

    assert table.name(photo) == "cat"
    votes = [vote for vote in table.votes(photo) if vote[2]]
    assert [vote[:2] for vote in votes] == [(table.admin.id, table.label["cat"].id)]


def test_keeping_what_nobody_disputes_is_no_vote(table: Table) -> None:
    photo = table.photo()
    table.suspect(photo)
    before = table.votes(photo)

    table.keep(photo)

    assert table.votes(photo) == before


def test_a_photo_without_a_label_can_t_be_kept(table: Table) -> None:
    photo = table.photo(None)

    with pytest.raises(ReviewError, match="no label"):
        table.keep(photo)


def test_a_label_that_changed_since_the_training_takes_the_photo_off_the_list(table: Table) -> None:
    photo = table.photo()
    table.suspect(photo)

    table.vote(photo, "boris", "owl", is_admin=True)

    assert table.offered() == []


def test_a_relabelled_photo_is_done(table: Table) -> None:
    photo = table.photo()
    table.suspect(photo)

    table.relabel(photo, "dog")

    assert table.name(photo) == "dog"
    assert table.offered() == []


def test_a_photo_relabelled_to_what_it_is_already_is_kept(table: Table) -> None:
    photo = table.photo()
    before = table.votes(photo)

    act = table.relabel(photo, "cat")

    assert act.verb == "keep"
    assert table.votes(photo) == before


def test_from_the_command_line_the_local_person_votes(table: Table) -> None:
    photo = table.photo()

    act = table.relabel(photo, "dog", person_id=None)

    assert act.person_id is None
    assert len(table.votes(photo)) == 1
    assert table.name(photo) == "dog"


def test_undoing_a_relabel_restores_the_votes_as_they_were(table: Table) -> None:
    photo = table.photo()
    table.vote(photo, table.admin, "owl")
    before = table.votes(photo)

    act = table.relabel(photo, "dog")
    assert table.undo(act)

    assert table.votes(photo) == before
    assert table.name(photo) == "cat"
    assert act.undone_at is not None


def test_undoing_brings_a_suspect_back_to_the_list(table: Table) -> None:
    photo, other = table.photo(), table.photo()
    table.suspect(photo)
    table.suspect(other)

    acts = [table.relabel(photo, "dog"), table.keep(other)]
    for act in acts:
        table.undo(act)

    assert table.offered() == [photo.id, other.id]


def test_undoing_does_not_overtake_a_later_admin(table: Table) -> None:
    # Given the import said cat, and then Boris said owl
    photo = table.photo()
    table.vote(photo, "boris", "owl", is_admin=True)

    # When the import's vote becomes dog, and that is undone
    act = table.relabel(photo, "dog", person_id=None)
    assert table.name(photo) == "dog"
    table.undo(act)

    # Then Boris's is the latest word again, not the import's old one
    assert table.name(photo) == "owl"


def test_votes_that_came_meanwhile_count_when_a_relabel_is_undone(table: Table) -> None:
    photo = table.photo(None)
    table.vote(photo, "max", "cat")
    act = table.relabel(photo, "dog")
    table.vote(photo, "olga", "owl")
    table.vote(photo, "ida", "owl")

    table.undo(act)

    assert table.name(photo) == "owl"


def test_undoing_twice_does_nothing(table: Table) -> None:
    photo = table.photo()
    act = table.relabel(photo, "dog")
    table.undo(act)
    table.relabel(photo, "owl")

    assert not table.undo(act)

    assert table.name(photo) == "owl"


def test_what_was_changed_again_can_t_be_undone_before_that(table: Table) -> None:
    photo = table.photo()
    first = table.relabel(photo, "dog")
    second = table.relabel(photo, "owl")

    with pytest.raises(ReviewError, match="since"):
        table.undo(first)
    table.undo(second)
    table.undo(first)

    assert table.name(photo) == "cat"


def test_another_admins_later_word_is_not_undone(table: Table) -> None:
    photo = table.photo()
    act = table.relabel(photo, "dog")
    table.vote(photo, "boris", "owl", is_admin=True)

    with pytest.raises(ReviewError, match="changed again"):
        table.undo(act)

    assert table.name(photo) == "owl"


def test_undoing_follows_a_label_that_was_merged_meanwhile(table: Table) -> None:
    photo = table.photo("cat")
    act = table.relabel(photo, "dog")
    naming.merge(table.session, table.label["cat"], table.label["owl"], person_id=None, votes_needed=0.5)

    table.undo(act)

    assert table.name(photo) == "owl"


def test_undoing_to_an_archived_label_says_so(table: Table) -> None:
    photo = table.photo("cat")
    act = table.relabel(photo, "dog")
    naming.archive(table.session, table.label["cat"], person_id=None)

    with pytest.raises(ReviewError, match="archived"):
        table.undo(act)

    assert table.name(photo) == "dog"


def test_a_removed_photo_keeps_its_label_and_comes_back(table: Table) -> None:
    photo = table.photo()
    table.suspect(photo)
    labelled_at = photo.labelled_at
    act = table.remove(photo)
    assert labelled_at is not None
    assert photo.labelled_at is not None
    assert photo.labelled_at > labelled_at
    assert table.offered() == []

    table.undo(act)

    assert photo.removed_at is None
    assert table.name(photo) == "cat"
    assert table.offered() == [photo.id]


def test_a_removed_photo_can_t_be_reviewed_further(table: Table) -> None:
    photo = table.photo()
    table.remove(photo)

    for review in (table.keep, table.remove, lambda photo: table.relabel(photo, "dog")):
        with pytest.raises(ReviewError, match="taken out"):
            review(photo)


def test_a_twin_that_agrees_by_now_is_no_reason_any_more(table: Table) -> None:
    photo, twin = table.photo("cat"), table.photo("dog")
    table.suspect(photo, kind="twins", twin=twin)
    (item,) = table.queue()
    assert item.other is twin
    assert item.suggested is table.label["dog"]

    table.relabel(twin, "cat")

    assert table.offered() == []


def test_a_suggestion_that_was_merged_into_the_label_is_none(table: Table) -> None:
    photo = table.photo("cat")
    table.suspect(photo, suggested="dog")

    naming.merge(table.session, table.label["dog"], table.label["cat"], person_id=None, votes_needed=0.5)

    assert table.offered() == []


def test_only_labels_in_use_can_be_given(table: Table) -> None:
    photo = table.photo()
    shirts = people.make_classifier(table.session, "shirts")
    table.label["chelsea"] = labels.make(table.session, shirts.id, "chelsea")

    with pytest.raises(ReviewError, match="chelsea"):
        table.relabel(photo, "chelsea")


def test_decided_lists_what_stands_newest_first(table: Table) -> None:
    kept, relabelled, removed = (table.photo() for _ in range(3))
    acts = [table.keep(kept), table.relabel(relabelled, "dog"), table.remove(removed)]

    table.undo(acts[1])

    standing = reviews.decided(table.session, table.classifier_id)
    assert [act.id for act in standing] == [acts[2].id, acts[0].id]


def test_only_reviews_can_be_undone_as_reviews(table: Table) -> None:
    naming.rename(table.session, table.label["cat"], "kitten", person_id=None)
    act = table.session.scalars(select(Act)).one()

    with pytest.raises(ReviewError, match="no review"):
        table.undo(act)


def test_a_suspect_of_labels_as_they_were_before_a_change_is_not_offered(table: Table) -> None:
    # Given a training that read the labels, and somebody who changed one while it ran
    photo = table.photo()
    suspect = table.suspect(photo)
    suspect.created_at = now() - timedelta(seconds=5)
    table.session.flush()

    assert table.offered() == []


def _forget(table: Table, person: Person) -> None:
    forgetting.forget(table.session, person, votes_needed=0.5)


def test_an_erased_photo_leaves_no_suspicion_behind_and_of_acts_only_that_they_were(table: Table) -> None:
    mine, twin = table.photo(), table.photo("dog")
    mine.person_id = table.admin.id
    table.suspect(mine)
    table.suspect(twin, kind="twins", twin=mine)
    table.keep(mine)

    _forget(table, table.admin)

    assert table.session.scalars(select(Suspect)).all() == []
    left = table.session.scalars(select(Act).order_by(Act.id)).all()
    assert [(act.verb, act.photo_id, act.person_id) for act in left] == [("keep", None, None), ("forget", None, None)]
    assert left[0].facts == {"has_left": 1}


def test_what_a_forgotten_admin_did_stays_without_their_name_and_votes(table: Table) -> None:
    photo = table.photo()
    act = table.relabel(photo, "dog")

    _forget(table, table.admin)

    assert act.person_id is None
    assert act.facts == {"before_id": table.label["cat"].id, "label_id": table.label["dog"].id, "has_left": 1}
    with pytest.raises(ReviewError, match="forgotten"):
        reviews.undo(table.session, act, person_id=None, votes_needed=0.5)


def test_what_a_forgotten_admin_took_out_can_be_brought_back(table: Table) -> None:
    photo = table.photo()
    act = table.remove(photo)
    _forget(table, table.admin)

    assert table.undo(act)

    assert photo.removed_at is None


@pytest.mark.real
def test_postgresql_lists_and_undoes_just_the_same(new_postgres_url: str) -> None:
    database = Database(new_postgres_url)
    Classifier.metadata.create_all(database.engine)
    with database.begin() as session:
        table = Table(session)
        photo, kept, disputed = table.photo(), table.photo(), table.photo(None)
        table.suspect(photo)
        table.suspect(kept)
        table.vote(disputed, "max", "dog")
        table.vote(disputed, "olga", "cat")
        table.keep(kept)

        act = table.relabel(photo, "dog")
        assert table.offered() == [disputed.id]
        table.undo(act)

        assert table.offered() == [disputed.id, photo.id]
    database.close()
