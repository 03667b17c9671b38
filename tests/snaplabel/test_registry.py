"""The registry: which version a rollback steps back to."""

from pathlib import Path

import pytest

from snaplabel import people, registry
from snaplabel.database import Database
from snaplabel.errors import ModelError
from snaplabel.registry import Card
from snaplabel.store import Store, sha256_of
from snaplabel.tables import Model


def _publish(database: Database) -> None:
    """Publish the next version."""
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        version = registry.next_version(session, classifier_id)
        card = Card("default", version, "refit", "b", ((1, "cat"),)).to_json()
        model = Model(classifier_id=classifier_id, version=version, kind="refit", backbone="b", key="k", card=card)
        session.add(model)
        session.flush()
        registry.publish(session, model)


def test_rollback_goes_to_the_one_that_answered_before_the_current_one(database: Database) -> None:
    for _ in range(3):
        _publish(database)
    with database.begin() as session:
        registry.rollback(session, 1)
    _publish(database)

    with database.begin() as session:
        steps = [registry.rollback(session, 1).version for _ in range(2)]

    assert steps == [1, 0]


def test_rollback_after_a_promotion_goes_back_to_what_it_took_the_place_of(database: Database) -> None:
    for _ in range(4):
        _publish(database)

    with database.begin() as session:
        registry.promote(session, 1, 1)
        after_promotion = registry.rollback(session, 1).version
        registry.rollback(session, 1, 0)
        registry.promote(session, 1, 2)
        steps = [registry.rollback(session, 1).version, registry.promote(session, 1, 3).version]
        steps.append(registry.rollback(session, 1).version)

    assert after_promotion == 3
    assert steps == [0, 3, 0]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_version_whose_file_is_damaged_does_not_take_over(database: Database, tmp_path: Path, damage: str) -> None:
    store = Store(f"file://{tmp_path}")
    for _ in range(2):
        _publish(database)
    with database.begin() as session:
        first = registry.find(session, 1, 0)
        store.put(f"{first.key}/head.safetensors", b"as published")
        first.card = {**first.card, "sha256": sha256_of(b"as published")}
    if damage == "changed":
        store.put("k/head.safetensors", b"something else")
    else:
        store.delete("k/head.safetensors")

    for act in (registry.rollback, registry.promote):
        with pytest.raises(ModelError, match="v0 can't answer"), database.begin() as session:
            act(session, 1, 0, store)

    with database.read() as session:
        assert registry.find(session, 1, 1).state == "current"
