"""A whole network taught on small pictures that a child could tell apart."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from sqlalchemy import text
from sqlalchemy.orm import Session
from torchvision.models import get_model

import migrations
from snaplabel import backbones, images, labels, people, registry, trainings
from snaplabel.commands import doctor
from snaplabel.database import Database, now
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from snaplabel.tables import Embedding, Model, Photo, Prediction, TrainingPhoto, TrainingRun
from trainer import backbone, clock, command, dataset, lesson, run, weights
from trainer.recipe import FineTune, Recipe
from trainer.run import Context

pytestmark = pytest.mark.real

ARCHITECTURE = "shufflenet_v2_x0_5"
RECIPE = Recipe(
    scratch=FineTune(
        epochs=3,
        batch_size=8,
        least_batches=1,
        learning_rate=3e-3,
        first_layers=1.0,
        freeze_batch_norm=False,
        resize=36,
        crop=32,
        rotation=5.0,
        colour=0.1,
        again=0,
        absorb=1,
        patience=9,
    )
)


def _jpeg(label: str, rng: np.random.Generator) -> bytes:
    """Noise, reddish, greenish or bluish."""
    pixels = rng.integers(0, 120, (40, 48, 3), dtype=np.uint8)
    pixels[..., ("red", "green", "blue").index(label)] += np.uint8(100)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


LONG = replace(RECIPE, scratch=replace(RECIPE.scratch, epochs=5))
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def tuned(settings: Settings) -> Settings:
    return replace(settings, backbone=ARCHITECTURE)


@pytest.fixture
def classifier_id(database: Database, store: Store) -> int:
    """A classifier with a random backbone and 2 × 14 photos, one in five of them exam."""
    with database.begin() as session:
        made = people.make_classifier(session).id
        for number in range(28):
            _photo(session, store, made, "red" if number % 2 else "blue", number)
    backbone._register(database, store, made, backbone._from_chance(store, ARCHITECTURE, RECIPE))
    return made


def _photo(session: Session, store: Store, classifier_id: int, label: str, number: int) -> int:
    data = _jpeg(label, np.random.default_rng(number))
    sha256 = sha256_of(data)
    store.put(photo_key(sha256), data)
    found = Photo(
        classifier_id=classifier_id,
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
        label_id=labels.make(session, classifier_id, label).id,
        labelled_at=now(),
    )
    session.add(found)
    session.flush()
    return found.id


def _children() -> list[int]:
    """Process ids of the children that teach for us, by any of our threads."""
    found = []
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "trainer.lesson" in words:
                found.append(int(pid))
    return found


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
    network = openvino.Core().compile_model(graph, "CPU", card.on_a_cpu())
    with database.begin() as session:
        for photo_id in photo_ids:
            data = store.get(photo_key(session.get_one(Photo, photo_id).sha256))
            pixels = backbones.pixels(images.load(data, card.preparation.resize), card.preparation)
            vector = backbones.to_bytes(network(pixels[None])[0][0])
            session.add(Embedding(photo_id=photo_id, backbone=version, vector=vector))
    on_done(len(photo_ids))


def _context(
    database: Database, store: Store, settings: Settings, watch: Any = None, recipe: Recipe = RECIPE
) -> Context:
    def embed(photo_ids: Sequence[int], version: str, on_done: Callable[[int], None]) -> None:
        _fill(database, store, settings, photo_ids, version, on_done)

    return Context(database, store, settings, embed, recipe, watch=watch)


def _ask(database: Database, classifier_id: int) -> int:
    with database.begin() as session:
        return int(trainings.ask(session, classifier_id, "fine_tune", "command").id)


def _refit(database: Database, classifier_id: int) -> int:
    with database.begin() as session:
        return int(trainings.ask(session, classifier_id, "refit", "corrections").id)


def _execute_refit(database: Database, store: Store, settings: Settings, classifier_id: int) -> None:
    run.execute(_context(database, store, settings), _refit(database, classifier_id))


def _lesson(database: Database, classifier_id: int, label: str) -> int:
    """A lesson photo with this label."""
    with database.read() as session:
        data = dataset.read(session, classifier_id)
    name = [row for row, (_, found) in enumerate(data.labels) if found == label]
    return int(data.photo_ids[~data.is_exam & (data.truth == name[0])][0])


def _current(database: Database, classifier_id: int) -> Model:
    with database.read() as session:
        found = registry.current(session, classifier_id)
    assert found is not None
    return found


def _row(database: Database, run_id: int) -> TrainingRun:
    with database.read() as session:
        return session.get_one(TrainingRun, run_id)


def test_a_network_is_taught_stored_and_published(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    heard: list[dict[str, Any]] = []
    _left_by_others(tuned.home / "checkpoints")
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
    assert _children() == []
    assert _likeness_to_a_workers(database, store, tuned, model.backbone) > 0.999


def _left_by_others(folder: Path) -> None:
    (folder / "7" / "look").mkdir(parents=True)
    (folder / "6.safetensors").touch()


def _likeness_to_a_workers(database: Database, store: Store, settings: Settings, backbone: str) -> float:
    """Least cosine between the stored embeddings and those that a worker makes, which replace them."""
    with database.begin() as session:
        before = {row.photo_id: row.vector for row in session.query(Embedding).filter_by(backbone=backbone)}
        session.query(Embedding).filter_by(backbone=backbone).delete()
    _fill(database, store, settings, list(before), backbone, lambda _: None)
    with database.read() as session:
        after = {row.photo_id: row.vector for row in session.query(Embedding).filter_by(backbone=backbone)}
    one, other = (backbones.from_bytes([kept[photo_id] for photo_id in before]) for kept in (before, after))
    alike = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return float(alike.min())


@linux_only
def test_a_killed_trainer_takes_its_child_along_and_the_next_one_goes_on(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    run_id = _ask(database, classifier_id)
    _execute_refit(database, store, tuned, classifier_id)  # Embeddings, which nobody makes in the other process.
    other = subprocess.Popen([sys.executable, "-c", _code(run_id, LONG)], env={**os.environ, **tuned.environment()})
    path = tuned.home / "checkpoints" / str(run_id) / "teach.safetensors"
    while not path.is_file():
        assert other.poll() is None
        time.sleep(0.01)
    other.kill()
    other.wait()
    ended = time.monotonic()
    while _teaches(path.parent):
        assert time.monotonic() - ended < 5
        time.sleep(0.01)
    with database.begin() as session:
        session.get_one(TrainingRun, run_id).beat_at = now() - timedelta(minutes=5)
    heard: list[int] = []

    run.execute(_context(database, store, tuned, lambda facts: heard.append(facts.get("epoch", 0)), LONG), run_id)

    over = _row(database, run_id)
    assert (over.state, over.attempts) == ("done", 2)
    assert min(epoch for epoch in heard if epoch) > 1
    assert max(heard) == LONG.scratch.epochs


def _code(run_id: int, recipe: Recipe) -> str:
    """A program that carries a run out, and then says whether it has torch and OpenVINO in it."""
    return (
        "import sys; from snaplabel.database import Database; from snaplabel.settings import read\n"
        "from snaplabel.store import Store; from trainer import run\n"
        "from trainer.recipe import Calibration, FineTune, Recipe, Refit\n"
        f"given, numbers = read(), {recipe!r}\n"
        "here = run.Context(Database(given.database), Store(given.store), given, print, numbers)\n"
        f"run.execute(here, {run_id}); print('torch' in sys.modules, 'openvino' in sys.modules)"
    )


def _teaches(folder: Path) -> bool:
    """Whether any process teaches in this folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in path.read_bytes():
                return True
    return False


