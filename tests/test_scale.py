"""The house that `benchmarks/scale.py` fills: as many rows as it says, skewed, and no row that points at nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, inspect, select, text

from snaplabel.tables import Correction, Label, Message, Person, Photo, Prediction

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.real


@pytest.fixture
def filled(new_postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A connection to a small filled house, and its size."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale_filling

    size = scale_filling.Size(20_000)
    scale_filling.fill(new_postgres_url, size)
    engine = create_engine(new_postgres_url)
    with engine.connect() as line:
        yield line, size
    engine.dispose()
    for name in [name for name in sys.modules if name.startswith("scale")]:
        del sys.modules[name]


def test_the_house_is_filled_as_its_size_says_and_every_reference_holds(filled: Any) -> None:
    line, size = filled

    counted = {table: line.scalar(select(func.count()).select_from(table)) for table in (Photo, Person, Prediction)}
    dangling = {
        f"{table}.{key['constrained_columns'][0]}": line.scalar(
            text(
                f"SELECT count(*) FROM {table} t WHERE t.{key['constrained_columns'][0]} IS NOT NULL AND NOT EXISTS "
                f"(SELECT 1 FROM {key['referred_table']} o WHERE o.id = t.{key['constrained_columns'][0]})"
            )
        )
        for table in inspect(line).get_table_names()
        for key in inspect(line).get_foreign_keys(table)
    }

    assert counted[Photo] == size.photos
    assert counted[Person] == pytest.approx(size.people, abs=3)
    assert counted[Prediction] == pytest.approx(size.predictions, rel=0.15)
    assert dangling
    assert {name for name, count in dangling.items() if count} == set()


def test_few_chats_hold_most_and_people_vote_within_their_classifier(filled: Any) -> None:
    line, size = filled

    busiest = (
        select(func.count())
        .select_from(Message)
        .group_by(Message.chat_id)
        .order_by(func.count().desc())
        .limit(size.chats // 5)
    )
    of_the_busiest = sum(line.scalars(busiest))
    strangers = (
        select(func.count())
        .select_from(Correction)
        .join(Photo, Photo.id == Correction.photo_id)
        .join(Label, Label.id == Correction.label_id)
        .where(Label.classifier_id != Photo.classifier_id)
    )

    assert of_the_busiest > 0.6 * line.scalar(select(func.count()).select_from(Message))
    assert line.scalar(select(func.count()).select_from(Correction)) > 0
    assert line.scalar(strangers) == 0
