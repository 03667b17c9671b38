"""The reliability diagram: how sure the answers sounded, against how often they were right."""

from snaplabel.reports import Calibration, Score
from trainer.report.sheet import BEFORE, LINE, RIGHT, SOFT, Area, Block, points


def reliability(new: Score, old: Score | None) -> Block:
    """A dot for answers that sounded about as sure; on the dashed line a model is as good as its word.

    old: the model before, in grey.
    """
    sure, before = new.calibration, old.calibration if old is not None else None
    note = "too few photos to tell"
    if sure is not None:
        note = f"error {_percent(sure.ece)}; chance alone: {_percent(sure.by_chance)}"
    return Block(270, lambda area: _draw(area, sure, before), "As sure as right?", note)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.095 else f"{100 * share:.0f} %"


def _draw(area: Area, new: Calibration | None, old: Calibration | None) -> None:
    axes = area.axes(88, 12, area.width - 104, area.height - 78)
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.04))
    axes.plot([0, 1], [0, 1], color=BEFORE, linewidth=2, linestyle=(0, (4, 3)))
    if old is not None:
        axes.plot([b.sure for b in old.bins], [b.right for b in old.bins], "s-", color=BEFORE, markersize=6, alpha=0.8)
    if new is not None:
        sure = [one.sure for one in new.bins]
        axes.vlines(sure, [b.low for b in new.bins], [b.high for b in new.bins], color=RIGHT, alpha=0.3, linewidth=7)
        axes.plot(sure, [one.right for one in new.bins], "o-", color=RIGHT, markersize=9, linewidth=2)
    marks = (0, 0.5, 1)
    axes.set_xticks(marks, ["0 %", "50 %", "100 %"])
    axes.set_yticks(marks, ["0 %", "50 %", "100 %"])
    axes.grid(color=LINE, linewidth=points(1.5))
    axes.set_axisbelow(True)
    area.text(88 + (area.width - 104) / 2, area.height - 24, "how sure it sounded", 20, SOFT, ha="center")
