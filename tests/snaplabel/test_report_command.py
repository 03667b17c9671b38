"""`snaplabel report`: as text, as JSON with everything that a model is made of, and as files."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from snaplabel import backbones, cli, home, people, reports
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.registry import Card, Exam
from snaplabel.reports import Bin, Calibration, Change, LabelScore, Report, Score
from snaplabel.settings import read
from snaplabel.tables import Classifier, Model, TrainingRun

CARD = Card(
    "default",
    2,
    "refit",
    "b1",
    ((1, "ant"), (2, "bee")),
    recipe={"seed": 7},
    seed=7,
    fingerprint="f" * 64,
    photos=40,
    exam=Exam(0.1, 0.04, 0.2, 60, "exam", {"ant": (25, 30), "bee": (29, 30)}, (("ant", "bee", 5),), 0.04, 0.05),
    parent=1,
    libraries={"numpy": "2"},
    verdict="Better: 4 exam photos came right and 1 went wrong.",
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with v1 and v2; v2 has a report."""
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with home.opened(read()) as (database, store), database.begin() as session:
        classifier = people.make_classifier(session)
        for version, state in ((1, "retired"), (2, "current")):
            card = CARD.to_json() | {"version": version, "parent": version - 1}
            model = Model(classifier_id=classifier.id, version=version, kind="refit", backbone="b1", key="none")
            model.state, model.card, model.published_at = state, card, classifier.created_at
            session.add(model)
        session.flush()
        run = TrainingRun(classifier_id=classifier.id, kind="refit", reason="corrections", state="done")
        run.progress, run.model_id = {"new_error": 0.1}, model.id
        session.add(run)
        session.flush()
        sure = Calibration(0.04, 0.05, 0.09, (Bin(0.8, 0.78, 0.6, 0.9, 30), Bin(0.95, 0.97, 0.85, 1.0, 30)))
        reports.save(
            store,
            Report(
                run=run.id,
                kind="refit",
                by="exam",
                new=Score(0.1, 0.04, 0.2, 60, sure),
                old=Score(0.15, 0.08, 0.26, 60),
                parent=1,
                labels=(LabelScore(1, "ant", 30, 25, 24, 20), LabelScore(2, "bee", 30, 29, 27, 20)),
                wrong=tuple((0, 0, 1, 0.9) for _ in range(5)),
                change=Change(0.05, -0.02, 0.12, 0.19, ((7, 0, 1),), ()),
                verdict=CARD.verdict,
            ),
        )
        backbones.save_card(store, BackboneCard("b1", "x", 4, Preparation(256, 224), True, "test"))
    return tmp_path


def test_the_current_version_is_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "v2 (current): 10 % (4.0–20 %) of 60 photos wrong"
    assert lines[1] == CARD.verdict
    assert lines[2] == "Right beside v1, in points: +5.0 (-2.0 to +12.0); 1 exam photo came right, 0 went wrong."
    assert lines[3] == "Calibration error 4.0 %; chance alone makes 5.0 %."
    assert "ant\t25\t30\t24\t20" in lines
    assert "ant\tbee\t5" in lines


def test_json_holds_all_that_the_model_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "v2", "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    card = found["card"]
    assert card["labels"] == [[1, "ant"], [2, "bee"]]
    assert (card["recipe"], card["seed"], card["fingerprint"], card["parent"]) == ({"seed": 7}, 7, "f" * 64, 1)
    assert (card["sure_at"], card["shortlist"], card["libraries"]) == (0.8, 0.9, {"numpy": "2"})
    assert (found["preparation"]["resize"], found["preparation"]["crop"]) == (256, 224)
    assert len(found["preparation"]["mean"]) == 3
    assert found["report"]["change"]["fixed"] == [[7, 0, 1]]
    assert [point["version"] for point in found["curve"]] == [1, 2]


def test_an_earlier_version_without_a_report_is_told_by_its_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "1"]) == 0

    assert capsys.readouterr().out.splitlines()[0].startswith("v1 (retired): 10 %")


def test_what_can_be_done_with_a_candidate_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with home.opened(read()) as (database, _), database.begin() as session:
        session.scalars(select(Classifier)).one().name = "my birds"
        session.scalars(select(Model).where(Model.version == 1)).one().state = "candidate"

    assert [cli.main(["report", version, "--classifier", "my birds"]) for version in ("1", "2")] == [0, 0]

    said = capsys.readouterr().out
    assert said.count("`snaplabel promote 1 --classifier 'my birds'` lets it answer all the same") == 1
    assert "promote 2" not in said


def test_files_are_written_with_the_picture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--out", "kept/here"]) == 0

    assert json.loads((here / "kept/here/v2.json").read_text())["version"] == 2
    assert (here / "kept/here/v2.png").read_bytes().startswith(b"\x89PNG")
    assert "kept/here" in capsys.readouterr().out


def test_files_of_another_classifier_are_named_by_it(here: Path) -> None:
    with home.opened(read()) as (database, _), database.begin() as session:
        session.scalars(select(Classifier)).one().name = "birds"

    assert cli.main(["report", "--classifier", "birds", "--out", "kept"]) == 0

    assert sorted(path.name for path in (here / "kept").iterdir()) == ["birds-v2.json", "birds-v2.png"]


def test_a_folder_that_cannot_be_written_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").touch()

    assert cli.main(["report", "--out", "file"]) == 1

    assert "Can't write to file" in capsys.readouterr().err


def test_a_version_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "9"]) == 1

    assert "There is no v9. There are: v2, v1." in capsys.readouterr().err
