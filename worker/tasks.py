"""The worker's tasks by name: a bell for a photo is answered with whosever turn it is, the work is elsewhere."""

import logging
from collections.abc import Callable
from datetime import timedelta

from snaplabel import logs, metrics
from snaplabel.database import now
from snaplabel.errors import DatabaseError, ModelError, QueueError, StoreError
from worker import classify, sweep
from worker.classify import Context
from worker.turns import Turn, Turns

Tasks = dict[str, Callable[[int], None]]
# For so long a photo waits for a store that fails; then it counts as a try, since it may be this one file.
FORGIVEN_S = 3600.0
log = logging.getLogger(__name__)


def tasks(
    context: Context,
    turns: Turns,
    ring: Callable[[str, int], None],
    queued: Callable[[], int],
    tick: Callable[[], None] = lambda: None,
) -> Tasks:
    """What the queue `classify` can ask for. ring, queued: the broker's side of it, see `sweep`. tick: hears of each
    tick of the clock.
    """

    def photo(_: int) -> None:
        look(context, turns)

    def embed(photo_id: int) -> None:
        try:
            classify.embed(context, photo_id)
        except (ModelError, StoreError, DatabaseError) as error:
            log.warning("photo %d was not embedded: %s", photo_id, error)

    def sweep_up(_: int) -> None:
        try:
            tick()
            sweep.sweep(context.database, ring, queued, turns.lease_s)
        except (QueueError, DatabaseError) as error:
            log.warning("%s", error)

    return {"classify.photo": photo, "classify.embed": embed, "classify.sweep": sweep_up}


def look(context: Context, turns: Turns) -> bool:
    """Look at one waiting photo; whether there was one. Nothing that goes wrong with it comes out of here.

    What is no photo's fault (no model, no store, no database) is tried again for as long as it takes.
    """
    try:
        turn = turns.take()
    except DatabaseError as error:
        log.error("%s Photos wait until it is well again.", error)
        return False
    if turn is None:
        return False
    with logs.about(message=turn.message_id, photo=turn.photo_id), metrics.CLASSIFY_S.time():
        _look_at(context, turns, turn)
    return True


def _look_at(context: Context, turns: Turns, turn: Turn) -> None:
    try:
        classify.classify(context, turn.photo_id)
    except (ModelError, StoreError, DatabaseError) as error:
        log.error("photo %d waits: %s", turn.photo_id, error)
        _end(turns.put_off if _is_its_own_fault(turn, error) else turns.give_back, turn)
    except Exception:
        log.exception("photo %d: try %d failed", turn.photo_id, turn.attempt)
        _end(turns.put_off, turn)
    finally:
        turns.done(turn)


def _is_its_own_fault(turn: Turn, error: Exception) -> bool:
    return isinstance(error, StoreError) and now() - turn.received_at > timedelta(seconds=FORGIVEN_S)


def _end(end: Callable[[Turn], None], turn: Turn) -> None:
    try:
        end(turn)
    except DatabaseError as error:
        log.error("%s", error)  # Its lease ends by itself.
