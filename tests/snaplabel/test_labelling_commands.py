"""`snaplabel label`, `people` and `revert`: labels and people from a terminal."""

from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from snaplabel import cli, home, people
from snaplabel.acts import VERBS
from snaplabel.commands.reviewing import WAYS_BACK
from snaplabel.reviews import REVIEWS
from snaplabel.settings import read
from snaplabel.tables import Act, Label, Photo
from tests.snaplabel.test_importing import picture, write


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """An installation with two photos of ants, one of an ant and one of a bee."""
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    files = {"ants/1.png": 1, "ants/2.png": 2, "ant/3.png": 3, "bee/4.png": 4}
    source = write(tmp_path / "insects", {name: picture(seed) for name, seed in files.items()})
    assert cli.main(["import", str(source)]) == 0
    return tmp_path


def _run(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    capsys.readouterr()
    assert cli.main(command) == 0
    return capsys.readouterr().out


def _labels() -> dict[str, int]:
    """Label in use → its photos."""
    with home.opened(read()) as (database, _), database.read() as session:
        query = select(Label.name, Photo.id).outerjoin(Photo, Photo.label_id == Label.id)
        found: dict[str, int] = {}
        for name, photo_id in session.execute(query.where(Label.archived_at.is_(None))):
            found[name] = found.get(name, 0) + (photo_id is not None)
        return found


def test_an_import_mentions_labels_that_may_be_the_same(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run(capsys, "import", str(here / "insects"))

    assert 'ant and ants (1 and 2 photos) may be the same: snaplabel label merge "ant" "ants"' in said


def test_nothing_is_told_as_done_that_the_disk_had_no_room_for(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_session: Session) -> None:
        raise OperationalError("COMMIT", None, Exception("database or disk is full"))

    capsys.readouterr()
    event.listen(Session, "before_commit", fail)
    try:
        failed = cli.main(["label", "rename", "bee", "wasp"])
    finally:
        event.remove(Session, "before_commit", fail)

    said = capsys.readouterr()
    assert failed == 1
    assert said.out == ""
    assert "make room" in said.err
    assert "bee" in _labels()


def test_labels_are_listed_with_photos_other_names_and_what_is_put_away(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, "label", "alias", "bee", "honey bee")
    _run(capsys, "label", "archive", "ants")

    lines = _run(capsys, "label").splitlines()

    assert lines[0].split("\t") == ["label", "photos", "in the exam", "other names"]
    assert sorted(line.split("\t")[0] for line in lines[1:3]) == ["ant", "bee"]
    assert "bee\t1\t0\thoney bee" in lines
    assert lines[3] == "ants: archived; `snaplabel label restore` takes it back."


def test_a_merge_and_its_way_back(capsys: pytest.CaptureFixture[str]) -> None:
    merged = _run(capsys, "label", "merge", "ants", "ant")
    together = _labels()

    restored = _run(capsys, "label", "restore", "ants")

    assert merged == "ants is ant now; 2 photos moved. The next training learns it so.\n"
    assert together == {"ant": 3, "bee": 1}
    assert restored == "ants is back, with 2 photos. The next training learns it so.\n"
    assert _labels() == {"ant": 1, "ants": 2, "bee": 1}


def test_an_import_after_a_merge_or_a_rename_knows_the_old_names(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(capsys, "label", "merge", "ants", "ant")
    _run(capsys, "label", "rename", "bee", "Apis mellifera")
    write(here / "more", {"ants/9.png": picture(9), "BEE/8.png": picture(8)})

    _run(capsys, "import", str(here / "more"))

    assert _labels() == {"ant": 4, "Apis mellifera": 2}


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["rename", "beee", "wasp"], "Did you mean “bee”?"),
        (["rename", "bee", "ANT"], "There is a label “ant” already"),
        (["merge", "bee", "bee"], "is the same label already"),
        (["restore", "bee"], "“bee” is not archived."),
        (["unalias", "bee"], "is no other name of any label"),
    ],
)
def test_what_cannot_be_done_fails_with_a_sentence(
    capsys: pytest.CaptureFixture[str], command: list[str], sentence: str
) -> None:
    code = cli.main(["label", *command])

    assert code == 1
    assert sentence in capsys.readouterr().err
    assert _labels() == {"ant": 1, "ants": 2, "bee": 1}


def test_a_classifier_may_be_named_before_or_after_the_act(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["label", "--classifier", "x", "archive", "a"], ["label", "archive", "a", "--classifier", "x"]):
        assert cli.main(command) == 1
        assert "There is no classifier 'x'" in capsys.readouterr().err


def test_people_shows_the_id_that_revert_takes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _run(capsys, "people").splitlines()

    said = _run(capsys, "revert", lines[1].split("\t")[0], "--yes").splitlines()[0]

    assert lines[1].split("\t") == ["local:import", "import", "4", "", "admin"]
    assert said == "4 corrections taken back; the next training learns without them."
    assert _labels() == {"ant": 0, "ants": 0, "bee": 0}
    with home.opened(read()) as (database, _), database.read() as session:
        (act,) = session.scalars(select(Act).where(Act.verb != "import")).all()
        importer = people.person(session, "local", "import").id
    assert (act.verb, act.person_id, act.facts) == ("revert", None, {"reverted_id": importer, "corrections": 4})


def test_the_labels_of_an_import_are_not_taken_back_by_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["revert", "local:import"]) == 1

    assert "4 labels, by imports and reviews, would be taken back. Nothing was done." in capsys.readouterr().err
    assert _labels() == {"ant": 1, "ants": 2, "bee": 1}


def test_importing_again_brings_back_what_a_revert_took(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, "revert", "local:import", "--yes")

    _run(capsys, "import", str(here / "insects"))

    assert _labels() == {"ant": 1, "ants": 2, "bee": 1}


def test_the_log_says_in_words_what_was_done_to_labels(capsys: pytest.CaptureFixture[str]) -> None:
    for act in (
        ["alias", "bee", "honey bee"],
        ["rename", "bee", "wasp"],
        ["rename", "wasp", "bee"],
        ["unalias", "wasp"],
        ["merge", "ant", "ants"],
        ["archive", "bee"],
    ):
        _run(capsys, "label", *act)
    _run(capsys, "revert", "local:import", "--yes")

    said = [line.split("\t")[3] for line in _run(capsys, "acts").splitlines()[1:]]

    assert said == [
        "took back 4 corrections by local:import",
        "archived bee (1 photo)",
        "merged ant into ants (1 photo)",
        "took from bee the other name wasp",
        "renamed wasp to bee",
        "renamed bee to wasp",
        "gave bee the other name honey bee",
        "imported 4 files",
    ]


def test_undoing_a_merge_as_a_review_says_what_undoes_it(capsys: pytest.CaptureFixture[str]) -> None:
    _run(capsys, "label", "merge", "ant", "ants")

    assert cli.main(["review", "undo", "2"]) == 1

    assert "Act 2 was no review (merged ant into ants (1 photo)). `snaplabel label restore`" in capsys.readouterr().err


def test_every_act_that_is_no_review_says_what_undoes_it() -> None:
    assert set(WAYS_BACK) == set(VERBS) - set(REVIEWS)
