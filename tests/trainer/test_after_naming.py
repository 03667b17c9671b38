"""After a rename, merge, archive or restore the next version follows by itself, and knows the labels of now."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from snaplabel import naming
from snaplabel.registry import Card
from snaplabel.tables import Label
from trainer import clock


def _merge(session: Session, find: Callable[[str], Label]) -> None:
    naming.merge(session, find("ants"), find("ant"), person_id=None, votes_needed=0.5)


def _archive(session: Session, find: Callable[[str], Label]) -> None:
    naming.archive(session, find("ants"), person_id=None)


def _rename(session: Session, find: Callable[[str], Label]) -> None:
    naming.rename(session, find("ants"), "wood ants", person_id=None)


def _known(planted: Any) -> list[str]:
    return sorted(name for _, name in Card.from_json(planted.current().card).labels)


def _do(planted: Any, act: Callable[[Session, Callable[[str], Label]], None]) -> None:
    with planted.database.begin() as session:
        act(session, lambda name: naming.find(session, planted.classifier_id, name))


@pytest.fixture
def insects(planted: Any) -> Any:
    """A classifier that has learnt ants, ant and bee."""
    for label in ("ant", "ants", "bee"):
        planted.photos(10, label)
        planted.photos(5, label, split="exam")
    clock.learn(planted.context(), planted.classifier_id)
    assert _known(planted) == ["ant", "ants", "bee"]
    return planted


@pytest.mark.parametrize(("act", "known"), [(_merge, ["ant", "bee"]), (_archive, ["ant", "bee"])])
def test_the_clock_notices_by_itself_when_the_bell_is_lost(insects: Any, act: Any, known: list[str]) -> None:
    _do(insects, act)

    clock.due(insects.context())

    assert _known(insects) == known


def test_a_bell_after_a_rename_brings_the_new_name_into_the_card(insects: Any) -> None:
    _do(insects, _rename)

    clock.learn(insects.context(), insects.classifier_id)

    assert _known(insects) == ["ant", "bee", "wood ants"]


def test_a_restored_label_is_learnt_again(insects: Any) -> None:
    _do(insects, _archive)
    clock.due(insects.context())

    with insects.database.begin() as session:
        label = naming.archived(session, insects.classifier_id, "ants")
        naming.restore(session, label, person_id=None, votes_needed=0.5)
    clock.due(insects.context())

    assert _known(insects) == ["ant", "ants", "bee"]
    assert insects.current().version == 3
