"""How an import shows its progress, and what it says at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from snaplabel import labels, output, voices
from snaplabel.commands import sources
from snaplabel.commands.importing import Report
from snaplabel.commands.labelling import may_be_same

# More lines than this help nobody; the rest is counted.
SHOWN = 20


@contextmanager
def progress(files: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal; nothing where no person looks."""
    if not output.is_rich():
        yield lambda files: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.console(), transient=True) as bar:
        task = bar.add_task("", total=files)
        yield lambda done: bar.advance(task, done)


def show(report: Report, classifier_name: str) -> None:
    """Print what was added, and everything that a person should look at."""
    was = "was" if report.known == 1 else "were"
    output.say(
        f"{output.number(report.added, 'photo')} added to {classifier_name!r}, {report.known} {was} here already."
    )
    if report.parts:
        named = ", ".join(report.labels[:SHOWN]) + (", …" if len(report.labels) > SHOWN else "")
        whole = "All of its parts are taken in" if len(report.parts) > 1 else "Its part is taken in"
        output.say(f"{whole} ({', '.join(report.parts)}); snaplabel keeps an exam of its own. Labels: {named}.")
    if report.is_only and len(report.labels) == 1:
        only = f"There is only one label in it, {report.labels[0]}: import the folder that holds one folder per label"
        output.say(f"{only}. There is nothing to tell apart before there are two.")
    if report.others:
        noun = "file is no photo and was" if report.others == 1 else "files are no photos and were"
        output.say(f"{report.others} {noun} left out.")
    _list(
        "looks the same as a photo that was here first, and shares its side of the exam",
        "look the same as photos that were here first, and share their side of the exam",
        report.near,
        "{0}: {1}",
    )
    _list(
        "is here under another label, which it keeps unless you add --relabel",
        "are here under another label, which they keep unless you add --relabel",
        report.conflicts,
        "{0}: folder says {1}, here it is {2}",
    )
    _list(
        "was here under another label and has its folder's now",
        "were here under another label and have their folder's now",
        report.relabelled,
        "{0}: {2} → {1}",
    )
    unreadable = [(path, _reason(reason)) for path, reason in report.unreadable]
    _list("could not be taken in", "could not be taken in", unreadable, "{0}: {1}")
    if report.added or report.relabelled:
        output.say("\n`snaplabel train` learns from them; a running trainer does so by itself.")
    for names in _spellings(report.labels):
        output.say(f"\n{' and '.join(names)} differ by spelling alone, and are one label.")
    for pair in report.alike:
        output.say(f"\n{may_be_same(pair)}")
    if not report.added and not report.known:
        output.say(f"Nothing was imported. {sources.LIKE_THIS}")


def _spellings(folders: Sequence[str]) -> list[list[str]]:
    """Folders' names that mean the same label."""
    found: dict[str, list[str]] = {}
    for name in folders:
        found.setdefault(labels.key(name), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def _reason(reason: str) -> str:
    kind, _, detail = reason.partition(": ")
    sentence = voices.FAULTS.get(kind)
    if sentence is None:
        return reason
    # What a decoder calls its trouble helps nobody: "UnidentifiedImageError".
    return f"{sentence} ({detail})" if detail and not detail.endswith("Error") else sentence


def _list(of_one: str, of_many: str, rows: Sequence[tuple[str, ...]], line: str) -> None:
    if not rows:
        return
    output.say(f"\n{len(rows)} files {of_many}:" if len(rows) > 1 else f"\n1 file {of_one}:")
    for row in rows[:SHOWN]:
        output.say("  " + line.format(*row))
    if len(rows) > SHOWN:
        output.say(f"  … and {len(rows) - SHOWN} more.")
