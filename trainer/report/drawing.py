"""Drawing a run's report: facts from the store, the other versions from the database, a PNG into the store."""

import threading

from snaplabel import reports
from snaplabel.database import Database
from snaplabel.store import Store
from snaplabel.tables import Model, TrainingRun
from trainer.report.photos import thumbnails

# matplotlib is made for one thread, and the trainer has two.
_one_at_a_time = threading.Lock()


def draw(database: Database, store: Store, run_id: int) -> str | None:
    """Draw a finished run's report unless that was done, and return the picture's key; None where nothing was asked.

    Raises ModelError, StoreError.
    """
    with database.read() as session:
        run = session.get(TrainingRun, run_id)
        model = session.get(Model, run.model_id) if run is not None and run.model_id is not None else None
        if run is None or model is None:
            return None
        report = reports.of(session, store, model)
        if report.new is None:
            return None
        if run.picture is not None and store.has(run.picture):
            return run.picture
        curve = reports.curve(session, model.classifier_id, model.version)
        shown = reports.visible(session, model.classifier_id, report.photo_ids())
    squares = thumbnails(store, report, shown)
    with _one_at_a_time:
        # matplotlib is imported only here.
        from trainer.report.picture import picture

        data = picture(report, report.new, model.version, curve, squares)
    key = reports.picture_key(run_id)
    store.put(key, data)
    with database.begin() as session:
        if reports.visible(session, model.classifier_id, shown) == shown:
            reports.drawn(session, run_id, key)
            return key
    # Somebody was forgotten while we drew.
    store.delete(key)
    return draw(database, store, run_id)
