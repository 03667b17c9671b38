"""Photos in a report: the labels most often confused, with examples, and what came right or went wrong."""

from collections.abc import Mapping, Sequence
from functools import partial

from snaplabel.reports import UNKNOWN, Report
from trainer.report.photos import PAIRS, PER_PAIR, TURNED, Square
from trainer.report.sheet import INK, SOFT, WRONG, Area, Block, fitted, printable

Turned = Sequence[tuple[int, int, int]]  # photo id, truth, answer
SMALL, LARGE = 104, 134  # pixels


def pairs(report: Report, squares: Mapping[int, Square]) -> Block | None:
    """The pairs that are confused most, two in a line; None where nothing is."""
    found = report.pairs()[:PAIRS]
    if not found:
        return None
    row = SMALL + 16

    def draw(area: Area) -> None:
        width = (area.width - 24) / 2
        for n, (truth, answer, photos) in enumerate(found):
            one = area.part(n % 2 * (width + 24), n // 2 * row, width, row)
            there = [photo for photo in photos if photo in squares][:PER_PAIR]
            for column, photo in enumerate(there):
                one.picture(column * (SMALL + 6), 0, SMALL, squares[photo])
            left = len(there) * (SMALL + 6) + (10 if there else 0)
            names = _name(report, truth), f"→ {_name(report, answer)}"
            for at, words in enumerate(names):
                one.text(left, 4 + 34 * at, fitted(words, 24, width - left), 24, WRONG if at else INK)
            one.text(left, 74, f"{len(photos)} of {report.labels[truth].asked}", 21, SOFT)

    lines = -(-len(found) // 2)
    return Block(row * lines - 16, draw, "Confused most often", f"what it is → what it was taken for, {_where(report)}")


def turned(report: Report, squares: Mapping[int, Square]) -> list[Block]:
    """What came right, and what went wrong, since the version before; nothing where no photo turned."""
    change, before = report.change, f"v{report.parent}"
    found = []
    if change is not None and change.fixed:
        many = len(change.fixed)
        title, note = f"{_photos(many)} came right", f"{before} got {'it' if many == 1 else 'them'} wrong"
        found.append(
            Block(_height(change.fixed, squares), partial(_strip, report, squares, change.fixed, "was"), title, note)
        )
    if change is not None and change.broken:
        many = len(change.broken)
        title, note = f"{_photos(many)} went wrong", f"{before} got {'it' if many == 1 else 'them'} right"
        found.append(
            Block(_height(change.broken, squares), partial(_strip, report, squares, change.broken, "now"), title, note)
        )
    return found


def _shown(rows: Turned, squares: Mapping[int, Square]) -> Turned:
    return [row for row in rows if row[0] in squares][:TURNED] or rows[:TURNED]


def _height(rows: Turned, squares: Mapping[int, Square]) -> int:
    return 56 + (LARGE + 8 if any(photo in squares for photo, *_ in _shown(rows, squares)) else 0)


def _strip(report: Report, squares: Mapping[int, Square], rows: Turned, when: str, area: Area) -> None:
    """The photos beside each other, what they are, and the other answer; when: "was" it before, or is it "now"."""
    shown = _shown(rows, squares)
    width, below = (area.width + 12) / len(shown), area.height - 54
    for n, (photo, truth, answer) in enumerate(shown):
        one = area.part(n * width, 0, width - 12, area.height)
        if photo in squares:
            one.picture(0, 0, LARGE, squares[photo])
        one.text(0, below, fitted(_name(report, truth), 21, one.width), 21)
        said = fitted(f"{when} {_name(report, answer)}", 20, one.width)
        one.text(0, below + 28, said, 20, WRONG if when == "now" else SOFT)


def _photos(many: int) -> str:
    return f"{many} photo{'' if many == 1 else 's'}"


def _name(report: Report, row: int) -> str:
    return "another label" if row == UNKNOWN else printable(report.labels[row].name)


def _where(report: Report) -> str:
    return "in the exam" if report.by == "exam" else "in the cross-validation"
