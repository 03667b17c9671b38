"""`snaplabel migrate`: the database brought up to date, or back."""

import argparse

from snaplabel import home, output
from snaplabel.settings import Settings


def migrate(settings: Settings, args: argparse.Namespace) -> int:
    import migrations
    from migrations import run

    home.make(settings)
    if args.down is not None:
        from snaplabel import up

        # What runs would find columns gone, and starts again with tables that it brings up to date.
        with up.alone(settings.home):
            run.downgrade(settings.database, args.down)
        output.say(f"The database is back at {args.down}.")
        if not settings.database_url:
            output.say("The next command of this version may bring it up to date again: install the older one now.")
    elif migrations.is_current(settings.database):
        output.say("The database is up to date.")
    else:
        run.upgrade(settings.database)
        output.say("The database is up to date now.")
    return 0
