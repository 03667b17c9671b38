"""The learning curve: the errors of every published version, with what an exam of its size leaves open."""

from collections.abc import Sequence

from snaplabel.reports import Point
from trainer.report.sheet import LINE, RIGHT, Area, Block, points

LABELLED = 5


def curve(found: Sequence[Point]) -> Block:
    """One version is a dot with its interval; many are a line with a band."""
    note = "exam errors and their 95 % band" if len(found) > 1 else "exam errors; one version so far"
    return Block(270, lambda area: _draw(area, found), "Version by version", note)


def _draw(area: Area, found: Sequence[Point]) -> None:
    axes = area.axes(66, 12, area.width - 82, area.height - 56)
    places = range(len(found))
    top = min(1.0, max(0.05, 1.12 * max(point.high for point in found)))
    axes.set(xlim=(-0.4, max(len(found) - 0.6, 0.4)), ylim=(0, top))
    errors = [point.error for point in found]
    low, high = [point.low for point in found], [point.high for point in found]
    if len(found) > 1:
        axes.fill_between(places, low, high, color=RIGHT, alpha=0.16, linewidth=0)
        axes.plot(places, errors, color=RIGHT, linewidth=3)
    else:
        axes.vlines(places, low, high, color=RIGHT, alpha=0.35, linewidth=9)
    if len(found) <= 30:
        examined = [place for place in places if found[place].by == "exam"]
        axes.plot(examined, [errors[place] for place in examined], "o", color=RIGHT, markersize=9)
        others = [place for place in places if place not in examined]
        axes.plot(others, [errors[place] for place in others], "o", color=RIGHT, markerfacecolor="white", markersize=9)
    axes.plot([len(found) - 1], errors[-1:], "o", color=RIGHT, markersize=14, markeredgecolor="white")
    step = -(-(len(found) - 1) // LABELLED) or 1
    named = [place for place in places if (len(found) - 1 - place) % step == 0]
    axes.set_xticks(named, [f"v{found[place].version}" for place in named])
    ticks = next(every for every in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if top / every <= 5)
    marks = [n * ticks for n in range(int(top / ticks) + 1)]
    axes.set_yticks(marks, [f"{mark:.0%}".replace("%", " %") for mark in marks])
    axes.grid(axis="y", color=LINE, linewidth=points(1.5))
    axes.set_axisbelow(True)
