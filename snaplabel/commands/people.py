"""`snaplabel revert`: everything that one person ever corrected, taken back."""

import argparse

from sqlalchemy import select

from snaplabel import corrections, home, output
from snaplabel.errors import SnaplabelError
from snaplabel.settings import Settings
from snaplabel.tables import Person


def revert(settings: Settings, args: argparse.Namespace) -> int:
    platform, platform_id = args.person
    with home.opened(settings) as (database, _), database.begin() as session:
        query = select(Person).where(Person.platform == platform, Person.platform_id == platform_id)
        person = session.scalar(query)
        if person is None:
            raise SnaplabelError(f"Nobody here is {platform}:{platform_id}.")
        votes = corrections.revert_all(session, person, votes_needed=settings.votes_needed)
    output.say(f"{votes} corrections taken back; the next training learns without them.")
    return 0
