"""Imports without the garbage collector, which meanwhile looks through everything dozens of times and finds nothing."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

# At the end everything is collected: libraries complain of what is left of them.
atexit.register(gc.unfreeze)


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage inside; what is there at the end stays, and later collections need not look at it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
