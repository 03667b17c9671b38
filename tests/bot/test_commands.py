"""The commands: what they say, who may use them, and what they set off."""

import pytest
from sqlalchemy import select

from bot import delivery
from snaplabel import acts, registry, trainings
from snaplabel.errors import NothingToLearn
from snaplabel.store import photo_key
from snaplabel.tables import Correction, Message, Model, Person, Photo, TrainingRun
from tests.bot.room import ADMIN, MEMBER, OTHER, Room


@pytest.mark.parametrize("command", ["/retrain", "/retrain full", "/rollback", "/cancel", "/use birds", "/promote 1"])
def test_members_are_kindly_refused_what_admins_may(room: Room, command: str) -> None:
    room.say(command, MEMBER)

    assert room.shown().text.startswith("Only the admins")
    with room.database.read() as session:
        assert session.scalars(select(TrainingRun)).all() == []


def test_help_lists_for_each_what_they_may(room: Room) -> None:
    room.say("/help", MEMBER)
    members = room.shown().table
    room.say("/start", ADMIN)
    admins = room.shown().table

    assert "/labels" in members
    assert "/retrain" not in members
    assert "/retrain" in admins


def test_labels_come_with_their_counts(room: Room) -> None:
    room.photo(1, caption="#Newcastle")
    room.photo(2, caption="#Newcastle")

    room.say("/labels")

    assert room.shown().title == "3 labels"
    assert room.shown().table.splitlines()[0].startswith("Newcastle    2")


def test_retrain_is_watched_in_one_message_to_its_end(room: Room) -> None:
    room.say("/retrain full", ADMIN)
    queued = room.shown()
    with room.database.begin() as session:
        run = trainings.claim(session, 1)
        trainings.report(session, 1, {"step": "training", "done": 0.5, "epoch": 2, "epochs": 4, "error_rate": 0.25})
    delivery.follow_trainings(room.database, ["test"])
    halfway = room.shown()
    with room.database.begin() as session:
        done = {"old_error": 0.5, "new_error": 0.1, "version": 3, "published": True, "verdict": "Better."}
        trainings.finish(session, 1, "done", progress=done, picture="reports/1.png")
    delivery.follow_trainings(room.database, ["test"])

    assert run is not None
    assert queued.text.startswith("▱▱▱")
    assert "▰▰▰▰▰▰▱▱▱▱▱▱ 50 %" in halfway.text
    assert "epoch 2 of 4, 75 % right so far" in halfway.text
    assert room.shown().title == "v3 is live"
    assert room.shown().text == "50 % right → 90 % right on the exam\nBetter."
    assert room.shown().picture == "reports/1.png"
    assert len(room.answers()) == 1
    assert ("train.run", 1) in room.rings


@pytest.mark.parametrize("command", ["/retrain", "/retrain full"])
def test_a_second_training_is_refused_while_one_runs(room: Room, command: str) -> None:
    room.say(command, ADMIN)

    room.say(command, ADMIN)

    assert "running already" in room.shown().text


def test_the_head_is_refitted_beside_a_full_training(room: Room) -> None:
    room.say("/retrain full", ADMIN)

    room.say("/retrain", ADMIN)

    assert [task for task, _ in room.rings if task == "train.run"] == ["train.run", "train.run"]
    with room.database.read() as session:
        assert [run.kind for run in session.scalars(select(TrainingRun))] == ["fine_tune", "refit"]


def test_cancel_stops_a_queued_training(room: Room) -> None:
    room.say("/retrain", ADMIN)

    room.say("/cancel", ADMIN)
    delivery.follow_trainings(room.database, ["test"])
    room.deliver()

    first = room.answers()[0].content
    assert first["title"] == "Training stopped"


def test_a_candidate_that_was_not_better_can_be_published_by_its_button(room: Room) -> None:
    from snaplabel import people, registry

    room.model("Juventus")
    with room.database.begin() as session:
        old = registry.find(session, people.make_classifier(session).id, 0)
        old.state = "candidate"
    room.say("/promote v0", ADMIN)

    assert room.shown().title == "v0 is live"


def test_rollback_goes_one_version_back(room: Room) -> None:
    room.model("Juventus")

    room.say("/rollback", ADMIN)

    assert room.shown().title == "Back to v0"


@pytest.mark.parametrize("argument", ["77", "abc", "-1", "9" * 30])
def test_a_rollback_to_nowhere_says_so(room: Room, argument: str) -> None:
    room.say(f"/rollback {argument}", ADMIN)

    assert room.shown().mood == "error"


def test_status_names_model_score_queue_and_what_is_missing(room: Room) -> None:
    room.photo()

    room.say("/status")

    assert room.shown().title == "v0, 3 labels"
    assert "1 photo is waiting" in room.shown().text
    assert "4 more labels" in room.shown().text


