"""Trainings and versions: one of a kind at a time, taken up again after a death, and one current model."""

from datetime import timedelta

import pytest

from snaplabel import people, registry, trainings
from snaplabel.database import Database, now
from snaplabel.errors import AlreadyTraining, ModelError
from snaplabel.registry import Card, Exam
from snaplabel.tables import Model, TrainingRun


def test_a_classifier_has_one_training_of_a_kind_at_a_time(database: Database) -> None:
    with database.begin() as session:
        birds, shirts = (people.make_classifier(session, name).id for name in ("birds", "shirts"))
        trainings.ask(session, birds, "fine_tune", "command")

        with pytest.raises(AlreadyTraining):
            trainings.ask(session, birds, "fine_tune", "schedule")
        trainings.ask(session, birds, "refit", "corrections")
        with pytest.raises(AlreadyTraining):
            trainings.ask(session, birds, "refit", "command")
        trainings.ask(session, shirts, "fine_tune", "command")


@pytest.mark.parametrize("kinds", [("refit", "fine_tune"), ("fine_tune", "refit")])
def test_of_two_trainings_the_fine_tune_is_shown_and_called_off_first(
    database: Database, kinds: tuple[str, ...]
) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session).id
        for kind in kinds:
            trainings.ask(session, classifier, kind, "command")

        shown = trainings.active(session, classifier)
        assert shown is not None
        assert shown.kind == "fine_tune"
        first, second = trainings.cancel(session, classifier), trainings.cancel(session, classifier)
        assert first is not None
        assert second is not None
        assert (first.kind, second.kind) == ("fine_tune", "refit")
        assert trainings.cancel(session, classifier) is None


def test_a_training_left_behind_is_found_once_its_process_was_silent(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session).id
        run = trainings.ask(session, classifier, "fine_tune", "cli")
        assert trainings.left_behind(session, classifier, "fine_tune") is None
        trainings.claim(session, run.id)
        assert trainings.left_behind(session, classifier, "fine_tune") is None

        run.beat_at = now() - timedelta(minutes=5)
        session.flush()

        assert trainings.left_behind(session, classifier, "fine_tune") is run
        assert trainings.left_behind(session, classifier, "refit") is None


def test_a_training_is_claimed_once(database: Database) -> None:
    with database.begin() as session:
        run = trainings.ask(session, people.make_classifier(session).id, "refit", "command")

        assert trainings.claim(session, run.id) is not None
        assert trainings.claim(session, run.id) is None


def test_a_training_whose_process_died_is_taken_up_again_three_times(database: Database) -> None:
    with database.begin() as session:
        run = trainings.ask(session, people.make_classifier(session).id, "fine_tune", "command")
        for _ in range(3):
            assert trainings.claim(session, run.id) is not None
            run.beat_at = now() - timedelta(minutes=5)
            session.flush()

        assert trainings.claim(session, run.id) is None
        session.refresh(run)
        assert run.state == "failed"


def test_a_cancelled_training_hears_of_it_at_its_next_report(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session).id
        run = trainings.ask(session, classifier, "fine_tune", "command")
        trainings.claim(session, run.id)

        assert trainings.report(session, run.id, {"done": 0.1})
        trainings.cancel(session, classifier)
        session.flush()
        assert not trainings.report(session, run.id, {"done": 0.2})


def test_after_its_end_the_next_training_may_start(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session).id
        run = trainings.ask(session, classifier, "refit", "command")
        trainings.finish(session, run.id, "done", progress={"version": 1})

        assert trainings.ask(session, classifier, "refit", "command").id != run.id
        assert session.get(TrainingRun, run.id) is not None


def _model(database: Database, state: str = "candidate") -> int:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        version = registry.next_version(session, classifier.id)
        card = Card("default", version, "refit", "b", ((1, "cat"),), exam=Exam(0.1, 0.05, 0.2, 50))
        model = Model(
            classifier_id=classifier.id, version=version, kind="refit", backbone="b", key="k", card=card.to_json()
        )
        session.add(model)
        session.flush()
        if state == "current":
            registry.publish(session, model)
        return version


def test_exactly_one_version_is_current(database: Database) -> None:
    for _ in range(3):
        _model(database, "current")

    with database.begin() as session:
        states = {model.version: model.state for model in registry.versions(session, 1)}
    assert states == {2: "current", 1: "retired", 0: "retired"}


def test_rollback_steps_back_through_published_versions_only(database: Database) -> None:
    _model(database, "current")
    _model(database)
    _model(database, "current")

    with database.begin() as session:
        assert registry.rollback(session, 1).version == 0
        with pytest.raises(ModelError, match="no earlier version"):
            registry.rollback(session, 1)
        assert registry.rollback(session, 1, 2).version == 2
        with pytest.raises(ModelError, match=r"no v9\. There are: v2, v1, v0"):
            registry.rollback(session, 1, 9)


def test_promoting_takes_what_can_answer_and_does_not_yet(database: Database) -> None:
    _model(database, "current")
    _model(database)
    with database.begin() as session:
        first = registry.find(session, 1, 0)
        first.card = {**first.card, "labels": []}
        assert registry.promote(session, 1, 1).state == "current"

    with database.begin() as session:
        for again in (registry.promote, registry.rollback):
            with pytest.raises(ModelError, match="v1 is the current model already"):
                again(session, 1, 1)
            with pytest.raises(ModelError, match="v0 has learnt no labels yet"):
                again(session, 1, 0)


def test_what_was_put_aside_is_no_more_stepped_back_to(database: Database) -> None:
    for _ in range(3):
        _model(database, "current")

    with database.begin() as session:
        registry.discard(session, 1, 1)
        with pytest.raises(ModelError, match="v1 is put aside already"):
            registry.discard(session, 1, 1)
        assert registry.rollback(session, 1).version == 0


def test_a_card_survives_json() -> None:
    recall = {"cat": (9, 10)}
    card = Card("birds", 3, "refit", "b", ((7, "cat"),), exam=Exam(0.1, 0.0, 0.3, 10, "exam", recall, (("a", "b", 2),)))

    assert Card.from_json(card.to_json()) == card


def test_rollback_never_steps_back_to_a_model_that_knows_no_label(database: Database) -> None:
    _model(database, "current")
    _model(database, "current")
    with database.begin() as session:
        registry.find(session, 1, 0).kind = "backbone"

    with database.begin() as session, pytest.raises(ModelError, match="no earlier version"):
        registry.rollback(session, 1)
