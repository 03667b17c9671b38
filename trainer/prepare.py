"""Gives every classifier a backbone, in a process of its own: `python -m trainer.prepare`."""

import logging
import sys

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from snaplabel import logs, people, settings
from snaplabel.database import Database
from snaplabel.errors import SnaplabelError
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Classifier
from trainer import backbone

log = logging.getLogger(__name__)


def main() -> int:
    """Prepare with the settings that the trainer handed on; 1 when a classifier is still without a backbone."""
    given = settings.read()
    logs.configure(given, "trainer")
    logs.catch_all()
    return 0 if prepare(given) else 1


def prepare(given: Settings) -> bool:
    """Make the backbones that are missing, the default classifier's first of all; whether none is missing now."""
    database, store = Database(given.database), Store(given.store)
    try:
        with database.begin() as session:
            people.make_classifier(session)
    except IntegrityError:
        log.debug("another process made the default classifier")
    with database.read() as session:
        classifiers = session.scalars(select(Classifier.id).order_by(Classifier.id)).all()
    is_whole = True
    for classifier_id in classifiers:
        try:
            backbone.ensure(database, store, given, classifier_id, log.warning)
        except SnaplabelError as error:
            is_whole = False
            log.error("%s", error)
    database.close()
    return is_whole


if __name__ == "__main__":
    sys.exit(main())
