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
from safetensors.numpy import load

from snaplabel import backbones
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key, sha256_of
from tests.trainer.test_finetune import ARCHITECTURE, RECIPE, _jpeg
from trainer import backbone, job
from trainer.dataset import Dataset
from trainer.job import Job

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
