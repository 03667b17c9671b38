"""The doctor's look into the database: models and photos that should be in the store, photos that wait, the clock."""

import importlib.util
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from snaplabel import backbones, registry
from snaplabel.commands.doctor import Finding
from snaplabel.database import Database, now
from snaplabel.errors import ModelError, SnaplabelError
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Classifier, Message, Photo

# Asking a remote store costs a call for each photo.
LOOK_AT, LOOK_AT_REMOTE = 20_000, 50
WAITS_TOO_LONG_S = 300.0
AHEAD_S = 60.0
NOTHING_TAUGHT = Finding(
    "lessons", "nothing was taught yet; `snaplabel import DIR` takes in photos, `snaplabel up` chats"
)


def examine(settings: Settings) -> Iterator[Finding]:
    """What was found; nothing where there is no migrated database that can be read, as another line says."""
    import migrations

    try:
        if not migrations.is_current(settings.database):
            if not settings.database_url:
                yield NOTHING_TAUGHT
            return
        store = Store(settings.store)
    except SnaplabelError:
        return
    database = Database(settings.database)
    try:
        with database.read() as session:
            for part, look in LOOKS:
                try:
                    found = look(session, store)
                except SnaplabelError as error:
                    found = Finding(part, str(error), "Check SNAPLABEL_STORE_URL, its credentials and its disk.")
                if found is not None:
                    yield found
            if (ahead := _ahead(session)) is not None:
                yield ahead
    except SnaplabelError as error:
        yield Finding("database", str(error), "See the sentence above.")
    finally:
        database.close()


def _file(session: Session, store: Store) -> Finding | None:
    """A SQLite file that is damaged somewhere; a server looks after its own files."""
    if session.get_bind().dialect.name != "sqlite":
        return None
    said = str(session.scalar(text("PRAGMA quick_check(1)")))
    if said != "ok":
        problem = "Stop snaplabel, restore a backup, and look for a failing disk."
        return Finding("database", f"its file is damaged: {said[:200]}", problem)
    return None


def _lessons(session: Session, _store: Store) -> Finding | None:
    if session.scalar(select(Photo.id).where(Photo.label_id.is_not(None)).limit(1)) is None:
        return NOTHING_TAUGHT
    return None


def _models(session: Session, store: Store) -> Finding | None:
    """Whether what answers now could be loaded by a worker that starts now."""
    names = []
    # A bot's machine comes without what loads a head; there the files are only looked at.
    loads = importlib.util.find_spec("safetensors") is not None
    for classifier in session.scalars(select(Classifier).order_by(Classifier.name)):
        model = registry.current(session, classifier.id)
        if model is None:
            continue
        try:
            card = Card.from_json(model.card)
            backbones.check(store, card.backbone)
            if card.labels and loads:
                from snaplabel import heads

                heads.load(store, model.key, card)
        except ModelError as error:
            problem = f"`snaplabel rollback --classifier {classifier.name}` takes the version before, or train anew."
            return Finding("models", f"{classifier.name} v{model.version}: {error}", problem)
        names.append(f"{classifier.name} v{model.version}")
    return (
        Finding("models", f"{', '.join(names)} {'can be loaded' if loads else 'are in the store'}") if names else None
    )


def _photos(session: Session, store: Store) -> Finding | None:
    """Whether the photos that are to be learnt from or shown are in the store; the newest are looked for first."""
    most = LOOK_AT_REMOTE if "://" in store.url and not store.url.startswith("file://") else LOOK_AT
    here = select(Photo.id, Photo.sha256).where(Photo.expired_at.is_(None)).order_by(Photo.id.desc())
    looked_for = session.execute(here.limit(most)).all()
    missing = [photo_id for photo_id, sha256 in looked_for if not store.has(photo_key(sha256))]
    if missing:
        sentence = f"{len(missing)} of {len(looked_for)} are gone from the store, photo {missing[0]} for one"
        problem = "Bring the store's folder photos/ back from a backup. Training goes on without them."
        return Finding("photos", sentence, problem)
    return Finding("photos", f"{len(looked_for)} looked for, all there") if looked_for else None


def _waiting(session: Session, store: Store) -> Finding | None:
    """Whether somebody waits for so long that nobody seems to be working."""
    query = select(func.count(), func.min(Message.received_at)).where(Message.state.in_(("received", "waiting")))
    count, since = session.execute(query).one()
    if not count or (now() - since).total_seconds() < WAITS_TOO_LONG_S:
        return None
    minutes = (now() - since).total_seconds() / 60
    problem = "Is a worker running, and can it load its model? Its log says what it waits for."
    return Finding("waiting", f"{count} posts wait, the oldest for {minutes:.0f} minutes", problem)


def _ahead(session: Session) -> Finding | None:
    """Posts of the future were written down before this machine's clock was set back, or by one that is ahead."""
    newest = session.scalar(select(func.max(Message.received_at)))
    if newest is None or newest < now() + timedelta(seconds=AHEAD_S):
        return None
    return Finding("clock", "the newest post was written down in the future", "Set this machine's clock.")


LOOKS = (("file", _file), ("lessons", _lessons), ("models", _models), ("photos", _photos), ("waiting", _waiting))
