"""Labels and people by command: what admins may do in a chat, and what asks once more first."""

import pytest
from sqlalchemy import select

from snaplabel import corrections, labels, people
from snaplabel.tables import Act, Correction, Label, Photo, Prediction
from tests.bot.room import ADMIN, MEMBER, OTHER, Room


def _labels(room: Room) -> list[str]:
    with room.database.read() as session:
        return [label.name for label in labels.every(session, people.make_classifier(session).id)]


@pytest.mark.parametrize("command", ["/label rename Juventus = X", "/label", "/people", "/revert test:1"])
def test_members_are_kindly_refused(room: Room, command: str) -> None:
    room.say(command, MEMBER)

    assert room.shown().text.startswith("Only the admins")
    assert _labels(room) == ["Botafogo", "Juventus", "Newcastle"]


def test_without_an_argument_examples_are_shown(room: Room) -> None:
    room.say("/label", ADMIN)

    assert "/label rename" in room.shown().text
    assert "/label merge ants = ant" in room.shown().text


def test_an_answer_shows_the_new_name_before_any_training(room: Room) -> None:
    room.say("/label rename juventus = Juventus Turin", ADMIN)
    renamed = room.shown().title

    room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05)

    assert renamed == "Juventus is now called Juventus Turin"
    assert room.shown().title == "Juventus Turin, quite sure"
    assert ("train.learn", 1) in room.rings


def test_people_may_go_on_using_the_old_name(room: Room) -> None:
    room.say("/label rename Newcastle = Newcastle United", ADMIN)
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("newcaslte", reply_to=photo)

    assert room.label_of(photo) == "Newcastle United"


def test_a_merge_says_what_moves_and_waits_for_a_yes(room: Room) -> None:
    room.label("Newcastles")
    photo = room.photo(1, caption="#Newcastles")
    room.say("/label merge Newcastles into Newcastle", ADMIN)
    asked, before = room.buttons(), room.label_of(photo)

    room.press(room.last(), "Move 1 photo", ADMIN)

    assert asked == ["Move 1 photo", "Leave it"]
    assert before == "Newcastles"
    assert room.label_of(photo) == "Newcastle"
    assert room.shown().title == "Newcastles is Newcastle now"
    assert ("train.learn", 1) in room.rings


def test_a_member_cannot_press_the_yes_of_an_admin(room: Room) -> None:
    room.say("/label merge Juventus = Newcastle", ADMIN)

    room.press(room.last(), "Move 0 photos", MEMBER)

    assert "Juventus" in _labels(room)


def test_a_merge_can_be_left(room: Room) -> None:
    room.say("/label merge Juventus = Newcastle", ADMIN)

    room.press(room.last(), "Leave it", ADMIN)

    assert room.shown().text == "All right, nothing was changed."
    assert "Juventus" in _labels(room)


def test_an_answer_of_before_a_merge_is_shown_as_one_label(room: Room) -> None:
    room.label("Newcastles")
    room.say("/label merge Newcastles = Newcastle", ADMIN)
    room.press(room.last(), "Move 0 photos", ADMIN)
    with room.database.read() as session:
        merged = session.scalars(select(Label).where(Label.name == "Newcastles")).one().id

    room.photo()
    room.work("maybe", Newcastle=0.5)
    with room.database.begin() as session:
        said = session.scalars(select(Prediction)).one()
        said.top = [[merged, 0.4], *said.top[:1]]
    room.say("/label alias Newcastle = the Magpies", ADMIN)
    room.press(room.answers()[1], "Something else…")
    room.press(room.answers()[1], "← Back")

    assert room.answers()[1].content["choices"][0][0]["text"] == "✓ Newcastle"
    assert room.answers()[1].content["text"] == "90 %"


def test_archiving_asks_first_and_restoring_brings_it_back(room: Room) -> None:
    photo = room.photo(1, caption="#Botafogo")
    room.work("sure", Juventus=0.9)
    room.say("/label archive botafogo", ADMIN)
    room.press(room.last(), "Put away 1 photo", ADMIN)
    gone, shown = _labels(room), room.shown().title

    room.say("/label restore Botafogo", ADMIN)

    assert gone == ["Juventus", "Newcastle"]
    assert shown == "Botafogo is archived"
    assert room.shown().title == "Botafogo is back"
    assert room.label_of(photo) == "Botafogo"


def test_an_answer_that_named_an_archived_label_is_taken_back(room: Room) -> None:
    room.photo(1)
    room.work("sure", Juventus=0.9, Newcastle=0.1)
    room.say("/label archive Juventus", ADMIN)
    room.press(room.last(), "Put away 0 photos", ADMIN)

    room.press(room.answers()[0], "Something else…")
    room.press(room.answers()[0], "← Back")

    assert room.answers()[0].content["title"] == "I don't know this one"
    assert room.answers()[0].content["choices"][0][0]["text"] == "Newcastle"


