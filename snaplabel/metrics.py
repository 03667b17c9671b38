"""Metrics: what each process counts and times, and what the database says when Prometheus asks.

Not imported by the command line itself: the library costs 50 ms.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import REGISTRY, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import bindparam, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from snaplabel.database import Database, now
from snaplabel.errors import DatabaseError
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Classifier, Message, Model, TrainingRun

log = logging.getLogger(__name__)

ON_THE_WAY = ("received", "waiting", "classified")
# Written out in the statement: only so does SQLite see that an index of these few rows is enough.
IS_ON_THE_WAY = Message.state.in_(bindparam("on_the_way", ON_THE_WAY, expanding=True, literal_execute=True))
# However often Prometheus asks, the database is asked this often.
FRESH_S = 5.0

ANSWER_S = Histogram(
    "snaplabel_answer_seconds",
    "From the moment a photo was written down to its answer in the chat.",
    ["platform"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 1800),
)
CLASSIFY_S = Histogram(
    "snaplabel_classify_seconds",
    "One photo in the worker, from its row to its prediction.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
DECODE_S = Histogram(
    "snaplabel_decode_seconds",
    "Reading one photo's bytes: in the bot a stranger's, in the worker our own.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
TRAINING_S = Histogram(
    "snaplabel_training_seconds",
    "One training, by its kind (refit, fine_tune) and how it ended (done, failed, cancelled).",
    ["kind", "end"],
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400),
)
REFUSED = Counter(
    "snaplabel_photos_refused_total", "Photos whose senders were told why they can't be used.", ["reason"]
)
LOGGED = Counter(
    "snaplabel_errors_total", "Warnings and errors in the log, by exception or by module.", ["level", "kind"]
)


class Counting(logging.Handler):
    """Counts what is logged as a warning or worse; the kind is the exception's class, else the module's name."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        LOGGED.labels(record.levelname.lower(), error.__name__ if error is not None else record.name).inc()


def errors_so_far() -> int:
    """How many errors (not warnings) this process has logged since it began."""
    samples = (sample for metric in LOGGED.collect() for sample in metric.samples)
    return int(sum(one.value for one in samples if one.name.endswith("_total") and one.labels["level"] == "error"))


def serve(settings: Settings) -> None:
    """Count this process's errors, and show its metrics where a port is set.

    A port that is taken is a warning: photos matter more than metrics.
    """
    if not any(isinstance(handler, Counting) for handler in logging.getLogger().handlers):
        logging.getLogger().addHandler(Counting())
    if not settings.metrics_port:
        return
    REGISTRY.register(Tables(Database(settings.database)))
    try:
        start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        log.warning("metrics: %s:%s: %s", settings.metrics_host, settings.metrics_port, error.strerror)


class Tables(Collector):
    """What the database says, asked when Prometheus does: every process says the same, so take the maximum of them."""

    def __init__(self, database: Database, fresh_s: float = FRESH_S) -> None:
        self._database = database
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._read: list[Metric] = []
        self._read_at = -fresh_s

    def describe(self) -> Iterable[Metric]:
        """None in advance: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at >= self._fresh_s:
                self._read, self._read_at = list(self._ask()), time.monotonic()
            found = self._read
        yield from found

    def _ask(self) -> Iterator[Metric]:
        is_up = GaugeMetricFamily("snaplabel_database_up", "1 while the database answers.")
        try:
            with self._database.read() as session:
                yield from read(session)
            is_up.add_metric([], 1)
        except (DatabaseError, SQLAlchemyError):
            is_up.add_metric([], 0)
        yield is_up


def read(session: Session) -> Iterator[Metric]:
    """The gauges that the tables hold."""
    photos = GaugeMetricFamily(
        "snaplabel_photos_waiting", "Photos without an answer, by how far they are.", labels=["state"]
    )
    oldest = GaugeMetricFamily(
        "snaplabel_oldest_photo_seconds", "For how long the oldest photo has waited; 0: none waits."
    )
    query = select(Message.state, func.count(), func.min(Message.received_at)).where(IS_ON_THE_WAY)
    rows = session.execute(query.group_by(Message.state)).all()
    counts = {state: count for state, count, _ in rows}
    for state in ON_THE_WAY:
        photos.add_metric([state], counts.get(state, 0))
    oldest.add_metric([], _age_s(min((since for _, _, since in rows), default=None)))
    yield from (photos, oldest)

    outbox = GaugeMetricFamily(
        "snaplabel_outbox_answers", "Answers that a chat should show and does not yet.", labels=["platform"]
    )
    unshown = select(Answer.platform, func.count()).where(Answer.shown < Answer.revision, Answer.state == "open")
    for platform, count in session.execute(unshown.group_by(Answer.platform)):
        outbox.add_metric([platform], count)
    yield outbox

    version = GaugeMetricFamily("snaplabel_model_version", "The version that answers.", labels=["classifier"])
    current = select(Classifier.name, Model.version).join(Model, Model.classifier_id == Classifier.id)
    for name, number in session.execute(current.where(Model.state == "current")):
        version.add_metric([name], number)
    yield version

    trainings = GaugeMetricFamily(
        "snaplabel_trainings", "Trainings that are queued or running.", labels=["kind", "state"]
    )
    active = select(TrainingRun.kind, TrainingRun.state, func.count()).where(
        TrainingRun.state.in_(("queued", "running"))
    )
    for kind, state, count in session.execute(active.group_by(TrainingRun.kind, TrainingRun.state)):
        trainings.add_metric([kind, state], count)
    yield trainings

    alerts = GaugeMetricFamily("snaplabel_alert", "1 while admins are told of this.", labels=["kind"])
    for kind in session.scalars(select(Alert.kind).where(Alert.over_at.is_(None), Alert.told_at.is_not(None))):
        alerts.add_metric([kind], 1)
    yield alerts


def _age_s(since: datetime | None) -> float:
    return max(0.0, (now() - since).total_seconds()) if since is not None else 0.0
