"""Jobs: what is asked of the process that teaches, and what it hands back, as files in one folder.

Arrays and JSON lie in one safetensors file each, written aside and then renamed: it is whole or not there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from snaplabel.heads import Floats
from trainer.dataset import Dataset, Ints
from trainer.recipe import Calibration, FineTune, Recipe, Refit

Numbers = TypeVar("Numbers", Refit, Calibration, FineTune)
JOB, OUTCOME = "job.safetensors", "outcome.safetensors"


@dataclass(frozen=True)
class Job:
    """kind: "teach", to make a new backbone from this one; "look", to make embeddings of `data` by this one."""

    kind: str
    backbone: str
    data: Dataset
    recipe: Recipe


@dataclass(frozen=True)
class Outcome:
    """What came of a job. M photos of the job's data could be decoded.

    backbone: the version taught, or looked with. kept: (M,), rows of the job's data. served: float32 (M, dimension), as
    a worker makes them. learn, hold_out: rows of `kept` that taught the network and chose its best epoch. unseen:
    float32 (M, dimension), by the network before the held-out photos were taught to it as well.
    """

    backbone: str
    kept: Ints
    served: Floats
    learn: Ints
    hold_out: Ints
    unseen: Floats


def write(folder: Path, job: Job) -> None:
    data = job.data
    about = {
        "kind": job.kind,
        "backbone": job.backbone,
        "recipe": job.recipe.to_json(),
        "labels": data.labels,
        "sha256s": data.sha256s,
        "fingerprint": data.fingerprint,
    }
    arrays = {"photo_ids": data.photo_ids, "truth": data.truth, "groups": data.groups, "is_exam": data.is_exam}
    _save(folder / JOB, arrays, about)


def read(folder: Path) -> Job | None:
    """The job in this folder; None where there is none, or one that another version of this program wrote."""
    try:
        arrays, about = _load(folder / JOB)
        data = Dataset(
            labels=tuple((int(label_id), str(name)) for label_id, name in about["labels"]),
            sha256s=tuple(about["sha256s"]),
            fingerprint=about["fingerprint"],
            expired=frozenset(),  # No job has such photos.
            merged=(),  # Asked for by older models' answers only, and no job has those.
            **arrays,
        )
        return Job(about["kind"], about["backbone"], data, _recipe(about["recipe"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None


def hand_back(folder: Path, outcome: Outcome) -> None:
    """Write what came of the job; it is done once this is there."""
    arrays = {f.name: getattr(outcome, f.name) for f in fields(outcome) if f.name != "backbone"}
    _save(folder / OUTCOME, arrays, {"backbone": outcome.backbone})


def outcome(folder: Path) -> Outcome | None:
    """What came of the job in this folder; None until it is done."""
    try:
        arrays, about = _load(folder / OUTCOME)
        return Outcome(backbone=about["backbone"], **arrays)
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _save(path: Path, arrays: Mapping[str, NDArray[Any]], about: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, aside, {"about": json.dumps(about)}
    )
    aside.replace(path)


def _load(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and JSON of a file. Raises OSError, ValueError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["about"])  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _recipe(found: dict[str, Any]) -> Recipe:
    return Recipe(
        **{
            **found,
            "refit": _numbers(Refit, found["refit"]),
            "calibration": _numbers(Calibration, found["calibration"]),
            "fine_tune": _numbers(FineTune, found["fine_tune"]),
            "scratch": _numbers(FineTune, found["scratch"]),
        }
    )


def _numbers(kind: type[Numbers], found: dict[str, Any]) -> Numbers:
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}
    return kind(**given)
