"""What commands print: with colour and lines in a terminal, plain and tab-separated everywhere else."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table


def is_terminal() -> bool:
    return sys.stdout.isatty()


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """rich would exit with 1 when `| head` has read enough; the command line knows better."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output; rich itself heeds NO_COLOR."""
    return _Console(highlight=False, soft_wrap=True)


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence; what people named their labels and files is never read as markup."""
    console().print(sentence, style=style, markup=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under headers; tab-separated where no person looks."""
    if not is_terminal():
        for row in (headers, *rows):
            sys.stdout.write("\t".join(" ".join(cell.split()) for cell in row) + "\n")
        return
    made = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        made.add_column(header, overflow="fold")
    for row in rows:
        made.add_row(*(_plain(cell) for cell in row))
    console().print(made)


def _plain(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)
