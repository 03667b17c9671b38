"""Draws pretend photos of football shirts, so that the demo has something to learn without a download.

A photo is made the way a real one comes about: a club's shirt (drawn flat, once) is laid somewhere, seen at an angle,
lit from one side, and taken with a modest camera. All chance comes from the club's name and the seed.
"""

import io
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from demo import places
from demo.places import Array, noise

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Club:
    """What a club plays in. bands: how many stripes, hoops or pinstripes fill the shirt."""

    name: str
    pattern: str
    body: str
    second: str
    sleeves: str
    trim: str
    crest: str
    number: str
    neck: str = "round"
    bands: int = 0


# Magpie Vale and Inkwell City are the hard pair: black and white stripes both, seven or nine; a gold or a red crest.
CLUBS: tuple[Club, ...] = (
    Club("Harbour Rovers", "hoops", "#f4f1e8", "#1f5fa8", "#1f5fa8", "#12335e", "#e7b43c", "#12335e", "round", 6),
    Club("Magpie Vale", "stripes", "#f3f3f0", "#1b1b1f", "#f3f3f0", "#1b1b1f", "#d9a427", "#1b1b1f", "v", 7),
    Club("Inkwell City", "stripes", "#f3f3f0", "#1b1b1f", "#f3f3f0", "#1b1b1f", "#b3262e", "#1b1b1f", "v", 9),
    Club("Thistle Moor", "sash", "#6a3d94", "#f2ead8", "#6a3d94", "#f2ead8", "#7fb069", "#f2ead8", "v"),
    Club("Juniper Park", "quarters", "#1f6b47", "#f3ecd6", "#1f6b47", "#f3ecd6", "#c8463c", "#f3ecd6", "polo"),
    Club("Amber Hollow", "chevron", "#f2a922", "#2b2622", "#f2a922", "#2b2622", "#2b2622", "#2b2622", "v"),
    Club("Foxglove Wanderers", "plain", "#8c1d40", "#8c1d40", "#8fc7e8", "#8fc7e8", "#f2d36b", "#f4efe6", "round"),
    Club("Lantern Hill", "pinstripes", "#c9302c", "#f7e9d7", "#c9302c", "#1d2b4f", "#1d2b4f", "#f7e9d7", "polo", 12),
)

_EDGE = 1.12  # The flat drawing's side in shirt lengths: the shirt and a little room around it.
_LIGHT_CELLS = 120  # Light and shade are soft: they are worked out on this small grid, then enlarged.


def draw(club: Club, seed: int, size: int = 480) -> bytes:
    """Return one pretend photo, size x size pixels, as JPEG; one club and seed always give the same photo."""
    rng = np.random.default_rng([zlib.crc32(club.name.encode()), seed])
    flat, outline = _flat(club, size)
    flat, outline = flat.copy(), outline.copy()
    _print_number(flat, club, int(rng.integers(1, 24)))

    scene, hangs = places.chosen(rng, size)
    if hangs:
        _hang(flat, outline)
    view = _View.chosen(rng, hangs)
    # Four bands at once, but not as RGBA: the colours go on beyond the outline, so that its edge stays clean.
    both = Image.merge("RGBX", (*flat.split(), outline))
    mesh = view.mesh(size, flat.width)
    *colours, mask = both.transform((size, size), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR).split()
    shirt = Image.merge("RGB", colours)

    towards = rng.uniform(0, 2 * math.pi) if not hangs else rng.uniform(1.2, 1.9) * math.pi
    light = (math.cos(towards), math.sin(towards))
    small = mask.resize((_LIGHT_CELLS, _LIGHT_CELLS), Image.Resampling.BOX)
    room = _room_light(rng, light)
    shirt = _lit(shirt, room * _folds(rng, view, small, light)[..., None])
    scene = _lit(scene, room * _shadow(rng, small, light)[..., None])
    return _taken(rng, Image.composite(shirt, scene, mask))


def draw_folder(directory: Path, per_club: int, seed: int) -> int:
    """Write per_club photos of each club into directory/<club name>/ and return how many were written.

    The photos are those of the seeds seed ... seed + per_club - 1, so folders with distant seeds share none.
    """
    for club in CLUBS:
        (directory / club.name).mkdir(parents=True, exist_ok=True)

    def write(club: Club, photo_seed: int) -> None:
        (directory / club.name / f"{photo_seed:06}.jpg").write_bytes(draw(club, photo_seed))

    # Pillow lets other threads run while it draws, but numpy and we do not: more than two threads gain nothing.
    with ThreadPoolExecutor(2) as pool:
        return len(list(pool.map(write, *zip(*product(CLUBS, range(seed, seed + per_club)), strict=True))))


# The shirt, flat. Lengths are in shirt lengths: x from the middle to the right, y from the shoulders (0) to the hem.

