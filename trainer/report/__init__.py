"""The report of a training: its facts, always kept, and a picture of them, drawn when somebody asks.

`record` needs no matplotlib, which takes half a second to import: a refit after a correction never draws.
"""

from trainer.report.drawing import draw
from trainer.report.facts import record

__all__ = ["draw", "record"]
