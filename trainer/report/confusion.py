"""Label by label: the confusion matrix, a row for what a photo shows and a column for what was answered, with a bar for
how much of each label is right."""

from dataclasses import dataclass
from math import radians, sin
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from snaplabel.reports import UNKNOWN, LabelScore, Report
from trainer.report.sheet import (
    CARD,
    FAINT,
    INK,
    LINE,
    RIGHT,
    SOFT,
    WRONG,
    Area,
    Block,
    fitted,
    points,
    printable,
    width_of,
)

SHOWN = 20
# All in pixels. A row is high enough for a name; a column may be narrow, and its name stands aslant below it.
NAMES, BARS, COUNTS, GAP = 232, 110, 92, 26
INSIDE = 964 - BARS - COUNTS - GAP
HIGH, LOW, WIDEST, BELOW, SLANT = 46, 36, 60, 150, 38
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Matrix:
    """The labels that are shown, the least right first, and the counts among them; (shown, shown)."""

    labels: tuple[LabelScore, ...]
    counts: Counts


def matrix(report: Report, most: int = SHOWN) -> Matrix:
    """Of more labels than can be shown: those with the most mistakes, by them or for them."""
    many = len(report.labels)
    counts = np.zeros((many, many), np.int64)
    np.fill_diagonal(counts, [label.right for label in report.labels])
    for _, truth, answer, _ in report.wrong:
        if answer != UNKNOWN:
            counts[truth, answer] += 1
    wrong = counts - np.diag(np.diag(counts))
    mistakes, met = wrong.sum(axis=0) + wrong.sum(axis=1), counts.sum(axis=0) + counts.sum(axis=1)
    met += np.array([label.asked for label in report.labels], np.int64)
    rows = [row for row in np.lexsort((-met, -mistakes)).tolist() if met[row]][:most]
    rows.sort(key=lambda row: (_share(report.labels[row]), -report.labels[row].asked, report.labels[row].name))
    return Matrix(tuple(report.labels[row] for row in rows), counts[np.ix_(rows, rows)])


def _share(label: LabelScore) -> float:
    return label.right / label.asked if label.asked else 2.0


def confusion(report: Report) -> Block | None:
    """The matrix as a block; None where nothing was asked."""
    found = matrix(report)
    many = len(found.labels)
    if not many:
        return None
    there = sum(label.asked > 0 for label in report.labels)
    title = "Label by label" if many >= there else f"The {many} most confused of {there} labels"
    line = f"; the line is v{report.parent}" if report.old is not None else ""
    note = f"rows: what it is; columns: what was answered; bars: right answers{line}"
    row, size = (HIGH, 22) if many <= 12 else (LOW, 19)
    names = [printable(label.name) for label in found.labels]
    beside = min(NAMES, 16 + max(width_of(name, size) for name in names))
    column = min(WIDEST, (INSIDE - beside) / many)
    # What stands aslant below a narrow column must be smaller.
    small = min(size, 0.8 * column)
    below = [fitted(name, small, BELOW) for name in names]
    high = row * many + 34 + sin(radians(SLANT)) * max(width_of(name, small) for name in below)

    def draw(area: Area) -> None:
        axes = area.axes(beside, 0, column * many, row * many)
        _cells(axes, found.counts, size)
        look = {"color": INK, "parse_math": False}
        slanted = {"rotation": SLANT, "ha": "right", "rotation_mode": "anchor", "fontsize": points(small)}
        axes.set_xticks(range(many), below, **look, **slanted)
        shown = [fitted(name, size, beside - 12) for name in names]
        axes.set_yticks(range(many), shown, fontsize=points(size), **look)
        axes.tick_params(which="both", length=0, pad=6)
        left = beside + column * many + GAP
        for n, label in enumerate(found.labels):
            _bar(area.part(left, n * row, area.width - left, row), label, size)

    return Block(high, draw, title, note)


def _cells(axes: Any, counts: Counts, size: float) -> None:
    """Counts on their colours; the diagonal by its share of the row, a mistake by the root of it: one must be seen."""
    many = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    on_line = np.eye(many, dtype=bool)
    depth = np.where(on_line, share, np.sqrt(share))
    right = LinearSegmentedColormap.from_list("right", [CARD, RIGHT])
    wrong = LinearSegmentedColormap.from_list("wrong", [CARD, WRONG])
    axes.imshow(np.where(on_line[..., None], right(depth), wrong(depth)), aspect="auto", interpolation="nearest")
    axes.set_xticks(np.arange(-0.5, many), minor=True)
    axes.set_yticks(np.arange(-0.5, many), minor=True)
    axes.grid(which="minor", color=LINE, linewidth=points(1.5))
    for row, column in np.argwhere(counts > 0).tolist():
        ink = CARD if depth[row, column] > 0.55 else INK
        look = {"ha": "center", "va": "center", "fontsize": points(size), "color": ink}
        axes.text(column, row, str(counts[row, column]), **look)


def _bar(area: Area, label: LabelScore, size: float) -> None:
    words = f"{label.right} of {label.asked}" if label.asked else "not asked"
    area.text(area.width, area.height / 2, words, size, SOFT, ha="right", va="center")
    if not label.asked:
        return
    axes = area.axes(0, 0, area.width - COUNTS - 6, area.height)
    axes.set(xlim=(-0.01, 1.01), ylim=(0, 1), xticks=(), yticks=())
    axes.barh(0.5, 1, height=0.5, color=FAINT)
    axes.barh(0.5, label.right / label.asked, height=0.5, color=RIGHT)
    if label.was_right is not None:
        axes.plot([label.was_right / label.asked] * 2, [0.14, 0.86], color=INK, linewidth=3, solid_capstyle="butt")
