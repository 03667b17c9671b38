"""How alike two spellings are: what forgives a typing error in a label."""

from collections.abc import Sequence


def ratio(one: str, other: str) -> float:
    """From 0, nothing in common, to 100, the same: twice the letters of their longest common subsequence, of all."""
    return _ratio(_places(one), one, other)


def nearest(wanted: str, names: Sequence[str], least: float) -> list[tuple[float, int]]:
    """Ratio and place of each name that is at least so like `wanted`, the best first."""
    places = _places(wanted)
    # The shorter one can't share more letters than it has, which spares most names the counting.
    close = ((n, name) for n, name in enumerate(names) if _bound(wanted, name) >= least)
    found = [(_ratio(places, wanted, name), n) for n, name in close]
    return sorted(((score, n) for score, n in found if score >= least), key=lambda pair: (-pair[0], pair[1]))


def _places(text: str) -> dict[str, int]:
    """Where each letter stands, a bit for each place."""
    found: dict[str, int] = {}
    for n, letter in enumerate(text):
        found[letter] = found.get(letter, 0) | 1 << n
    return found


def _bound(one: str, other: str) -> float:
    both = len(one) + len(other)
    return 200.0 * min(len(one), len(other)) / both if both else 100.0


def _ratio(places: dict[str, int], one: str, other: str) -> float:
    """A column of the table of common subsequences in the bits of one number.

    Hyyrö 2004, Bit-parallel LCS-length computation revisited; what rapidfuzz, 12 MB of it, calls `ratio`.
    """
    if not one or not other:
        return 100.0 if one == other else 0.0
    every = (1 << len(one)) - 1
    column = every
    for letter in other:
        matches = column & places.get(letter, 0)
        column = ((column + matches) | (column - matches)) & every
    return 200.0 * (len(one) - column.bit_count()) / (len(one) + len(other))
