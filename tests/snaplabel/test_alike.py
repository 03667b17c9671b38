"""How alike two spellings are: the bits say what the plain table says, and names come in the right order."""

from hypothesis import given
from hypothesis import strategies as st

from snaplabel import alike

LETTERS = st.text("abcdé ", max_size=12)


def _common(one: str, other: str) -> int:
    """The longest common subsequence by the table of every textbook."""
    row = [0] * (len(other) + 1)
    for left in one:
        before = row
        row = [0]
        for n, right in enumerate(other):
            row.append(before[n] + 1 if left == right else max(before[n + 1], row[n]))
    return row[-1]


@given(LETTERS, LETTERS)
def test_a_ratio_is_twice_what_both_share_of_all_their_letters(one: str, other: str) -> None:
    wanted = 200 * _common(one, other) / (len(one) + len(other)) if one or other else 100.0

    assert abs(alike.ratio(one, other) - wanted) < 1e-9


def test_one_letter_too_many_costs_little_and_another_word_much() -> None:
    assert round(alike.ratio("newcastle", "newcastel"), 1) == 88.9
    assert alike.ratio("newcastle", "juventus") < 50


@given(LETTERS, st.lists(LETTERS, max_size=8), st.sampled_from([0.0, 60.0, 90.0]))
def test_the_nearest_come_first_and_none_that_is_near_enough_is_missed(
    wanted: str, names: list[str], least: float
) -> None:
    found = alike.nearest(wanted, names, least)

    assert found == sorted(found, key=lambda pair: (-pair[0], pair[1]))
    assert {place for _, place in found} == {
        n for n, name in enumerate(names) if alike.ratio(wanted, name) >= least - 1e-12
    }
