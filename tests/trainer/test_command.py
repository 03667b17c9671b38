"""What `snaplabel train` says, without a network that is taught."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from snaplabel.database import Database
from snaplabel.errors import WeightsError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import TrainingRun
from tests.trainer.conftest import Planted
from trainer import command

CANDIDATE = {
    "photos": 40,
    "version": 2,
    "published": False,
    "verdict": "Not better.",
    "old_error": None,
    "new_error": None,
    "seconds": 1.0,
}


def _console(*, is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=200, force_terminal=is_terminal, color_system=None)


def _printed(out: Console) -> str:
    return str(out.file.getvalue())  # type: ignore[attr-defined]


def _told(over: TrainingRun, program: str = "snaplabel", of: str = "") -> str:
    out = _console()
    command._tell(out, over, program, of)
    return _printed(out)


def test_weights_that_are_not_there_are_refused_where_something_was_taught_too(
    planted: Planted, tmp_path: Path
) -> None:
    planted.photos(10, "ant")
    planted.photos(10, "bee")
    planted.refit()
    given = replace(planted.settings, weights=tmp_path / "nope.safetensors")

    def embed(
        _d: Database, _s: Store, _g: Settings, ids: Sequence[int], version: str, on_done: Callable[[int], None]
    ) -> None:
        planted.embed(ids, version, on_done)

    for full in (False, True):
        with pytest.raises(WeightsError, match=r"SNAPLABEL_WEIGHTS names .*nope.safetensors, and there is no such"):
            command.train(given, "default", full, embed, _console())


def test_why_nothing_was_trained_is_a_sentence_of_its_own() -> None:
    failed = TrainingRun(state="failed", failure="There are not enough photos.", progress={})
    put_back = TrainingRun(state="queued", progress={})

    assert _told(failed) == "Not trained. There are not enough photos.\n"
    assert _told(put_back) == "Not trained: queued.\n"


def test_a_candidate_names_the_commands_that_decide_on_it_though_no_picture_could_be_drawn() -> None:
    said = _told(TrainingRun(state="done", progress=CANDIDATE), of=" --classifier birds")

    assert "v2 kept as a candidate" in said
    assert "`snaplabel promote 2 --classifier birds` lets it answer all the same" in said
    assert "`snaplabel discard 2 --classifier birds` puts it aside" in said


def test_nothing_new_names_no_candidate() -> None:
    facts = {"version": 1, "published": False, "verdict": "Nothing new to learn.", "seconds": 0.0}

    assert _told(TrainingRun(state="done", progress=facts)) == "Nothing new to learn. v1 stays. 0.0 s\n"


def test_commands_are_named_as_the_program_was_started() -> None:
    over = TrainingRun(state="done", progress={**CANDIDATE, "published": True}, picture="reports/1.png")

    said = _told(over, "SNAPLABEL_HOME=/home/me/demo .venv/bin/snaplabel")

    assert "`SNAPLABEL_HOME=/home/me/demo .venv/bin/snaplabel report` says more" in said


@pytest.mark.parametrize(("is_terminal", "lines"), [(False, 1), (True, 0)])
def test_where_there_is_no_bar_a_long_step_is_said_once(is_terminal: bool, lines: int) -> None:
    out = _console(is_terminal=is_terminal)
    bar = Progress(console=out)
    watch = command._Watch(out, bar, bar.add_task("starting", total=1.0))
    steps: list[dict[str, Any]] = [
        {"step": "looking at the photos anew"},
        {"step": "teaching it the held-out photos too", "done": 0.6},
        {"step": "teaching it the held-out photos too", "done": 0.7},
        {"step": "storing the network"},
    ]

    for facts in steps:
        watch.hear(facts)

    assert _printed(out).count("teaching it the held-out photos too…\n") == lines
    assert "storing" not in _printed(out)
