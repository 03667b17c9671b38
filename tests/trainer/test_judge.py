"""Planted exams: does the judge publish what it should, and refuse what it should?"""

import numpy as np
import pytest

from trainer import judge
from trainer.dataset import Ints
from trainer.judge import Decision

NAMES = ("ant", "bee", "wasp")


def _decide(truth: list[int], old: list[int] | None, new: list[int], taught: tuple[int, ...] = (0, 1, 2)) -> Decision:
    def ints(values: list[int]) -> Ints:
        return np.array(values, np.int64)

    before = None if old is None else ints(old)
    ids = ints(list(range(101, 101 + len(truth))))
    return judge.decide(ints(truth), before, ints(new), ids, NAMES, np.array(taught, np.int64))


def test_the_first_model_is_always_published() -> None:
    truth = [0, 1, 2] * 4

    found = _decide(truth, None, [0] * 12)

    assert found.publish
    assert found.old_error is None
    assert found.new_error == pytest.approx(8 / 12)


def test_a_better_candidate_is_published_and_says_what_it_mended() -> None:
    truth, old, new = [0] * 6 + [1] * 6 + [2] * 6, [0] * 6 + [0] * 6 + [2] * 6, [0] * 6 + [1] * 6 + [2] * 6

    found = _decide(truth, old, new)

    assert found.publish
    assert found.fixed == tuple(range(107, 113))
    assert found.broken == ()
    assert found.old_error == pytest.approx(1 / 3)
    assert found.new_error == 0.0


def test_an_equal_candidate_is_published() -> None:
    truth = [0, 1, 2] * 4

    found = _decide(truth, truth, truth)

    assert found.publish


def test_a_candidate_worse_beyond_chance_is_refused() -> None:
    truth = [0, 1, 2] * 10
    new = [(label + 1) % 3 if n < 6 else label for n, label in enumerate(truth)]

    found = _decide(truth, truth, new)

    assert not found.publish
    assert found.verdict.startswith("Worse: 6 exam photos went wrong and 0 came right.")


def test_a_candidate_worse_within_chance_is_published() -> None:
    truth = [0, 1, 2] * 10
    old = [*truth[:-1], 0]
    new = [1, 2, *truth[2:]]

    found = _decide(truth, old, new)

    assert found.publish
    assert "No worse beyond chance" in found.verdict


def test_a_label_that_collapsed_is_refused_though_the_whole_got_better() -> None:
    truth = [0] * 4 + [1] * 20 + [2] * 20
    old = [0] * 4 + [0] * 10 + [1] * 10 + [2] * 20
    new = [1] * 4 + [1] * 20 + [2] * 20

    found = _decide(truth, old, new)

    assert not found.publish
    assert found.verdict.startswith("It unlearnt ant: 0 right in the exam, 4 before.")


def test_every_label_that_collapsed_is_named_the_worst_first() -> None:
    truth = [0] * 4 + [1] * 20 + [2] * 20
    new = [2] * 44

    found = _decide(truth, truth, new)

    assert found.verdict.startswith("It unlearnt bee: 0 right in the exam, 20 before. It also unlearnt ant.")


def test_one_photo_of_a_label_asked_twice_is_no_collapse() -> None:
    truth = [0] * 2 + [1] * 10 + [2] * 10
    new = [1, *truth[1:]]

    found = _decide(truth, truth, new)

    assert found.publish


def test_a_new_label_without_exam_photos_is_said() -> None:
    truth = [0, 1] * 6

    found = _decide(truth, truth, truth)

    assert found.publish
    assert "Not in the exam yet: wasp." in found.verdict


def test_a_label_with_exam_photos_only_is_said() -> None:
    truth = [0, 1] * 6 + [2]

    found = _decide(truth, [*truth[:-1], 0], [*truth[:-1], 0], taught=(0, 1))

    assert "Only exam photos so far, so not learnt: wasp." in found.verdict


def test_without_an_exam_a_candidate_is_published_untested() -> None:
    found = _decide([], [], [])

    assert found.publish
    assert found.new_error is None
    assert "no exam photos yet" in found.verdict


def test_an_exam_scores_recall_and_names_the_confused() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 1, judge.UNKNOWN])

    found = judge.examine(truth, answers, NAMES)

    assert found.error == pytest.approx(0.5)
    assert found.recall == {"ant": (1, 3), "bee": (2, 2), "wasp": (0, 1)}
    assert found.pairs == (("ant", "bee", 2),)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_the_interval_of_no_errors_reaches_above_nothing() -> None:
    low, high = judge.wilson(0, 44)

    assert low == pytest.approx(0)
    assert high == pytest.approx(0.080, abs=1e-3)


def test_an_exam_that_leaves_out_a_fifth_of_what_is_taught_is_too_small() -> None:
    taught = np.array([0, 1] * 20)

    assert judge.is_too_small(np.zeros(20, np.int64), taught)
    assert judge.is_too_small(np.array([0, 1] * 4), taught)
    assert not judge.is_too_small(np.array([0, 1] * 5), taught)
    assert not judge.is_too_small(np.array([0, 1] * 5), np.append(taught, [2] * 9))
    assert judge.is_too_small(np.array([0, 1] * 5), np.append(taught, [2] * 10))


