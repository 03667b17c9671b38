"""Several processes teach one network as one process would, and only the first of them writes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

from snaplabel import backbones
from snaplabel.backbones import Preparation
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from tests.trainer.test_finetune import ARCHITECTURE, RECIPE, _jpeg
from trainer import backbone, job, teach
from trainer.dataset import Dataset
from trainer.job import Job
from trainer.pictures import Pictures
from trainer.ranks import ALONE, Ranks
from trainer.teach import Lesson

pytestmark = pytest.mark.real

# Batch norms that learn would count over a rank's own photos on a CPU, and dropout would drop others.
ALIKE = replace(RECIPE, scratch=replace(RECIPE.scratch, epochs=2, freeze_batch_norm=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with 20 photos and a random backbone, and a job to teach it, twice: for each rank its own."""
    store, rng = Store(str(tmp_path / "0" / "store")), np.random.default_rng(0)
    shas = []
    for number in range(20):
        data = _jpeg("red" if number % 2 else "blue", rng)
        shas.append(sha256_of(data))
        store.put(photo_key(shas[-1]), data)
    ids = np.arange(1, 21)
    data = Dataset(((1, "blue"), (2, "red")), ids, tuple(shas), (ids - 1) % 2, ids, ids > 16, "")
    card = backbone._from_chance(store, ARCHITECTURE, ALIKE)
    job.write(tmp_path / "0" / "job", Job("teach", card.version, data, ALIKE))
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    return tmp_path


@pytest.fixture
def lesson(tmp_path: Path) -> Lesson:
    """Five small photos."""
    store, rng = Store(str(tmp_path / "store")), np.random.default_rng(0)
    photos = [_jpeg("red" if number % 2 else "blue", rng) for number in range(5)]
    for data in photos:
        store.put(photo_key(sha256_of(data)), data)
    preparation = Preparation(36, 32)
    pictures = Pictures(store, [sha256_of(data) for data in photos], preparation)
    rows = np.arange(5)
    return Lesson(pictures, rows, rows[:0], rows % 2, 2, preparation)


def _gradients(lesson: Lesson, rows: list[int], ours: Ranks) -> tuple[float, torch.Tensor]:
    """A batch's loss and the gradients of all weights, as this rank has them before they are added up."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
    last = torch.nn.Linear(4, 2)
    loss = teach._loss(network, last, lesson, RECIPE.scratch, np.array(rows), (0, 0), ours)
    loss.backward()
    both = [*network.parameters(), *last.parameters()]
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in both if p.grad is not None])


def test_the_shares_of_a_batch_add_up_to_the_whole(lesson: Lesson) -> None:
    whole = _gradients(lesson, [4, 2, 0, 1, 3], ALONE)

    shares = [_gradients(lesson, [4, 2, 0, 1, 3], Ranks(rank, 3)) for rank in range(3)]

    assert sum(loss for loss, _ in shares) == pytest.approx(whole[0], rel=1e-5)
    assert torch.allclose(torch.stack([gradient for _, gradient in shares]).sum(dim=0), whole[1], atol=1e-6)


def test_a_rank_without_a_photo_adds_nothing_but_takes_part(lesson: Lesson) -> None:
    loss, gradient = _gradients(lesson, [3], Ranks(1, 2))

    assert loss == 0.0
    assert gradient.shape == _gradients(lesson, [3], ALONE)[1].shape
    assert not gradient.any()


def _teach(folder: Path, *launcher: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the processes said, and the weights of the network that they made."""
    script = 'cd / && SNAPLABEL_STORE_URL="$0/${RANK:-0}/store" exec "$1" -P -m trainer.lesson "$0/${RANK:-0}/job"'
    settings = Settings(home=folder, backbone=ARCHITECTURE)
    environment = {**os.environ, **settings.environment(), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [*launcher, "sh", "-c", script, str(folder), sys.executable]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    found = job.outcome(folder / "0" / "job")
    assert found is not None
    weights = Store(str(folder / "0" / "store")).get(f"{backbones.folder(found.backbone)}/weights.safetensors")
    return [json.loads(line) for line in done.stdout.splitlines()], load(weights)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_two_processes_learn_what_one_does_and_only_the_first_writes(folder: Path) -> None:
    alone = folder / "alone"
    shutil.copytree(folder / "0", alone / "0")
    untouched = _files(folder / "1")
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")

    said, together = _teach(folder, *torchrun)
    said_alone, single = _teach(alone)

    base = backbone._from_chance(Store(str(alone / "0" / "store")), ARCHITECTURE, ALIKE)
    start = load(Store(str(alone / "0" / "store")).get(f"{backbones.folder(base.version)}/weights.safetensors"))
    floats = [name for name, tensor in start.items() if tensor.dtype == np.float32]
    moved = sum(float(((single[name] - start[name]) ** 2).sum()) for name in floats) ** 0.5
    apart = sum(float(((single[name] - together[name]) ** 2).sum()) for name in floats) ** 0.5
    assert moved > 0.1
    assert apart < 0.01 * moved
    losses = [[facts["train_loss"] for facts in every if "train_loss" in facts] for every in (said, said_alone)]
    assert len(losses[0]) == 2
    assert np.allclose(losses[0], losses[1], rtol=1e-3)
    assert _files(folder / "1") == untouched
    assert {"outcome.safetensors", "teach.safetensors", "everything.safetensors"} <= {
        path.name for path in (folder / "0" / "job").iterdir()
    }
