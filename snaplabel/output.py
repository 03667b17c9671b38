"""What commands print: with colour and lines in a terminal, plain and tab-separated everywhere else.

The colours are rich's, which `snaplabel[trainer]` brings along; without it a terminal gets plain columns.
"""

import importlib.util
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal() -> bool:
    return sys.stdout.isatty()


def is_rich() -> bool:
    """Whether there is a person to see colours, and rich to make them."""
    return is_terminal() and importlib.util.find_spec("rich") is not None


def console() -> "Console":
    """Standard output as rich has it, which heeds NO_COLOR; only where `is_rich`."""
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            """rich would exit with 1 when `| head` has read enough; the command line knows better."""
            raise BrokenPipeError

    return Ours(highlight=False, soft_wrap=True)


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence; what people named their labels and files is never read as markup."""
    if style is not None and is_rich():
        console().print(sentence, style=style, markup=False)
    else:
        # At once, also into a file: a service says here that it is up, and goes on for weeks.
        print(sentence, flush=True)  # noqa: T201


def number(count: int, thing: str) -> str:
    """1 photo, 2 photos."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headers; tab-separated where no person looks."""
    if is_rich():
        _rich_table(headers, rows)
        return
    lines = [[" ".join(cell.split()) for cell in row] for row in (headers, *rows)]
    if not is_terminal():
        sys.stdout.writelines("\t".join(line) + "\n" for line in lines)
        return
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def _rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    console().print(made)