def test_status_says_when_too_little_is_proven_to_be_sure_of_anything(room: Room) -> None:
    with room.database.begin() as session:
        model = session.scalars(select(Model)).one()
        model.card = {**model.card, "sure_at": 2.0}

    room.say("/status")

    assert "I say “quite sure” of nothing yet" in room.shown().text


def test_use_makes_a_classifier_after_one_question_and_switches(room: Room) -> None:
    room.say("/use birds", ADMIN)
    room.press(room.last(), "Make the classifier “birds”", ADMIN)
    room.say("/labels")

    assert room.shown().title == "No labels yet"
    assert any(task == "train.prepare" for task, _ in room.rings)


def test_forget_erases_photos_bytes_and_corrections_after_a_yes(room: Room) -> None:
    mine = room.photo(1, MEMBER)
    theirs = room.photo(2, OTHER)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", MEMBER, reply_to=mine)
    room.say("Newcastle", MEMBER, reply_to=theirs)
    with room.database.read() as session:
        key = photo_key(session.scalars(select(Photo).order_by(Photo.id)).all()[0].sha256)
    assert room.store.has(key)

    room.say("/forget", MEMBER)
    room.press(room.last(), "Erase them", MEMBER)

    with room.database.read() as session:
        assert len(session.scalars(select(Photo)).all()) == 1
        assert session.scalars(select(Correction)).all() == []
    assert not room.store.has(key)
    assert room.label_of(theirs) is None
    assert room.answers()[0].content["text"] == "Erased, as its sender wished."
    assert room.shown().title == "Forgotten"


def test_nobody_else_can_press_erase(room: Room) -> None:
    room.photo(1, MEMBER)
    room.work("sure", Juventus=0.93)
    room.say("/forget", MEMBER)

    room.press(room.last(), "Erase them", OTHER)

    with room.database.read() as session:
        assert len(session.scalars(select(Photo)).all()) == 1


def test_a_command_is_answered_where_it_was_asked(room: Room) -> None:
    asked = room.say("/stats", token="interaction:1:secret")

    with room.database.read() as session:
        message = session.scalars(select(Message).where(Message.platform_id == asked)).one()
    assert room.last().reply_to == "interaction:1:secret"
    assert message.payload is None


def test_a_retrain_with_nothing_new_says_what_stays(room: Room) -> None:
    room.say("/retrain", ADMIN)
    with room.database.begin() as session:
        idle = {"verdict": "Nothing new to learn.", "published": False, "version": 2, "old_error": 0.04}
        trainings.finish(session, 1, "done", progress=idle)

    delivery.follow_trainings(room.database, ["test"])

    assert room.shown().title == "No new version"
    assert room.shown().text == "Nothing new to learn. v2 stays: 96 % right on the exam."
    assert room.buttons() == []


def test_a_training_that_has_too_little_to_learn_from_has_not_failed(room: Room) -> None:
    room.say("/retrain", ADMIN)
    with room.database.begin() as session:
        trainings.finish(session, 1, "failed", failure=str(NothingToLearn()))

    delivery.follow_trainings(room.database, ["test"])

    assert room.shown().title == "Can't train yet"
    assert room.shown().text.startswith("There are not enough labelled photos")


def test_a_training_of_no_known_kind_is_not_begun_and_says_which_there_are(room: Room) -> None:
    room.say("/retrain fast", ADMIN)

    assert "/retrain full" in room.shown().text
    assert room.rings == []


@pytest.mark.parametrize(("name", "ends"), [("Max", "Best teachers: Max 1."), ("", "1 photo, 1 with a label.")])
def test_teachers_are_praised_where_anybody_has_a_name(room: Room, name: str, ends: str) -> None:
    room.photo(1, caption="#Newcastle", name=name)

    room.say("/stats", name=name)

    assert room.shown().text.endswith(ends)


def test_versions_are_listed_with_what_made_them(room: Room) -> None:
    with room.database.begin() as session:
        registry.find(session, 1, 0).kind = "fine_tune"
    room.model("Juventus")

    room.say("/models")

    made_by = [line.rpartition("  ")[2] for line in room.shown().table.splitlines()]
    assert made_by == ["learnt corrections", "whole network"]


def test_what_admins_do_is_written_down_with_who_did_it(room: Room) -> None:
    room.say("/retrain", ADMIN)
    room.say("/cancel", ADMIN)
    room.say("/retrain", MEMBER)

    with room.database.read() as session:
        done = [(act.verb, session.get_one(Person, act.person_id).platform_id) for act in acts.recent(session)]
    assert done == [("cancel", ADMIN), ("retrain", ADMIN)]
