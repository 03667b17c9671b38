"""Starting the services by name: logging, home, database and broker first, then the room that does the work."""

import argparse
import signal
import sys
import time
from types import FrameType

from snaplabel import home, logs, redis_server
from snaplabel.errors import QueueError
from snaplabel.loading import uncollected
from snaplabel.queue import socket_path
from snaplabel.settings import Settings

BROKER_WITHIN_S = 5.0


def up(settings: Settings, args: argparse.Namespace) -> int:
    from snaplabel import up as everything

    logs.configure(settings, "up")
    logs.catch_all()
    return everything.run(settings, port=args.port)


def bot(settings: Settings, args: argparse.Namespace) -> int:
    with uncollected():
        from bot.run import serve

    _begin(settings, "bot")
    serve(settings, args.platforms)
    return 0


def worker(settings: Settings, args: argparse.Namespace) -> int:
    with uncollected():
        from worker.app import serve

    _begin(settings, "worker")
    serve(settings)
    return 0


def trainer(settings: Settings, args: argparse.Namespace) -> int:
    with uncollected():
        from trainer.serve import serve

    _begin(settings, "trainer")
    serve(settings, with_schedule=args.with_schedule)
    return 0


def scheduler(settings: Settings, args: argparse.Namespace) -> int:
    from snaplabel import queue

    _begin(settings, "schedule")
    signal.signal(signal.SIGTERM, _leave)
    queue.schedule(queue.connect(settings), queue.TICKS)
    return 0


def demo(settings: Settings, args: argparse.Namespace) -> int:
    from demo.run import main

    logs.configure(settings, "demo")
    logs.catch_all()
    return main(settings)


def _begin(settings: Settings, service: str) -> None:
    from snaplabel import metrics

    logs.configure(settings, service)
    logs.catch_all()
    home.prepare(settings)
    metrics.serve(settings)
    need_broker(settings)


def need_broker(settings: Settings, within_s: float = BROKER_WITHIN_S) -> None:
    """Wait for the private Redis where no broker is set. Raises QueueError when no `snaplabel up` runs it.

    A broker that was given by URL is waited for by the services themselves.
    """
    if settings.broker_url:
        return
    deadline = time.monotonic() + within_s
    while not redis_server.answers(socket_path(settings)):
        if time.monotonic() > deadline:
            raise QueueError(
                f"No `snaplabel up` is running in {settings.home}, and SNAPLABEL_BROKER_URL is empty. "
                "Start `snaplabel up`, which runs everything, or set SNAPLABEL_BROKER_URL to a Redis or RabbitMQ."
            )
        time.sleep(0.1)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
