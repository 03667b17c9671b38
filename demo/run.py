"""`snaplabel demo`: draws photos, teaches a model, and opens a chat; the next start goes on with what it has learnt."""

import os
import time
from dataclasses import replace
from pathlib import Path

from demo import shirts
from snaplabel import home, people, registry, up
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.output import say
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store

# Per club. A network that must learn everything from these photos needs more of them than one that has seen the world.
TAUGHT, TAUGHT_FROM_SCRATCH, UNSEEN, TO_TRY = 30, 60, 12, 3
UNSEEN_SEED, TRY_SEED = 1_000_000, 2_000_000


def main(settings: Settings) -> int:
    """Run the demo until Ctrl-C, in a folder of its own inside the home folder; an exit code comes back."""
    settings = replace(settings, home=settings.home / "demo", database_url="", broker_url="", store_url="")
    started = time.monotonic()
    with home.opened(settings) as (database, store):
        if not _has_learnt(database):
            code = _teach(settings, database, store)
            if code:
                return code
            say(f"Ready after {time.monotonic() - started:.0f} s.")
    photos = _photos_to_try(settings.home / "shirts-to-try")

    def welcome(address: str) -> None:
        say(f"\nThe chat: {address}")
        say(f"Drop shirts from {photos} into it, and correct it where it is wrong. Ctrl-C stops.\n")

    try:
        return up.run(settings, on_ready=welcome)
    except SnaplabelError as error:
        if "is taken" not in str(error):
            raise
        return up.run(settings, port=0, on_ready=welcome)


def _has_learnt(database: Database) -> bool:
    with database.read() as session:
        classifier = people.classifier(session)
        model = registry.current(session, classifier.id) if classifier is not None else None
        return model is not None and bool(Card.from_json(model.card).labels)


def _teach(settings: Settings, database: Database, store: Store) -> int:
    """Draw, import, train and examine; the exit code of the training."""
    from snaplabel import backbones
    from snaplabel.commands import importing, sources
    from trainer import backbone
    from trainer.command import train
    from worker.embed import fill

    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
    model = backbone.ensure(database, store, settings, classifier_id, say)
    is_pretrained = backbones.load_card(store, model.backbone).is_pretrained
    per_club = TAUGHT if is_pretrained else TAUGHT_FROM_SCRATCH
    folder = settings.home / "shirts-taught"
    count = shirts.draw_folder(folder, per_club, seed=0)
    say(f"Drew {count} football shirts of {len(shirts.CLUBS)} invented clubs.")
    with sources.opened(folder) as (found, _):
        importing.take_in(database, store, found, votes_needed=settings.votes_needed)
    say("Learning them…" if is_pretrained else "Learning them from scratch; about a minute on two cores…")
    code = train(settings, people.DEFAULT, not is_pretrained, fill)
    if not code:
        right, asked = _examine(settings, database, store, classifier_id)
        say(f"{right} of {asked} drawn shirts that it has not seen are right ({right / asked:.0%}).")
    return code


def _examine(settings: Settings, database: Database, store: Store, classifier_id: int) -> tuple[int, int]:
    """How many freshly drawn shirts the model names rightly, and how many it was asked."""
    from worker.engine import Engine

    engine = Engine(database, store, settings.home)
    model = engine.model(classifier_id)
    assert model is not None
    names = dict(model.card.labels)
    right = 0
    for club in shirts.CLUBS:
        for seed in range(UNSEEN_SEED, UNSEEN_SEED + UNSEEN):
            vector = engine.embed(model.card.backbone, shirts.draw(club, seed))
            right += names[model.judge(vector).top[0][0]] == club.name
    engine.close()
    return right, UNSEEN * len(shirts.CLUBS)


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
