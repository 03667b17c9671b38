"""Voices: what an answer still says once labels were merged or archived, and why a file is no photo."""

import pytest

from snaplabel import images, voices

TOP = [(1, 0.6), (2, 0.37), (3, 0.02), (4, 0.01)]
NAMES = {1: "ant", 2: "bee", 3: "wasp", 4: "fly"}


@pytest.mark.parametrize(
    ("voice", "archived", "left"),
    [
        ("sure", 1, "unknown"),
        ("sure", 2, "sure"),
        ("maybe", 1, "unknown"),
        ("maybe", 2, "unknown"),  # "Ant or bee": the bee is gone, and nobody said that it is an ant.
        ("maybe", 3, "maybe"),
        ("unknown", 1, "unknown"),
    ],
)
def test_an_answer_that_named_an_archived_label_says_nothing_any_more(voice: str, archived: int, left: str) -> None:
    said, top = voices.as_now(voice, TOP, {**NAMES, archived: None})

    assert said == left
    assert top == [(NAMES[n], chance) for n, chance in TOP if n != archived]


def test_merged_labels_are_one_answer_the_most_probable_first() -> None:
    said, top = voices.as_now("maybe", [(1, 0.4), (2, 0.3), (3, 0.25)], {1: "ant", 2: "bee", 3: "bee"})

    assert (said, top) == ("maybe", [("bee", pytest.approx(0.55)), ("ant", 0.4)])


def test_there_is_a_sentence_for_whatever_a_file_may_be_refused_for() -> None:
    assert set(images.REASONS) == set(voices.FAULTS)
