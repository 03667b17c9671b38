"""What the stand-in answers when it refuses, in Telegram's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
"""A JSON object on its way to or from the wire; it never leaves this package."""


@dataclass
class ApiError(Exception):
    """A refusal; becomes `{"ok": false, "error_code": status, "description": …}` with the same HTTP status."""

    status: int
    description: str
    parameters: Json = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.description}"


def bad_request(reason: str) -> ApiError:
    """Return the 400 that nearly every wrong argument gets."""
    return ApiError(400, f"Bad Request: {reason}")


def forbidden(reason: str) -> ApiError:
    """Return the 403 for a chat that the bot may not write to."""
    return ApiError(403, f"Forbidden: {reason}")
