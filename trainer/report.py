"""The report: a confusion matrix as a picture that can be read on a phone."""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snaplabel.store import Store
from trainer.candidate import Candidate
from trainer.dataset import Ints

# With more labels, the names of columns and the counts would be smaller than a phone shows.
NUMBERED_LABELS = 20
LONGEST_NAME = 18
INK, PAPER, FAINT = "#22303c", "#ffffff", "#8a97a3"


def draw(store: Store, run_id: int, found: Candidate, names: tuple[str, ...], old_error: float | None) -> str | None:
    """Draw the candidate's answers, keep the picture in the store and return its key. Raises StoreError.

    None: nothing was asked, so there is nothing to draw.
    """
    if not len(found.truth):
        return None
    key = f"reports/{run_id}.png"
    store.put(key, picture(found.truth, found.answers, names, old_error, found.exam.by))
    return key


def picture(truth: Ints, answers: Ints, names: tuple[str, ...], old_error: float | None, by: str) -> bytes:
    """The confusion matrix as PNG bytes: a row for each true label, a column for each answer.

    truth, answers: (N,), not empty, rows of `names`; negative answers stand for labels that are no longer there.
    """
    rows = np.unique(np.concatenate([truth, answers[answers >= 0]])).astype(np.int64)
    counts = np.zeros((len(rows), len(rows)), np.int64)
    here = answers >= 0
    np.add.at(counts, (np.searchsorted(rows, truth[here]), np.searchsorted(rows, answers[here])), 1)
    title = _title(float((truth == answers).mean()), old_error, len(truth), by)
    return _paint(counts, [_short(names[row]) for row in rows.tolist()], title)


def _title(score: float, old_error: float | None, asked: int, by: str) -> tuple[str, str]:
    came = f"{1 - old_error:.0%} → " if old_error is not None and by == "exam" else ""
    on = f"{asked} exam photos" if by == "exam" else f"{asked} photos, cross-validated"
    return f"{came}{score:.0%} right", on


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _paint(counts: NDArray[np.int64], names: list[str], title: tuple[str, str]) -> bytes:
    # The Figure class draws without pyplot, which would keep every figure and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    many = len(names)
    side = float(np.clip(2.2 + 0.55 * many, 4.6, 13.0))
    figure = Figure(figsize=(side, side + 0.5), dpi=150 if many <= NUMBERED_LABELS else 120, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = LinearSegmentedColormap.from_list("right", [PAPER, "#2f7d5b"])
    wrong = LinearSegmentedColormap.from_list("wrong", [PAPER, "#c8553d"])
    on_line = np.eye(len(names), dtype=bool)
    colours = np.where(on_line[..., None], right(share), wrong(np.sqrt(share)))
    axes.imshow(colours, aspect="equal")
    size = float(np.clip(150 / many, 5.5, 12))
    # People name the labels: a dollar sign is no formula.
    look = {"fontsize": size, "color": INK, "parse_math": False}
    axes.set_xticks(range(many), names, rotation=90 if many > 4 else 0, **look)
    axes.set_yticks(range(many), names, **look)
    axes.set_xlabel("answered", fontsize=11, color=FAINT)
    axes.set_ylabel("truth", fontsize=11, color=FAINT)
    axes.set_xticks(np.arange(-0.5, many), minor=True)
    axes.set_yticks(np.arange(-0.5, many), minor=True)
    axes.grid(which="minor", color="#dfe5ea", linewidth=0.8 if many <= NUMBERED_LABELS else 0.4)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, column in np.argwhere(counts > 0).tolist():
        depth = share[row, column] if row == column else np.sqrt(share[row, column])
        ink = PAPER if depth > 0.55 else INK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=size, color=ink)
    figure.suptitle(title[0], fontsize=17, fontweight="bold", color=INK)
    axes.set_title(title[1], fontsize=11, color=FAINT)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # A script or an emoji that the font lacks is drawn as a box.
        figure.savefig(out, format="png", facecolor=PAPER, metadata={"Software": ""})
    return out.getvalue()
