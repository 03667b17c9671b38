"""Remembered: what takes long to count in a large house is told again for a while, not counted at each asking."""

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

T = TypeVar("T")

# Of so many rows on, counting takes longer than a chat should wait. Where there are fewer, nothing is remembered.
MANY = 20_000
# So old may a large number be, in seconds.
FRESH_S = 300.0

_KNOWN: dict[Hashable, tuple[float, Any]] = {}


def lately(session: Session, name: Hashable, ask: Callable[[], T], is_much: Callable[[T], bool]) -> T:
    """What `ask` finds, or what it found within the last FRESH_S, if that was much to look through.

    name: what is asked, of whom; another database is another one's. Each process remembers for itself.
    """
    at, found = _KNOWN.get((_database(session), name), (-FRESH_S, None))
    if time.monotonic() - at < FRESH_S and found is not None:
        return found  # type: ignore[no-any-return]
    asked = ask()
    if is_much(asked):
        keep(session, name, asked)
    return asked


def keep(session: Session, name: Hashable, found: object) -> None:
    """Remember this from now on; what is older than FRESH_S makes room."""
    moment = time.monotonic()
    for old in [other for other, (then, _) in tuple(_KNOWN.items()) if moment - then >= FRESH_S]:
        _KNOWN.pop(old, None)
    _KNOWN[_database(session), name] = (moment, found)


def _database(session: Session) -> Hashable:
    bind = session.get_bind()
    return (bind if isinstance(bind, Engine) else bind.engine).url