@linux_only
def test_a_killed_child_is_tried_again_from_its_last_epoch(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    heard: list[int] = []

    def kill_once(facts: dict[str, Any]) -> None:
        if facts.get("epoch", 0) not in (0, *heard[-1:]):
            heard.append(facts["epoch"])
            if len(heard) == 2:
                os.kill(_children()[0], signal.SIGKILL)

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, kill_once, LONG), run_id)

    over = _row(database, run_id)
    assert (over.state, over.attempts) == ("done", 2)
    assert heard[:2] == [1, 2]
    assert heard == sorted(set(heard))
    assert heard[-1] == LONG.scratch.epochs


@linux_only
def test_a_child_that_dies_every_time_is_a_sentence(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    def kill(facts: dict[str, Any]) -> None:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, kill), run_id)

    over = _row(database, run_id)
    assert (over.state, over.attempts) == ("failed", 3)
    assert over.failure == "The training process died (signal 9; perhaps out of memory)."


def test_what_the_child_could_not_do_is_a_sentence(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    first = _current(database, classifier_id).backbone
    store.delete(f"{backbones.folder(first)}/weights.safetensors")
    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned), run_id)

    over = _row(database, run_id)
    assert (over.state, over.attempts) == ("failed", 1)
    assert over.failure == f"The store at {store.url} has no backbones/{first}/weights.safetensors."


