"""`snaplabel demo`: draws photos, teaches a model, and opens a chat; the next start goes on with what it has learnt."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from demo import shirts
from snaplabel import home, people, registry, up
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.output import say
from snaplabel.registry import Card
from snaplabel.settings import Settings

TO_TRY = 3
TRY_SEED = 2_000_000


def main(settings: Settings, run: Callable[..., int] = up.run) -> int:
    """Run the demo until Ctrl-C, in a folder of its own inside the home folder; an exit code comes back.

    run: as `up.run`.
    """
    home.make(settings)
    settings = replace(settings, home=settings.home / "demo", database_url="", broker_url="", store_url="")
    started = time.monotonic()
    with home.opened(settings) as (database, _):
        has_learnt = _has_learnt(database)
    if not has_learnt:
        # A process of its own: what torch takes, a gigabyte, is given back at its end.
        environment = {**os.environ, **settings.environment()}
        teach = (sys.executable, "-m", "demo.teach", _typed(sys.argv[0], settings.home))
        code = subprocess.run(teach, env=environment, check=False).returncode  # noqa: S603  ourselves, no shell
        if code:
            return code
        say(f"Ready after {time.monotonic() - started:.0f} s.")
    photos = _photos_to_try(settings.home / "shirts-to-try")

    def welcome(address: str) -> None:
        say(f"\nThe chat: {up.shown(settings, address)}")
        say(f"Drop shirts from {photos} into it, and correct it where it is wrong. Ctrl-C stops.\n")

    try:
        return run(settings, on_ready=welcome)
    except SnaplabelError as error:
        if "is taken" not in str(error):
            raise
        say(f"Port {settings.web_port} is taken by another program, so the chat takes a free one.")
        return run(settings, port=0, on_ready=welcome)


def _typed(started: str, folder: Path) -> str:
    """How a person types what was started so, in another terminal: the demo's home is not the one of all others."""
    is_module = Path(started).name == "__main__.py"
    program = f"{shlex.quote(sys.executable)} -m snaplabel" if is_module else shlex.quote(started)
    return f"SNAPLABEL_HOME={shlex.quote(str(folder.absolute()))} {program}"


def _has_learnt(database: Database) -> bool:
    with database.read() as session:
        classifier = people.classifier(session)
        model = registry.current(session, classifier.id) if classifier is not None else None
        return model is not None and bool(Card.from_json(model.card).labels)


def _photos_to_try(folder: Path) -> Path:
    """A folder of shirts that the model has not seen, named so that a person can tell whether it is right."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        for club in shirts.CLUBS:
            for n in range(TO_TRY):
                name = f"{club.name.lower().replace(' ', '-')}-{n + 1}.jpg"
                (folder / name).write_bytes(shirts.draw(club, TRY_SEED + n))
    here = Path(os.path.relpath(folder))
    return here if len(str(here)) < len(str(folder)) else folder
