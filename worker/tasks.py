"""The worker's tasks by name, a line each: a task is an id, the work is elsewhere."""

from collections.abc import Callable

from worker import classify, sweep
from worker.classify import Context

Tasks = dict[str, Callable[[int], None]]


def tasks(context: Context, ring: Callable[[str, int], None]) -> Tasks:
    """What the queue `classify` can ask for."""

    def photo(photo_id: int) -> None:
        classify.classify(context, photo_id)

    def embed(photo_id: int) -> None:
        classify.embed(context, photo_id)

    def sweep_up(_: int) -> None:
        sweep.sweep(context.database, ring)

    return {"classify.photo": photo, "classify.embed": embed, "classify.sweep": sweep_up}