def test_a_teaching_can_be_called_off(database: Database, store: Store, tuned: Settings, classifier_id: int) -> None:
    def call_off(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 1:
            with database.begin() as session:
                trainings.cancel(session, classifier_id)

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, call_off, LONG), run_id)

    assert _row(database, run_id).state == "cancelled"
    assert _children() == []
    assert (tuned.home / "checkpoints" / str(run_id) / "teach.safetensors").is_file()
    with database.read() as session:
        assert len(registry.versions(session, classifier_id)) == 1


def test_a_process_that_is_to_end_ends_the_child_and_puts_the_training_back(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    heard: list[int] = []
    context = _context(database, store, tuned, lambda facts: heard.append(facts.get("epoch", 0)), LONG)
    run_id = _ask(database, classifier_id)

    run.execute(replace(context, is_stopping=lambda: any(heard)), run_id)

    row = _row(database, run_id)
    assert (row.state, row.attempts) == ("queued", 0)
    assert _children() == []


def test_the_trainer_teaches_without_torch_in_its_own_process(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    run.execute(_context(database, store, tuned), _refit(database, classifier_id))  # Embeddings, which need OpenVINO.
    run_id = _ask(database, classifier_id)
    environment = {**os.environ, **tuned.environment()}

    done = subprocess.run(
        [sys.executable, "-c", _code(run_id, RECIPE)], env=environment, capture_output=True, text=True
    )

    assert done.stdout.split() == ["False", "False"], done.stderr
    assert _row(database, run_id).failure is None
    assert _row(database, run_id).model_id is not None


def test_a_correction_in_the_middle_is_learnt_at_once_and_not_lost_by_the_fine_tune(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    _execute_refit(database, store, tuned, classifier_id)
    wrong = _lesson(database, classifier_id, "red")
    published: list[int] = []

    def correct(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 1 and not published:
            with database.begin() as session:
                photo = session.get_one(Photo, wrong)
                photo.label_id, photo.labelled_at = labels.make(session, classifier_id, "blue").id, now()
                added = _photo(session, store, classifier_id, "green", 99)
                published.append(added)
            clock.learn(_context(database, store, tuned), classifier_id)
            published.append(_current(database, classifier_id).version)

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, correct, LONG), run_id)

    added, version = published
    over = _row(database, run_id)
    assert over.state == "done"
    assert version == 2
    assert over.progress["version"] == 3
    with database.read() as session:
        data = dataset.read(session, classifier_id)
        newest = registry.versions(session, classifier_id)[0]
        kept = {row.photo_id: row.label_id for row in session.query(TrainingPhoto).filter_by(last_version=None)}
        blue, green = (labels.make(session, classifier_id, name).id for name in ("blue", "green"))
        looked_at = session.query(Embedding).filter_by(backbone=newest.backbone, photo_id=added).count()
    assert Card.from_json(newest.card).fingerprint == data.fingerprint
    assert "green" in [name for _, name in Card.from_json(newest.card).labels]
    assert (kept[wrong], kept[added]) == (blue, green)
    assert looked_at == 1
    assert newest.card["parent"] == 2


def test_a_photo_erased_in_the_middle_is_in_nothing_that_is_kept(
    database: Database, store: Store, tuned: Settings, classifier_id: int
) -> None:
    _execute_refit(database, store, tuned, classifier_id)
    gone = _lesson(database, classifier_id, "red")

    def erase(facts: dict[str, Any]) -> None:
        if facts.get("epoch") == 1:
            with database.begin() as session:
                for table in (TrainingPhoto, Embedding, Prediction):
                    session.query(table).filter_by(photo_id=gone).delete()
                session.query(Photo).filter_by(id=gone).delete()

    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, tuned, erase), run_id)

    assert _row(database, run_id).failure is None
    with database.read() as session:
        assert session.query(Embedding).filter_by(photo_id=gone).count() == 0
        assert session.query(TrainingPhoto).filter_by(photo_id=gone).count() == 0


