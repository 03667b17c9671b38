"""`snaplabel people` and `revert`: who corrected how much, and all that one of them ever corrected, taken back."""

import argparse

from sqlalchemy import select

from snaplabel import acts, corrections, home, output, people, standing
from snaplabel.errors import SnaplabelError
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
    platform, platform_id = args.person
    with home.opened(settings) as (database, _), database.begin() as session:
        query = select(Person).where(Person.platform == platform, Person.platform_id == platform_id)
        person = session.scalar(query)
        if person is None:
            raise SnaplabelError(f"Nobody here is {platform}:{platform_id}. `snaplabel people` lists who is.")
        votes = corrections.revert_all(session, person, votes_needed=settings.votes_needed)
        facts = {"reverted_id": person.id, "corrections": votes}
        acts.record(session, "revert", classifier_id=None, person_id=None, **facts)
    output.say(f"{votes} corrections taken back; the next training learns without them.")
    return 0


def _row(one: Teacher, settings: Settings) -> tuple[str, ...]:
    person, record = one.person, one.record
    is_admin = one.is_admin or people.is_admin(settings.admins, person.platform, person.platform_id)
    trust = "admin" if is_admin else f"{record.trust:.2f}" + (" (trusted)" if record.has_standing else "")
    right = f"{record.agreed} of {record.counted}" if record.counted else ""
    return (f"{person.platform}:{person.platform_id}", person.name, str(one.corrections), right, trust)
