"""Does a model sound as sure as it may?"""

from dataclasses import replace

import numpy as np
import pytest

from snaplabel import heads
from snaplabel.heads import Floats, Head, probabilities
from snaplabel.registry import Card
from trainer import calibrate
from trainer.dataset import Ints
from trainer.recipe import Calibration

RECIPE = Calibration()


def _answers(many: int, sharpness: float, seed: int = 0, labels: int = 3) -> tuple[Floats, Ints]:
    """Logits whose softmax at temperature `sharpness` is the true probability of each label."""
    rng = np.random.default_rng(seed)
    honest = (2 * rng.normal(size=(many, labels))).astype(np.float32)
    chances = probabilities(honest, 1.0)
    truth = np.array([rng.choice(labels, p=row / row.sum()) for row in chances.astype(float)])
    return honest * np.float32(sharpness), truth


def test_an_overconfident_model_is_cooled() -> None:
    logits, truth = _answers(2000, sharpness=5.0)

    assert calibrate.temperature(logits, truth) == pytest.approx(5.0, rel=0.2)


def test_three_photos_hardly_move_the_temperature() -> None:
    logits, truth = _answers(3, sharpness=1.0)

    assert 0.5 < calibrate.temperature(logits, truth) < 2.0


def test_sure_answers_are_right_as_often_as_promised() -> None:
    logits, truth = _answers(4000, sharpness=1.0)
    fresh, answers = _answers(4000, sharpness=1.0, seed=1)

    found = calibrate.calibrate(logits, truth, np.zeros(0, np.float32), RECIPE)

    chances = probabilities(fresh, found.temperature)
    sure = chances.max(axis=1) >= found.sure_at
    assert sure.any()
    assert (chances.argmax(axis=1) == answers)[sure].mean() > 0.93


def test_one_of_these_holds_the_truth_as_often_as_promised() -> None:
    logits, truth = _answers(4000, sharpness=1.0, labels=8)
    fresh, answers = _answers(4000, sharpness=1.0, seed=1, labels=8)
    found = calibrate.calibrate(logits, truth, np.zeros(0, np.float32), RECIPE)
    card = Card("default", 1, "refit", "tiny", labels=tuple((n, str(n)) for n in range(8)))
    card = replace(card, temperature=found.temperature, sure_at=found.sure_at, shortlist=found.shortlist)

    said = heads.judge(
        Head(np.eye(8, dtype=np.float32), np.zeros(8, np.float32), np.eye(8, dtype=np.float32)), card, fresh
    )

    listed = [(one, right) for one, right in zip(said, answers.tolist(), strict=True) if one.voice == "maybe"]
    held = [right in [label for label, _ in one.top[: one.shortlist]] for one, right in listed]
    assert {one.voice for one in said} == {"sure", "maybe", "unknown"}
    assert np.mean(held) > 0.93


def test_ten_right_answers_prove_little() -> None:
    chances = np.tile(np.array([[0.8, 0.2]], np.float32), (10, 1))

    assert calibrate.least_sure(chances, np.zeros(10, np.int64), RECIPE) == RECIPE.unproven_sure


def test_forty_right_answers_prove_something() -> None:
    chances = np.tile(np.array([[0.96, 0.04]], np.float32), (40, 1))

    assert calibrate.least_sure(chances, np.zeros(40, np.int64), RECIPE) == pytest.approx(0.96)


@pytest.mark.parametrize("surest", [0.9, 0.96])
def test_a_threshold_below_the_promise_needs_proof_of_those_that_claim_as_much(surest: float) -> None:
    best = np.repeat(np.array([surest, 0.8], np.float32), 40)
    chances = np.stack([best, 1 - best], axis=1)

    found = calibrate.least_sure(chances, np.zeros(80, np.int64), RECIPE)

    assert found == pytest.approx(0.8 if surest >= RECIPE.sure_right else RECIPE.unproven_sure)


def test_a_model_that_was_wrong_when_it_sounded_surest_must_sound_surer_still() -> None:
    best = np.array([0.995, 0.99, 0.985, 0.98, 0.975], np.float32)
    chances = np.stack([best, 1 - best], axis=1)

    found = calibrate.least_sure(chances, np.array([0, 0, 1, 0, 1]), RECIPE)

    assert found == pytest.approx(0.99)


def test_a_model_whose_surest_answer_was_wrong_is_never_sure_below_it() -> None:
    best = np.array([0.99, 0.98, 0.98], np.float32)
    chances = np.stack([best, 1 - best], axis=1)

    found = calibrate.least_sure(chances, np.array([1, 0, 0]), RECIPE)

    assert 0.99 < found < 1


def test_without_evidence_the_thresholds_are_careful() -> None:
    nothing = np.zeros((0, 2), np.float32)

    found = calibrate.calibrate(nothing, np.zeros(0, np.int64), np.zeros(0, np.float32), RECIPE)

    assert found.sure_at == RECIPE.unproven_sure
    assert found.shortlist == RECIPE.unproven_listed
    assert found.stranger_at is None
    assert found.temperature == 1.0


def test_a_photos_own_group_does_not_vouch_for_it() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(4, 8)).astype(np.float32)
    vectors[1] = vectors[0]

    together = calibrate.own_distances(vectors, np.array([0, 0, 0, 0]), np.array([1, 1, 2, 3]))
    apart = calibrate.own_distances(vectors, np.array([0, 0, 0, 0]), np.array([0, 1, 2, 3]))

    assert together[0] > apart[0] + 0.1


def test_a_label_with_one_group_says_nothing_of_distances() -> None:
    vectors = np.eye(3, dtype=np.float32)

    found = calibrate.own_distances(vectors, np.array([0, 0, 1]), np.array([0, 1, 2]))

    assert len(found) == 2


def test_most_own_photos_are_no_strangers() -> None:
    rng = np.random.default_rng(0)
    distances = rng.gamma(4, 0.05, 1000).astype(np.float32)

    found = calibrate.stranger(distances, RECIPE)

    assert found is not None
    assert (distances <= found).mean() == pytest.approx(RECIPE.known, abs=0.005)


def test_few_photos_leave_more_room() -> None:
    rng = np.random.default_rng(0)
    distances = rng.gamma(4, 0.05, 12).astype(np.float32)

    found = calibrate.stranger(distances, RECIPE)

    assert found is not None
    assert found > np.quantile(distances, RECIPE.known)
    assert calibrate.stranger(distances[:4], RECIPE) is None