def test_no_exam_photo_and_no_group_twice_is_taught(database: Database, classifier_id: int) -> None:
    with database.read() as session:
        data = dataset.read(session, classifier_id)

    learn, hold_out = lesson.split(data, RECIPE.scratch, RECIPE)

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
    assert said.count("teaching it the held-out photos too…") == 1
    assert "published v1" in said or "kept as a candidate" in said
    assert "`snaplabel report` says more" in said


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


def test_weights_given_after_the_first_lessons_are_named_until_a_full_training_takes_them_up(
    database: Database, store: Store, tuned: Settings, classifier_id: int, tmp_path: Path
) -> None:
    out = Console(file=io.StringIO(), width=120)
    with database.begin() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": migrations.HEAD})
    command.train(tuned, "default", False, _fill, out, RECIPE)
    given = replace(tuned, weights=tmp_path / "given.safetensors")
    torch.manual_seed(1)
    save_file(get_model(ARCHITECTURE, weights=None).state_dict(), given.weights)
    small = replace(RECIPE, fine_tune=replace(RECIPE.scratch, epochs=1))

    before = list(doctor.examine(given))
    codes = [command.train(given, "default", full, _fill, out, small) for full in (False, True)]

    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert codes == [0, 0]
    assert said.count("given.safetensors was given after default was taught without it") == 1
    with database.read() as session:
        newest = registry.versions(session, classifier_id)[0]
    made = backbones.load_card(store, newest.backbone)
    assert made.source == f"fine-tuned from {weights.version_of(ARCHITECTURE, given.weights)}"
    assert backbone.unused_weights(database, store, given, newest) is None
    said_by_doctor = next(finding for finding in before if finding.part == "weights")
    assert "default was taught before they were given" in said_by_doctor.sentence
    assert "`snaplabel train --full` takes them up" in str(said_by_doctor.problem)


def test_a_full_training_may_start_from_another_network(
    database: Database, store: Store, tuned: Settings, classifier_id: int, tmp_path: Path
) -> None:
    file = tmp_path / "other.safetensors"
    save_file(get_model("squeezenet1_1", weights=None).state_dict(), file)
    other = replace(tuned, backbone="squeezenet1_1", weights=file)
    quick = replace(RECIPE, fine_tune=replace(RECIPE.scratch, freeze_batch_norm=True))
    run_id = _ask(database, classifier_id)

    run.execute(_context(database, store, other, recipe=quick), run_id)

    assert _row(database, run_id).failure is None
    with database.read() as session:
        newest = registry.versions(session, classifier_id)[0]
    assert newest.backbone.startswith("squeezenet1_1-")
    assert backbones.load_card(store, newest.backbone).source.startswith("fine-tuned from squeezenet1_1")
