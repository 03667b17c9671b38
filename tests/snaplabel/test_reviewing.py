"""`snaplabel review` and `acts` as somebody types them, in a home of their own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from snaplabel import corrections, labels, people, registry
from snaplabel.cli import DONE, FAILED, WRONG_USAGE, main
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.tables import Label, Model, Photo, Suspect
from tests.snaplabel.test_importing import picture


@pytest.fixture
def home(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Photos 1 and 2 are cats, 3 and 4 dogs; a model suspects that the first is a dog."""
    for name in [name for name in os.environ if name.startswith("SNAPLABEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SNAPLABEL_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)
    for n, label in enumerate(("cat", "cat", "dog", "dog"), start=1):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / label / f"{n}.png").write_bytes(picture(n))
    assert main(["import", "photos"]) == DONE
    database = Database(settings.database)
    with database.begin() as session:
        dog = labels.by_name(session, 1, "dog")
        assert dog is not None
        session.add(Suspect(classifier_id=1, photo_id=1, kind="mislabelled", score=0.93, suggested_id=dog.id))
        card = Card("default", 1, "refit", "tiny", labels=((1, "cat"), (2, "dog"))).to_json()
        model = Model(classifier_id=1, version=1, kind="refit", backbone="tiny", key="models/1/1", card=card)
        session.add(model)
        session.flush()
        registry.publish(session, model)
    yield database
    database.close()


def _label(database: Database, photo_id: int) -> str:
    with database.read() as session:
        return session.get_one(Label, session.get_one(Photo, photo_id).label_id).name


def _said(capsys: pytest.CaptureFixture[str], *command: str, code: int = DONE) -> str:
    """What a command printed, on either stream."""
    capsys.readouterr()
    assert main(command) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


@pytest.mark.usefixtures("home")
def test_the_list_says_what_looks_wrong_and_where_the_file_lies(capsys: pytest.CaptureFixture[str]) -> None:
    headers, line = _said(capsys, "review").splitlines()

    assert headers.split("\t") == ["", "photo", "why", "label", "looks like", "score", "file"]
    rank, photo, why, label, looks_like, score, file = line.split("\t")
    assert (rank, photo, why, label, looks_like, score) == ("1", "1", "probably mislabelled", "cat", "dog", "0.93")
    assert Path(file).read_bytes().startswith(b"\xff\xd8")


@pytest.mark.usefixtures("home")
def test_the_list_comes_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(_said(capsys, "review", "--json"))

    assert (found["photo"], found["kind"], found["label"], found["suggested"]) == (1, "mislabelled", "cat", "dog")


@pytest.mark.usefixtures("home")
def test_a_page_with_the_photos_needs_nothing_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _said(capsys, "review", "--html", "sheet.html")

    page = (tmp_path / "sheet.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert "looks like <b>dog</b>" in page
    assert "<code>snaplabel review relabel 1 dog</code><br><code>snaplabel review keep 1</code>" in page
    assert "http" not in page


def test_a_label_can_t_break_out_of_the_page(
    home: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with home.begin() as session:
        session.scalars(select(Label).where(Label.name == "dog")).one().name = "<script>alert(1)</script>"

    _said(capsys, "review", "--html", "sheet.html")

    assert "<script" not in (tmp_path / "sheet.html").read_text()


def test_people_who_disagree_are_counted(home: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with home.begin() as session:
        dog = labels.make(session, 1, "dog")
        maria = people.person(session, "telegram", "7", "Maria")
        corrections.vote(session, session.get_one(Photo, 2), maria, dog, is_admin=False, votes_needed=0.5)

    line = _said(capsys, "review").splitlines()[1]

    assert line.split("\t")[1:4] == ["2", "people disagree: 1 × cat, 1 × dog", "cat"]


def test_keeping_takes_photos_off_the_list(home: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert _said(capsys, "review", "keep", "1", "2") == "Kept photos 1, 2.\n"

    assert "Nothing looks wrong" in _said(capsys, "review")
    assert _label(home, 1) == "cat"


def test_relabelling_and_undoing_it(home: Database, capsys: pytest.CaptureFixture[str]) -> None:
    said = _said(capsys, "review", "relabel", "1", "2", "Dog")
    assert said.startswith("Photos 1, 2: dog now. `snaplabel train` refits")
    assert _label(home, 2) == "dog"

    _said(capsys, "review", "undo")

    assert (_label(home, 1), _label(home, 2)) == ("dog", "cat")


@pytest.mark.usefixtures("home")
def test_relabelling_with_the_label_that_it_has_says_that_it_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert _said(capsys, "review", "relabel", "1", "cat") == "Photo 1: cat already, and kept so.\n"

    both = _said(capsys, "review", "relabel", "2", "3", "dog")

    assert both.startswith("Photo 2: dog now. Photo 3: dog already, and kept so. `snaplabel train` refits")


@pytest.mark.usefixtures("home")
def test_a_label_that_is_not_there_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Did you mean “dog”?" in _said(capsys, "review", "relabel", "1", "dogg", code=FAILED)
    assert "--new" in _said(capsys, "review", "relabel", "1", "owl", code=FAILED)

    assert "owl now" in _said(capsys, "review", "relabel", "1", "owl", "--new")


def test_removing_is_all_or_nothing(home: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no photo 99" in _said(capsys, "review", "remove", "1", "99", code=FAILED)
    with home.read() as session:
        assert session.get_one(Photo, 1).removed_at is None

    _said(capsys, "review", "remove", "1")

    assert "taken out" in _said(capsys, "review", "remove", "2", "1", code=FAILED)
    with home.read() as session:
        assert session.get_one(Photo, 1).removed_at is not None
        assert session.get_one(Photo, 2).removed_at is None


def test_another_classifiers_photo_is_told_apart(
    home: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "photos", "--classifier", "pets"]) == DONE

    assert "--classifier pets" in _said(capsys, "review", "remove", "5", code=FAILED)

    assert "Took out photo 5" in _said(capsys, "review", "remove", "5", "--classifier", "pets")
    assert "pets" in _said(capsys, "review", "undo", "3", code=FAILED)


def test_before_the_first_training_nothing_is_claimed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(settings.home))
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "1.png").write_bytes(picture(1))
    assert main(["import", str(tmp_path / "photos")]) == DONE

    assert "snaplabel train" in _said(capsys, "review")


@pytest.mark.usefixtures("home")
def test_the_log_lists_who_did_what_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("keep", "3"), ("relabel", "1", "dog"), ("remove", "2"), ("undo", "3")):
        assert main(["review", *command]) == DONE

    rows = [line.split("\t") for line in _said(capsys, "acts").splitlines()[1:]]

    undone = "undid what was decided about photo 1"
    reviews = [undone, "took out photo 2 (cat)", "relabelled photo 1: cat → dog", "kept photo 3 (dog)"]
    assert [row[3] for row in rows] == [*reviews, "imported 4 files"]
    assert {row[2] for row in rows} == {"command line"}
    assert [bool(row[4]) for row in rows] == [False, False, True, False, False]
    assert json.loads(_said(capsys, "acts", "--json", "--limit", "1"))["verb"] == "undo"


@pytest.mark.usefixtures("home")
def test_undoing_what_is_not_there_or_undone_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no review to undo" in _said(capsys, "review", "undo", code=FAILED)
    main(["review", "remove", "1"])
    main(["review", "undo"])

    assert "undone already" in _said(capsys, "review", "undo", "2", code=FAILED)
    assert "no act 9" in _said(capsys, "review", "undo", "9", code=FAILED)


@pytest.mark.parametrize("wrong", [["keep"], ["keep", "one"], ["relabel", "1"], ["undo", "1", "2"], ["burn", "1"]])
def test_wrong_usage_is_refused(wrong: list[str]) -> None:
    assert main(["review", *wrong]) == WRONG_USAGE
