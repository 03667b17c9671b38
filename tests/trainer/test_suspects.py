"""Suspects: what a training finds doubtful, and that its list says what is true now."""

import logging
import time
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from snaplabel import reviews
from snaplabel.database import now
from snaplabel.tables import Embedding, Model, Photo, Suspect
from tests.trainer.conftest import DIMENSION, Planted
from trainer import fit, leftout, suspects
from trainer.dataset import Dataset
from trainer.suspects import Found, Space


def _train(planted: Planted) -> None:
    planted.refit("cli")


def _suspects(planted: Planted) -> list[Suspect]:
    """As they are stored, highest score first."""
    with planted.database.read() as session:
        return list(session.scalars(select(Suspect).order_by(Suspect.score.desc(), Suspect.photo_id)))


def _queue(planted: Planted) -> list[int]:
    with planted.database.read() as session:
        return [item.photo_id for item in reviews.queue(session, planted.classifier_id)]


def _drawn(rng: np.random.Generator, truth: Any, spread: float = 0.3) -> Any:
    """Embeddings around a direction for each label."""
    middles = rng.normal(size=(int(truth.max()) + 1, DIMENSION))
    return (middles[truth] + spread * rng.normal(size=(len(truth), DIMENSION))).astype(np.float32)


def _data(truth: Any, groups: Any = None) -> Dataset:
    count = len(truth)
    return Dataset(
        tuple((n + 1, f"label {n}") for n in range(int(truth.max()) + 1)),
        np.arange(1, count + 1),
        tuple(f"{n:064x}" for n in range(count)),
        truth,
        np.arange(count) if groups is None else groups,
        np.arange(count) % 5 == 0,
        "",
    )


def _find(data: Dataset, vectors: Any, prints: Any = None, *, is_taught: bool = False) -> list[Found]:
    there = np.ones(len(data), np.bool_)
    return suspects.find(data, [Space(vectors, there, is_taught)], prints or [(0, b"")] * len(data))


