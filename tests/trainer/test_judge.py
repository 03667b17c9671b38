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


def test_an_exam_without_one_of_the_taught_labels_is_too_small() -> None:
    taught = np.array([0, 1])

    assert judge.is_too_small(np.zeros(20, np.int64), taught)
    assert judge.is_too_small(np.array([0, 1] * 4), taught)
    assert not judge.is_too_small(np.array([0, 1] * 5), taught)
