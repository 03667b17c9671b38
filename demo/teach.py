"""Teaches the demo its shirts, in a process of its own: `python -m demo.teach PROGRAM`."""

import sys

from demo import shirts
from snaplabel import backbones, home, people
from snaplabel.commands import importing, sources
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.output import say
from snaplabel.settings import Settings, read
from snaplabel.store import Store
from trainer import backbone
from trainer.command import train
from worker.embed import fill
from worker.engine import Engine

# Per club. A network that must learn everything from these photos needs more of them than one that has seen the world.
TAUGHT, TAUGHT_FROM_SCRATCH, UNSEEN = 30, 50, 12
UNSEEN_SEED = 1_000_000


def main() -> int:
    """Teach, with the settings that `demo.run` handed on; an exit code comes back.

    The first argument: how a person starts snaplabel in the demo's home.
    """
    settings = read()
    try:
        with home.opened(settings) as (database, store):
            return teach(settings, database, store, sys.argv[1])
    except SnaplabelError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def teach(settings: Settings, database: Database, store: Store, program: str) -> int:
    """Draw, import, train and examine; the exit code of the training."""
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
    code = train(settings, people.DEFAULT, not is_pretrained, fill, program=program)
    if not code:
        right, asked = _examine(settings, database, store, classifier_id)
        say(f"{right} of {asked} drawn shirts that it has not seen are right ({right / asked:.0%}).")
    return code


def _examine(settings: Settings, database: Database, store: Store, classifier_id: int) -> tuple[int, int]:
    """How many freshly drawn shirts the model names rightly, and how many it was asked."""
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


if __name__ == "__main__":
    sys.exit(main())
