"""Troubles that a test orders in advance, each for the next calls of one method."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from .errors import ApiError


@dataclass(frozen=True)
class Fault:
    """One trouble, once.

    kind: "fail" answers `error` and does nothing; "hang" never answers; "cut" drops the connection;
    "delay" waits delay_s first. accepted: for hang and cut, whether the call takes effect all the same.
    """

    kind: Literal["fail", "hang", "cut", "delay"]
    error: ApiError | None = None
    delay_s: float = 0.0
    accepted: bool = False


class FaultPlan:
    """Faults in the order they were asked for, by method name (in any case)."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def add(self, method: str, fault: Fault, times: int) -> None:
        self._waiting[method.lower()].extend([fault] * times)

    def next(self, method: str) -> Fault | None:
        """Return the fault for this call and use it up."""
        waiting = self._waiting[method.lower()]
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        self._waiting.clear()


def failure(status: int, retry_after: int | None, description: str | None) -> ApiError:
    """Return the error that Telegram sends with this HTTP status. retry_after: seconds, at 429."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = retry_after or 1
        return ApiError(status, description or f"Too Many Requests: retry after {wait}", {"retry_after": wait})
    return ApiError(status, description or HTTPStatus(status).phrase)
