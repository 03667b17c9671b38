"""Registering: two trainings may end at the same moment, and each version has a number and files of its own."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from snaplabel import heads, trainings
from snaplabel.database import Database
from snaplabel.errors import Overtaken, TrainingError
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Photo, TrainingPhoto, TrainingRun
from tests.trainer.conftest import plant
from trainer import candidate, dataset, judge, publish
from trainer.publish import Step


def _plant(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")


def _step(planted: Any, kind: str = "refit") -> Step:
    """A candidate that may be published, of a run that is under way."""
    with planted.database.begin() as session:
        run = trainings.claim(session, trainings.ask(session, planted.classifier_id, kind, "command").id)
        assert run is not None
        session.expunge(run)
    context, current = planted.context(), planted.current()
    with planted.database.read() as session:
        data = dataset.read(session, planted.classifier_id)
        _, there = dataset.embeddings(session, data, planted.classifier_id, current.backbone)
    planted.embed(data.photo_ids[~there].tolist(), current.backbone, lambda _: None)
    with planted.database.read() as session:
        vectors, _ = dataset.embeddings(session, data, planted.classifier_id, current.backbone)
    found = candidate.make(data, vectors, context.recipe)
    exam = data.only(data.is_exam)
    decision = judge.decide(exam.truth, None, found.exam_answers, exam.photo_ids, candidate.names(data), found.taught)
    return Step(run, kind, current.backbone, data, vectors, found, decision, current, context.recipe)


def _files(planted: Any) -> list[str]:
    folder = planted.settings.home / "store" / "models"
    return sorted(path.parent.name.partition("-")[0] for path in folder.rglob("head.safetensors"))


def test_two_trainings_that_end_at_once_become_two_versions(planted: Any) -> None:
    _plant(planted)
    steps = [_step(planted), _step(planted, "fine_tune")]
    troubles: list[BaseException] = []
    at_once = threading.Barrier(2)

    def register(step: Step) -> None:
        at_once.wait(10)
        try:
            publish.register(planted.database, planted.store, step, {})
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=register, args=(step,), daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert troubles == []
    models = planted.models()
    assert [model.version for model in models] == [2, 1, 0]
    assert len({model.key for model in models}) == 3
    for model in models[:2]:
        assert len(heads.load(planted.store, model.key, Card.from_json(model.card)).weight) == 2
    assert _files(planted) == ["0", "1", "2"]
    with planted.database.read() as session:
        # The second one's interval begins where nothing changed since the first: one row for each photo.
        assert session.query(TrainingPhoto).count() == 24


def test_a_number_that_somebody_took_meanwhile_is_not_taken_twice(
    planted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(planted)
    first, second = _step(planted), _step(planted, "fine_tune")
    save = heads.save

    def taken_meanwhile(*given: Any) -> None:
        monkeypatch.setattr(heads, "save", save)
        save(*given)
        publish.register(planted.database, planted.store, first, {})

    monkeypatch.setattr(heads, "save", taken_meanwhile)

    last = publish.register(planted.database, planted.store, second, {})

    assert last["version"] == 2
    assert last["verdict"].startswith("Kept aside: v1 became current")
    assert [model.card["version"] for model in planted.models()] == [2, 1, 0]
    assert _files(planted) == ["0", "1", "2"]


def test_a_candidate_that_was_overtaken_leaves_nothing_behind(planted: Any) -> None:
    _plant(planted)
    first, second = _step(planted), _step(planted, "fine_tune")
    publish.register(planted.database, planted.store, first, {})

    with pytest.raises(Overtaken):
        publish.register(planted.database, planted.store, second, {}, is_last=False)

    assert [model.version for model in planted.models()] == [1, 0]
    assert _files(planted) == ["0", "1"]
    with planted.database.read() as session:
        assert session.get_one(TrainingRun, second.run.id).state == "running"


def test_a_run_that_somebody_else_took_over_registers_nothing(planted: Any) -> None:
    _plant(planted)
    step = _step(planted)
    with planted.database.begin() as session:
        session.get_one(TrainingRun, step.run.id).attempts += 1

    with pytest.raises(TrainingError, match="took this training over"):
        publish.register(planted.database, planted.store, step, {})

    assert _files(planted) == ["0"]


def test_a_photo_that_was_erased_meanwhile_is_not_written_down(planted: Any) -> None:
    _plant(planted)
    step = _step(planted)
    gone = int(step.data.photo_ids[0])
    with planted.database.begin() as session:
        session.query(Photo).filter_by(id=gone).delete()

    publish.register(planted.database, planted.store, step, {})

    with planted.database.read() as session:
        assert session.query(TrainingPhoto).filter_by(photo_id=gone).count() == 0
        assert session.query(TrainingPhoto).count() == 23


@pytest.mark.real
def test_two_trainings_that_end_at_once_on_postgresql_become_two_versions(
    new_postgres_url: str, store: Store, settings: Settings
) -> None:
    there = replace(settings, database_url=new_postgres_url)
    database = Database(there.database)
    TrainingRun.metadata.create_all(database.engine)
    planted = plant(database, store, there)

    test_two_trainings_that_end_at_once_become_two_versions(planted)

    assert planted.current().version in (1, 2)
    database.close()
