"""`snaplabel people`, `revert` and `forget`: who corrected how much; all that one of them did, taken back or erased."""

import argparse

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import acts, corrections, expiry, forgetting, home, output, people, standing
from snaplabel.errors import SnaplabelError, StoreError
from snaplabel.settings import Settings
from snaplabel.standing import Teacher
from snaplabel.tables import Person

HEADERS = ("person", "name", "corrections", "right, as admins said later", "trust")


def list_(settings: Settings, args: argparse.Namespace) -> int:
    """Everybody whose corrections stand, those with most first."""
    with home.opened(settings) as (database, _), database.read() as session:
        rows = [_row(one, settings) for one in standing.teachers(session)]
    if rows:
        output.table(HEADERS, rows)
    else:
        output.say("Nobody has corrected anything yet.")
    return 0


def revert(settings: Settings, args: argparse.Namespace) -> int:
    with home.opened(settings) as (database, _), database.begin() as session:
        person = _find(session, args)
        if person.platform == "local" and not args.yes:
            raise SnaplabelError(_of_the_import(session, person))
        votes = corrections.revert_all(session, person, votes_needed=settings.votes_needed)
        facts = {"reverted_id": person.id, "corrections": votes}
        acts.record(session, "revert", classifier_id=None, person_id=None, **facts)
    output.say(f"{output.number(votes, 'correction')} taken back; the next training learns without them.")
    if person.platform == "local":
        output.say("`snaplabel import` of the same folders gives their photos their labels again.")
    return 0


def _of_the_import(session: Session, person: Person) -> str:
    """What `revert local:import` would do, which is seldom meant."""
    votes = output.number(forgetting.count(session, person).corrections, "label")
    return (
        f"local:import stands for all that was said from this command line: {votes}, by imports and reviews, would be "
        "taken back. Nothing was done. --yes does it; importing the same folders again brings the imported ones back."
    )


def forget(settings: Settings, args: argparse.Namespace) -> int:
    """At somebody's request that came some other way than by /forget. Bytes that can't be deleted are swept later."""
    from bot import leaving

    with home.opened(settings) as (database, store):
        with database.begin() as session:
            person = _find(session, args)
            if person.platform == "local":
                raise SnaplabelError("local:import is nobody: its photos came by `snaplabel import`.")
            gone, keys = leaving.erase(session, settings, person)
            facts = {"photos": gone.photos, "corrections": gone.corrections}
            acts.record(session, "forget", classifier_id=None, person_id=None, **facts)
        try:
            expiry.wipe(database, store, keys)
        except StoreError as error:
            output.say(f"{error} The trainer deletes what is left within a day.")
        with database.begin() as session:
            forgetting.finish(session)
        database.settle()
    erased = f"{output.number(gone.photos, 'photo')} and {output.number(gone.corrections, 'correction')}"
    output.say(f"Erased: {erased}, with name, number and posts.")
    if gone.versions:
        versions = ", ".join(f"v{version}" for version in gone.versions)
        output.say(f"They had taught {versions}; a running trainer refits without them, else `snaplabel train` does.")
    output.say("Backups, and what the chats' own platforms keep, are not in reach from here.")
    return 0


def _find(session: Session, args: argparse.Namespace) -> Person:
    platform, platform_id = args.person
    query = select(Person).where(Person.platform == platform, Person.platform_id == platform_id)
    person = session.scalar(query)
    if person is None:
        raise SnaplabelError(f"Nobody here is {platform}:{platform_id}. `snaplabel people` lists who is.")
    return person


def _row(one: Teacher, settings: Settings) -> tuple[str, ...]:
    person, record = one.person, one.record
    is_admin = one.is_admin or people.is_admin(settings.admins, person.platform, person.platform_id)
    trust = "admin" if is_admin else f"{record.trust:.2f}" + (" (trusted)" if record.has_standing else "")
    right = f"{record.agreed} of {record.counted}" if record.counted else ""
    return (f"{person.platform}:{person.platform_id}", person.name, str(one.corrections), right, trust)