def test_either_order_of_an_alias_is_understood(room: Room) -> None:
    room.say("/label alias Juventus = old lady", ADMIN)
    room.say("/label alias foot of fire = Botafogo", ADMIN)
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("Foot of Fire", reply_to=photo)

    assert room.label_of(photo) == "Botafogo"
    assert room.answers()[0].content["text"] == "“old lady” is another name of Juventus now."


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("/label rename Juvntus Torino = X", "There is no label “Juvntus Torino”."),
        ("/label rename Juventsu = X", "Did you mean “Juventus”?"),
        ("/label rename Juventus", "Name two"),
        ("/label rename Juventus = Newcastle", "There is a label “Newcastle” already"),
        ("/label merge Juventus = juventus", "are the same label already"),
        ("/label restore Juventus", "“Juventus” is not archived."),
        ("/label rename Juventus = " + "x" * 50, "at most 40 letters"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(room: Room, command: str, sentence: str) -> None:
    room.say(command, ADMIN)

    assert sentence in room.shown().text
    assert room.shown().mood == "error"
    assert _labels(room) == ["Botafogo", "Juventus", "Newcastle"]


def test_labels_offers_admins_to_merge_what_may_be_the_same(room: Room) -> None:
    room.label("Newcastles")
    room.photo(1, caption="#Newcastle")

    room.say("/labels", MEMBER)
    members = room.buttons()
    room.say("/labels", ADMIN)
    offered = room.buttons()
    room.press(room.last(), "Merge Newcastles into Newcastle", ADMIN)
    room.press(room.last(), "Move 0 photos", ADMIN)

    assert members == []
    assert offered == ["Merge Newcastles into Newcastle"]
    assert "Newcastles" not in _labels(room)


def test_people_lists_who_corrected_with_the_id_that_a_revert_takes(room: Room) -> None:
    for seed in (1, 2):
        photo = room.photo(seed, OTHER)
        room.work("sure", Juventus=0.93)
        room.say("Newcastle", OTHER, reply_to=photo)
    room.say("Newcastle", ADMIN, reply_to=photo)

    room.say("/people", ADMIN)

    assert room.shown().table.splitlines() == [
        "test:3  Olga: 2 corrections, right 1 of 1",
        "test:1  Anna: 1 correction, admin",
    ]


@pytest.mark.parametrize("how", ["id", "their photo", "their text", "the answer"])
def test_a_revert_names_whom_and_how_many_and_waits_for_a_yes(room: Room, how: str) -> None:
    photo = room.photo(1, OTHER)
    room.work("sure", Juventus=0.93)
    text = room.say("Newcastle", OTHER, reply_to=photo)
    replies = {"their photo": photo, "their text": text, "the answer": room.last().platform_id}
    room.say("/revert test:3" if how == "id" else "/revert", ADMIN, reply_to=replies.get(how))
    question, before = room.shown().title, room.label_of(photo)
    room.rings.clear()

    room.press(room.last(), "Take back 1 correction", ADMIN)

    assert question == "Take back everything that Olga corrected?"
    assert before == "Newcastle"
    assert room.label_of(photo) is None
    assert room.shown().text == "1 correction by Olga taken back."
    assert room.answers()[0].content["title"] == "Juventus, quite sure"
    assert room.rings == [("train.learn", 1)]
    with room.database.read() as session:
        act = session.scalars(select(Act)).one()
        assert session.scalars(select(Correction)).one().taken_back_at is not None
    assert (act.verb, act.facts["corrections"]) == ("revert", 1)


@pytest.mark.parametrize("argument", ["", " nobody", " test:99", " test:2"])
def test_a_revert_of_nobody_says_how(room: Room, argument: str) -> None:
    room.photo(1, MEMBER)

    room.say(f"/revert{argument}", ADMIN)

    assert room.buttons() == []
    assert "Whose corrections?" in room.shown().text or "no corrections by somebody" in room.shown().text


def test_what_was_imported_is_not_reverted_from_a_chat(room: Room) -> None:
    photo = room.photo(1, MEMBER)
    with room.database.begin() as session:
        importer = people.person(session, "local", "import", "import")
        found, label = session.scalars(select(Photo)).one(), labels.make(session, 1, "Torino")
        corrections.vote(session, found, importer, label, is_admin=True, votes_needed=0.5)

    room.say("/revert local:import", ADMIN)

    assert room.buttons() == []
    assert "snaplabel revert local:import --yes" in room.shown().text
    assert room.label_of(photo) == "Torino"


@pytest.mark.parametrize(
    "data", ["label-merge:1:x:2", "label-merge:1:1", "label-away:1:99999", "revert:1:77", "revert:1", "label-ask:9:1:2"]
)
def test_forged_buttons_change_nothing(room: Room, data: str) -> None:
    room.say("/label", ADMIN)

    room.post(ADMIN, kind="press", data=data)

    assert _labels(room) == ["Botafogo", "Juventus", "Newcastle"]
