"""Where a drawn shirt lies or hangs: a floor, a lawn, a wall or a cloth, and what else lies there."""

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float64]
Thing = Callable[[Generator, ImageDraw.ImageDraw, float], None]


def chosen(rng: Generator, size: int) -> tuple[Image.Image, bool]:
    """Return a place for the shirt, and whether it hangs there."""
    hangs = rng.random() < 0.25
    place = _wall if hangs else (_wood, _grass, _chequered_cloth, _wall)[rng.integers(4)]
    scene = place(rng, size)
    if not hangs:
        for _ in range(rng.integers(0, 4)):
            thing = (_ball, _mug, _leaf, _ticket)[rng.integers(4)]
            _drop(rng, scene, thing)
    return scene, hangs


def noise(rng: Generator, rows: int, columns: int, size: int) -> Array:
    """Return smooth noise in -1 ... 1, size x size, with so many bumps down and across."""
    coarse = Image.fromarray(rng.integers(0, 256, (rows, columns), dtype=np.uint8))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)) / 127.5 - 1


def _mixed(dark: str, bright: str, amount: Array) -> Image.Image:
    """Return dark where amount is 0 and bright where it is 1."""
    grey = Image.fromarray((np.clip(amount, 0, 1) * 255).astype(np.uint8))
    low, high = _rgb(dark), _rgb(bright)
    return Image.merge(
        "RGB", [grey.point([a + (b - a) * v // 255 for v in range(256)]) for a, b in zip(low, high, strict=True)]
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _pick(rng: Generator, *choices: tuple[str, str]) -> tuple[str, str]:
    return choices[rng.integers(len(choices))]


def _wood(rng: Generator, size: int) -> Image.Image:
    planks = int(rng.integers(4, 8))
    grain = (
        0.5
        + 0.22 * noise(rng, 60, 3, size)
        + 0.12 * noise(rng, 160, 9, size)
        + 0.1 * np.sin(noise(rng, 16, 3, size) * 14)
    )
    row = np.arange(size) * planks // size
    grain += rng.uniform(-0.22, 0.22, planks)[row][:, None]
    grain[np.flatnonzero(np.diff(row))] -= 0.5
    grain[np.flatnonzero(np.diff(row)) + 1] -= 0.25
    colours = _pick(rng, ("#5d3a1f", "#b98453"), ("#8a6a48", "#dcc19a"), ("#3a2a22", "#7b5a44"), ("#8d8479", "#cfc6b8"))
    wood = _mixed(*colours, grain)
    return wood if rng.random() < 0.5 else wood.transpose(Image.Transpose.ROTATE_90)


def _grass(rng: Generator, size: int) -> Image.Image:
    blades = (
        0.45
        + 0.25 * noise(rng, size // 5, size // 3, size)
        + 0.15 * noise(rng, 40, 60, size)
        + 0.12 * noise(rng, 5, 5, size)
    )
    angle = rng.uniform(0, math.pi)
    ramp = np.arange(size) / size
    mown = np.sin(
        (ramp[None, :] * math.cos(angle) + ramp[:, None] * math.sin(angle)) * rng.uniform(9, 16) + rng.uniform(0, 6)
    )
    return _mixed("#2c5a22", "#8fbf52", blades + 0.12 * np.tanh(6 * mown))


def _wall(rng: Generator, size: int) -> Image.Image:
    colours = _pick(
        rng,
        ("#b9b2a5", "#eee8dc"),
        ("#9fb3b8", "#dfe9ea"),
        ("#b98f77", "#e9cdb9"),
        ("#8f9c86", "#cfd8c4"),
        ("#6f7686", "#aab1c0"),
        ("#c9a94f", "#f0dc9a"),
    )
    ramp = np.linspace(-1, 1, size)
    angle = rng.uniform(0, 2 * math.pi)
    light = 0.55 + 0.35 * (ramp[None, :] * math.cos(angle) + ramp[:, None] * math.sin(angle))
    return _mixed(*colours, light + 0.1 * noise(rng, 4, 4, size) + 0.05 * noise(rng, 120, 120, size))


def _chequered_cloth(rng: Generator, size: int) -> Image.Image:
    colours = _pick(rng, ("#f2ece0", "#c65b4e"), ("#f4f1ea", "#5f86ad"), ("#efe6cf", "#7d9a6a"), ("#efe9df", "#8c7b6b"))
    checks = rng.uniform(5, 10)
    ramp = np.arange(size) / size * checks + rng.uniform(0, 1)
    stripe = (ramp % 1 < 0.5) * 0.42
    return _mixed(
        *colours,
        stripe[None, :] + stripe[:, None] + 0.08 * noise(rng, 120, 120, size) + 0.08 * noise(rng, 5, 5, size),
    )


def _drop(rng: Generator, scene: Image.Image, thing: Thing) -> None:
    """Drop a thing near the edge of the scene, with its shadow."""
    size = scene.width
    side = int(size * rng.uniform(0.16, 0.3))
    big = Image.new("RGBA", (side * 2, side * 2))
    thing(rng, ImageDraw.Draw(big), side * 2)
    small = big.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR).reduce(2)
    angle = rng.uniform(0, 2 * math.pi)
    x, y = int(size * (0.5 + 0.47 * math.cos(angle)) - side / 2), int(size * (0.5 + 0.47 * math.sin(angle)) - side / 2)
    shadow = small.getchannel("A").filter(ImageFilter.GaussianBlur(side / 20)).point(lambda v: v * 5 // 12)
    scene.paste("#000000", (x + side // 22, y + side // 18), shadow)
    scene.paste(small, (x, y), small)


def _ball(rng: Generator, pen: ImageDraw.ImageDraw, s: float) -> None:
    pen.ellipse((s * 0.08, s * 0.08, s * 0.92, s * 0.92), fill="#f2f0ea", outline="#777777", width=2)
    for i in range(6):
        r, a, k = (0, 0.0, 0.13) if i == 5 else (0.34, i * 2 * math.pi / 5 + math.pi / 5, 0.085)
        x, y = s * (0.5 + r * math.sin(a)), s * (0.5 - r * math.cos(a))
        pen.line((s / 2, s / 2, x, y), fill="#55565c", width=max(1, int(s / 50)))
        pen.regular_polygon((x, y, s * k), 5, rotation=-math.degrees(a) + (180 if r else 0), fill="#2a2b30")


def _mug(rng: Generator, pen: ImageDraw.ImageDraw, s: float) -> None:
    colour = ("#d9694a", "#3f7f8c", "#e6e0d2", "#5a6b4a")[rng.integers(4)]
    pen.rounded_rectangle((s * 0.7, s * 0.44, s * 0.98, s * 0.56), s * 0.05, fill=colour)
    pen.ellipse((s * 0.12, s * 0.14, s * 0.84, s * 0.86), fill=colour, outline="#444444", width=2)
    pen.ellipse((s * 0.2, s * 0.22, s * 0.76, s * 0.78), fill="#4a2c1a")
    pen.ellipse((s * 0.3, s * 0.3, s * 0.5, s * 0.42), fill="#6b4630")


def _leaf(rng: Generator, pen: ImageDraw.ImageDraw, s: float) -> None:
    colour = ("#b5542b", "#d99a2b", "#5f8a3c", "#8c3b2a")[rng.integers(4)]
    half = [(t, 0.2 * math.sin(math.pi * t**0.8) * (1 + 0.15 * (-1) ** i)) for i, t in enumerate(np.linspace(0, 1, 15))]
    edge = [(s * (0.1 + 0.8 * t), s * (0.5 + w)) for t, w in half] + [
        (s * (0.1 + 0.8 * t), s * (0.5 - w)) for t, w in half[::-1]
    ]
    pen.polygon(edge, fill=colour)
    pen.line((s * 0.02, s * 0.5, s * 0.88, s * 0.5), fill="#5a3a20", width=max(1, int(s / 45)))


def _ticket(rng: Generator, pen: ImageDraw.ImageDraw, s: float) -> None:
    colour = ("#f0e4c4", "#d7e3e8", "#ecd0c6")[rng.integers(3)]
    pen.rounded_rectangle((s * 0.08, s * 0.28, s * 0.92, s * 0.72), s * 0.04, fill=colour)
    for i, end in enumerate((0.6, 0.5, 0.56)):
        pen.rectangle((s * 0.16, s * (0.38 + i * 0.1), s * end, s * (0.42 + i * 0.1)), fill="#8a8378")
    for i in range(6):
        pen.rectangle((s * (0.7 + i * 0.03), s * 0.34, s * (0.712 + i * 0.03), s * 0.66), fill="#3c3a38")
