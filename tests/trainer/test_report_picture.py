"""The picture of a report: as wide as a phone, for two labels and for two hundred, whatever people call them."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snaplabel import reports, trainings
from snaplabel.reports import UNKNOWN, Change, LabelScore, Point, Report, Score
from snaplabel.store import photo_key
from snaplabel.tables import Photo, TrainingRun
from trainer import judge, report, run
from trainer.report.confusion import matrix
from trainer.report.photos import SIDE, thumbnails
from trainer.report.picture import picture
from trainer.report.sheet import fitted, printable, width_of, wrapped


def _report(names: list[str], asked: int = 6, by: str = "exam") -> Report:
    """Every label was asked so often, and gets its last photo wrong: the next label is answered."""
    many = len(names)
    wrong = tuple((row + 1, row, (row + 1) % many, 0.9) for row in range(many))
    score = Score(1 / asked, *judge.wilson(many, many * asked), many * asked, _calibration(many * asked))
    old = Score(2 / asked, *judge.wilson(2 * many, many * asked), many * asked, _calibration(many * asked))
    labels = tuple(LabelScore(n + 1, name, asked, asked - 1, asked - 2, 20) for n, name in enumerate(names))
    change = Change(0.1, -0.05, 0.25, 0.2, fixed=((many + 1, 0, 1), (many + 2, 1, UNKNOWN)), broken=((many + 3, 1, 0),))
    return Report(7, "refit", by, score, old if by == "exam" else None, 3, labels, wrong, change, True, "Better.")


def _calibration(photos: int) -> reports.Calibration | None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.6, 1, photos).astype(np.float32)
    return judge.calibration(rng.random(photos) < chances, chances)


def _points(many: int) -> list[Point]:
    return [
        Point(n, "refit", 0.5 / n, 0.2 / n, 0.9 / n, 60, "exam" if n > 2 else "cross-validation", 99)
        for n in range(1, many + 1)
    ]


def _drawn(found: Report, points: list[Point], squares: dict[int, Any] | None = None) -> Image.Image:
    assert found.new is not None
    return Image.open(io.BytesIO(picture(found, found.new, 4, points, squares or {})))


@pytest.mark.parametrize("many", [2, 9, 20, 200])
def test_a_picture_is_as_wide_as_a_phone_for_any_number_of_labels(many: int) -> None:
    found = _report([f"label number {n}" for n in range(many)])

    image = _drawn(found, _points(3))

    assert (image.format, image.width) == ("PNG", 1080)
    # A chat scales what is longer than this down to nothing that can be read.
    assert 1200 < image.height < 2700


@pytest.mark.parametrize(
    "names",
    [
        ["松鼠", "狐狸"],
        ["🐿️", "👩🏽‍🔬 и 🇮🇹"],
        ["Жук-носорог", "日本 label"],
        ["$x_{^$", r"\alpha $$ % & #"],
        ["W" * 40, "i" * 40, "ﷺ" * 40],
        ["नमस्ते", "שלום", "مرحبا"],
    ],
)
def test_a_label_may_be_called_anything_without_a_missing_glyph(names: list[str]) -> None:
    # matplotlib warns of every glyph that its fonts lack, and warnings are errors here.
    image = _drawn(_report(names), _points(2))

    assert image.width == 1080


@pytest.mark.parametrize("many", [1, 2, 100])
def test_the_curve_takes_one_version_or_a_hundred(many: int) -> None:
    assert _drawn(_report(["ant", "bee"]), _points(many)).width == 1080


def test_a_cross_validation_is_drawn_without_a_version_before() -> None:
    assert _drawn(_report(["ant", "bee", "wasp"], by="cross-validation"), _points(1)).width == 1080


def test_photos_are_drawn_where_they_may_be_shown() -> None:
    found = _report(["ant", "bee"])
    pink = np.full((SIDE, SIDE, 3), (255, 0, 200), np.uint8)

    bare = _drawn(found, _points(2)).convert("RGB")
    shown = _drawn(found, _points(2), {1: pink, 3: pink}).convert("RGB")

    def pink_dots(image: Image.Image) -> int:
        return int((np.asarray(image) == (255, 0, 200)).all(axis=2).sum())

    assert pink_dots(bare) == 0
    assert pink_dots(shown) > 20_000


def test_of_many_labels_the_most_confused_are_shown_the_worst_first() -> None:
    names = [f"label {n}" for n in range(60)]
    found = _report(names)
    labels = list(found.labels)
    labels[17] = LabelScore(18, "label 17", 9, 2, None, 5)
    wrong = tuple((0, 17, 40, 0.5) for _ in range(7))

    shown = matrix(Report(1, "refit", "exam", found.new, None, None, tuple(labels), wrong), most=20)

    assert len(shown.labels) == 20
    assert shown.labels[0].name == "label 17"
    place = [label.name for label in shown.labels].index("label 40")
    assert shown.counts[0, place] == 7
    assert shown.counts[0, 0] == 2


def test_a_label_that_was_answered_but_never_asked_has_a_row_too() -> None:
    labels = (
        LabelScore(1, "ant", 3, 2, None, 5),
        LabelScore(2, "bee", 0, 0, None, 5),
        LabelScore(3, "fly", 0, 0, None, 1),
    )

    shown = matrix(Report(1, "refit", "exam", None, None, None, labels, ((0, 0, 1, 0.9),)))

    assert [label.name for label in shown.labels] == ["ant", "bee"]
    assert shown.counts.tolist() == [[2, 1], [0, 0]]


def test_long_names_are_cut_in_their_middle() -> None:
    short = fitted("a rather long label name number 27", 22, 200)

    assert short.startswith("a rather")
    assert short.endswith("27")
    assert "…" in short
    assert width_of(short, 22) <= 200
    assert fitted("ant", 22, 200) == "ant"


def test_a_verdict_is_broken_into_lines_that_fit() -> None:
    lines = wrapped("Better: 12 exam photos came right and 3 went wrong. " * 6, 25, 600, 3)

    assert len(lines) == 3
    assert all(width_of(line, 25) <= 600 for line in lines)
    assert lines[-1].endswith("…")


def test_signs_without_a_glyph_are_named_or_boxed() -> None:
    assert printable("🦑") in ("🦑", ":squid:")
    assert printable("🇮🇹 Roma") == "IT Roma"
    assert printable("Жук $x$") == "Жук $x$"
    assert len(printable("\U00020000")) == 1


def test_a_photo_that_is_lost_or_damaged_is_left_out(planted: Any) -> None:
    out = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((300, 200)).save(out, "JPEG")
    planted.store.put(photo_key("a" * 64), out.getvalue())
    planted.store.put(photo_key("b" * 64), b"no photo")
    found = _report(["ant", "bee"])

    squares = thumbnails(planted.store, found, {1: "a" * 64, 2: "b" * 64, 3: "c" * 64, 99: "a" * 64})

    assert list(squares) == [1]
    assert squares[1].shape == (SIDE, SIDE, 3)


def _trained(planted: Any, reason: str) -> int:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")
    with planted.database.begin() as session:
        run_id = trainings.ask(session, planted.classifier_id, "refit", reason).id
    run.execute(planted.context(), run_id)
    return int(run_id)


def test_who_asks_for_a_training_gets_its_picture(planted: Any) -> None:
    run_id = _trained(planted, "command")

    with planted.database.read() as session:
        assert session.get_one(TrainingRun, run_id).picture == reports.picture_key(run_id)
    assert Image.open(io.BytesIO(planted.store.get(reports.picture_key(run_id)))).width == 1080


def test_the_picture_of_a_refit_after_a_correction_is_drawn_when_somebody_asks(planted: Any) -> None:
    run_id = _trained(planted, "corrections")

    first = report.draw(planted.database, planted.store, run_id)
    planted.store.put(reports.picture_key(run_id), b"as it was")
    again = report.draw(planted.database, planted.store, run_id)

    assert first == again == reports.picture_key(run_id)
    assert planted.store.get(reports.picture_key(run_id)) == b"as it was"


def test_a_forgotten_picture_is_drawn_anew(planted: Any) -> None:
    run_id = _trained(planted, "command")

    with planted.database.begin() as session:
        keys = reports.undraw(session, [planted.classifier_id])
    for key in keys:
        planted.store.delete(key)

    assert keys == [reports.picture_key(run_id)]
    assert report.draw(planted.database, planted.store, run_id) == keys[0]
    assert planted.store.has(keys[0])


def test_a_picture_does_not_outlive_a_photo_that_is_erased_while_it_is_drawn(planted: Any) -> None:
    for label in ("ant", "bee"):
        planted.photos(12, label)
        planted.photos(6, label, split="exam")
    odd = planted.photo("ant", split="exam", looks="bee")
    with planted.database.begin() as session:
        run_id = trainings.ask(session, planted.classifier_id, "refit", "corrections").id
    run.execute(planted.context(), run_id)
    put: list[str] = []

    class Watched(type(planted.store)):  # type: ignore[misc]
        """A store into which the picture goes while somebody takes the photo out."""

        def put(self, key: str, data: bytes) -> None:
            put.append(key)
            super().put(key, data)
            with planted.database.begin() as session:
                session.get_one(Photo, odd).unreadable = "gone"

    drawn = report.draw(planted.database, Watched(planted.store.url), run_id)

    assert put == [drawn, drawn]


def test_a_run_without_a_version_has_no_picture(planted: Any) -> None:
    with planted.database.begin() as session:
        run_id = trainings.ask(session, planted.classifier_id, "refit", "command").id

    assert report.draw(planted.database, planted.store, run_id) is None
    assert report.draw(planted.database, planted.store, 99) is None


def test_a_report_that_cannot_be_drawn_costs_no_version(planted: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Full(type(planted.store)):  # type: ignore[misc]
        """A store with no room for pictures."""

        def put(self, key: str, data: bytes) -> None:
            if key.endswith(".png"):
                raise OSError(28, "No space left on device")
            super().put(key, data)

    planted.store = Full(planted.store.url)

    run_id = _trained(planted, "command")

    with planted.database.read() as session:
        row = session.get_one(TrainingRun, run_id)
        assert (row.state, row.picture) == ("done", None)
    assert planted.current().version == 1
    assert "could not be drawn" in caplog.text
