"""The doorbell: Celery on Redis or RabbitMQ carries an id and nothing else; the database is the record.

Nothing here is ever the only copy of anything: what the broker loses, the sweeper rings for again.
"""

import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging, worker_ready
from kombu.exceptions import OperationalError

from snaplabel.errors import QueueError
from snaplabel.settings import Settings

log = logging.getLogger(__name__)

CLASSIFY = "classify"
TRAIN = "train"
# When a training is due, and which photos waited too long, is asked of the database this often (seconds).
TICKS = {"train.due": 10.0, "classify.sweep": 5.0}
# How many leases (settings.lease_s) a task may take before Redis hands it out again: by default longer than any
# classification; trainings are claimed in the database, so a redelivered one finds itself running.
LEASES_VISIBLE = 2
SOCKET_TIMEOUT_S = 5


def broker_url(settings: Settings) -> str:
    """The broker in use: the given one, or the private Redis's socket."""
    return settings.broker_url or f"redis+socket://{socket_path(settings)}"


def socket_path(settings: Settings) -> Path:
    """Where the private Redis listens; a Unix socket's path has at most 107 bytes, so a deep home gets a stand-in."""
    path = settings.home.resolve() / "redis.sock"
    if len(str(path)) <= 100:
        return path
    import hashlib
    import tempfile

    short = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"snaplabel-{short}" / "redis.sock"


def connect(settings: Settings) -> Celery:
    """A Celery app for sending and for serving; connects when first used."""
    app = Celery("snaplabel", broker=broker_url(settings), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=CLASSIFY,
        task_routes={"train.*": {"queue": TRAIN}, "classify.*": {"queue": CLASSIFY}},
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport(settings),
        timezone="UTC",
    )
    return app


def _transport(settings: Settings) -> dict[str, Any]:
    if not broker_url(settings).startswith(("redis", "rediss")):
        return {}
    found: dict[str, Any] = {
        "visibility_timeout": LEASES_VISIBLE * settings.lease_s,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": SOCKET_TIMEOUT_S,
    }
    if not broker_url(settings).startswith("redis+socket"):
        found["socket_connect_timeout"] = SOCKET_TIMEOUT_S
    return found


def enqueue(app: Celery, task: str, number: int) -> None:
    """Ring for a task with a row's id. Call it after the commit that made the row, and never in an event loop.

    Raises QueueError when the broker can't be reached; the row stays, and the sweeper rings again.
    """
    try:
        app.send_task(task, args=[number], retry=False)
    except (OperationalError, OSError) as error:
        raise QueueError(f"The broker can't be reached: {error}") from error


class Bell:
    """Rings for photos, and not more often than somebody listens; threads share one.

    A bell for a photo says that somebody waits, not who: one that is heard after a commit speaks for everything that
    was committed before it. So while one is about to be rung, or lies in the broker unheard because all workers have
    their hands full, another would say nothing new: a flood costs a bell or two for each batch that a worker takes.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._is_redis = str(app.conf.broker_url).startswith("redis")
        self._one_at_a_time, self._entry = threading.Lock(), threading.Lock()
        self._is_to_come = False

    def ring(self, task: str, number: int) -> None:
        """As `enqueue`, where it is needed. Raises QueueError, to one of those who asked at the same moment."""
        with self._entry:
            if self._is_to_come:
                return
            self._is_to_come = True
        with self._one_at_a_time:
            with self._entry:
                self._is_to_come = False
            if not self._lies_unheard():
                enqueue(self._app, task, number)

    def _lies_unheard(self) -> bool:
        """Whether a bell waits that no worker has taken; only Redis tells at little cost."""
        if not self._is_redis:
            return False
        try:
            with self._app.producer_or_acquire() as producer:
                return bool(producer.channel.client.llen(CLASSIFY))
        except Exception:  # Ringing says what is the matter, in our own words.
            return False


def length(app: Celery, queue: str) -> int:
    """How many bells wait in a queue, those that a worker has in hand not counted. Raises QueueError."""
    with app.connection_or_acquire() as line:
        try:
            line.ensure_connection(max_retries=1, interval_start=0, timeout=SOCKET_TIMEOUT_S)
            with line.channel() as channel:
                return int(channel.queue_declare(queue, passive=True).message_count)
        except line.channel_errors:  # Redis has no list without anything in it; RabbitMQ no queue before the first.
            return 0
        except (OperationalError, OSError, *line.connection_errors) as error:
            raise QueueError(f"The broker can't be reached: {error}") from error


def serve(
    app: Celery,
    queue: str,
    tasks: Mapping[str, Callable[[int], None]],
    *,
    threads: int = 1,
    ticks: Mapping[str, float] | None = None,
) -> None:
    """Work on a queue until SIGTERM or SIGINT; a task takes an id and is handed out again if its process dies.

    threads: tasks at a time. ticks: task name → seconds, rung by a beat in this same process.
    """
    for name, function in tasks.items():
        app.task(name=name, shared=False)(_task(function))
    options: dict[str, Any] = {"pool": "threads" if threads > 1 else "solo", "concurrency": threads, "queues": queue}
    # It warns root of pickled messages; ours are JSON and nothing else is accepted.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    options["quiet"] = True
    # Somebody who listens keeps Celery from setting the level of every log in the process to its own.
    setup_logging.connect(_leave_logging, weak=False)

    def ready(**_: Any) -> None:
        log.info("ready: hears the bell %s", queue)

    # What answers is loaded by then, and the broker answers.
    worker_ready.connect(ready, weak=False)
    worker = app.Worker(**options, without_gossip=True, without_mingle=True, without_heartbeat=True)
    service = _beat(app, ticks) if ticks else None
    if service:
        service.start()
    try:
        worker.start()
    finally:
        if service:
            service.stop()


def _leave_logging(**_: Any) -> None:
    """Logs are as `logs.configure` made them."""


def is_stopping() -> bool:
    """Whether this process, while it serves a queue, was told to end: a long task should leave off soon."""
    from celery.worker import state

    return any(code is not None and code is not False for code in (state.should_stop, state.should_terminate))


def _task(function: Callable[[int], None]) -> Callable[[int], None]:
    def run(number: int) -> None:  # Celery reads a task's name and arguments, so a lambda alone would not do.
        function(number)

    return run


def schedule(app: Celery, ticks: Mapping[str, float]) -> None:
    """Ring each task every so many seconds, until SIGTERM or SIGINT: Celery's beat as a process of its own."""
    from celery.beat import Scheduler, Service

    _set_ticks(app, ticks)
    Service(app, scheduler_cls=Scheduler).start()


def _beat(app: Celery, ticks: Mapping[str, float]) -> Any:
    from celery.beat import EmbeddedService

    _set_ticks(app, ticks)
    # The scheduler that keeps its state in a file uses pickle; ours keeps none, since what is due is asked of the
    # database, and a second beat does no harm.
    return EmbeddedService(app, thread=True, scheduler_cls="celery.beat:Scheduler")


def _set_ticks(app: Celery, ticks: Mapping[str, float]) -> None:
    app.conf.beat_schedule = {name: {"task": name, "schedule": every_s, "args": [0]} for name, every_s in ticks.items()}
