"""What the clock and the doorbell start by themselves, and what they leave alone."""

from datetime import timedelta
from typing import Any

from snaplabel import registry, trainings
from snaplabel.database import now
from snaplabel.tables import TrainingRun
from trainer import clock


def _plant(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")


def _runs(planted: Any) -> list[TrainingRun]:
    with planted.database.read() as session:
        return list(session.query(TrainingRun).order_by(TrainingRun.id))


def test_a_correction_is_learnt(planted: Any) -> None:
    _plant(planted)

    clock.learn(planted.context(), planted.classifier_id)

    assert planted.current().version == 1
    assert [(one.kind, one.reason) for one in _runs(planted)] == [("refit", "corrections")]


def test_nothing_new_starts_nothing(planted: Any) -> None:
    _plant(planted)
    clock.learn(planted.context(), planted.classifier_id)

    clock.learn(planted.context(), planted.classifier_id)

    assert len(_runs(planted)) == 1


def test_one_label_starts_nothing(planted: Any) -> None:
    planted.photos(3, "ant")

    clock.learn(planted.context(), planted.classifier_id)

    assert _runs(planted) == []


def test_a_refused_candidate_is_not_made_again(planted: Any) -> None:
    _plant(planted)
    clock.learn(planted.context(), planted.classifier_id)
    planted.photos(80, "ant", looks="bee")
    clock.learn(planted.context(), planted.classifier_id)
    assert planted.current().version == 1

    clock.learn(planted.context(), planted.classifier_id)
    clock.due(planted.context())

    assert len(_runs(planted)) == 2


def test_a_version_that_was_rolled_back_is_not_made_again(planted: Any) -> None:
    _plant(planted)
    clock.learn(planted.context(), planted.classifier_id)
    planted.photo("ant")
    clock.learn(planted.context(), planted.classifier_id)
    with planted.database.begin() as session:
        registry.rollback(session, planted.classifier_id)

    clock.due(planted.context())

    assert planted.current().version == 1


def test_a_lesson_is_learnt_while_a_network_is_taught(planted: Any) -> None:
    _plant(planted)
    with planted.database.begin() as session:
        trainings.claim(session, trainings.ask(session, planted.classifier_id, "fine_tune", "command").id)

    clock.learn(planted.context(), planted.classifier_id)

    assert [(one.kind, one.state) for one in _runs(planted)] == [("fine_tune", "running"), ("refit", "done")]
    assert planted.current().version == 1


def test_the_tick_hands_on_what_was_not_taken(planted: Any) -> None:
    _plant(planted)
    with planted.database.begin() as session:
        for kind in ("fine_tune", "refit"):
            run = trainings.ask(session, planted.classifier_id, kind, "command")
            run.created_at = now() - timedelta(minutes=1)
    handed: list[int] = []

    clock.due(planted.context(), handed.append)

    assert handed == [one.id for one in _runs(planted)[:2]]


def test_a_lost_bell_is_made_good_by_the_tick(planted: Any) -> None:
    _plant(planted)

    clock.due(planted.context())

    assert planted.current().version == 1


def test_a_queued_run_that_nobody_took_is_taken_up(planted: Any) -> None:
    _plant(planted)
    with planted.database.begin() as session:
        run = trainings.ask(session, planted.classifier_id, "refit", "command")
        run.created_at = now() - timedelta(minutes=1)

    clock.due(planted.context())

    assert [(one.reason, one.state) for one in _runs(planted)] == [("command", "done")]


def test_a_run_whose_trainer_died_is_taken_up(planted: Any) -> None:
    _plant(planted)
    with planted.database.begin() as session:
        run = trainings.ask(session, planted.classifier_id, "refit", "command")
        run.state, run.attempts, run.beat_at = "running", 1, now() - timedelta(minutes=5)

    clock.due(planted.context())

    assert [(one.attempts, one.state) for one in _runs(planted)] == [(2, "done")]


def test_a_fresh_run_is_left_to_whoever_was_rung_for(planted: Any) -> None:
    _plant(planted)
    with planted.database.begin() as session:
        trainings.ask(session, planted.classifier_id, "refit", "command")

    clock.due(planted.context())

    assert [one.state for one in _runs(planted)] == ["queued"]


def test_a_failed_training_is_not_insisted_on(planted: Any) -> None:
    _plant(planted)

    def embed(*_: Any) -> None:
        raise ZeroDivisionError

    clock.due(planted.context(embed=embed))
    clock.due(planted.context(embed=embed))

    assert [one.state for one in _runs(planted)] == ["failed"]