def _print(hash_: int = 0, colour: int = 0, spread: int = 200) -> tuple[int, bytes]:
    """A fingerprint whose colours run from `colour` over `spread`."""
    return hash_, bytes(colour + spread * (n // 3) // 15 for n in range(48))


def test_answers_without_a_group_are_those_of_a_fit_without_it() -> None:
    # Few photos are solved in the space of photos, many in that of features
    rng = np.random.default_rng(0)
    for photos, dimension in ((40, 60), (90, 20)):
        vectors = rng.normal(size=(photos, dimension)).astype(np.float32)
        truth = rng.integers(0, 3, photos)
        groups = np.concatenate([np.arange(photos - 6), [3, 3, 3, 7, 7, 7]])
        features, targets = leftout._features(vectors), fit.one_hot(truth, 3)

        (found,) = leftout._answers(features, targets, groups, (2.0,))

        for group in np.unique(groups):
            rest = features[groups != group].astype(np.float64)
            weight = np.linalg.solve(rest.T @ rest + 2.0 * np.eye(dimension + 1), rest.T @ targets[groups != group])
            np.testing.assert_allclose(found[groups == group], features[groups == group] @ weight, atol=1e-5)


def test_swapped_labels_come_first_with_the_label_they_look_like() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(120) % 3
    vectors = _drawn(rng, truth)
    said, wrong = truth.copy(), [7, 50, 91]
    said[wrong] = (truth[wrong] + 1) % 3

    found = _find(_data(said), vectors)

    assert sorted(one.row for one in found[:3]) == wrong
    assert all(one.kind == "mislabelled" for one in found[:3])
    assert [one.suggested for one in sorted(found[:3], key=lambda one: one.row)] == [int(truth[row]) for row in wrong]
    assert found == sorted(found, key=lambda one: -one.score)


def test_clean_labels_leave_hardly_anything_to_look_at() -> None:
    truth = np.arange(120) % 3

    found = _find(_data(truth), _drawn(np.random.default_rng(2), truth))

    assert not [one for one in found if one.kind != "unlike"]
    assert len(found) <= 3


def test_a_head_that_hardly_knows_its_labels_calls_nobody_mislabelled() -> None:
    # Given photos that look the same whatever their label is
    truth = np.arange(120) % 3

    found = _find(_data(truth), np.random.default_rng(2).normal(size=(120, DIMENSION)).astype(np.float32))

    assert found
    assert {one.kind for one in found} == {"unlike"}


def test_a_stranger_is_unlike_its_label_though_no_other_fits_better() -> None:
    # Given a photo with as much of its label as the others have, and a lot that no label has
    rng = np.random.default_rng(3)
    truth = np.arange(120) % 3
    vectors = _drawn(rng, truth)
    middles = np.stack([vectors[truth == label].mean(axis=0) for label in range(3)])
    directions, _ = np.linalg.qr(middles.T)
    elsewhere = rng.normal(size=DIMENSION)
    elsewhere -= directions @ (directions.T @ elsewhere)
    vectors[40] += 2 * elsewhere

    found = _find(_data(truth), vectors)

    assert (found[0].row, found[0].kind, found[0].suggested) == (40, "unlike", None)


def test_a_photo_that_nobody_could_know_is_not_suspected() -> None:
    truth = np.array([*(np.arange(60) % 2), 2])

    found = _find(_data(truth), _drawn(np.random.default_rng(4), truth))

    assert 60 not in [one.row for one in found]


def test_a_wrong_label_shared_by_a_burst_is_found_though_the_burst_agrees() -> None:
    # Given five photos of one burst, all mislabelled alike
    rng = np.random.default_rng(5)
    truth, groups = np.arange(90) % 3, np.arange(90)
    vectors = _drawn(rng, truth)
    burst = np.flatnonzero(truth == 1)[:5]
    groups[burst] = groups[burst[0]]
    said = truth.copy()
    said[burst] = 2

    found = _find(_data(said, groups), vectors)

    assert {one.row for one in found[:5]} == set(burst.tolist())


def test_near_duplicates_with_two_labels_point_at_each_other() -> None:
    rng = np.random.default_rng(6)
    truth, groups = np.arange(60) % 2, np.arange(60)
    vectors = _drawn(rng, truth)
    groups[11] = groups[10]
    vectors[11] = vectors[10]
    prints = [_print(0), *(_print(int(rng.integers(2**62))) for _ in range(59))]
    prints[11] = (prints[10][0] ^ 1, prints[10][1])

    found = {one.row: one for one in _find(_data(truth, groups), vectors, prints) if one.kind == "twins"}

    assert {row: one.twin for row, one in found.items()} == {10: 11, 11: 10}
    assert found[10].suggested == truth[11]


def test_photos_of_one_burst_that_look_different_are_no_twins() -> None:
    rng = np.random.default_rng(6)
    truth, groups = np.arange(60) % 2, np.arange(60)
    groups[11] = groups[10]
    prints = [_print(int(rng.integers(2**62))) for _ in range(60)]

    found = _find(_data(truth, groups), _drawn(rng, truth), prints)

    assert not [one for one in found if one.kind == "twins"]


def test_the_same_picture_mirrored_is_found_by_its_embedding() -> None:
    rng = np.random.default_rng(7)
    truth = np.arange(60) % 2
    vectors = _drawn(rng, truth)
    vectors[11] = vectors[10] + 0.001

    found = {one.row: one for one in _find(_data(truth), vectors)}

    assert found[11].kind == "twins"
    assert found[11].twin == 10
    assert 10 not in found


def test_a_network_that_believes_wrong_labels_says_nothing_of_twins() -> None:
    rng = np.random.default_rng(7)
    truth = np.arange(60) % 2
    vectors = _drawn(rng, truth)
    vectors[11] = vectors[10] + 0.001

    found = _find(_data(truth), vectors, is_taught=True)

    assert not [one for one in found if one.kind == "twins"]


def test_a_photo_of_nearly_one_colour_is_empty() -> None:
    rng = np.random.default_rng(8)
    truth = np.arange(60) % 2
    prints = [_print() for _ in range(60)]
    prints[20] = _print(colour=90, spread=5)

    (found,) = [one for one in _find(_data(truth), _drawn(rng, truth), prints) if one.kind == "empty"]

    assert found.row == 20


def test_an_untaught_network_is_the_better_witness() -> None:
    # Given a fine-tuned network that has learnt the wrong labels by heart, and the one before it
    rng = np.random.default_rng(9)
    truth = np.arange(90) % 3
    said = truth.copy()
    said[[5, 33]] = (truth[[5, 33]] + 1) % 3
    taught, untaught = _drawn(rng, said, 0.1), _drawn(rng, truth)
    seen_before = np.arange(90) < 80
    every = np.ones(90, np.bool_)

    found = suspects.find(
        _data(said), [Space(taught, every, True), Space(untaught[seen_before], seen_before)], [(0, b"")] * 90
    )

    assert {one.row for one in found[:2]} == {5, 33}


def test_a_training_writes_down_its_suspects_and_the_next_replaces_them(planted: Planted) -> None:
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    wrong = planted.photo("ant", looks="bee")
    _train(planted)
    assert _queue(planted)[0] == wrong
    before = _suspects(planted)

    planted.relabel(wrong, "bee")
    _train(planted)

    assert wrong not in [one.photo_id for one in _suspects(planted)]
    assert all(one.created_at > before[0].created_at for one in _suspects(planted))


def test_exam_photos_are_looked_at_too(planted: Planted) -> None:
    for label in ("ant", "bee"):
        planted.photos(20, label)
        planted.photos(8, label, "exam")
    wrong = planted.photo("ant", "exam", looks="bee")

    _train(planted)

    assert _queue(planted)[0] == wrong


def test_a_training_that_finds_nothing_new_still_looks(planted: Planted) -> None:
    # As after an update from a version that knew no suspects
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    wrong = planted.photo("ant", looks="bee")
    _train(planted)
    with planted.database.begin() as session:
        for one in session.scalars(select(Suspect)):
            session.delete(one)

    _train(planted)

    assert _queue(planted)[0] == wrong


def test_a_removed_photo_is_neither_lesson_nor_exam_until_it_is_back(planted: Planted) -> None:
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    wrong = planted.photo("ant", looks="bee")
    _train(planted)

    with planted.database.begin() as session:
        act = reviews.remove(session, session.get_one(Photo, wrong), person_id=None)
    _train(planted)
    without = planted.models()[0].card["photos"]
    with planted.database.begin() as session:
        reviews.undo(session, act, person_id=None, votes_needed=0.5)
    _train(planted)

    assert (without, planted.models()[0].card["photos"]) == (60, 61)
    assert _queue(planted)[0] == wrong


def test_what_was_kept_takes_nobodys_place(planted: Planted) -> None:
    # Given room for one suspect only, and a worst one that somebody kept
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    wrong = [planted.photo("ant", looks="bee") for _ in range(2)]
    _train(planted)
    suspects.look(planted.database, planted.store, planted.classifier_id, most=1)
    (first,) = _queue(planted)
    with planted.database.begin() as session:
        reviews.keep(session, session.get_one(Photo, first), person_id=None, votes_needed=0.5)

    suspects.look(planted.database, planted.store, planted.classifier_id, most=1)

    assert {first, *_queue(planted)} == set(wrong)


def test_an_older_look_does_not_replace_a_newer_one(planted: Planted) -> None:
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    planted.photo("ant", looks="bee")
    _train(planted)
    with planted.database.begin() as session:
        for one in session.scalars(select(Suspect)):
            one.created_at = moment = now().replace(year=2100)

    suspects.look(planted.database, planted.store, planted.classifier_id)

    assert {one.created_at for one in _suspects(planted)} == {moment}


def test_after_a_fine_tune_the_first_backbones_embeddings_are_asked(planted: Planted) -> None:
    # Given a current model on another backbone, for which every label is as it was told
    planted.photos(30, "ant")
    planted.photos(30, "bee")
    wrong = planted.photo("ant", looks="bee")
    _train(planted)
    with planted.database.begin() as session:
        current = session.scalars(select(Model).where(Model.state == "current")).one()
        current.backbone = "taught-000000000000"
        for one in session.scalars(select(Embedding)).all():
            label = session.get_one(Photo, one.photo_id).label_id
            vector = np.full(DIMENSION, float(label or 0), np.float16)
            session.add(Embedding(photo_id=one.photo_id, backbone=current.backbone, vector=vector.tobytes()))

    suspects.look(planted.database, planted.store, planted.classifier_id)

    assert _queue(planted)[0] == wrong


def test_trouble_is_logged_and_the_training_stands(planted: Planted, caplog: pytest.LogCaptureFixture) -> None:
    planted.photos(5, "ant")
    planted.photos(5, "bee")
    photo = planted.photo("ant")
    with planted.database.begin() as session:
        session.get_one(Photo, photo).colours = b"not colours"

    with caplog.at_level(logging.ERROR):
        _train(planted)

    assert "suspects" in caplog.text
    assert planted.current().version == 1


def test_a_thousand_photos_are_searched_in_a_second() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 10
    vectors = rng.normal(size=(1000, 1280)).astype(np.float32)
    data, there = _data(truth), np.ones(1000, np.bool_)
    began = time.process_time()

    suspects.find(data, [Space(vectors, there)], [(0, b"")] * 1000)

    assert time.process_time() - began < 1.0


def test_photos_that_a_taught_network_drew_together_unevenly_are_not_all_far_ones() -> None:
    rng = np.random.default_rng(0)
    truth, groups = np.arange(400) % 4, np.arange(400)
    away = 0.05 * rng.lognormal(sigma=1.0, size=(400, 1)) * fit.unit(rng.normal(size=(400, 64)).astype(np.float32))
    vectors = (np.eye(4, 64)[truth] + away).astype(np.float32)
    vectors[7] = np.eye(1, 64, 40)

    usual = leftout.strangeness(vectors, truth, groups, 4)
    taught = leftout.strangeness(vectors, truth, groups, 4, is_taught=True)

    assert (usual > suspects.FAR).sum() > 40
    assert np.flatnonzero(taught > suspects.FAR).tolist() == [7]
