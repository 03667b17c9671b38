"""What the stand-in answers when it refuses, in Discord's numbers and words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
"""A JSON object on its way to or from the wire."""

_UNKNOWN = {
    "Application": 10002,
    "Channel": 10003,
    "Guild": 10004,
    "Member": 10007,
    "Message": 10008,
    "User": 10013,
    "Emoji": 10014,
    "Webhook": 10015,
    "interaction": 10062,
    "application command": 10063,
}


class NotPossible(AssertionError):
    """A person could not do this in Discord's own app: the test asks for something that never happens."""


@dataclass
class ApiError(Exception):
    """A refusal; goes out as `{"message", "code"}`, with `errors` where Discord names the guilty fields."""

    status: int
    code: int
    message: str
    errors: Json = field(default_factory=dict)

    def body(self) -> Json:
        """Return the JSON of the answer."""
        errors = {"errors": self.errors} if self.errors else {}
        return {"message": self.message, "code": self.code, **errors}


def unknown(what: str) -> ApiError:
    """Return the 404 for an id that names nothing (or nothing that this bot may know of)."""
    return ApiError(404, _UNKNOWN[what], f"Unknown {what}")


def missing_access() -> ApiError:
    """Return the 403 for a place that the bot cannot even see."""
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    """Return the 403 for a place where the bot may not do this."""
    return ApiError(403, 50013, "Missing Permissions")


class Form:
    """The complaints about one request's fields, collected and refused together with error 50035."""

    def __init__(self) -> None:
        self._errors: Json = {}

    def refuse(self, path: str, code: str, message: str) -> None:
        """Note a complaint about the field at `path`, such as `components.0.components.2.label`."""
        place = self._errors
        for step in path.split("."):
            place = place.setdefault(step, {})
        place.setdefault("_errors", []).append({"code": code, "message": message})

    def length(self, path: str, value: Any, shortest: int, longest: int) -> None:
        """Refuse text or lists that are missing, too short or too long; characters are code points."""
        if value is None and shortest:
            self.refuse(path, "BASE_TYPE_REQUIRED", "This field is required")
        elif value is not None and not shortest <= len(value) <= longest:
            if shortest:
                self.refuse(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {shortest} and {longest} in length.")
            else:
                self.refuse(path, "BASE_TYPE_MAX_LENGTH", f"Must be {longest} or fewer in length.")

    def close(self) -> None:
        """Raise ApiError if there were complaints."""
        if self._errors:
            raise ApiError(400, 50035, "Invalid Form Body", self._errors)
