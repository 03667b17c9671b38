"""The sheet on which a report is drawn: pixels from the top left, one palette, and names that its fonts can print."""

import io
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import IdentityTransform

WIDTH = 1080  # pixels: a phone's screen
DPI = 100
GROUND, CARD, INK, SOFT, LINE, FAINT = "#f6f4ef", "#ffffff", "#22272c", "#666d74", "#dfdbd0", "#efece5"
# Right and new in blue, wrong in vermilion, before in grey: told apart by every kind of eye (Okabe and Ito 2008).
RIGHT, WRONG, BEFORE = "#0072b2", "#d55e00", "#8a8f94"
EDGE, GAP, PAD = 30, 18, 28
# DejaVu comes with matplotlib and knows Latin, Cyrillic, Greek, Arabic and Hebrew; for others, what is installed here.
OTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR", "WenQuanYi Zen Hei"),
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Thai", "Noto Sans Symbols 2", "Noto Emoji"),
)
NO_GLYPH = "▯"


@dataclass(frozen=True)
class Area:
    """A rectangle of the sheet, in pixels from its top left."""

    figure: Figure
    left: float
    top: float
    width: float
    height: float

    def part(self, x: float, y: float, width: float, height: float) -> "Area":
        return Area(self.figure, self.left + x, self.top + y, width, height)

    def axes(self, x: float, y: float, width: float, height: float) -> Any:
        """Axes without a frame, whose inside is this rectangle of the area."""
        all_width, all_height = _size(self.figure)
        bottom = all_height - self.top - y - height
        rectangle = (
            (self.left + x) / all_width,
            bottom / all_height,
            width / all_width,
            height / all_height,
        )
        axes: Any = self.figure.add_axes(rectangle, facecolor="none")
        axes.tick_params(length=0, labelsize=points(21), labelcolor=SOFT, pad=7)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def text(self, x: float, y: float, words: str, size: float, colour: str = INK, **more: Any) -> None:
        """Words with their top left corner at (x, y); ha and va as in matplotlib. What people typed is no formula."""
        all_width, all_height = _size(self.figure)
        where = (self.left + x) / all_width, 1 - (self.top + y) / all_height
        look = {"fontsize": points(size), "color": colour, "va": "top", "parse_math": False, **more}
        self.figure.text(*where, words, **look)

    def picture(self, x: float, y: float, side: float, pixels: Any) -> None:
        axes = self.axes(x, y, side, side)
        axes.imshow(pixels, interpolation="antialiased")
        axes.set_axis_off()

    def card(self) -> None:
        """A sheet of paper under the area."""
        _, all_height = _size(self.figure)
        corner = self.left, all_height - self.top - self.height
        paper = FancyBboxPatch(corner, self.width, self.height, boxstyle="round,pad=0,rounding_size=20")
        paper.set(facecolor=CARD, edgecolor=LINE, linewidth=1.2, transform=IdentityTransform(), zorder=-1)
        self.figure.add_artist(paper)


@dataclass(frozen=True)
class Block:
    """A part of the report: its height in pixels, and how to draw it into an area of that height."""

    height: float
    draw: Callable[[Area], None]
    title: str = ""
    note: str = ""

    @property
    def whole(self) -> float:
        """With its title and the edge of its card."""
        return self.height + 2 * PAD + (44 if self.title else 0) + (32 if self.note else 0)

    def place(self, area: Area) -> None:
        area.card()
        y = float(PAD)
        if self.title:
            area.text(PAD, y - 6, self.title, 30, weight="bold")
            y += 44
        if self.note:
            area.text(PAD, y - 4, fitted(self.note, 22, area.width - 2 * PAD), 22, SOFT)
            y += 32
        self.draw(area.part(PAD, y, area.width - 2 * PAD, self.height))


def sheet(rows: list[list[Block]]) -> bytes:
    """The blocks as PNG bytes, row under row; those of one row share its width. Missing glyphs would be an error."""
    heights = [max(block.whole for block in row) for row in rows]
    height = 2 * EDGE + sum(heights) + GAP * (len(rows) - 1)
    figure = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    y = float(EDGE)
    with _fonts():
        for row, high in zip(rows, heights, strict=True):
            width = (WIDTH - 2 * EDGE - GAP * (len(row) - 1)) / len(row)
            for n, block in enumerate(row):
                block.place(Area(figure, EDGE + n * (width + GAP), y, width, high))
            y += high + GAP
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": ""})
    return out.getvalue()


def points(pixels: float) -> float:
    return pixels * 72 / DPI


def width_of(words: str, size: float, bold: bool = False) -> float:
    """Width of one line in pixels."""
    look = FontProperties(family=list(families()), size=points(size), weight="bold" if bold else "normal")
    pen: Any = _pen()
    return float(pen.get_text_width_height_descent(words, look, False)[0])


def fitted(words: str, size: float, width: float) -> str:
    """The words, with their middle cut out where they are wider than so many pixels: long names differ at the end."""
    if width_of(words, size) <= width:
        return words
    for kept in range(len(words) - 1, 0, -1):
        tail = kept * 2 // 5
        short = f"{words[: kept - tail].rstrip()}…{words[len(words) - tail :].lstrip()}"
        if width_of(short, size) <= width:
            return short
    return "…"


def wrapped(words: str, size: float, width: float, lines: int) -> list[str]:
    """The words in lines of so many pixels, at most so many of them."""
    found: list[str] = []
    for word in words.split():
        longer = f"{found[-1]} {word}" if found else word
        if found and width_of(longer, size) <= width:
            found[-1] = longer
        else:
            found.append(word)
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1]} …"]
    return [fitted(line, size, width) for line in found]


def printable(name: str) -> str:
    """The name in glyphs that are there: emoji by their names, other scripts without a font as empty boxes."""
    return "".join(map(_glyphs, unicodedata.normalize("NFC", name).replace("\ufe0f", "").replace("\u200d", "")))


@cache
def _glyphs(sign: str) -> str:
    if any(font_manager.get_font(font_manager.findfont(name)).get_char_index(ord(sign)) for name in families()):
        return sign
    kind = unicodedata.category(sign)
    if kind in ("Mn", "Me", "Cf", "Sk"):
        return ""  # What only changes the sign before it, as the colour of a skin.
    if "\U0001f1e6" <= sign <= "\U0001f1ff":
        return chr(ord("A") + ord(sign) - 0x1F1E6)  # Two of them are a flag.
    return f":{unicodedata.name(sign, 'sign').lower()}:" if kind == "So" else NO_GLYPH


@cache
def families() -> tuple[str, ...]:
    """The fonts to look for a glyph in, first to last."""
    here = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in OTHER_FONTS if name in here))


def _fonts() -> Any:
    import matplotlib

    return matplotlib.rc_context({"font.family": list(families()), "axes.unicode_minus": True})


@cache
def _pen() -> Any:
    renderer: Any = RendererAgg
    return renderer(8, 8, DPI)


def _size(figure: Figure) -> tuple[float, float]:
    return figure.get_figwidth() * DPI, figure.get_figheight() * DPI