_BODY: Points = [(0.1, 0.045), (0.285, 0.105), (0.262, 0.33), (0.252, 0.5), (0.25, 0.7), (0.268, 0.965), (0.13, 0.985)]
_SLEEVE: Points = [(0.25, 0.088), (0.315, 0.125), (0.375, 0.19), (0.488, 0.375), (0.378, 0.455), (0.262, 0.315)]
_CUFF: Points = [(0.474, 0.352), (0.488, 0.375), (0.378, 0.455), (0.366, 0.432)]
_NECKS: dict[str, Points] = {
    "round": [(-0.1, 0.045), (-0.085, 0.095), (-0.05, 0.13), (0, 0.142), (0.05, 0.13), (0.085, 0.095), (0.1, 0.045)],
    "v": [(-0.1, 0.045), (-0.075, 0.1), (0, 0.2), (0.075, 0.1), (0.1, 0.045)],
    "polo": [(-0.1, 0.045), (-0.07, 0.09), (0, 0.185), (0.07, 0.09), (0.1, 0.045)],
}
_BACK_OF_NECK: Points = [(0.1, 0.045), (0.05, 0.022), (0, 0.016), (-0.05, 0.022), (-0.1, 0.045)]
_FLAP: Points = [(-0.108, 0.038), (-0.075, 0.03), (0, 0.175), (-0.075, 0.195), (-0.125, 0.1)]


def _pixels(points: Points, side: int) -> Points:
    """Return where these points lie on a flat drawing so many pixels wide."""
    return [((x / _EDGE + 0.5) * side, ((y - 0.5) / _EDGE + 0.5) * side) for x, y in points]


def _mirrored(points: Points) -> Points:
    return [(-x, y) for x, y in points]


