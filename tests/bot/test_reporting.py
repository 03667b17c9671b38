"""/report: words at once, the picture as soon as it is drawn; and what an admin may do with a refused version."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import delivery, reporting, words
from snaplabel import labels, people, registry, reports
from snaplabel.database import now
from snaplabel.registry import Card, Exam
from snaplabel.tables import Message, Model, TrainingRun
from tests.bot.room import ADMIN, MEMBER, Room

ROOT = Path(__file__).parents[2]
EXAM = Exam(0.0625, 0.03, 0.12, 96, "exam", {"Juventus": (46, 48), "Newcastle": (44, 48)}, (), 0.031, 0.04)
VERDICT = "Better: 5 exam photos came right and 2 went wrong."


def _version(room: Room, state: str = "current", exam: Exam = EXAM, picture: str | None = None) -> int:
    """A version that was trained beside v0; the id of its training run."""
    with room.database.begin() as session:
        classifier = people.make_classifier(session)
        known = tuple((labels.make(session, classifier.id, name).id, name) for name in ("Juventus", "Newcastle"))
        before = registry.current(session, classifier.id)
        assert before is not None
        number = registry.next_version(session, classifier.id)
        card = Card("default", number, "refit", "tiny-1", known, exam=exam, parent=0, verdict=VERDICT).to_json()
        made = Model(
            classifier_id=classifier.id, version=number, kind="refit", backbone="tiny-1", key="none", card=card
        )
        made.parent_id, made.state = before.id, "candidate"
        session.add(made)
        session.flush()
        if state == "current":
            registry.publish(session, made)
        progress = {"version": number, "new_error": exam.error, "old_error": 0.09375, "fixed": 5, "broken": 2}
        run = TrainingRun(
            classifier_id=classifier.id,
            kind="refit",
            reason="corrections",
            state="done",
            progress=progress,
            model_id=made.id,
            picture=picture,
        )
        session.add(run)
        session.flush()
        return run.id


def _draw(room: Room, run_id: int) -> None:
    """The trainer has drawn it."""
    with room.database.begin() as session:
        reports.drawn(session, run_id, reports.picture_key(run_id))


def test_a_report_is_told_at_once_and_drawn_on_demand(room: Room) -> None:
    run_id = _version(room)

    room.say("/report", MEMBER)
    told = room.shown()
    _draw(room, run_id)
    reporting.follow(room.database, ["test"])

    assert told.title == "v1: 94 % right"
    assert "3 points more than v0: 5 photos came right, 2 went wrong." in told.text
    assert VERDICT in told.text
    assert "drawing" in told.text
    assert told.table.splitlines()[0].startswith("Newcastle 44 of 48 ▇")
    assert ("train.report", run_id) in room.rings
    assert room.shown().picture == reports.picture_key(run_id)
    assert "drawing" not in room.shown().text
    assert len(room.answers()) == 1


@pytest.mark.parametrize(("labels_", "lines"), [(8, 8), (9, 9), (11, 9)])
def test_a_report_says_how_many_labels_it_leaves_out(room: Room, labels_: int, lines: int) -> None:
    recall = {f"label {n}": (n, 20) for n in range(labels_)}
    _version(room, exam=replace(EXAM, recall=recall))

    room.say("/report", MEMBER)

    shown = room.shown().table.splitlines()
    assert len(shown) == lines
    assert (shown[-1] == "… and 3 more") is (labels_ == 11)


def test_a_line_of_a_report_fits_a_phone_and_only_all_right_fills_its_bar(room: Room) -> None:
    recall = {"Great spotted woodpecker of the north": (0, 90), "Magpie": (89, 90), "Robin": (90, 90)}
    _version(room, exam=replace(EXAM, recall=recall))

    room.say("/report", MEMBER)

    assert room.shown().table.splitlines() == [
        "Great spotted woo…  0 of 90 ",
        "Magpie             89 of 90 ▇▇▇▇▇",
        "Robin              90 of 90 ▇▇▇▇▇▇",
    ]


@pytest.mark.parametrize(
    ("old", "new", "begins"),
    [(0.10, 0.07, "3 points more than v6:"), (0.05, 0.06, "1 point less than v6:"), (0.05, 0.05, "As good as v6:")],
)
def test_a_version_is_compared_in_words(old: float, new: float, begins: str) -> None:
    assert words.turned(6, old, new, 0, 1) == f"{begins} 0 photos came right, 1 went wrong."


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.03, 0.12, "between 88 % and 97 %"),
        (0.034, 0.126, "between 87 % and 97 %"),
        (0.07, 0.4, "between 60 % and 93 %"),
        (0.002, 0.07, "between 93 % and 99.8 %"),
        (0.0001, 0.01, "between 99 % and 99.9 %"),
        (0.0, 0.07, "between 93 % and 100 %"),
    ],
)
def test_an_interval_is_rounded_outwards_and_never_to_all(low: float, high: float, said: str) -> None:
    assert words.between(low, high) == said


def test_two_who_ask_at_the_same_time_both_get_the_picture(room: Room) -> None:
    run_id = _version(room)
    room.say("/report", MEMBER)
    room.say("/report 1", ADMIN)
    room.deliver()

    _draw(room, run_id)
    reporting.follow(room.database, ["test"])
    room.deliver()

    assert [answer.content["picture"] for answer in room.answers()] == [reports.picture_key(run_id)] * 2


def test_a_picture_that_is_there_comes_at_once(room: Room) -> None:
    run_id = _version(room, picture="reports/1.png")

    room.say("/report v1", MEMBER)

    assert room.shown().picture == "reports/1.png"
    assert ("train.report", run_id) not in room.rings


def test_who_waits_for_a_picture_in_vain_is_told(room: Room) -> None:
    _version(room)
    room.say("/report", MEMBER)
    with room.database.begin() as session:
        for message in session.scalars(select(Message)):
            message.answered_at = now() - timedelta(minutes=2)

    reporting.follow(room.database, ["test"])

    assert "not drawn yet" in room.shown().text
    assert room.shown().picture is None
    with room.database.read() as session:
        assert set(session.scalars(select(Message.draft))) == {None}


def test_a_picture_is_still_awaited_for_a_while(room: Room) -> None:
    _version(room)
    room.say("/report", MEMBER)

    reporting.follow(room.database, ["test"])

    assert "drawing" in room.shown().text


def test_a_label_that_sounds_like_a_report_is_a_label(room: Room) -> None:
    run_id = _version(room, picture="reports/1.png")
    mine = room.photo(1, MEMBER)
    room.work("sure", Juventus=0.93)
    room.say(f"report {run_id}", ADMIN, reply_to=mine)
    room.say(f"report\n{run_id}", ADMIN, reply_to=mine)
    asked = room.shown()

    reporting.follow(room.database, ["test"])

    assert room.shown() == asked


def test_a_version_without_an_exam_has_words_only(room: Room) -> None:
    _version(room, exam=Exam())

    room.say("/report", MEMBER)

    assert room.shown().title == "v1: no exam yet"
    assert room.rings == []


@pytest.mark.parametrize("argument", ["77", "abc", "9" * 30])
def test_a_report_of_no_version_says_which_there_are(room: Room, argument: str) -> None:
    room.say(f"/report {argument}", MEMBER)

    assert room.shown().mood == "error"


def test_a_refused_version_can_be_published_from_its_report(room: Room) -> None:
    _version(room, state="candidate")
    room.say("/report 1", ADMIN)
    assert room.shown().mood == "maybe"

    room.press(room.last(), "Publish it anyway", ADMIN)

    assert room.shown().title == "v1 is live"
    with room.database.read() as session:
        assert registry.find(session, 1, 1).state == "current"
        assert registry.find(session, 1, 0).state == "retired"


def test_a_refused_version_can_be_discarded_and_keeps_its_report(room: Room) -> None:
    run_id = _version(room, state="candidate", picture="reports/1.png")
    room.say("/report 1", ADMIN)

    room.press(room.last(), "Discard", ADMIN)
    put_aside = room.shown().title
    room.say("/report 1", MEMBER)

    assert put_aside == "v1 is put aside"
    assert (room.shown().title, room.shown().picture) == ("v1: 94 % right", "reports/1.png")
    with room.database.read() as session:
        assert registry.find(session, 1, 1).state == "discarded"
        assert reports.run_of(session, registry.find(session, 1, 1)).id == run_id  # type: ignore[union-attr]


def test_status_names_the_version_that_waits_for_an_admin(room: Room) -> None:
    _version(room, state="candidate")
    _version(room, state="candidate")

    room.say("/status", ADMIN)
    to_an_admin = room.shown().text
    room.say("/status", MEMBER)

    assert "v2 waits for an admin: /report 2, /promote 2 or /discard 2." in to_an_admin.splitlines()
    assert "v2 waits for an admin: /report 2." in room.shown().text.splitlines()


def test_status_names_no_version_that_waits_behind_the_current_one_or_was_put_aside(room: Room) -> None:
    _version(room, state="candidate")
    _version(room)
    _version(room, state="candidate")
    room.say("/discard 3", ADMIN)

    room.say("/status", ADMIN)

    assert "waits for an admin" not in room.shown().text


def test_the_last_training_is_the_one_that_ended_last(room: Room) -> None:
    with room.database.begin() as session:
        moment = now()
        for kind, verdict, ended_at in (
            ("fine_tune", "Kept aside: it proved nothing.", moment),
            ("refit", "Published.", moment - timedelta(hours=1)),
        ):
            run = TrainingRun(classifier_id=1, kind=kind, reason="schedule", state="done", finished_at=ended_at)
            run.progress = {"verdict": verdict}
            session.add(run)

    room.say("/status", MEMBER)

    assert "Kept aside: it proved nothing." in room.shown().text
    assert "Published." not in room.shown().text


def test_members_cannot_publish_what_was_refused(room: Room) -> None:
    _version(room, state="candidate")
    room.say("/report 1", MEMBER)

    room.press(room.last(), "Publish it anyway", MEMBER)

    assert room.shown().mood == "error"
    with room.database.read() as session:
        assert registry.find(session, 1, 1).state == "candidate"


def test_who_is_forgotten_leaves_the_pictures_of_reports(room: Room) -> None:
    room.photo(1, MEMBER)
    room.work("sure", Juventus=0.93)
    run_id = _version(room, picture="reports/1.png")
    room.store.put("reports/1.png", b"a picture that may show the photo")
    room.say("/report 1", ADMIN)
    shown = room.last().id

    room.say("/forget", MEMBER)
    room.press(room.last(), "Erase them", MEMBER)
    room.deliver()

    assert not room.store.has("reports/1.png")
    assert {answer.id: answer.content["picture"] for answer in room.answers()}[shown] == ""
    with room.database.read() as session:
        assert session.get_one(TrainingRun, run_id).picture is None


def test_a_finished_training_says_how_far_chance_may_have_moved_its_score(room: Room) -> None:
    room.say("/retrain", ADMIN)
    with room.database.begin() as session:
        run = session.scalars(select(TrainingRun)).one()
        run.state, run.finished_at = "done", now()
        run.progress = {
            **{"old_error": 0.1, "new_error": 0.06, "low": 0.03, "high": 0.12, "asked": 96, "by": "exam"},
            **{"version": 1, "published": True, "verdict": VERDICT},
        }

    delivery.follow_trainings(room.database, ["test"])

    first = room.shown().text.splitlines()[0]
    assert first == "90 % right → 94 % right on the exam (between 88 % and 97 %, 96 photos)"


def test_a_cross_validated_score_is_not_called_an_exam(room: Room) -> None:
    room.say("/retrain", ADMIN)
    with room.database.begin() as session:
        run = session.scalars(select(TrainingRun)).one()
        run.state, run.finished_at = "done", now()
        run.progress = {
            **{"old_error": None, "new_error": 0.2, "low": 0.1, "high": 0.4, "asked": 20, "by": "cross-validation"},
            **{"version": 1, "published": True, "verdict": "The first model."},
        }

    delivery.follow_trainings(room.database, ["test"])

    assert room.shown().text.startswith("80 % right in a cross-validation (between 60 % and 90 %, 20 photos)")


def test_every_bell_that_the_bot_rings_is_heard() -> None:
    heard = "".join(
        path.read_text() for path in (ROOT / "trainer/serve.py", ROOT / "worker/tasks.py", ROOT / "worker/app.py")
    )
    rung = {
        name
        for path in (ROOT / "bot").rglob("*.py")
        for name in re.findall(r'"((?:train|classify)\.\w+)"', path.read_text())
    }

    assert {"train.report", "train.run", "train.learn"} <= rung
    assert [name for name in sorted(rung) if f'"{name}"' not in heard] == []
