"""A confusion matrix for two labels and for fifty."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer import report


@pytest.mark.parametrize("labels", [2, 9, 50])
def test_a_picture_is_drawn_for_any_number_of_labels(labels: int) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(labels), 6)
    answers = np.where(rng.random(len(truth)) < 0.2, rng.integers(0, labels, len(truth)), truth)
    names = tuple(f"label number {n}" for n in range(labels))

    data = report.picture(truth, answers, names, 0.3, "exam")

    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    assert 600 <= image.width <= 2000


def test_an_answer_that_is_no_label_any_more_is_left_out() -> None:
    truth, answers = np.array([0, 1, 1]), np.array([0, 1, -1])

    assert report.picture(truth, answers, ("ant", "bee"), None, "exam").startswith(b"\x89PNG")


def test_a_label_may_hold_anything_that_people_type() -> None:
    truth = np.array([0, 1, 2])

    assert report.picture(truth, truth, ("$x_$^{", "松鼠", "🐿️"), None, "exam").startswith(b"\x89PNG")
