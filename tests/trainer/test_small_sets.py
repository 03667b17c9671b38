"""Very small sets: examined by cross-validation, whose folds, like the exam, share no picture."""

import io

import numpy as np
from PIL import Image

from demo import shirts
from snaplabel import heads, images, labels, people, photos
from snaplabel.database import Database, now
from snaplabel.registry import Card
from trainer import candidate, dataset, fit
from trainer.calibrate import NEVER
from trainer.dataset import Dataset
from trainer.recipe import Recipe

RECIPE = Recipe()


def _plant(database: Database, per_label: int, copies: int) -> Dataset:
    """Drawn shirts of four clubs, each with near-duplicates of it, taken in as the bot and an import do."""
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        for club in shirts.CLUBS[3:7]:
            label = labels.make(session, classifier_id, club.name)
            for seed in range(per_label):
                with Image.open(io.BytesIO(shirts.draw(club, seed, size=200))) as picture:
                    for copy in range(copies):
                        out = io.BytesIO()
                        picture.crop((copy, copy, 200, 200)).save(out, "JPEG", quality=90 - 10 * copy)
                        added = photos.add(session, classifier_id, images.prepare(out.getvalue()), label_id=label.id)
                        added.photo.label_id, added.photo.labelled_at = label.id, now()
        session.flush()
        return dataset.read(session, classifier_id)


def test_near_duplicates_lie_in_one_fold_and_on_one_side(database: Database) -> None:
    data = _plant(database, per_label=10, copies=3)
    lesson = ~data.is_exam
    groups = data.groups[lesson]

    rows, fold = fit.folds(data.truth[lesson], groups, RECIPE.refit, RECIPE.seed)

    assert len(data) == 120
    assert len(np.unique(data.groups)) == 40
    assert not set(groups) & set(data.groups[data.is_exam])
    assert all(len(np.unique(fold[groups[rows] == group])) == 1 for group in np.unique(groups[rows]))


def test_near_duplicates_do_not_flatter_a_model_that_has_learnt_nothing(database: Database) -> None:
    data = _plant(database, per_label=4, copies=2)
    of_group = {group: np.random.default_rng(int(group)).normal(size=64) for group in np.unique(data.groups)}
    vectors = np.stack([of_group[group] for group in data.groups.tolist()]).astype(np.float32)

    found = candidate.make(data, vectors, RECIPE)

    assert found.exam.by == "cross-validation"
    assert found.exam.photos == 24
    assert found.exam.error is not None
    assert found.exam.error > 0.5


def test_a_label_with_one_photo_is_learnt_beside_others_and_never_asked() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1, 2])
    rows = np.arange(7)
    vectors = np.eye(3, 16, dtype=np.float32)[truth] + 0.05 * np.random.default_rng(0).normal(size=(7, 16))
    names = ((1, "ant"), (2, "bee"), (3, "wasp"))
    data = Dataset(names, rows, ("",) * 7, truth, rows, np.zeros(7, np.bool_), "")

    found = candidate.make(data, vectors.astype(np.float32), RECIPE)

    assert found.exam.recall == {"ant": (3, 3), "bee": (3, 3)}
    assert found.head.logits(vectors[-1:].astype(np.float32)).argmax() == 2


def _with_a_single(photos: int) -> float:
    """From which probability on a model is sure that knows two easy labels, so many photos each, and one wasp."""
    rng = np.random.default_rng(0)
    truth = np.append(np.arange(2 * photos) % 2, 2)
    rows = np.arange(len(truth))
    vectors = np.eye(3, 16, dtype=np.float32)[truth] + 0.05 * rng.normal(size=(len(truth), 16)).astype(np.float32)
    names = ((1, "ant"), (2, "bee"), (3, "wasp"))
    data = Dataset(names, rows, ("",) * len(rows), truth, rows, np.zeros(len(rows), np.bool_), "")
    return candidate.make(data, vectors, RECIPE).calibrated.sure_at


def test_few_photos_beside_a_label_with_a_single_one_make_nothing_sure() -> None:
    assert _with_a_single(photos=6) == NEVER


def test_what_many_photos_prove_a_new_label_with_a_single_one_does_not_take_away() -> None:
    assert _with_a_single(photos=60) < 1


def test_the_same_picture_over_and_over_breaks_nothing() -> None:
    truth, rows = np.repeat([0, 1], 5), np.arange(10)
    vectors = np.tile(np.random.default_rng(0).normal(size=16).astype(np.float32), (10, 1))
    data = Dataset(((1, "ant"), (2, "bee")), rows, ("",) * 10, truth, truth, np.zeros(10, np.bool_), "")

    found = candidate.make(data, vectors, RECIPE)

    chances = np.exp(found.head.logits(vectors[:1]))
    assert np.allclose(chances / chances.sum(), 0.5)
    assert found.exam.error is None
    assert found.calibrated.stranger_at is None


def test_nearly_the_same_picture_under_two_labels_makes_nothing_sure() -> None:
    truth, rows = np.repeat([0, 1], 8), np.arange(16)
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=64) + 0.01 * rng.normal(size=(16, 64))).astype(np.float32)
    one_group, lessons = np.zeros(16, np.int64), np.zeros(16, np.bool_)
    data = Dataset(((1, "ant"), (2, "bee")), rows, ("",) * 16, truth, one_group, lessons, "")
    elsewhere = 5 * rng.normal(size=(50, 64)).astype(np.float32)

    found = candidate.make(data, vectors, RECIPE)

    card = Card("default", 1, "refit", "tiny", labels=data.labels, sure_at=found.calibrated.sure_at)
    said = heads.judge(found.head, card, elsewhere)
    assert max(one.top[0][1] for one in said) == 1
    assert {one.voice for one in said} == {"maybe"}


def test_beside_a_small_exam_the_cross_validated_lessons_prove_how_sure_a_model_may_sound() -> None:
    rng = np.random.default_rng(0)
    truth, rows = np.arange(132) % 3, np.arange(132)
    vectors = (rng.normal(size=(3, 32))[truth] + 1.2 * rng.normal(size=(132, 32))).astype(np.float32)
    names = ((1, "ant"), (2, "bee"), (3, "wasp"))
    data = Dataset(names, rows, ("",) * 132, truth, rows, rows >= 120, "")

    found = candidate.make(data, vectors, RECIPE)

    assert found.exam.by == "exam"
    assert found.exam.photos == 12
    assert found.calibrated.sure_at < RECIPE.calibration.unproven_sure
