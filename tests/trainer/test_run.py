"""A refit from its row in the database to a published version, or to a sentence that says why not."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from snaplabel import heads, registry, trainings
from snaplabel.database import now
from snaplabel.registry import Card
from snaplabel.tables import Photo, Prediction, TrainingRun
from trainer import run


def _ask(planted: Any, kind: str = "refit", reason: str = "corrections") -> int:
    with planted.database.begin() as session:
        return int(trainings.ask(session, planted.classifier_id, kind, reason).id)


def _row(planted: Any, run_id: int) -> TrainingRun:
    with planted.database.read() as session:
        return session.get_one(TrainingRun, run_id)  # type: ignore[no-any-return]


def _train(planted: Any, reason: str = "corrections") -> TrainingRun:
    return planted.refit(reason)  # type: ignore[no-any-return]


def _plant(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")


def test_the_first_refit_is_published(planted: Any) -> None:
    _plant(planted)

    over = _train(planted)

    model = planted.current()
    card = Card.from_json(model.card)
    assert over.state == "done"
    assert over.model_id == model.id
    assert (model.version, model.kind, model.backbone) == (1, "refit", "tiny-000000000000")
    assert [name for _, name in card.labels] == ["ant", "bee"]
    assert card.exam.error == 0.0
    assert card.exam.photos == 12
    assert card.photos == 24
    assert card.fingerprint
    assert card.recipe["refit"]["folds"] == 5
    assert over.progress["published"] is True
    assert over.progress["done"] == 1.0


def test_the_published_head_can_be_served(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    photo_id = planted.photo(None, looks="bee")
    model = planted.current()
    card = Card.from_json(model.card)

    said = heads.judge(heads.load(planted.store, model.key, card), card, planted.vector(photo_id)[None])

    assert dict(card.labels)[said[0].top[0][0]] == "bee"


def test_embeddings_that_are_there_are_not_asked_for_again(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    before = list(planted.seen)
    fresh = planted.photo("ant")

    _train(planted)

    assert planted.seen == [*before, fresh]


def test_a_photo_that_cannot_be_embedded_is_left_out(planted: Any) -> None:
    _plant(planted)
    lost = planted.photo("ant")

    def embed(photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        planted.embed([one for one in photo_ids if one != lost], backbone, on_done)

    run_id = _ask(planted)
    run.execute(planted.context(embed=embed), run_id)

    assert _row(planted, run_id).state == "done"
    assert _row(planted, run_id).progress["photos"] == 36


def test_the_same_photos_make_no_second_version(planted: Any) -> None:
    _plant(planted)
    _train(planted)

    over = _train(planted, reason="command")

    assert over.state == "done"
    assert over.progress["verdict"] == "Nothing new to learn."
    assert len(planted.models()) == 2


def test_a_candidate_that_unlearnt_is_kept_aside(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")

    over = _train(planted)

    assert over.state == "done"
    assert over.progress["published"] is False
    assert "bee" in over.progress["verdict"]
    assert planted.current().version == 1
    assert [model.state for model in planted.models()] == ["candidate", "current", "retired"]


def test_what_was_refused_is_not_made_again_from_the_same_photos(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")
    _train(planted)

    over = _train(planted, reason="command")

    assert over.progress["verdict"] == "Nothing new to learn: v2, which waits, has learnt the same."
    assert len(planted.models()) == 3


def test_what_was_refused_beside_another_version_gets_a_new_chance(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    planted.photos(80, "ant", looks="bee")
    _train(planted)
    with planted.database.begin() as session:
        registry.publish(session, registry.find(session, planted.classifier_id, 0))

    over = _train(planted, reason="command")

    assert over.progress["published"] is True
    assert planted.current().version == 3


def test_a_candidate_faces_the_model_that_became_current_meanwhile(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    _train_more(planted)
    _, roll_back = _rolling_back(planted, times=1)

    planted.photo("ant")
    run_id = _ask(planted)
    run.execute(planted.context(watch=roll_back), run_id)

    over, model = _row(planted, run_id), planted.current()
    assert over.progress["published"] is True
    assert (model.version, model.card["parent"]) == (3, 1)


def test_a_candidate_that_is_overtaken_again_and_again_is_kept_aside(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    _train_more(planted)
    rolled, roll_back = _rolling_back(planted, times=99)

    planted.photo("ant")
    run_id = _ask(planted)
    run.execute(planted.context(watch=roll_back), run_id)

    over = _row(planted, run_id)
    assert len(rolled) == run.TURNS
    assert over.state == "done"
    assert over.progress["published"] is False
    assert over.progress["verdict"].startswith(f"Kept aside: v{rolled[-1]} became current")
    assert planted.current().version == rolled[-1]


def _rolling_back(planted: Any, times: int) -> tuple[list[int], Callable[[dict[str, Any]], None]]:
    """Versions that an admin made current, and a watch that makes the other of v1 and v2 current at each fit."""
    rolled: list[int] = []

    def watch(facts: dict[str, Any]) -> None:
        if facts.get("step") == "fitting" and len(rolled) < times:
            rolled.append(3 - planted.current().version)
            with planted.database.begin() as session:
                registry.rollback(session, planted.classifier_id, rolled[-1])

    return rolled, watch


def _train_more(planted: Any) -> None:
    planted.photo("bee")
    _train(planted)


def test_photos_whose_label_changed_hear_the_new_answer(planted: Any) -> None:
    _plant(planted)
    _train(planted)
    corrected = planted.photo("wasp")
    planted.photos(8, "wasp")
    with planted.database.begin() as session:
        for photo in session.scalars(select(Photo).where(Photo.id > corrected)):
            photo.labelled_at = now() - timedelta(hours=1)

    _train(planted)

    with planted.database.read() as session:
        query = select(Prediction).where(Prediction.model_id == planted.current().id)
        said = session.scalars(query).all()
        wasp = session.get_one(Photo, corrected).label_id
    assert [one.photo_id for one in said] == [corrected]
    assert said[0].top[0][0] == wasp


def test_one_label_fails_with_a_sentence(planted: Any) -> None:
    planted.photos(3, "ant")

    over = _train(planted)

    assert over.state == "failed"
    assert over.failure is not None
    assert over.failure.startswith("There are not enough labelled photos")


def test_a_label_with_exam_photos_only_is_named(planted: Any) -> None:
    _plant(planted)
    planted.photo("wasp", split="exam")

    over = _train(planted)

    assert "not learnt: wasp" in over.progress["verdict"]


def test_a_small_exam_is_replaced_by_cross_validation(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(10, label)

    over = _train(planted)

    assert over.progress["by"] == "cross-validation"
    assert over.progress["asked"] == 20


def test_a_training_called_off_says_so(planted: Any) -> None:
    _plant(planted)
    run_id = _ask(planted)

    def embed(photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        planted.embed(photo_ids, backbone, on_done)
        with planted.database.begin() as session:
            trainings.cancel(session, planted.classifier_id)

    run.execute(planted.context(embed=embed), run_id)

    assert _row(planted, run_id).state == "cancelled"
    assert planted.current().version == 0


def test_a_bug_becomes_a_sentence_and_not_silence(planted: Any, caplog: pytest.LogCaptureFixture) -> None:
    _plant(planted)
    run_id = _ask(planted)

    def embed(photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        raise ZeroDivisionError

    run.execute(planted.context(embed=embed), run_id)

    over = _row(planted, run_id)
    assert over.state == "failed"
    assert over.failure is not None
    assert "ZeroDivisionError" in over.failure


def test_a_run_that_was_taken_over_changes_nothing(planted: Any) -> None:
    _plant(planted)
    run_id = _ask(planted)

    def embed(photo_ids: Sequence[int], backbone: str, on_done: Callable[[int], None]) -> None:
        planted.embed(photo_ids, backbone, on_done)
        with planted.database.begin() as session:
            session.get_one(TrainingRun, run_id).attempts += 1

    run.execute(planted.context(embed=embed), run_id)

    assert _row(planted, run_id).state == "running"
    assert planted.current().version == 0


def test_a_run_that_is_over_is_left_alone(planted: Any) -> None:
    _plant(planted)
    over = _train(planted)

    run.execute(planted.context(), over.id)

    assert len(planted.models()) == 2


def test_a_report_is_drawn_when_somebody_asked(planted: Any) -> None:
    _plant(planted)

    over = _train(planted, reason="command")

    assert over.picture == f"reports/{over.id}.png"
    assert planted.store.get(over.picture).startswith(b"\x89PNG")


def test_two_photos_are_learnt_from_without_a_report(planted: Any) -> None:
    planted.photo("ant")
    planted.photo("bee")

    over = _train(planted, reason="command")

    assert over.state == "done"
    assert over.progress["published"] is True
    assert over.progress["new_error"] is None
    assert over.picture is None


def test_importing_the_runs_loads_no_torch() -> None:
    code = "import sys, trainer.run, trainer.clock, trainer.serve, trainer.command; print('torch' in sys.modules)"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "False"


def test_a_training_whose_process_is_to_end_is_queued_again_and_not_counted_as_a_failure(planted: Any) -> None:
    _plant(planted)
    run_id = _ask(planted)

    run.execute(replace(planted.context(), is_stopping=lambda: True), run_id)

    row = _row(planted, run_id)
    assert (row.state, row.attempts) == ("queued", 0)
    run.execute(planted.context(), run_id)
    assert _row(planted, run_id).state == "done"
