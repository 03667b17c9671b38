"""Presses, replies and posts that are not what they seem: forged, stale, from elsewhere, or by nobody."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies
from sqlalchemy import func, select

from bot import commands, conversation, words
from bot.messages import Reply
from snaplabel import registry
from snaplabel.tables import Act, Correction, Label, Photo, TrainingRun
from tests.bot.room import ADMIN, MEMBER, OTHER, Room

NOBODY = "chat:-1001234"


def facts(room: Room) -> list[object]:
    """Everything that a press could change."""
    with room.database.read() as session:
        tables = (Correction, Label, TrainingRun, Act)
        counts = [session.scalar(select(func.count()).select_from(table)) for table in tables]
        model = registry.current(session, 1)
        found = session.scalars(select(Photo.label_id).order_by(Photo.id)).all()
        stands = session.scalars(select(Correction.taken_back_at).order_by(Correction.id)).all()
        archived = session.scalars(select(Label.archived_at).order_by(Label.id)).all()
        return [*counts, model.version if model is not None else None, found, stands, archived]


@pytest.fixture
def taught(room: Room) -> Room:
    """A room with a photo that Max corrected, one that nobody did, and a label that the admin was asked about."""
    room.photo(1)
    room.photo(2)
    room.work("sure", Juventus=0.93, Newcastle=0.05)
    room.say("Botafogo", MEMBER, reply_to="1")
    room.say("Sporting", ADMIN, reply_to="2")
    room.deliver()
    return room


def data_of(room: Room, text: str) -> str:
    """The data of the newest button that reads so."""
    shown = [choice for answer in room.answers() for row in Reply.from_json(answer.content).choices for choice in row]
    return next(choice.data for choice in reversed(shown) if text in choice.text)


# Who presses what, and what they read (None: nothing is said, or what was there stays).
PRESSES = [
    ("a label of another classifier", OTHER, "room", "as:1:999", None),
    ("another chat's photo", OTHER, "elsewhere", "as:1:2", words.OLD_BUTTON),
    ("another chat's photo, by an admin", ADMIN, "elsewhere", "as:1:2", words.OLD_BUTTON),
    ("take back what Max said", OTHER, "room", "undo:1", words.NOT_SAID_BY_YOU),
    ("a new label, by no admin", OTHER, "room", "new:2:{draft}", words.ADMINS_ONLY),
    ("a new label, by nobody", NOBODY, "room", "new:2:{draft}", words.ADMINS_ONLY),
    ("a new label of another name", ADMIN, "room", "new:2:123", words.OLD_BUTTON),
    ("a new label for a photo without a draft", ADMIN, "room", "new:1:123", words.OLD_BUTTON),
    ("a photo of an album that is none", OTHER, "room", "pick:1", words.OLD_BUTTON),
    ("a command's message in place of a photo's", OTHER, "room", "as:4:1", words.OLD_BUTTON),
    ("publish", OTHER, "room", "promote:1", words.ADMINS_ONLY),
    ("discard", NOBODY, "room", "discard:1", words.ADMINS_ONLY),
    ("merge labels", OTHER, "room", "label-merge:1:1:2", words.ADMINS_ONLY),
    ("archive a label", OTHER, "room", "label-away:1:1", words.ADMINS_ONLY),
    ("revert a person", OTHER, "room", "revert:1:1", words.ADMINS_ONLY),
    ("a review", OTHER, "room", "rv-out:1:1:0", words.ADMINS_ONLY),
    ("a review's undo", OTHER, "room", "rv-undo:1:1:0", words.ADMINS_ONLY),
    ("erase Max", OTHER, "room", "forget:1", words.NOT_YOURS),
    ("keep Max's", OTHER, "room", "keep:1", words.NOT_YOURS),
    ("a classifier", OTHER, "room", "classifier:1", None),
    ("nothing", OTHER, "room", "", words.OLD_BUTTON),
    ("negative numbers", OTHER, "room", "as:-1:-2", words.OLD_BUTTON),
    ("too many numbers", OTHER, "room", "as:1:2:3", words.OLD_BUTTON),
    ("a number beyond any", OTHER, "room", "as:" + "9" * 40 + ":1", words.OLD_BUTTON),
    ("other digits", OTHER, "room", "as:²:①", words.OLD_BUTTON),
    ("a page beyond any", OTHER, "room", "else:1:999999999999999999", None),
    ("a command for a verb", OTHER, "room", "/retrain", words.OLD_BUTTON),
    ("SQL", OTHER, "room", "as:1;DROP TABLE photo:1", words.OLD_BUTTON),
]


@pytest.mark.parametrize(("_what", "person", "chat", "data", "sentence"), PRESSES)
def test_a_press_that_is_forged_or_from_elsewhere_changes_nothing(
    taught: Room, _what: str, person: str, chat: str, data: str, sentence: str | None
) -> None:
    before = facts(taught)
    asked = len(taught.answers())
    draft = conversation.draft_mark("Sporting")

    taught.post(person, chat=chat, kind="press", data=data.format(draft=draft))
    taught.deliver()

    assert facts(taught) == before
    said = [Reply.from_json(answer.content).text for answer in taught.answers()[asked:]]
    assert said == ([sentence] if sentence is not None else said[:1])


def test_a_button_makes_the_label_that_it_names_and_no_other(taught: Room) -> None:
    stale = data_of(taught, "Make the new label “Sporting”")
    taught.say("Benfica", ADMIN, reply_to="2")

    taught.post(ADMIN, kind="press", data=stale)

    assert taught.shown().text == words.OLD_BUTTON
    assert taught.label_of("2") is None


def test_a_button_pressed_twice_makes_one_label(taught: Room) -> None:
    make = data_of(taught, "Make the new label “Sporting”")

    taught.post(ADMIN, kind="press", data=make)
    taught.post(ADMIN, kind="press", data=make)

    assert taught.label_of("2") == "Sporting"
    assert taught.shown().text == words.OLD_BUTTON


def test_an_archived_label_s_button_offers_the_others(taught: Room) -> None:
    with taught.database.read() as session:
        stale = f"as:2:{session.scalar(select(Label.id).where(Label.name == 'Newcastle'))}"
    taught.say("/label archive Newcastle", ADMIN)
    taught.press(taught.last(), "Put away 0 photos", ADMIN)

    taught.post(OTHER, kind="press", data=stale)
    taught.deliver()

    assert taught.label_of("2") is None
    assert not any(Reply.from_json(answer.content).title == "Newcastle" for answer in taught.answers())


def test_a_page_of_labels_beyond_the_last_is_the_last(taught: Room) -> None:
    taught.post(OTHER, kind="press", data="else:1:999999999999999999")
    taught.deliver()

    first = Reply.from_json(taught.answers()[0].content)
    assert [choice.text for row in first.choices for choice in row] == ["Botafogo", "Juventus", "Newcastle", "← Back"]


# Replies and posts.


@pytest.mark.parametrize("reply_to", ["999", "0", "", "-1", "a", "9" * 60, "1; DROP TABLE photo"])
def test_a_reply_to_what_is_not_ours_is_small_talk(taught: Room, reply_to: str) -> None:
    before, answers = facts(taught), len(taught.answers())

    taught.say("Newcastle", OTHER, reply_to=reply_to)
    taught.deliver()

    assert (facts(taught), len(taught.answers())) == (before, answers)


def test_a_reply_in_another_chat_to_the_same_number_is_not_about_our_photo(taught: Room) -> None:
    before = facts(taught)

    taught.say("Newcastle", ADMIN, reply_to="1", chat="elsewhere")

    assert facts(taught) == before


def test_a_reply_to_a_deleted_photo_teaches_nothing_and_breaks_nothing(room: Room) -> None:
    photo = room.photo()
    room.post(kind="deleted", reply_to=photo)

    room.say("Newcastle", OTHER, reply_to=photo)
    room.post(kind="deleted", reply_to=photo, message="deleted:again")
    room.post(kind="deleted", reply_to="999")
    room.work("sure", Juventus=0.93)

    assert room.answers() == []
    assert room.label_of(photo) is None


@pytest.mark.parametrize("command", [name for name, known in commands.KNOWN.items() if known.command.who != "everyone"])
def test_nobody_is_never_an_admin(taught: Room, command: str) -> None:
    before = facts(taught)

    taught.say(f"/{command} Juventus", NOBODY)

    assert facts(taught) == before
    assert taught.shown().text == words.ADMINS_ONLY


def test_nobody_s_caption_makes_no_label(room: Room) -> None:
    photo = room.photo(person=NOBODY, caption="#Wanderers")

    room.work("sure", Juventus=0.93)

    assert room.label_of(photo) is None


VERBS = [*commands.PRESSES, "as", "new", "undo", "else", "pick", "back", "menu", ""]
NUMBERS = strategies.one_of(
    strategies.integers(-2, 12).map(str), strategies.integers(10**17, 10**20).map(str), strategies.text(max_size=5)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strategies.sampled_from(VERBS), strategies.lists(NUMBERS, max_size=5))
def test_whatever_a_stranger_presses_nothing_of_others_changes(taught: Room, verb: str, numbers: list[str]) -> None:
    before = facts(taught)

    taught.post("77", kind="press", data=":".join((verb, *numbers))[:100])
    taught.deliver()

    # A stranger may say what a photo shows, like everybody; the votes of others, labels, models and acts stay.
    after = facts(taught)
    assert after[1:5] == before[1:5]
    assert after[-1] == before[-1]
    with taught.database.read() as session:
        others = select(Correction.taken_back_at).where(Correction.id == 1)
        assert session.scalar(others) is None
