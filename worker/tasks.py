"""The worker's tasks by name: a bell for a photo is answered with all who wait, in turn; the work is elsewhere."""

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import timedelta

from snaplabel import logs
from snaplabel.database import now
from snaplabel.errors import DatabaseError, ModelError, QueueError, StoreError
from worker import classify, sweep
from worker.classify import Context
from worker.turns import Turn, Turns

Tasks = dict[str, Callable[[int], None]]
# For so long a photo waits for a store that fails; then it counts as a try, since it may be this one file.
FORGIVEN_S = 3600.0
# A batch is small, so that threads have several under way: while one is written down another is looked at.
AT_ONCE = 8
# A bell is answered with everybody who waits, but after so long others have a turn.
LISTENS_S = 2.0
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
        heard_at = time.monotonic()
        # Whoever comes after the bell was heard has another.
        while look(context, turns, AT_ONCE) and not turns.are_taken(heard_at):
            if time.monotonic() > heard_at + LISTENS_S:
                # Others may wait for this thread, the sweeper for one; whoever is left here has a bell again.
                with contextlib.suppress(QueueError):
                    ring("classify.photo", 0)
                return

    def embed(photo_id: int) -> None:
        photo(0)  # Whatever lies in the queue stands for a bell (`queue.Bell`), and people wait for photos.
        try:
            classify.embed(context, photo_id)
        except (ModelError, StoreError, DatabaseError) as error:
            log.warning("photo %d was not embedded: %s", photo_id, error)

    def sweep_up(_: int) -> None:
        photo(0)
        try:
            tick()
            sweep.sweep(context.database, ring, queued, turns.lease_s)
        except (QueueError, DatabaseError) as error:
            log.warning("%s", error)

    return {"classify.photo": photo, "classify.embed": embed, "classify.sweep": sweep_up}


def look(context: Context, turns: Turns, most: int = 1) -> int:
    """Look at waiting photos, at most so many; how many there were. Nothing that goes wrong with them comes out.

    What is no photo's fault (no model, no store, no database) is tried again for as long as it takes.
    """
    try:
        ours = turns.take_some(most)
    except DatabaseError as error:
        log.error("%s Photos wait until it is well again.", error)
        return 0
    try:
        # The same picture may have been sent twice; both posts are told then.
        failed = classify.classify_all(context, list({turn.photo_id: turn for turn in ours})) if ours else {}
        for turn in ours:
            if turn.photo_id in failed:
                _put_down(turns, turn, failed[turn.photo_id])
    except Exception as error:
        for turn in ours:
            _put_down(turns, turn, error)
    finally:
        for turn in ours:
            turns.done(turn)
    return len(ours)


def _put_down(turns: Turns, turn: Turn, error: Exception) -> None:
    with logs.about(message=turn.message_id, photo=turn.photo_id):
        if isinstance(error, ModelError | StoreError | DatabaseError):
            log.error("photo %d waits: %s", turn.photo_id, error)
            _end(turns.put_off if _is_its_own_fault(turn, error) else turns.give_back, turn)
        else:
            log.error("photo %d: try %d failed", turn.photo_id, turn.attempt, exc_info=error)
            _end(turns.put_off, turn)


def _is_its_own_fault(turn: Turn, error: Exception) -> bool:
    return isinstance(error, StoreError) and now() - turn.received_at > timedelta(seconds=FORGIVEN_S)


def _end(end: Callable[[Turn], None], turn: Turn) -> None:
    try:
        end(turn)
    except DatabaseError as error:
        log.error("%s", error)  # Its lease ends by itself.