@lru_cache(maxsize=len(CLUBS))
def _flat(club: Club, size: int) -> tuple[Image.Image, Image.Image]:
    """Return the club's shirt without folds or number, and its outline (L), both _EDGE shirt lengths wide."""
    side = 3 * round(size * 1.1)  # Drawn three times as large, since ImageDraw has no smooth edges.

    def shape(*outlines: Points) -> Image.Image:
        mask = Image.new("L", (side, side))
        for points in outlines:
            ImageDraw.Draw(mask).polygon(_pixels(points, side), fill=255)
        return mask

    def paint(colour: str, *outlines: Points) -> None:
        shirt.paste(colour, mask=shape(*outlines))

    def seam(points: Points, strength: int = 70) -> None:
        ink = Image.new("L", (side, side))
        ImageDraw.Draw(ink).line(_pixels(points, side), fill=strength, width=side // 220, joint="curve")
        shirt.paste("#000000", mask=ink)

    neck = _NECKS[club.neck]
    body = neck + _BODY + _mirrored(_BODY)[::-1]
    sleeves = [_SLEEVE, _mirrored(_SLEEVE)]
    shirt = Image.new("RGB", (side, side), club.sleeves)

    cloth = Image.new("RGB", (side, side), club.body)
    for points in _pattern(club):
        ImageDraw.Draw(cloth).polygon(_pixels(points, side), fill=club.second)
    shirt.paste(cloth, mask=shape(body))
    paint(club.sleeves, *sleeves)
    paint(club.trim, _CUFF, _mirrored(_CUFF))
    inside = neck + _BACK_OF_NECK
    paint(club.trim, inside)
    shirt.paste("#000000", mask=shape(inside).point(lambda v: v * 110 // 255))
    for sleeve in sleeves:
        seam([sleeve[0], (sleeve[5][0], 0.2), sleeve[5]])
    seam([(-0.268, 0.94), (-0.13, 0.96), (0.13, 0.96), (0.268, 0.94)])

    if club.neck == "polo":
        for flap in (_FLAP, _mirrored(_FLAP)):
            paint(club.trim, flap)
            seam([*flap[2:], flap[0]])
    else:
        ImageDraw.Draw(shirt).line(_pixels(neck, side), fill=club.trim, width=side // 36, joint="curve")
        seam([(x * 1.17, 0.045 + (y - 0.045) * 1.13) for x, y in neck])
    _sew_crest(shirt, club)

    outline = shape(body, *sleeves, inside)
    return shirt.reduce(3), outline.reduce(3)


def _pattern(club: Club) -> list[Points]:
    """Return the shapes of the second colour, larger than the body where that does no harm."""
    if club.pattern in ("stripes", "pinstripes"):
        step = 0.57 / club.bands
        every, width = (2, step) if club.pattern == "stripes" else (1, step * 0.16)
        middles = [(i - (club.bands - 1) / 2) * step for i in range(0, club.bands, every)]
        return [_box(x - width / 2, 0, x + width / 2, 1) for x in middles]
    if club.pattern == "hoops":
        step = 0.95 / club.bands
        return [_box(-0.5, 0.03 + (i + 0.5) * step, 0.5, 0.03 + (i + 1) * step) for i in range(club.bands)]
    if club.pattern == "sash":
        return [[(0.3, 0.02), (0.3, 0.22), (-0.28, 0.88), (-0.28, 0.66), (0.27, 0.02)]]
    if club.pattern == "quarters":
        return [_box(0, 0, 0.5, 0.5), _box(-0.5, 0.5, 0, 1)]
    if club.pattern == "chevron":
        return [[(-0.3, 0.28), (0, 0.46), (0.3, 0.28), (0.3, 0.44), (0, 0.62), (-0.3, 0.44)]]
    return []


def _box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _sew_crest(shirt: Image.Image, club: Club) -> None:
    """Sew the crest over the heart: a roundel where the collar is round, else a shield."""
    shield: Points = [(-1, -1), (0, -1.2), (1, -1), (1, 0.3), (0, 1.4), (-1, 0.3)]
    roundel: Points = [(math.cos(i * math.pi / 8), math.sin(i * math.pi / 8)) for i in range(16)]
    star: Points = [
        ((0.6, 0.25)[i % 2] * math.sin(i * math.pi / 5), -(0.6, 0.25)[i % 2] * math.cos(i * math.pi / 5))
        for i in range(10)
    ]
    edge = roundel if club.neck == "round" else shield
    for points, radius, colour in ((edge, 0.054, "#f7f3e6"), (edge, 0.044, club.crest), (star, 0.044, "#f7f3e6")):
        sewn = [(0.135 + x * radius, 0.27 + y * radius) for x, y in points]
        ImageDraw.Draw(shirt).polygon(_pixels(sewn, shirt.width), fill=colour)


@lru_cache(maxsize=4)
def _font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(pixels)


def _print_number(flat: Image.Image, club: Club, number: int) -> None:
    side = flat.width
    middle = (side / 2, side * (0.5 - 0.05 / _EDGE))
    for colour, width in ((club.body, side // 60), (club.number, side // 130)):
        ImageDraw.Draw(flat).text(
            middle, str(number), colour, _font(side // 7), anchor="mm", stroke_width=width, stroke_fill=colour
        )


def _hang(flat: Image.Image, outline: Image.Image) -> None:
    """Put the shirt on a hanger, of which only the hook shows."""
    side = flat.width
    hook = [(0, 0.05), (0, -0.005), (0.012, -0.02), (0.014, -0.036), (0, -0.047), (-0.014, -0.036)]
    for image, colour in ((flat, "#7d7f86"), (outline, 255)):
        ImageDraw.Draw(image).line(_pixels(hook, side), fill=colour, width=max(2, side // 110), joint="curve")


# The view: how the shirt lies in the picture.


@dataclass(frozen=True)
class _View:
    """Where each point of the photo lies on the shirt. Lengths are in shirt lengths; the turn is in radians."""

    length: float
    turn: float
    shift: tuple[float, float]
    tilt: tuple[float, float]
    sleeve_drop: float
    wobble: tuple[float, ...]

    @classmethod
    def chosen(cls, rng: Generator, hangs: bool) -> "_View":
        turn = rng.uniform(-25, 25) * (0.35 if hangs else 1)
        return cls(
            length=rng.uniform(0.66, 0.9),
            turn=math.radians(turn),
            shift=(rng.uniform(-0.08, 0.08), rng.uniform(-0.06, 0.06)),
            tilt=(rng.uniform(-0.16, 0.16), rng.uniform(-0.16, 0.16)),
            sleeve_drop=rng.uniform(0.0, 0.5) if hangs else rng.uniform(-0.45, 0.3),
            wobble=tuple(rng.uniform(0, 2 * math.pi, 4)),
        )

    def on_shirt(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return shirt coordinates (x from the middle, y from the shoulders) of photo coordinates in 0 ... 1."""
        x, y = (x - 0.5 - self.shift[0]) / self.length, (y - 0.5 - self.shift[1]) / self.length
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x, y = x * cos + y * sin, y * cos - x * sin
        depth = 1 + self.tilt[0] * x + self.tilt[1] * y
        x, y = x / depth, y / depth + 0.5
        a, b, c, d = self.wobble
        x, y = (
            x + 0.012 * np.sin(7 * y + a) + 0.005 * np.sin(17 * y + b),
            y + 0.012 * np.sin(8 * x + c) + 0.005 * np.sin(19 * x + d),
        )
        return x, y - self.sleeve_drop * np.maximum(0, np.abs(x) - 0.25)

    def mesh(self, size: int, side: int, cells: int = 12) -> list[tuple[tuple[int, ...], tuple[float, ...]]]:
        """Return the view for Image.transform: for each cell of the photo, its four corners on the flat drawing."""
        edges = np.linspace(0, size, cells + 1).round().astype(int)
        x, y = self.on_shirt(*np.meshgrid(edges / size, edges / size))
        near = (np.abs(y - 0.5) < _EDGE / 2) & (np.abs(x) < np.where(y < 0.47, _EDGE / 2, 0.3))
        x, y = (x / _EDGE + 0.5) * side, ((y - 0.5) / _EDGE + 0.5) * side
        return [
            (
                (int(edges[j]), int(edges[i]), int(edges[j + 1]), int(edges[i + 1])),
                tuple(
                    float(v) for k, m in ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)) for v in (x[k, m], y[k, m])
                ),
            )
            for i in range(cells)
            for j in range(cells)
            if near[i : i + 2, j : j + 2].any()
        ]


# Light and shade, on the small grid: 1 leaves a colour as it is.


def _folds(rng: Generator, view: _View, mask: Image.Image, light: tuple[float, float]) -> Array:
    """Return the shading of the cloth: drapes towards the hem, creases from the armpits, crumples, rounded edges."""
    ramp = (np.arange(_LIGHT_CELLS) + 0.5) / _LIGHT_CELLS
    x, y = view.on_shirt(*np.meshgrid(ramp, ramp))
    bend = noise(rng, 5, 5, _LIGHT_CELLS)
    drape = np.abs(np.sin(rng.uniform(8, 13) * x + 1.8 * bend + rng.uniform(0, 6))) * np.clip(y, 0, 1) ** 1.5
    armpits = np.exp(-(((np.abs(x) - 0.2) / 0.16) ** 2) - ((y - 0.4) / 0.22) ** 2)
    crease = np.abs(np.sin(14 * (y + 0.9 * np.abs(x)) + 2.2 * bend + rng.uniform(0, 6))) * armpits
    crumple = 0.25 * noise(rng, 9, 9, _LIGHT_CELLS) + 0.5 * np.abs(noise(rng, 5, 5, _LIGHT_CELLS))
    rounded = np.asarray(mask.filter(ImageFilter.GaussianBlur(2.2))) / 255
    height = rng.uniform(0.6, 1.5) * drape + rng.uniform(0.5, 1.4) * crease + rng.uniform(0.5, 1.3) * crumple
    down, right = np.gradient(height + 4 * rounded)
    shade = 0.95 - 0.94 * (light[0] * right + light[1] * down) - 0.27 * (1 - rounded)
    return np.clip(shade, 0.38, 1.32)


def _shadow(rng: Generator, mask: Image.Image, light: tuple[float, float]) -> Array:
    """Return what the shirt takes of the light on the ground beside it, away from the light."""
    far, soft, dark = rng.uniform(1.5, 4.5), rng.uniform(1.5, 4), rng.uniform(0.35, 0.62)
    fallen = ImageChops.offset(mask, round(-light[0] * far), round(-light[1] * far))
    return 1 - dark / 255 * np.asarray(fallen.filter(ImageFilter.GaussianBlur(soft)))


def _room_light(rng: Generator, light: tuple[float, float]) -> Array:
    """Return the colour and strength of the light: from one side, warm or cool, darker in the corners."""
    ramp = np.linspace(-1, 1, _LIGHT_CELLS)
    x, y = np.meshgrid(ramp, ramp)
    level = rng.uniform(0.85, 1.08) + rng.uniform(0.03, 0.17) * (x * light[0] + y * light[1])
    level -= rng.uniform(0.03, 0.12) * (x * x + y * y)
    warm = rng.uniform(-0.09, 0.11)
    light_of_room: Array = level[..., None] * np.array([1 + warm, 1 + warm * 0.15, 1 - warm])
    return light_of_room


def _lit(picture: Image.Image, light: Array) -> Image.Image:
    grid = Image.fromarray(np.clip(light * 128, 0, 255).astype(np.uint8))
    return ImageChops.hard_light(picture, grid.resize(picture.size, Image.Resampling.BILINEAR))


def _taken(rng: Generator, photo: Image.Image) -> bytes:
    """Return the photo as a modest camera saves it: now and then out of focus, always a little noisy, as JPEG."""
    if rng.random() < 0.35:
        photo = photo.filter(ImageFilter.BoxBlur(rng.uniform(0.4, 1.6) * photo.width / 480))
    grain = int(rng.integers(3, 13))
    specks = (np.frombuffer(rng.bytes(photo.width * photo.height), np.uint8) % (2 * grain + 1)).reshape(
        photo.height, photo.width
    )
    noise = Image.fromarray(specks.astype(np.uint8))
    photo = ImageChops.add(photo, Image.merge("RGB", (noise, noise, noise)), offset=-grain)
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=int(rng.integers(62, 94)))
    return file.getvalue()
