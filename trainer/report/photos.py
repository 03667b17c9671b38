"""The photos of a report: which ones are worth showing, as small squares."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from snaplabel import images
from snaplabel.errors import ImageError, NotStored
from snaplabel.reports import Report
from snaplabel.store import Store, photo_key

Square = NDArray[np.uint8]
SIDE = 150  # pixels
PAIRS, PER_PAIR, TURNED = 4, 2, 3


def chosen(report: Report) -> set[int]:
    """Ids of the photos that the picture has room for, with a few to spare for those that can't be shown."""
    found = {photo for _, _, photos in report.pairs()[:PAIRS] for photo in photos[: 3 * PER_PAIR]}
    if report.change is not None:
        for turned in (report.change.fixed, report.change.broken):
            found |= {photo for photo, *_ in turned[: 3 * TURNED]}
    return found


def thumbnails(store: Store, report: Report, shown: Mapping[int, str]) -> dict[int, Square]:
    """Squares of uint8 (SIDE, SIDE, 3) by photo id. shown: sha256 by id of the photos that may be seen."""
    found = {}
    for photo in sorted(chosen(report) & shown.keys()):
        try:
            found[photo] = square(store.get(photo_key(shown[photo])))
        except (NotStored, ImageError):
            continue
    return found


def square(stored: bytes) -> Square:
    """The middle of a stored photo. Raises ImageError."""
    image = images.load(stored, at_least=SIDE)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.resize((SIDE, SIDE), box=(left, top, left + side, top + side), reducing_gap=2.0))
