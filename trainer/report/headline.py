"""The top of a report: which version, how much of the exam it gets right, and against which one."""

from snaplabel.reports import Change, Report, Score
from snaplabel.voices import KINDS, bounds, percent
from trainer.report.sheet import BEFORE, FAINT, INK, RIGHT, SOFT, WRONG, Area, Block, printable, width_of, wrapped

INSIDE = 964  # pixels: the width of a block inside its card


def headline(report: Report, score: Score, version: int) -> Block:
    """Score, interval, what it was before, and the judge's sentence."""
    verdict = wrapped(printable(report.verdict), 25, INSIDE, 3)

    def draw(area: Area) -> None:
        area.text(0, -4, f"v{version}", 30, weight="bold")
        area.text(width_of(f"v{version}", 30, bold=True) + 16, 1, KINDS.get(report.kind, ""), 25, SOFT)
        area.text(0, 44, f"{percent(1 - score.error)} right", 100, weight="bold")
        where = f"{score.photos} exam photos" if report.by == "exam" else f"{score.photos} photos, cross-validated"
        between = "{} to {} with 95 % certainty, {}".format(*bounds(score.low, score.high), where)
        area.text(0, 162, between, 25, SOFT)
        if report.change is not None and report.by == "exam":
            _gain(area, report.change, report.parent)
        _scale(area.part(0, 206, area.width, 36), score, report.old)
        for line, words in enumerate(verdict):
            area.text(0, 264 + 34 * line, words, 25)

    return Block(258 + 34 * len(verdict), draw)


def _gain(area: Area, change: Change, parent: int | None) -> None:
    """How many points more, and what chance leaves of them."""
    more = round(100 * change.gain)
    sign, colour = ("▲", RIGHT) if more > 0 else ("▼", WRONG) if more < 0 else ("", BEFORE)
    words = f"{sign} {abs(more)} point{'' if abs(more) == 1 else 's'}" if more else "as before"
    area.text(area.width, 56, words, 42, colour, ha="right", weight="bold")
    between = f"{_signed(change.low)} to {_signed(change.high)} beside v{parent}"
    area.text(area.width, 112, between, 23, SOFT, ha="right")


def _signed(share: float) -> str:
    points = round(100 * share)
    return f"{'+' if points > 0 else '−' if points < 0 else '±'}{abs(points)}"


def _scale(area: Area, new: Score, old: Score | None) -> None:
    """All from nothing right to all right: the interval as a band, a dot for what was seen, a line for before."""
    axes = area.axes(0, 0, area.width, area.height)
    axes.set(xlim=(-0.006, 1.006), ylim=(0, 1), xticks=(), yticks=())
    axes.barh(0.5, 1, height=0.34, color=FAINT)
    axes.barh(0.5, new.high - new.low, left=1 - new.high, height=0.34, color=RIGHT, alpha=0.3)
    if old is not None:
        axes.plot([1 - old.error] * 2, [0.1, 0.9], color=INK, linewidth=3, solid_capstyle="butt")
    axes.plot([1 - new.error], [0.5], "o", color=RIGHT, markersize=15, markeredgecolor="white", markeredgewidth=2)
