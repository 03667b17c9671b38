"""Houses for walks: stopped at the end, and their logs shown when a walk fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.walks.house import House

NewHouse = Callable[..., House]


@pytest.fixture
def new_house(tmp_path: Path) -> Iterator[NewHouse]:
    """Make a house; keywords are settings without their prefix, in lower case."""
    made: list[House] = []

    def make(**settings: str) -> House:
        # A small network without pretrained weights, so that a walk needs neither internet nor minutes.
        given = {"backbone": "mobilenet_v3_small", "refit_after_s": "0.2", **settings}
        found = House(tmp_path, **{f"SNAPLABEL_{name.upper()}": value for name, value in given.items()})
        made.append(found)
        return found

    yield make
    for house in made:
        try:
            story = house.story()
        finally:
            house.stop()
        print(house.logs(), story)  # noqa: T201 - pytest shows it only for a walk that failed
