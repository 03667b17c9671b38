"""Hears that somebody committed something, so that loops look at once where there is news and hardly where is none."""

import asyncio
import contextlib
import threading
import time

from snaplabel.database import Changes, Database

# SQLite is asked in microseconds. A question that takes longer is asked more rarely: a twentieth of a core at most.
LEAST_S, MOST_S, SHARE = 0.01, 0.25, 20
# Where nobody has said anything for a while, the first word may be heard a little later: it is a post, written down by
# ourselves, and the answer comes after it.
QUIET_AFTER_S, QUIET_S = 2.0, 0.05
AGAIN_S = 1.0


class Ear:
    """Listens to one database in a thread of its own; any number of the loop's tasks wait for what it hears.

    heard: grows whenever something was committed, by whichever process. A wait always has an end, since some things
    become due without a commit, and since a database that is away says nothing.
    """

    def __init__(self, database: Database, *, again_s: float = AGAIN_S) -> None:
        """again_s: how long to leave a database alone that is away."""
        self.heard = 0
        self._database = database
        self._again_s = again_s
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Until cancelled."""
        stop = threading.Event()
        thread = threading.Thread(target=self._listen, args=(asyncio.get_running_loop(), stop), name="ear", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            stop.set()

    async def wait(self, heard: int, at_most_s: float) -> None:
        """Until more was heard than this, or the time is over."""
        if self.heard == heard:
            # Not wait_for: until Python 3.12 it forgets a cancellation that comes together with the news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(at_most_s):
                    await self._news.wait()

    def _listen(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        changes: Changes | None = None
        heard_at = 0.0
        while not stop.is_set():
            began = time.monotonic()
            try:
                changes = changes or self._database.changes()
                if changes.are_new():
                    heard_at = began
                    loop.call_soon_threadsafe(self.tell)
                least_s = LEAST_S if began - heard_at < QUIET_AFTER_S else QUIET_S
                rest_s = min(max((time.monotonic() - began) * SHARE, least_s), MOST_S)
            except RuntimeError:  # The loop has ended without saying so.
                break
            except Exception:  # Those who look at the tables meet it too, and say what is the matter.
                if changes is not None:
                    changes.close()
                changes, rest_s = None, self._again_s
            time.sleep(rest_s)  # Waiting for `stop` costs more than all the rest.
        if changes is not None:
            changes.close()

    def tell(self) -> None:
        """There is news that no commit tells of; in the loop's own thread."""
        self.heard += 1
        self._news.set()
        self._news = asyncio.Event()
