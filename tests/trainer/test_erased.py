"""What the trainer does about photos that are erased, and about those of which only the lesson is left."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from snaplabel import acts, people, trainings
from snaplabel.database import now
from snaplabel.forgetting import forget
from snaplabel.tables import Person, Photo, TrainingRun
from trainer import clock, dataset, finetune
from trainer.kept import Kept
from trainer.serve import Bell


def _teach(planted: Any, many: int = 12) -> list[int]:
    """Two labels, and a version that knows them; all photos are one person's."""
    ids: list[int] = []
    for label in ("ant", "bee"):
        ids += planted.photos(many, label) + planted.photos(6, label, split="exam")
    with planted.database.begin() as session:
        person = people.person(session, "test", "1")
        for photo in session.scalars(select(Photo)):
            photo.person_id = person.id
    clock.learn(planted.context(), planted.classifier_id)
    return ids


def _forget(planted: Any) -> None:
    with planted.database.begin() as session:
        person = session.scalars(select(Person).where(Person.platform_id == "1")).one()
        forget(session, person, votes_needed=0.5)


def _expire(planted: Any, ids: list[int]) -> None:
    with planted.database.begin() as session:
        for photo in session.scalars(select(Photo).where(Photo.id.in_(ids))):
            photo.expired_at, photo.person_id = now(), None


def _own(planted: Any, ids: list[int]) -> None:
    """Only these photos are the person's."""
    with planted.database.begin() as session:
        for photo in session.scalars(select(Photo).where(Photo.id.not_in(ids))):
            photo.person_id = None


def test_after_photos_were_erased_the_tick_refits_without_them_though_nobody_rang(planted: Any) -> None:
    ids = _teach(planted)
    _own(planted, ids[:4])

    _forget(planted)
    clock.due(planted.context())

    assert planted.current().version == 2
    assert planted.current().card["photos"] < len(ids)


def test_erasing_what_taught_nothing_starts_no_training(planted: Any) -> None:
    _teach(planted)
    _own(planted, [planted.photo(None)])

    _forget(planted)
    clock.due(planted.context())

    assert planted.current().version == 1


def test_where_hardly_anything_is_left_the_version_that_knew_it_answers_no_more(planted: Any) -> None:
    _teach(planted)

    _forget(planted)
    clock.due(planted.context())

    assert planted.current().card["labels"] == []
    with planted.database.read() as session:
        assert acts.lessons_erased_at(session, planted.classifier_id) is not None


def test_a_full_training_is_due_after_lessons_of_an_earlier_one_were_erased(planted: Any) -> None:
    ids = _teach(planted)
    with planted.database.begin() as session:
        run = trainings.ask(session, planted.classifier_id, "fine_tune", "command")
        run.state, run.started_at, run.finished_at = "done", now(), now() - timedelta(days=2)
        classifier = people.make_classifier(session)

    with planted.database.read() as session:
        before = trainings.due(session, classifier, every_h=24, after_labels=0)
    _own(planted, ids[:2])
    _forget(planted)
    with planted.database.read() as session:
        after = trainings.due(session, classifier, every_h=24, after_labels=0)

    assert (before, after) == (None, "schedule")


def test_embeddings_of_erased_photos_leave_the_memory_at_the_next_bell(planted: Any) -> None:
    ids = _teach(planted)
    context = planted.context(kept=Kept())
    planted.photo("ant")
    clock.learn(context, planted.classifier_id)
    before = len(context.kept._last.sha256s)
    _own(planted, ids)

    _forget(planted)
    clock.learn(context, planted.classifier_id)

    assert before == len(ids) + 1
    assert len(context.kept._last.sha256s) == len(context.kept._last.vectors) == 1


def test_expired_photos_go_on_teaching(planted: Any) -> None:
    ids = _teach(planted)
    planted.seen.clear()

    _expire(planted, ids)
    new = planted.photo("ant")
    clock.learn(planted.context(), planted.classifier_id)

    assert planted.current().version == 2
    assert planted.current().card["photos"] == sum(photo in ids for photo in ids) - 12 + 1
    assert planted.seen == [new]


def test_a_backbone_that_never_saw_an_expired_photo_does_without_it(planted: Any) -> None:
    ids = _teach(planted)
    _expire(planted, ids[:3])

    with planted.database.read() as session:
        data = dataset.read(session, planted.classifier_id)

    assert data.photo_ids[~data.pictured()].tolist() == ids[:3]
    assert data.only(data.pictured()).expired == frozenset(ids[:3])


def test_nobody_waits_for_an_embedding_of_an_expired_photo(planted: Any) -> None:
    ids = planted.photos(2, "ant")
    _expire(planted, ids)
    rung: list[int] = []

    Bell(rung.append, planted.database, patience_s=0.0).embed(ids, planted.current().backbone, lambda _: None)

    assert rung == ids


def test_folders_of_trainings_that_are_over_are_removed(planted: Any) -> None:
    home: Path = planted.settings.home
    with planted.database.begin() as session:
        over = trainings.ask(session, planted.classifier_id, "refit", "command")
        over.state = "failed"
        active = trainings.ask(session, planted.classifier_id, "fine_tune", "command")
    for run in (over, active):
        folder = home / "checkpoints" / str(run.id)
        folder.mkdir(parents=True)
        (folder / "job.safetensors").write_bytes(np.ones(4, np.float32).tobytes())

    finetune.clear(planted.database, home)

    assert [path.name for path in (home / "checkpoints").iterdir()] == [str(active.id)]
    with planted.database.read() as session:
        assert len(session.scalars(select(TrainingRun)).all()) == 2