def test_a_tiny_exam_says_that_it_proves_little() -> None:
    truth = [0, 1, 2]

    found = _decide(truth, truth, [1, 1, 2])

    assert found.publish
    assert found.verdict.endswith("Only 3 exam photos so far, which proves little.")


def test_a_current_model_that_knows_fewer_labels_is_beaten_on_the_new_one() -> None:
    truth = [0] * 5 + [1] * 5 + [2] * 5
    old = [0] * 5 + [1] * 5 + [0, 1, 0, 1, 0]

    found = _decide(truth, old, truth)

    assert found.publish
    assert found.fixed == tuple(range(111, 116))
    assert found.old_error == pytest.approx(1 / 3)


def test_a_current_model_that_says_a_label_that_is_gone_was_wrong_there() -> None:
    truth = [0] * 6 + [1] * 6
    old = [0, 0, 0, 0, 0, judge.UNKNOWN, *[1] * 6]

    found = _decide(truth, old, truth, taught=(0, 1))

    assert found.publish
    assert found.fixed == (106,)
    assert found.verdict == "Better: 1 exam photo came right and 0 went wrong."


def test_a_candidate_that_forgot_a_label_of_the_current_model_is_refused() -> None:
    truth = [0] * 8 + [1] * 8 + [2] * 4
    new = [0] * 8 + [1] * 8 + [0] * 4

    found = _decide(truth, truth, new, taught=(0, 1))

    assert not found.publish
    assert "It unlearnt wasp" in found.verdict
    assert "Only exam photos so far, so not learnt: wasp." in found.verdict


@pytest.mark.parametrize(
    ("fixed", "broken", "proven"),
    [
        (0, 0, False),
        (2, 0, False),
        (3, 0, True),
        (4, 1, False),
        (6, 2, True),
        (8, 3, True),
        (7, 3, False),
        (2, 9, False),
    ],
)
def test_a_network_is_proven_better_when_chance_would_rarely_do_as_much(fixed: int, broken: int, proven: bool) -> None:
    was = np.array([False] * fixed + [True] * broken + [True] * 30 + [False] * 3)
    now = np.array([True] * fixed + [False] * broken + [True] * 30 + [False] * 3)

    assert judge.is_proven_better(was, now) is proven


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (3, 1), (1, 3), (12, 0)])
def test_the_gain_is_what_was_seen_and_its_interval_holds_it(fixed: int, broken: int) -> None:
    seen, low, high = judge.gain(fixed, broken, 40)

    assert seen == pytest.approx((fixed - broken) / 40)
    assert -1 <= low < seen < high <= 1


def test_the_interval_of_the_gain_adds_half_a_photo_to_each_of_the_four_cells() -> None:
    seen, low, high = judge.gain(fixed=8, broken=2, asked=98)

    middle = 6 / 100
    reach = 1.96 * (11 - 36 / 100) ** 0.5 / 100
    assert seen == pytest.approx(6 / 98)
    assert (low, high) == pytest.approx((middle - reach, middle + reach))


def test_a_model_as_good_as_its_word_shows_no_more_than_chance_makes() -> None:
    rng = np.random.default_rng(3)
    chances = rng.uniform(0.5, 1.0, 2000).astype(np.float32)

    found = judge.calibration(rng.random(2000) < chances, chances)

    assert found is not None
    assert found.ece < found.at_most
    assert found.by_chance < found.at_most < 0.05
    assert sum(one.photos for one in found.bins) == 2000
    assert len(found.bins) == 10


def test_a_model_that_is_too_sure_is_found_out() -> None:
    right = np.arange(200) % 2 == 0

    found = judge.calibration(right, np.full(200, 0.9, np.float32))

    assert found is not None
    assert found.ece == pytest.approx(0.4, abs=0.01)
    assert found.ece > found.at_most
    assert all(one.low < 0.9 for one in found.bins)


def test_a_few_answers_say_nothing_of_calibration() -> None:
    assert judge.calibration(np.ones(9, np.bool_), np.full(9, 0.9, np.float32)) is None


def test_a_small_exam_is_told_its_own_noise() -> None:
    found = judge.calibration(np.ones(10, np.bool_), np.full(10, 0.8, np.float32))

    assert found is not None
    assert len(found.bins) == 1
    # Mean distance of a binomial of 10 tries at 80 % from its mean, in shares.
    assert found.by_chance == pytest.approx(0.1, abs=0.02)
    assert found.ece == pytest.approx(0.2, abs=1e-6)


def test_an_exam_keeps_its_calibration_beside_its_error() -> None:
    truth = np.arange(40) % 2

    found = judge.examine(truth, truth, NAMES, chances=np.full(40, 0.99, np.float32))

    assert found.ece == pytest.approx(0.01, abs=1e-3)
    assert found.ece_by_chance is not None
