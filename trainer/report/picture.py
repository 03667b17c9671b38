"""The whole report as one picture for a chat: portrait, as wide as a phone's screen, in light colours."""

from collections.abc import Mapping, Sequence

from snaplabel.reports import Point, Report, Score
from trainer.report.confusion import confusion
from trainer.report.curve import curve
from trainer.report.headline import headline
from trainer.report.photos import Square
from trainer.report.reliability import reliability
from trainer.report.sheet import sheet
from trainer.report.strips import pairs, turned


def picture(
    report: Report, score: Score, version: int, points: Sequence[Point], squares: Mapping[int, Square]
) -> bytes:
    """PNG bytes. score: `report.new`, which must be there. points: the learning curve, this version last.

    squares: what `photos.thumbnails` found.
    """
    rows = [[headline(report, score, version)], [curve(points), reliability(score, report.old)]]
    rows += [[block] for block in (confusion(report), pairs(report, squares)) if block is not None]
    rows.append(turned(report, squares))
    return sheet([row for row in rows if row])
