"""Importing: folders and zips of labelled photos, and a report of all that was odd about them."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import func, select

from snaplabel import cli, people
from snaplabel.commands import importing, sources
from snaplabel.commands.importing import Report
from snaplabel.database import Database
from snaplabel.images import MAX_BYTES
from snaplabel.store import Store, photo_key
from snaplabel.tables import Correction, Label, Photo


def picture(seed: int, side: int = 96, ending: str = "png") -> bytes:
    """A photo unlike those of other seeds: coloured blocks, softly joined."""
    state = seed * 2_654_435_761 % 2**32 or 1
    values = bytearray()
    for _ in range(6 * 6 * 3):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        values.append(state >> 16 & 0xFF)
    image = Image.frombytes("RGB", (6, 6), bytes(values)).resize((side, side), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, {"jpg": "JPEG"}.get(ending, ending.upper()))
    return out.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def take_in(database: Database, store: Store, source: Path, *, relabel: bool = False) -> Report:
    with sources.opened(source) as (found, others):
        report = importing.take_in(database, store, found, relabel=relabel)
    report.others = others
    return report


def labelled(database: Database) -> dict[str, int]:
    with database.read() as session:
        query = select(Label.name, func.count()).join(Photo, Photo.label_id == Label.id).group_by(Label.name)
        return {name: count for name, count in session.execute(query)}  # noqa: C416


TREE = {"red/1.png": picture(1), "red/2.png": picture(2), "blue/3.png": picture(3)}


def test_a_folder_gives_each_photo_its_folders_name(database: Database, store: Store, tmp_path: Path) -> None:
    report = take_in(database, store, write(tmp_path / "photos", TREE))

    assert (report.added, report.known, report.unreadable) == (3, 0, [])
    assert labelled(database) == {"red": 2, "blue": 1}
    with database.read() as session:
        assert all(store.has(photo_key(sha256)) for sha256 in session.scalars(select(Photo.sha256)))
        assert all(vote.by_admin for vote in session.scalars(select(Correction)))


def test_parts_of_a_data_set_are_no_labels(database: Database, store: Store, tmp_path: Path) -> None:
    tree = {"train/red/1.png": picture(1), "valid/red/2.png": picture(2), "test/loose.png": picture(3)}

    report = take_in(database, store, write(tmp_path / "set", tree))

    assert labelled(database) == {"red": 2}
    assert report.unreadable == [("test/loose.png", "it lies in no folder that names its label")]


def test_a_zip_is_read_in_memory(database: Database, store: Store, tmp_path: Path) -> None:
    tree = {"shirts/" + name: data for name, data in TREE.items()}
    hidden = {"__MACOSX/red/._1.png": b"junk", "shirts/.DS_Store": b"junk", "../../red/out.png": picture(9)}

    report = take_in(database, store, zipped(tmp_path / "shirts.zip", {**tree, **hidden}))

    assert report.added == 4
    assert labelled(database) == {"red": 3, "blue": 1}
    assert not list(tmp_path.parent.glob("**/out.png"))


def test_a_second_import_finds_everything_there(database: Database, store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", TREE)
    take_in(database, store, folder)

    report = take_in(database, store, folder)

    assert (report.added, report.known, report.conflicts) == (0, 3, [])


def test_what_cannot_be_read_is_named_and_stops_nothing(database: Database, store: Store, tmp_path: Path) -> None:
    odd = {
        "red/empty.jpg": b"",
        "red/text.png": b"hello",
        "red/cut.jpg": picture(5, 300, "jpg")[:2000],
        "red/notes.txt": b"hello",
        "###/1.png": picture(6),
    }

    report = take_in(database, store, write(tmp_path / "photos", {**TREE, **odd}))

    assert (report.added, report.others) == (3, 1)
    reasons = {path: reason.partition(":")[0] for path, reason in report.unreadable}
    assert reasons == {
        "###/1.png": "A label needs at least one letter.",
        "red/cut.jpg": "broken",
        "red/empty.jpg": "empty",
        "red/text.png": "no-photo",
    }


def test_a_zip_member_that_is_too_heavy_is_not_read_to_its_end(
    database: Database, store: Store, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("red/bomb.png", b"\0" * (MAX_BYTES + 1000))

    report = take_in(database, store, tmp_path / "bomb.zip")

    assert report.unreadable == [("red/bomb.png", "too-heavy: over 20 MB")]


def test_a_damaged_zip_member_is_named(database: Database, store: Store, tmp_path: Path) -> None:
    path = zipped(tmp_path / "photos.zip", {"red/1.png": picture(1), "red/2.png": picture(2)})
    data = bytearray(path.read_bytes())
    at = data.index(picture(1)) + 50
    data[at : at + 20] = bytes(20)
    path.write_bytes(data)

    report = take_in(database, store, path)

    assert (report.added, report.unreadable) == (1, [("red/1.png", "broken: BadZipFile")])


def test_the_same_photo_under_two_labels_is_a_conflict(database: Database, store: Store, tmp_path: Path) -> None:
    report = take_in(database, store, write(tmp_path / "photos", {"blue/1.png": picture(1), "red/1.png": picture(1)}))

    assert (report.added, report.known) == (1, 1)
    assert report.conflicts == [("red/1.png", "red", "blue")]
    assert labelled(database) == {"blue": 1}


def test_relabel_lets_the_folder_win(database: Database, store: Store, tmp_path: Path) -> None:
    take_in(database, store, write(tmp_path / "before", {"blue/1.png": picture(1)}))

    report = take_in(database, store, write(tmp_path / "after", {"red/1.png": picture(1)}), relabel=True)

    assert (report.conflicts, report.relabelled) == ([], [("red/1.png", "red", "blue")])
    assert labelled(database) == {"red": 1}


def test_a_photo_that_came_by_chat_without_a_label_gets_one(database: Database, store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", {"red/1.png": picture(1)})
    take_in(database, store, folder)
    with database.begin() as session:
        session.execute(Correction.__table__.delete())  # type: ignore[attr-defined]
        photo = session.scalars(select(Photo)).one()
        photo.label_id = photo.labelled_at = None

    report = take_in(database, store, folder)

    assert (report.known, labelled(database)) == (1, {"red": 1})


def test_near_duplicates_are_listed_and_share_a_side(database: Database, store: Store, tmp_path: Path) -> None:
    tree = {"red/1.png": picture(1, 200), "red/again.jpg": picture(1, 120, "jpg")}

    report = take_in(database, store, write(tmp_path / "photos", tree))

    assert report.near == [("red/again.jpg", "a photo of red")]
    with database.read() as session:
        assert len(set(session.scalars(select(Photo.group_id)))) == 1


def test_more_than_one_batch_keeps_one_photo_in_five_for_the_exam(
    database: Database, store: Store, tmp_path: Path
) -> None:
    tree = {f"{'red' if n % 2 else 'blue'}/{n:03}.png": picture(n + 1, 48) for n in range(120)}

    report = take_in(database, store, write(tmp_path / "photos", tree))

    assert report.added == 120
    with database.read() as session:
        query = select(Label.name, func.count()).join(Photo, Photo.label_id == Label.id)
        exam = session.execute(query.where(Photo.split == "exam").group_by(Label.name)).all()
    assert all(10 <= count <= 14 for _, count in exam), exam


def test_a_classifier_has_photos_of_its_own(database: Database, store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", TREE)
    take_in(database, store, folder)

    with sources.opened(folder) as (found, _):
        report = importing.take_in(database, store, found, classifier_name="shirts")

    assert report.added == 3
    with database.read() as session:
        assert people.classifier(session, "shirts") is not None


def test_folders_that_differ_by_case_or_accents_alone_are_said_to_be_one_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    files = {"Café/1.png": picture(1), "cafe/2.png": picture(2), "sea/3.png": picture(3)}

    assert cli.main(["import", str(write(tmp_path / "places", files))]) == 0

    said = capsys.readouterr().out
    assert "Café and cafe differ by spelling alone, and are one label." in said
    assert "sea" not in said


def test_the_command_reports_and_returns_1_when_nothing_came_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", {**TREE, "red/text.png": b"hello"})
    write(tmp_path / "broken", {"red/1.png": b"hello"})

    assert cli.main(["import", "photos"]) == 0
    out = capsys.readouterr().out
    assert "3 photos added to 'default', 0 were here already." in out
    assert "red/text.png: not a photo that can be read" in out

    assert cli.main(["import", "broken"]) == 1
    assert "Nothing was imported." in capsys.readouterr().out


def test_photos_without_label_folders_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set" / "ant", {f"{n}.png": picture(n) for n in range(3)})
    zipped(tmp_path / "ants.zip", {"1.png": picture(1)})

    codes = [cli.main(["import", source]) for source in ("set/ant", "ants.zip")]

    said = capsys.readouterr()
    assert (codes, said.out) == ([1, 1], "")
    of_folder, of_zip = said.err.splitlines()
    assert f"set/ant holds photos and no label folders; did you mean its parent, {tmp_path / 'set'}? A " in of_folder
    assert "ants.zip holds photos and no label folders. A source looks like this" in of_zip


def test_the_log_counts_the_files_that_changed_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "photos", {**TREE, "red/text.png": b"hello"})
    write(tmp_path / "after", {"blue/1.png": picture(1)})

    for source in (["photos"], ["photos"], ["after"], ["after", "--relabel"]):
        assert cli.main(["import", *source]) == 0

    capsys.readouterr()
    assert cli.main(["acts"]) == 0
    written = [line.split("\t")[3] for line in capsys.readouterr().out.splitlines()[1:]]
    assert written == ["imported 1 file", "imported 0 files", "imported 0 files", "imported 3 files"]


def test_real_photos_come_in_quickly(database: Database, store: Store, test_data: Path) -> None:
    report = take_in(database, store, test_data / "ants-bees" / "train")

    assert report.added == 224
    assert set(labelled(database)) == {"ants", "bees"}


def test_hostile_pictures_are_refused_and_never_bring_it_down(
    database: Database, store: Store, test_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(test_data / "bad-images", tmp_path / "photos" / "odd")

    report = take_in(database, store, tmp_path / "photos")

    assert report.added > 10
    assert len(report.unreadable) > 10


def test_the_command_says_that_train_and_test_are_both_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "set", {"train/ant/1.png": picture(1), "test/ant/2.png": picture(2), "test/bee/3.png": picture(3)})

    assert cli.main(["import", "set"]) == 0

    said = capsys.readouterr().out
    assert "All of its parts are taken in (test, train)" in said
    assert "Labels: ant, bee." in said
    assert "only one label" not in said


def test_the_command_warns_of_a_single_label_and_of_a_single_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ant", {"1.png": picture(1)})
    write(tmp_path / "set", {"ant/1.png": picture(1)})

    write(tmp_path / "more", {"bee/1.png": picture(2)})

    codes = [cli.main(["import", source]) for source in ("set", "ant/1.png", "more")]

    said = capsys.readouterr()
    assert codes == [0, 1, 0]
    assert said.out.count("only one label") == 1
    assert "1 photo added to 'default', 0 were here already." in said.out
    assert "There is only one label in it, ant" in said.out
    assert "ant/1.png is a single photo. Put it into a folder that is named after its label" in said.err
