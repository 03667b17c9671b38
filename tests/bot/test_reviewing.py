"""The review in a chat: what it shows, what a press decides, and who may press."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from bot import reviewing
from bot.messages import Choice, Reply
from snaplabel import corrections, images, labels, people, photos
from snaplabel.database import Database
from snaplabel.errors import ReviewError
from snaplabel.store import photo_key
from snaplabel.tables import Act, Answer, Classifier, Label, Message, Photo, Suspect
from tests.bot.room import ADMIN, MEMBER, OTHER, Room, picture

SECOND = "9"


@pytest.fixture(autouse=True)
def _two_admins(room: Room) -> None:
    room.settings = replace(room.settings, admins=("test:1", f"test:{SECOND}"))


def labelled(room: Room, seed: int, label: str = "Juventus") -> int:
    """Post a photo that a member labels; its id."""
    posted = room.photo(seed, MEMBER, caption=f"#{label}")
    with room.database.read() as session:
        query = select(Message.photo_id).where(Message.platform_id == posted)
        found = session.scalars(query).one()
        assert found is not None
        return found


def doubt(room: Room, seed: int, label: str = "Juventus", suggested: str | None = "Newcastle", **more: object) -> int:
    """A labelled photo that the last training suspects; its id."""
    photo_id = labelled(room, seed, label)
    with room.database.begin() as session:
        classifier_id = session.get_one(Photo, photo_id).classifier_id
        looks_like = labels.by_name(session, classifier_id, suggested) if suggested else None
        fields = {"kind": "mislabelled", "score": 1 - seed / 100, **more}
        suspect = Suspect(classifier_id=classifier_id, photo_id=photo_id, **fields)  # type: ignore[arg-type]
        suspect.suggested_id = looks_like.id if looks_like else None
        session.add(suspect)
    return photo_id


def label_of(room: Room, photo_id: int) -> str | None:
    with room.database.read() as session:
        photo = session.get_one(Photo, photo_id)
        label = session.get(Label, photo.label_id) if photo.label_id else None
        return label.name if label else None


def acts(room: Room) -> list[str]:
    with room.database.read() as session:
        query = select(Act).where(Act.undone_at.is_(None), Act.verb != "undo").order_by(Act.id)
        return [act.verb for act in session.scalars(query)]


def review_of(room: Room, person: str = ADMIN) -> Answer:
    """The message of a review that was just asked for."""
    room.say("/review", person)
    return room.last()


def now(room: Room, answer: Answer) -> Reply:
    """What a message shows by now."""
    room.deliver()
    return Reply.from_json(next(one for one in room.answers() if one.id == answer.id).content)


def press(room: Room, answer: Answer, button: str, person: str = ADMIN) -> Reply:
    """Press a button as the message shows it by now; what it shows then."""
    room.deliver()
    room.press(next(one for one in room.answers() if one.id == answer.id), button, person)
    return now(room, answer)


def each(reply: Reply) -> Iterator[Choice]:
    return (choice for row in reply.choices for choice in row)


def buttons(reply: Reply) -> list[str]:
    return [choice.text for choice in each(reply)]


def test_the_most_doubtful_photo_comes_first_with_its_picture_and_the_reason(room: Room) -> None:
    doubt(room, 30)
    worst = doubt(room, 10)

    shown = now(room, review_of(room))

    assert shown.title == "Juventus or Newcastle?"
    assert shown.text == "Labelled Juventus, but going by all other photos it is Newcastle.\n\n2 of 2 left."
    assert buttons(shown) == ["It's “Newcastle”", "Keep “Juventus”", "Something else…", "Remove", "Skip"]
    with room.database.read() as session:
        assert shown.picture == photo_key(session.get_one(Photo, worst).sha256)
    assert room.store.has(shown.picture or "")


def test_members_are_refused_the_review_and_its_buttons(room: Room) -> None:
    photo = doubt(room, 1)
    room.say("/review", MEMBER)
    refused = room.shown()
    review = review_of(room)

    shown = press(room, review, "It's “Newcastle”", MEMBER)

    assert refused.text.startswith("Only the admins")
    assert room.shown().text.startswith("Only the admins")
    assert shown.title == "Juventus or Newcastle?"
    assert (label_of(room, photo), acts(room)) == ("Juventus", [])


def test_one_press_relabels_and_the_next_photo_comes_in_the_same_message(room: Room) -> None:
    first, second = doubt(room, 1), doubt(room, 2)
    review = review_of(room)
    room.rings.clear()

    shown = press(room, review, "It's “Newcastle”")

    assert (label_of(room, first), label_of(room, second)) == ("Newcastle", "Juventus")
    assert "Relabelled as “Newcastle”. 1 of 2 left." in shown.text
    assert "Undo" in buttons(shown)
    assert ("train.learn", 1) in room.rings
    assert [one.id for one in room.answers()][-1] == review.id


def test_what_is_kept_is_logged_and_nothing_is_learnt(room: Room) -> None:
    photo = doubt(room, 1)
    review = review_of(room)
    room.rings.clear()

    shown = press(room, review, "Keep “Juventus”")

    assert label_of(room, photo) == "Juventus"
    assert room.rings == []
    assert acts(room) == ["keep"]
    assert shown.text == "Kept “Juventus”.\n1 photo decided on, and nothing is left. Thank you!"
    assert shown.picture == ""


def test_what_is_removed_leaves_the_lessons(room: Room) -> None:
    photo = doubt(room, 1)
    review = review_of(room)
    room.rings.clear()

    press(room, review, "Remove")

    with room.database.read() as session:
        assert session.get_one(Photo, photo).removed_at is not None
    assert room.rings == [("train.learn", 1)]


@pytest.mark.parametrize("button", ["Keep “Juventus”", "It's “Newcastle”", "Remove"])
def test_the_last_decision_is_undone_and_the_photo_is_back(room: Room, button: str) -> None:
    photo = doubt(room, 1)
    review = review_of(room)
    before = now(room, review)

    press(room, review, button)
    shown = press(room, review, "Undo")

    with room.database.read() as session:
        assert session.get_one(Photo, photo).removed_at is None
    assert label_of(room, photo) == "Juventus"
    assert shown.title == before.title
    assert "Undone. 1 of 1 left." in shown.text
    assert "Undo" not in buttons(shown)
    assert acts(room) == []


def test_decisions_are_undone_one_after_the_other(room: Room) -> None:
    first, second = doubt(room, 1), doubt(room, 2)
    review = review_of(room)
    press(room, review, "It's “Newcastle”")
    press(room, review, "Remove")

    press(room, review, "Undo")
    press(room, review, "Undo")

    assert (label_of(room, first), label_of(room, second), acts(room)) == ("Juventus", "Juventus", [])


def test_what_is_skipped_comes_again_at_the_end(room: Room) -> None:
    doubt(room, 1, "Juventus")
    doubt(room, 2, "Botafogo")
    review = review_of(room)

    second = press(room, review, "Skip")
    end = press(room, review, "Skip")
    again = press(room, review, "Look again")

    assert (second.title, second.text.splitlines()[-1]) == ("Botafogo or Newcastle?", "2 of 2 left, 1 skipped.")
    assert end.text.startswith("You have seen them all.")
    assert again.title == "Juventus or Newcastle?"


def test_another_label_is_chosen_from_pages_with_the_photo_in_sight(room: Room) -> None:
    room.label(*(f"Club {n:02}" for n in range(25)))
    photo = doubt(room, 1)
    review = review_of(room)
    picture = now(room, review).picture

    first = press(room, review, "Something else…")
    second = press(room, review, "More ↓")
    press(room, review, "← Back")
    press(room, review, "Something else…")
    press(room, review, "More ↓")
    press(room, review, "Club 12")

    assert {"Club 00", "← Back", "More ↓"} <= set(buttons(first))
    assert {"Club 12", "↑ Earlier"} <= set(buttons(second))
    assert first.picture == second.picture == picture
    assert label_of(room, photo) == "Club 12"


def test_where_people_disagree_it_says_how_many_say_what(room: Room) -> None:
    posted = room.photo(1, MEMBER)
    for person, label in ((MEMBER, "Juventus"), (OTHER, "Newcastle")):
        with room.database.begin() as session:
            photo = session.scalars(select(Photo)).one()
            meant = labels.by_name(session, photo.classifier_id, label)
            assert meant is not None
            voter = people.person(session, "test", person)
            corrections.vote(session, photo, voter, meant, is_admin=False, votes_needed=0.5)
    review = review_of(room)

    shown = now(room, review)
    press(room, review, "It's “Newcastle”")

    assert "People disagree: 1 says Juventus, 1 says Newcastle." in shown.text
    assert room.label_of(posted) == "Newcastle"


def test_a_photo_that_was_kept_is_asked_about_again_when_somebody_disagrees_since(room: Room) -> None:
    photo_id = doubt(room, 1)
    press(room, review_of(room), "Keep “Juventus”")
    with room.database.begin() as session:
        photo = session.get_one(Photo, photo_id)
        meant = labels.by_name(session, photo.classifier_id, "Newcastle")
        assert meant is not None
        voter = people.person(session, "test", MEMBER)
        corrections.vote(session, photo, voter, meant, is_admin=False, votes_needed=0.5)

    shown = press(room, review_of(room), "Keep “Juventus”")

    assert acts(room) == ["keep", "keep"]
    assert "Kept “Juventus”" in shown.text


def test_an_erased_photo_leaves_the_review_that_shows_it(room: Room) -> None:
    doubt(room, 1)
    review = review_of(room)
    picture = now(room, review).picture
    assert picture

    with room.database.begin() as session:
        reviewing.hide(session, [picture])

    shown = now(room, review)
    assert (shown.title, shown.text, shown.picture) == ("", "Erased, as its sender wished.", "")


@pytest.mark.parametrize(
    ("kind", "title", "reason"),
    [
        ("unlike", "Is this Juventus?", "it looks unlike the other photos of Juventus."),
        ("empty", "Is this Juventus?", "there is hardly anything on it but one colour."),
    ],
)
def test_each_kind_of_doubt_has_its_words(room: Room, kind: str, title: str, reason: str) -> None:
    doubt(room, 1, suggested=None, kind=kind)

    shown = now(room, review_of(room))

    assert (shown.title, reason in shown.text) == (title, True)
    assert "Keep “Juventus”" in buttons(shown)


def test_a_twin_and_a_damaged_photo_are_explained(room: Room) -> None:
    first, twin, damaged = doubt(room, 1), labelled(room, 2, "Newcastle"), labelled(room, 3)
    with room.database.begin() as session:
        suspect = session.scalars(select(Suspect).where(Suspect.photo_id == first)).one()
        suspect.kind, suspect.other_photo_id = "twins", twin
        session.get_one(Photo, damaged).unreadable = "broken: no image"
    review = review_of(room)

    shown = now(room, review)
    next_one = press(room, review, "Remove")

    assert "its file is damaged or lost" in shown.text
    assert next_one.text.startswith("Labelled Juventus, but nearly the same photo is labelled Newcastle.")


def test_nothing_to_review_is_a_pleasant_sentence(room: Room) -> None:
    room.say("/review", ADMIN)

    assert room.shown().text.startswith("Nothing to look at")
    assert room.buttons() == ["Look again"]


def test_a_second_admin_who_is_late_hears_of_it_and_sees_the_next(room: Room) -> None:
    first, _ = doubt(room, 1), doubt(room, 2)
    mine, theirs = review_of(room, ADMIN), review_of(room, SECOND)
    press(room, mine, "It's “Newcastle”")
    room.rings.clear()

    late = press(room, theirs, "Remove", SECOND)

    assert late.text.endswith("Somebody decided on that photo meanwhile. 1 of 1 left.")
    assert (label_of(room, first), acts(room), room.rings) == ("Newcastle", ["relabel"], [])
    with room.database.read() as session:
        assert session.get_one(Photo, first).removed_at is None


def test_a_label_that_changed_meanwhile_is_not_confirmed_by_mistake(room: Room) -> None:
    photo = doubt(room, 1)
    review = review_of(room)
    with room.database.begin() as session:
        found = session.get_one(Photo, photo)
        meant = labels.by_name(session, found.classifier_id, "Botafogo")
        assert meant is not None
        anna = people.person(session, "test", SECOND)
        corrections.vote(session, found, anna, meant, is_admin=True, votes_needed=0.5)

    shown = press(room, review, "Keep “Juventus”")

    assert "got another label meanwhile" in shown.text
    assert acts(room) == []


def test_two_hasty_presses_are_one_decision(room: Room) -> None:
    doubt(room, 1)
    doubt(room, 2)
    review = review_of(room)
    data = next(choice.data for choice in each(now(room, review)) if choice.text.startswith("It's"))

    for _ in range(2):
        room.post(ADMIN, kind="press", data=data, reply_to=review.platform_id)

    assert acts(room) == ["relabel"]
    assert "Relabelled as “Newcastle”. 1 of 2 left." in now(room, review).text


def test_asking_again_moves_the_review_down(room: Room) -> None:
    doubt(room, 1)
    first = review_of(room)

    second = review_of(room)

    assert (now(room, first).text, buttons(now(room, first))) == ("This review goes on further down.", [])
    assert now(room, first).picture == ""
    assert now(room, second).title == "Juventus or Newcastle?"


@pytest.mark.parametrize(
    "data",
    [
        "rv-keep",
        "rv-keep:1:1:1",
        "rv-as:{asked}:{photo}:999:0",
        "rv-as:{asked}:{photo}:{foreign}:0",
        "rv-as:{asked}:{theirs}:{foreign}:0",
        "rv-out:{asked}:{theirs}:0",
        "rv-out:{asked}:77777:0",
        "rv-out:{post}:{photo}:0",
        "rv-out:{asked}:-1:0",
        "rv-out:{asked}:{photo}:0:0",
        "rv-undo:{asked}:{act}:0",
        "rv-undo:{asked}:99:0",
        "rv-else:{asked}:{theirs}:0:0",
        "rv-show:{asked}:99999999999999999999",
        "rv-show:{asked}:999999999999999999",
        "rv-else:{asked}:{photo}:999999999999999999:0",
        "rv-out::::",
        "rv-nothing:{asked}:1",
    ],
)
def test_what_no_button_of_ours_says_changes_nothing(room: Room, data: str) -> None:
    photo = doubt(room, 1)
    with room.database.begin() as session:
        other = people.make_classifier(session, "birds")
        foreign = labels.make(session, other.id, "tit")
        mine = session.get_one(Photo, photo)
        columns = {c.name: getattr(mine, c.name) for c in Photo.__table__.columns if c.name != "id"}
        theirs = Photo(**{**columns, "classifier_id": other.id, "label_id": foreign.id})
        session.add(theirs)
        session.flush()
        act = Act(classifier_id=other.id, verb="keep", photo_id=theirs.id, facts={"label_id": foreign.id})
        session.add(act)
        session.flush()
        ids = {"theirs": theirs.id, "foreign": foreign.id, "act": act.id}
    review = review_of(room)
    with room.database.read() as session:
        asked = session.scalars(select(Message).where(Message.answer_id == review.id)).one().id
        post = session.scalars(select(Message).where(Message.photo_id == photo)).one().id
    room.rings.clear()

    room.post(ADMIN, kind="press", data=data.format(asked=asked, photo=photo, post=post, **ids))

    with room.database.read() as session:
        assert [one.removed_at for one in session.scalars(select(Photo))] == [None, None]
        assert [(one.id, one.undone_at) for one in session.scalars(select(Act))] == [(ids["act"], None)]
    assert (label_of(room, photo), room.rings) == ("Juventus", [])


def test_a_review_of_another_chat_is_not_pressed_from_here(room: Room) -> None:
    photo = doubt(room, 1)
    review = review_of(room)
    data = next(choice.data for choice in each(now(room, review)) if choice.text == "Remove")

    room.post(ADMIN, kind="press", data=data, chat="elsewhere")

    assert "another time" in room.shown().text
    with room.database.read() as session:
        assert session.get_one(Photo, photo).removed_at is None


def test_buttons_fit_into_what_platforms_carry(room: Room) -> None:
    room.label(*(f"Club {n:02}" for n in range(25)))
    doubt(room, 1)
    review = review_of(room)
    press(room, review, "It's “Newcastle”")
    press(room, review, "Undo")

    carried = [*each(now(room, review)), *each(press(room, review, "Something else…"))]

    # Ids of twelve digits, a thousand photos a second for thirty years, would still fit.
    longest = max(len(re.sub(r"\d+", "9" * 12, choice.data)) for choice in carried)
    assert longest <= 64


def test_a_photo_that_was_erased_meanwhile_is_passed_over(room: Room) -> None:
    doubt(room, 1)
    review = review_of(room)
    room.say("/forget", MEMBER)
    room.press(room.last(), "Erase them", MEMBER)

    shown = press(room, review, "It's “Newcastle”")

    assert shown.text.startswith("That photo is not here any more.")
    assert acts(room) == ["forget"]


@pytest.mark.real
def test_of_admins_at_the_same_moment_one_decides_on_postgresql_too(new_postgres_url: str) -> None:
    database = Database(new_postgres_url)
    Classifier.metadata.create_all(database.engine)
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        names = ("Juventus", "Newcastle", "Botafogo")
        label_ids = [labels.make(session, classifier_id, name).id for name in names]
        prepared = images.prepare(picture(1))
        photo_id = photos.add(session, classifier_id, prepared).photo.id
        admins = [people.person(session, "test", str(n)).id for n in range(3)]
        session.get_one(Photo, photo_id).label_id = label_ids[0]
    start = threading.Barrier(3)

    def relabel(n: int) -> bool:
        start.wait(10)
        try:
            with database.begin() as session:
                label = session.get_one(Label, label_ids[n])
                who = {"person_id": admins[n], "votes_needed": 0.5}
                reviewing.decide(session, classifier_id, photo_id, "relabel", label, **who)  # type: ignore[arg-type]
        except ReviewError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        won = list(pool.map(relabel, range(3)))

    with database.read() as session:
        (act,) = session.scalars(select(Act)).all()
        assert session.get_one(Photo, photo_id).label_id == label_ids[won.index(True)] == act.facts["label_id"]
    assert sorted(won) == [False, False, True]
    database.close()
