"""Pictures for a fine-tune: decoded once, kept small in memory, and shown a little differently every time."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from snaplabel import backbones, images
from snaplabel.backbones import Pixels, Preparation
from snaplabel.errors import ImageError, NotStored
from snaplabel.store import Store, photo_key
from trainer.dataset import Ints
from trainer.recipe import FineTune

if TYPE_CHECKING:
    from torch import Tensor, device

# Share of the machine's memory that decoded photos may fill; what does not fit is decoded again each time.
MEMORY_SHARE = 0.25
# A panorama is cut to this many times its height: a random crop would not show more of it anyway.
LONGEST = 2.0
DECODERS = 4


class Pictures:
    """Photos by their place in a list of sha256s, as the store has them."""

    def __init__(self, store: Store, sha256s: Sequence[str], preparation: Preparation, of_ranks: int = 1) -> None:
        """of_ranks: so many processes share this machine's memory."""
        self._store = store
        self._sha256s = sha256s
        self._preparation = preparation
        self._kept: dict[int, Pixels] = {}
        self._room = _memory_bytes() * MEMORY_SHARE / of_ranks
        self._pool = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")

    def whole(self, rows: Sequence[int]) -> list[Pixels]:
        """uint8 (height, width, 3), the shorter side `resize` pixels long. Raises StoreError.

        A photo that was erased since `readable` is shown as plain grey: hours of teaching must not end over it.
        """
        return list(self._pool.map(self._whole_or_grey, rows))

    def centres(self, rows: Sequence[int]) -> Pixels:
        """uint8 (N, crop, crop, 3): the photos exactly as a worker sees them."""
        crop = self._preparation.crop
        found = [
            backbones.pixels(Image.fromarray(whole), Preparation(min(whole.shape[:2]), crop))
            for whole in self.whole(rows)
        ]
        return np.stack(found) if found else np.zeros((0, crop, crop, 3), np.uint8)

    def readable(self, rows: Sequence[int]) -> NDArray[np.bool_]:
        """Which of these photos can be decoded; (N,). Decodes them all, so that training finds them in memory."""
        return np.array(list(self._pool.map(self._is_readable, rows)), np.bool_)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _is_readable(self, row: int) -> bool:
        try:
            self._whole(row)
        except (ImageError, NotStored):
            return False
        return True

    def _whole_or_grey(self, row: int) -> Pixels:
        try:
            return self._whole(row)
        except (ImageError, NotStored):
            return np.full((self._preparation.resize, self._preparation.resize, 3), 128, np.uint8)

    def _whole(self, row: int) -> Pixels:
        found = self._kept.get(row)
        if found is None:
            data = self._store.get(photo_key(self._sha256s[row]))
            found = _scaled(images.load(data, self._preparation.resize), self._preparation.resize)
            if self._room > found.nbytes:
                self._room -= found.nbytes
                self._kept[row] = found
        return found


def _scaled(image: Image.Image, side: int) -> Pixels:
    ratio = side / min(image.size)
    size = (max(side, round(image.width * ratio)), max(side, round(image.height * ratio)))
    small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    width, height = min(small.width, round(side * LONGEST)), min(small.height, round(side * LONGEST))
    left, top = (small.width - width) // 2, (small.height - height) // 2
    return np.asarray(small.crop((left, top, left + width, top + height)), np.uint8)


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return 4e9


def batches(rows: Ints, size: int, least: int, rng: np.random.Generator) -> list[Ints]:
    """The rows in random order, in batches of about `size` that differ by one photo at most.

    least: as many batches at least, smaller ones, but of two photos: batch norms can't learn from one.
    """
    many = max(1, round(len(rows) / size), min(least, len(rows) // 2))
    return [np.asarray(part, np.int64) for part in np.array_split(rng.permutation(rows), many)]


def varied(
    wholes: Sequence[Pixels], crop: int, recipe: FineTune, chance: Sequence[np.random.Generator], on: "device"
) -> "Tensor":
    """Random crops, mirrored, turned and recoloured as the recipe says; float32 (N, 3, crop, crop), 0 to 255.

    chance: one for each photo.
    """
    import torch

    cut = np.stack([_random_crop(whole, crop, recipe.scale, rng) for whole, rng in zip(wholes, chance, strict=True)])
    found = torch.from_numpy(cut).to(on).permute(0, 3, 1, 2).float()

    def drawn(low: float, high: float) -> NDArray[np.float64]:
        return np.array([rng.uniform(low, high) for rng in chance])

    def each(values: NDArray[np.float64]) -> "Tensor":
        return torch.from_numpy(values.astype(np.float32)).to(on).view(-1, 1, 1, 1)

    if recipe.mirror:
        found = torch.where(each(drawn(0, 1)) < 0.5, found.flip(3), found)
    if recipe.rotation:
        found = _turned(found, np.radians(drawn(-recipe.rotation, recipe.rotation)))
    if recipe.colour:
        low, high = 1 - recipe.colour, 1 + recipe.colour
        found = found * each(drawn(low, high))
        mean = found.mean(dim=(1, 2, 3), keepdim=True)
        found = mean + (found - mean) * each(drawn(low, high))
        grey = found.mean(dim=1, keepdim=True)
        found = (grey + (found - grey) * each(drawn(low, high))).clamp(0, 255)
    return found


def _random_crop(whole: Pixels, crop: int, scale: float, rng: np.random.Generator) -> Pixels:
    """A random part, its area at least `scale` of the photo and its sides no further apart than 3 : 4, at the crop's
    size (Szegedy et al. 2014)."""
    height, width = whole.shape[:2]
    area = rng.uniform(scale, 1.0) * height * width
    ratio = float(np.exp(rng.uniform(-1, 1) * np.log(4 / 3)))
    wide, high = min(width, round((area * ratio) ** 0.5)), min(height, round((area / ratio) ** 0.5))
    left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
    box = (left, top, left + wide, top + high)
    part = Image.fromarray(whole).resize((crop, crop), Image.Resampling.BILINEAR, box=box)
    return np.asarray(part, np.uint8)


def _turned(found: "Tensor", angles: NDArray[np.float64]) -> "Tensor":
    import torch
    from torch.nn import functional

    cos, sin = np.cos(angles), np.sin(angles)
    zero = np.zeros_like(cos)
    matrix = np.stack([np.stack([cos, -sin, zero], 1), np.stack([sin, cos, zero], 1)], 1).astype(np.float32)
    grid = functional.affine_grid(torch.from_numpy(matrix).to(found.device), list(found.shape), align_corners=False)
    return functional.grid_sample(found, grid, padding_mode="reflection", align_corners=False)
