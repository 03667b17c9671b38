"""A whole network taught on small pictures that a child could tell apart."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from PIL import Image
from rich.console import Console

from snaplabel import backbones, images, labels, people, registry, trainings
from snaplabel.database import Database, now
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from snaplabel.tables import Embedding, Photo, TrainingRun
from trainer import backbone, command, dataset, finetune, run
from trainer.recipe import FineTune, Recipe
from trainer.run import Context

pytestmark = pytest.mark.real

ARCHITECTURE = "shufflenet_v2_x0_5"
RECIPE = Recipe(
    scratch=FineTune(
        epochs=3,
        batch_size=8,
        learning_rate=3e-3,
        first_layers=1.0,
        freeze_batch_norm=False,
        resize=36,
        crop=32,
        rotation=5.0,
        colour=0.1,
        absorb=1,
        patience=9,
    )
)


def _jpeg(label: str, rng: np.random.Generator) -> bytes:
    """Noise, reddish or bluish."""
    pixels = rng.integers(0, 120, (40, 48, 3), dtype=np.uint8)
    pixels[..., 0 if label == "red" else 2] += np.uint8(100)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def tuned(settings: Settings) -> Settings:
    return replace(settings, backbone=ARCHITECTURE)


@pytest.fixture
def classifier_id(database: Database, store: Store) -> int:
    """A classifier with a random backbone and 2 × 14 photos, one in five of them exam."""
    rng = np.random.default_rng(0)
    with database.begin() as session:
        found = people.make_classifier(session)
        for number in range(28):
            label = labels.make(session, found.id, "red" if number % 2 else "blue")
            data = _jpeg(label.name, rng)
            sha256 = sha256_of(data)
            store.put(photo_key(sha256), data)
            session.add(
                Photo(
                    classifier_id=found.id,
                    sha256=sha256,
                    phash=number,
                    band0=0,
                    band1=0,
                    band2=0,
                    band3=0,
                    colours=b"",
                    width=48,
                    height=40,
                    split="exam" if number % 10 < 2 else "lesson",
                    label_id=label.id,
                    labelled_at=now(),
                )
            )
        session.flush()
        made = int(found.id)
    backbone._register(database, store, made, backbone._from_chance(store, ARCHITECTURE, RECIPE))
    return made


def _fill(
    database: Database,
    store: Store,
    _: Settings,
    photo_ids: Sequence[int],
    version: str,
    on_done: Callable[[int], None],
) -> None:
    card = backbones.load_card(store, version)
    graph = store.local(f"{backbones.folder(version)}/graph.xml", Path("unused"))
    network = openvino.Core().compile_model(graph, "CPU")
    with database.begin() as session:
        for photo_id in photo_ids:
            data = store.get(photo_key(session.get_one(Photo, photo_id).sha256))
            pixels = backbones.pixels(images.load(data, card.preparation.resize), card.preparation)
            vector = backbones.to_bytes(network(pixels[None])[0][0])
            session.add(Embedding(photo_id=photo_id, backbone=version, vector=vector))
    on_done(len(photo_ids))


def _context(database: Database, store: Store, settings: Settings, watch: Any = None) -> Context:
    def embed(photo_ids: Sequence[int], version: str, on_done: Callable[[int], None]) -> None:
        _fill(database, store, settings, photo_ids, version, on_done)

    return Context(database, store, settings, embed, RECIPE, watch=watch)


def _ask(database: Database, classifier_id: int) -> int:
    with database.begin() as session:
        return int(trainings.ask(session, classifier_id, "fine_tune", "command").id)


def _row(database: Database, run_id: int) -> TrainingRun:
    with database.read() as session:
        return session.get_one(TrainingRun, run_id)


def test_a_network_is_taught_stored_and_published(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    heard: list[dict[str, Any]] = []
    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, heard.append), run_id)

    over = _row(database, run_id)
    assert over.failure is None
    with database.read() as session:
        model = registry.current(session, classifier_id)
        assert model is not None
        data = dataset.read(session, classifier_id)
        vectors, there = dataset.embeddings(session, data, classifier_id, model.backbone)
    card = Card.from_json(model.card)
    made = backbones.load_card(store, model.backbone)
    assert (model.kind, model.version) == ("fine_tune", 1)
    assert made.is_pretrained
    assert made.source.startswith("fine-tuned from shufflenet")
    assert card.recipe["taught_weight_decay"] > 0
    assert there.all()
    assert vectors.shape == (28, 1024)
    assert [facts["epoch"] for facts in heard if "valid_loss" in facts][-1] == 3
    assert over.picture == f"reports/{run_id}.png"
    assert list((tuned.home / "checkpoints").iterdir()) == []


def test_stored_embeddings_are_those_that_a_worker_makes(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    run.execute(_context(database, store, tuned), _ask(database, classifier_id))
    with database.begin() as session:
        model = registry.versions(session, classifier_id)[0]
        before = {row.photo_id: row.vector for row in session.query(Embedding).filter_by(backbone=model.backbone)}
        session.query(Embedding).filter_by(backbone=model.backbone).delete()

    _fill(database, store, tuned, list(before), model.backbone, lambda _: None)

    with database.read() as session:
        after = {row.photo_id: row.vector for row in session.query(Embedding).filter_by(backbone=model.backbone)}
    one, other = (backbones.from_bytes([kept[photo_id] for photo_id in before]) for kept in (before, after))
    alike = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert alike.min() > 0.999


def test_a_crashed_teaching_goes_on_where_it_was(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    class Crash(BaseException):
        pass

    def die_after_two_epochs(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 2:
            raise Crash

    run_id = _ask(database, classifier_id)
    with pytest.raises(Crash):
        run.execute(_context(database, store, tuned, die_after_two_epochs), run_id)
    with database.begin() as session:
        session.get_one(TrainingRun, run_id).state = "queued"
    heard: list[int] = []

    run.execute(_context(database, store, tuned, lambda facts: heard.append(facts.get("epoch", 0))), run_id)

    assert _row(database, run_id).state == "done"
    assert {epoch for epoch in heard if epoch} == {3}


def test_a_teaching_can_be_called_off(database: Database, store: Store, tuned: Settings, classifier_id: int) -> None:
    def call_off(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 1:
            with database.begin() as session:
                trainings.cancel(session, classifier_id)

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, call_off), run_id)

    assert _row(database, run_id).state == "cancelled"
    with database.read() as session:
        assert len(registry.versions(session, classifier_id)) == 1


def test_no_exam_photo_and_no_group_twice_is_taught(database: Database, classifier_id: int) -> None:
    with database.read() as session:
        data = dataset.read(session, classifier_id)

    learn, hold_out = finetune.split(data, RECIPE.scratch, RECIPE)

    assert len(hold_out) == 5
    assert not data.is_exam[np.concatenate([learn, hold_out])].any()
    assert not set(data.groups[learn]) & set(data.groups[hold_out])
    assert len(learn) + len(hold_out) == (~data.is_exam).sum()


def test_the_command_prints_the_familiar_table(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    out = Console(file=io.StringIO(), width=120)

    code = command.train(tuned, "default", True, _fill, out, RECIPE)

    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert code == 0
    assert "epoch  train_loss  valid_loss  error_rate   time" in said
    assert "published v1" in said or "kept as a candidate" in said
    assert "Confusion matrix" in said


def test_the_command_refits_and_says_when_there_is_nothing_new(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    out = Console(file=io.StringIO(), width=120)

    first = command.train(tuned, "default", False, _fill, out, RECIPE)
    second = command.train(tuned, "default", False, _fill, out, RECIPE)

    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert (first, second) == (0, 0)
    assert "28 photos: error" in said
    assert "published v1" in said
    assert "a full training will help" in said
    assert "Nothing new to learn. v1 stays." in said
