"""The front door: one command, one function, imported when it is called, so that `--help` answers at once."""

import argparse
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from snaplabel import __version__
from snaplabel.errors import SettingsError, SnaplabelError

DONE, FAILED, WRONG_USAGE = 0, 1, 2
# What not every part brings along → the extra that does.
EXTRAS = {
    **dict.fromkeys(("discord", "fastapi", "telegram", "uvicorn"), "bot"),
    **dict.fromkeys(("numpy", "openvino", "safetensors"), "worker"),
    **dict.fromkeys(("matplotlib", "rich", "scipy", "torch", "torchvision"), "trainer"),
    **dict.fromkeys(("psycopg",), "postgres"),
    **dict.fromkeys(("s3fs",), "s3"),
}
# What somebody may look for under another name → the commands that say it.
MEANT = {"status": ["models", "doctor"]}
# As difflib measures: at its own 0.6, "status" would be near to "acts".
NEAR = 0.7
# Each function takes (settings, args) and returns an exit code.
COMMANDS = {
    "up": "snaplabel.services:up",
    "bot": "snaplabel.services:bot",
    "worker": "snaplabel.services:worker",
    "trainer": "snaplabel.services:trainer",
    "scheduler": "snaplabel.services:scheduler",
    "demo": "snaplabel.services:demo",
    "import": "snaplabel.commands.importing:import_",
    "train": "snaplabel.commands.learning:train",
    "classify": "snaplabel.commands.learning:classify",
    "models": "snaplabel.commands.models:models",
    "report": "snaplabel.commands.reporting:report",
    "rollback": "snaplabel.commands.models:rollback",
    "promote": "snaplabel.commands.models:promote",
    "discard": "snaplabel.commands.models:discard",
    "export": "snaplabel.commands.exporting:export",
    "review": "snaplabel.commands.reviewing:review",
    "acts": "snaplabel.commands.acts:acts",
    "label": "snaplabel.commands.labelling:label",
    "people": "snaplabel.commands.people:list_",
    "revert": "snaplabel.commands.people:revert",
    "forget": "snaplabel.commands.people:forget",
    "migrate": "snaplabel.commands.upkeep:migrate",
    "backup": "snaplabel.commands.backup:backup",
    "restore": "snaplabel.commands.backup:restore",
    "doctor": "snaplabel.commands.doctor:doctor",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code comes back: 0 done, 1 failed, 2 wrong usage."""
    door = parser()
    argv = sys.argv[1:] if argv is None else argv
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        return _unknown(argv[0], door)
    try:
        args, unknown = door.parse_known_args(argv)
        if unknown:
            args.asked.error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stop:  # argparse has said what was wrong
        return stop.code if isinstance(stop.code, int) else WRONG_USAGE
    if args.command is None:
        door.print_help(sys.stderr)
        return WRONG_USAGE
    secrets: tuple[str, ...] = ()
    try:
        from snaplabel import hidden, loading, settings

        given = settings.read()
        secrets = hidden.words(given)
        module, _, function = COMMANDS[args.command].partition(":")
        with loading.uncollected():
            command = getattr(importlib.import_module(module), function)
        code: int = command(given, args)
        sys.stdout.flush()
        return code
    except SnaplabelError as error:
        if os.environ.get("SNAPLABEL_LOG_LEVEL", "").upper() == "DEBUG":
            print(hidden.blotted(traceback.format_exc(), secrets), file=sys.stderr)
        print(hidden.blotted(f"snaplabel: {error}", secrets), file=sys.stderr)
        return WRONG_USAGE if isinstance(error, SettingsError) else FAILED
    except KeyboardInterrupt:
        print("snaplabel: stopped.", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `snaplabel models | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get(str(error.name).partition(".")[0])):
            print(f"snaplabel: {error.name} is missing here: `pip install 'snaplabel[{extra}]'`.", file=sys.stderr)
            return FAILED
        # Ours to mend; but what a library says may hold an address with its password.
        print(hidden.blotted(traceback.format_exc(), secrets), file=sys.stderr)
        return FAILED


def _unknown(command: str, door: argparse.ArgumentParser) -> int:
    import difflib

    near = MEANT.get(command) or difflib.get_close_matches(command, COMMANDS, n=1, cutoff=NEAR)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "`snaplabel --help` lists what there is."
    print(f"usage: {door.prog} COMMAND …\n{door.prog}: there is no command {command!r}; {hint}", file=sys.stderr)
    return WRONG_USAGE


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    door = argparse.ArgumentParser(
        prog="snaplabel",
        description="A photo classifier that lives in a group chat and learns from its members.",
        epilog="Settings are environment variables, or lines of a .env file: see README.md. "
        "Exit codes: 0 done, 1 failed, 2 wrong usage.",
    )
    # Whoever was asked last says what was not understood, and how it is used.
    door.set_defaults(asked=door)
    door.add_argument("--version", action="version", version=f"snaplabel {__version__}")
    commands = door.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def add(name: str, sentence: str, *, of_classifier: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=sentence, description=sentence)
        made.set_defaults(asked=made)
        if of_classifier:
            made.add_argument("--classifier", metavar="NAME", default="default", help="which classifier")
        return made

    up = add("up", "Run everything: the chats, the worker, the trainer and what they need.")
    up.add_argument("--port", type=_port, help="port of the web chat; 0 takes a free one")
    bot = add("bot", "Run the bot on these chat platforms.")
    bot.add_argument("platforms", nargs="+", metavar="PLATFORM", help="telegram, discord, web")
    add("worker", "Classify photos that wait.")
    trainer = add("trainer", "Train when it is asked for.")
    trainer.add_argument("--with-schedule", action="store_true", help="be the scheduler too")
    add("scheduler", "Ring the bell when something may be due; one of these is enough.")
    add("demo", "Watch snaplabel learn, with photos that it draws itself.")

    load = add("import", "Take in labelled photos: a folder, or a zip, with one folder per label.", of_classifier=True)
    load.add_argument("source", type=Path, metavar="DIR|ZIP")
    load.add_argument("--relabel", action="store_true", help="where a photo is here under another label, change it")
    train = add("train", "Train now, in this process.", of_classifier=True)
    train.add_argument("--full", action="store_true", help="fine-tune the whole network, not only its head")
    own = train.add_argument_group("a recipe of your own, with --full")
    own.add_argument(
        "--backbone", metavar="NAME", help="torchvision's name of the network to start from, as in resnet18"
    )
    own.add_argument("--epochs", type=_count, metavar="N", help="times that it sees every photo")
    own.add_argument("--rate", type=_rate, metavar="X", help="learning rate of the last layers, as in 6e-4")
    own.add_argument("--batch-size", type=_count, metavar="N", help="photos a step")
    classify = add("classify", "Say what photos show.", of_classifier=True)
    classify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    classify.add_argument("--json", action="store_true", help="one JSON object a line")

    add("models", "List the model's versions.", of_classifier=True)
    report = add("report", "Say how well a version does.", of_classifier=True)
    report.add_argument("version", nargs="?", type=_version, metavar="VERSION", help="default: the one that answers")
    report.add_argument("--json", action="store_true", help="everything, with the model's card")
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="write v3.json and its picture, v3.png (birds-v3 of birds), there"
    )
    rollback = add("rollback", "Go back to an earlier version.", of_classifier=True)
    rollback.add_argument("version", nargs="?", type=_version, metavar="VERSION", help="default: the one before")
    for name, sentence in (("promote", "Make a version the current one."), ("discard", "Put a candidate aside.")):
        add(name, sentence, of_classifier=True).add_argument("version", type=_version, metavar="VERSION")
    export = add("export", "Write photos, labels and the current model to an empty folder.", of_classifier=True)
    export.add_argument("folder", type=Path, metavar="DIR")
    _review(add("review", "List photos whose label looks wrong; keep, relabel or remove them.", of_classifier=True))
    acts = add("acts", "List what admins did, newest first.")
    acts.add_argument("--classifier", metavar="NAME", help="of this classifier only")
    acts.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many; default 50")
    acts.add_argument("--json", action="store_true", help="one JSON object a line")
    _label(add("label", "List labels; rename, merge, archive and restore them.", of_classifier=True))
    add("people", "List who corrected how much.")
    revert = add("revert", "Take back everything that a person ever corrected.")
    revert.add_argument("person", type=_person, metavar="PLATFORM:ID", help="as in telegram:123")
    revert.add_argument(
        "--yes", action="store_true", help="do so with local:import too, who labelled all that was imported"
    )
    forget = add("forget", "Erase a person: photos, corrections, posts, name and number. There is no way back.")
    forget.add_argument("person", type=_person, metavar="PLATFORM:ID", help="as in telegram:123")

    migrate = add("migrate", "Bring the database up to date.")
    migrate.add_argument("--down", metavar="REVISION", help='go back to a revision instead; "base" drops every table')
    for name, sentence in (
        ("backup", "Copy database, photos and models to a folder; the next time only what is new."),
        ("restore", "Bring a backup into an empty installation."),
    ):
        add(name, sentence).add_argument("folder", type=Path, metavar="DIR")
    doctor = add("doctor", "Check the installation, and say what to do where something is wrong.")
    doctor.add_argument("--quick", action="store_true", help="only what a service can't work without")
    return door


def _label(door: argparse.ArgumentParser) -> None:
    """What can be done to a label; without any of it, the labels are listed."""
    acts = door.add_subparsers(dest="act", metavar="ACT", title="acts")
    for name, sentence, *arguments in (
        ("rename", "Call it something else; the old name stays as another name.", "old", "new"),
        ("merge", "Make one label part of another, with its photos and names.", "label", "into"),
        ("archive", "Put it away: its photos leave lessons and exam.", "label"),
        ("restore", "Bring back one that was archived or merged.", "label"),
        ("alias", "Give it another name, by which people may call it too.", "label", "other"),
        ("unalias", "Take another name away.", "other"),
    ):
        act = acts.add_parser(name, help=sentence, description=sentence)
        act.set_defaults(asked=act)
        act.add_argument("--classifier", metavar="NAME", default=argparse.SUPPRESS, help="which classifier")
        for argument in arguments:
            act.add_argument(argument, metavar=argument.upper())


def _review(door: argparse.ArgumentParser) -> None:
    """What can be decided about photos; without any of it, those to look at are listed."""
    door.add_argument("--limit", type=_count, default=50, metavar="N", help="list at most so many; default 50")
    door.add_argument("--json", action="store_true", help="list one JSON object a line")
    door.add_argument("--html", type=Path, metavar="FILE", help="write the list as a page with the photos on it")
    decisions = door.add_subparsers(dest="decision", metavar="DECISION", title="decisions")
    for name, sentence in (
        ("keep", "The label is right; don't offer the photo again."),
        ("remove", "Take photos out of lessons and exam; they stay in the store."),
        ("relabel", "Give photos another label."),
        ("undo", "Take a decision back: the latest, or the one with this number in `snaplabel acts`."),
    ):
        made = decisions.add_parser(name, help=sentence, description=sentence)
        made.set_defaults(asked=made)
        made.add_argument("--classifier", metavar="NAME", default=argparse.SUPPRESS, help="which classifier")
        if name == "undo":
            made.add_argument("act", nargs="?", type=_number, metavar="ACT")
        else:
            made.add_argument("photos", nargs="+", type=_number, metavar="ID")
        if name == "relabel":
            made.add_argument("label", metavar="LABEL")
            made.add_argument("--new", action="store_true", help="make the label where it is not there")


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number")
    return int(text)


def _version(text: str) -> int:
    if not re.fullmatch(r"v?\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no version; versions look like 3 or v3")
    return int(text.removeprefix("v"))


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no learning rate; they go from 1e-6 to 1")
    return rate


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; ports go from 0 to 65535")
    return int(text)


def _person(text: str) -> tuple[str, str]:
    platform, colon, number = text.partition(":")
    if not (platform and colon and number):
        raise argparse.ArgumentTypeError(f"{text!r} names nobody; write PLATFORM:ID, as in telegram:123")
    return platform, number
