"""`snaplabel classify`: what the model says of files, under the names that labels have now."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from snaplabel import labels, naming
from snaplabel.settings import Settings
from tests.worker.conftest import Workplace, coloured
from worker import files


def _classify(workplace: Workplace, settings: Settings, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict:  # type: ignore[type-arg]
    here = replace(settings, home=folder, database_url=str(workplace.database.engine.url))
    (folder / "new.jpg").write_bytes(coloured(250, 10, 10))
    files.classify(here, "default", [folder / "new.jpg"], as_json=True)
    return dict(json.loads(capsys.readouterr().out))


def test_a_renamed_label_has_its_new_name_before_any_training(
    workplace: Workplace, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.publish("red", "blue")
    with workplace.database.begin() as session:
        naming.rename(session, naming.find(session, 1, "red"), "Scarlet", person_id=None)

    found = _classify(workplace, settings, tmp_path, capsys)

    assert found["label"] == "Scarlet"
    assert [name for name, _ in found["top"]] == ["Scarlet", "blue"]


def test_labels_that_were_merged_are_one_answer(
    workplace: Workplace, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.publish("red", "blue")
    with workplace.database.begin() as session:
        red, blue = naming.find(session, 1, "red"), labels.make(session, 1, "blue")
        naming.merge(session, red, blue, person_id=None, votes_needed=0.5)

    found = _classify(workplace, settings, tmp_path, capsys)

    assert found["top"] == [["blue", pytest.approx(1.0)]]


def test_an_archived_label_is_no_answer(
    workplace: Workplace, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workplace.publish("red", "blue")
    with workplace.database.begin() as session:
        naming.archive(session, naming.find(session, 1, "red"), person_id=None)

    found = _classify(workplace, settings, tmp_path, capsys)

    assert [name for name, _ in found["top"]] == ["blue"]
    assert (found["label"], found["voice"]) == ("blue", "unknown")
