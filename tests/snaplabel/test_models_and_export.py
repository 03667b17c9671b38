"""The registry from a terminal, and the export: what was learnt, as plain files."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from snaplabel import backbones, cli, corrections, home, images, labels, people, photos
from snaplabel.commands.models import exam
from snaplabel.registry import Card, Exam
from snaplabel.settings import read
from snaplabel.store import photo_key
from snaplabel.tables import Model, Photo


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two labelled photos and three versions of a model, v1 current and v2 a candidate."""
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SNAPLABEL_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    with home.opened(read()) as (database, store), database.begin() as session:
        classifier = people.make_classifier(session)
        admin = people.person(session, "telegram", "7", "Ada")
        for picture, name in ((Image.linear_gradient("L"), "red/ish"), (Image.radial_gradient("L"), "=blue")):
            prepared = images.prepare(_png(picture))
            store.put(photo_key(prepared.sha256), prepared.data)
            label = labels.make(session, classifier.id, name)
            photo = photos.add(session, classifier.id, prepared, label_id=label.id).photo
            corrections.vote(session, photo, admin, label, is_admin=True, votes_needed=0.5)
        known = tuple((label.id, label.name) for label in reversed(labels.every(session, classifier.id)))
        for version, state in enumerate(("retired", "current", "candidate")):
            card = Card("default", version, "refit", "b1", known, exam=Exam(0.064, 0.031, 0.11, 189))
            model = Model(classifier_id=classifier.id, version=version, kind="refit", backbone="b1", state=state)
            model.key, model.card = f"models/default/{version}", card.to_json()
            model.published_at = None if state == "candidate" else people.classifier(session).created_at  # type: ignore[union-attr]
            session.add(model)
        store.put("models/default/1/head.safetensors", b"head")
        store.put("models/default/1/card.json", b"{}")
        for name in ("graph.xml", "graph.bin", "weights.safetensors"):
            store.put(f"{backbones.folder('b1')}/{name}", name.encode())
        backbones.save_card(store, backbones.BackboneCard("b1", "x", 4, backbones.Preparation(256, 224), True, "test"))
    return tmp_path


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.convert("RGB").save(out, "PNG")
    return out.getvalue()


def _states(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert cli.main(["models"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    return {row[0]: row[1] for row in rows[1:]}


def test_models_are_listed_newest_first_as_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["version", "state", "kind", "photos", "exam error", "made (UTC)"]
    assert lines[1].split("\t")[:5] == ["v2", "candidate", "refit", "0", "6.4 % (3.1–11 %) of 189 photos"]


def test_rollback_promote_and_discard_move_the_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rollback"]) == 0
    assert _states(capsys) == {"v2": "candidate", "v1": "retired", "v0": "current"}

    assert cli.main(["promote", "v2"]) == 0
    assert _states(capsys) == {"v2": "current", "v1": "retired", "v0": "retired"}

    assert cli.main(["discard", "2"]) == 1
    assert "v2 is the current model; roll back first." in capsys.readouterr().err

    assert cli.main(["rollback", "1"]) == 0
    assert cli.main(["discard", "2"]) == 0
    assert _states(capsys) == {"v2": "discarded", "v1": "current", "v0": "retired"}


def test_a_version_or_classifier_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["promote", "9"]) == 1
    assert "There is no v9. There are: v2, v1, v0." in capsys.readouterr().err

    assert cli.main(["models", "--classifier", "shirts"]) == 1
    assert "There is no classifier 'shirts'. There are: default." in capsys.readouterr().err


def test_an_exam_in_words() -> None:
    assert exam(Exam()) == "no exam yet"
    assert exam(Exam(0.25, 0.1, 0.5, 8, by="cross-validation")) == "25 % (10–50 %) of 8 photos, cross-validated"


def test_export_writes_plain_files(here: Path) -> None:
    assert cli.main(["export", "out"]) == 0

    out = here / "out"
    rows = list(csv.DictReader((out / "manifest.csv").read_text().splitlines()))
    assert {row["label"] for row in rows} == {"red/ish", "'=blue"}
    assert {Path(row["file"]).parts[1] for row in rows} == {"red_ish", "=blue"}
    assert all((out / row["file"]).read_bytes()[:2] == b"\xff\xd8" for row in rows)
    assert (out / "model" / "head.safetensors").read_bytes() == b"head"
    assert (out / "backbone" / "graph.bin").read_bytes() == b"graph.bin"
    assert json.loads((out / "backbone" / "card.json").read_text())["version"] == "b1"
    # In the order of the head's rows, not of the alphabet.
    assert (out / "labels.txt").read_text() == "red/ish\n=blue\n"
    assert [path.name for path in here.iterdir() if path.name.startswith(".out")] == []


def test_export_refuses_a_folder_that_holds_something(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    (here / "out" / "mine.txt").touch()

    assert cli.main(["export", "out"]) == 1

    assert "out is not empty" in capsys.readouterr().err
    assert [path.name for path in (here / "out").iterdir()] == ["mine.txt"]


def test_an_export_can_be_imported_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "out"]) == 0

    assert cli.main(["import", "out", "--classifier", "copy"]) == 0

    assert "2 photos added to 'copy'" in capsys.readouterr().out


def test_revert_takes_back_what_a_person_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["revert", "telegram:7"]) == 0
    assert "2 corrections taken back" in capsys.readouterr().out

    assert cli.main(["revert", "telegram:8"]) == 1
    assert "Nobody here is telegram:8." in capsys.readouterr().err
    with home.opened(replace(read())) as (database, _), database.read() as session:
        assert {photo.label_id for photo in session.query(Photo)} == {None}
