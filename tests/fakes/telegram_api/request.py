"""One call of a Bot API method: its arguments, from a query string, a form, a multipart body or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.multipart import BodyPartReader

from .errors import Json, bad_request

BIGGEST_BODY = 52 << 20
"""Bytes: 50 MB of file, and the words around it."""


@dataclass(frozen=True)
class Upload:
    """One file of a multipart body."""

    filename: str
    mime: str
    content: bytes = field(repr=False)


@dataclass
class Arguments:
    """What a call carries. Telegram takes numbers and objects as text too, so readers convert."""

    values: Json = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return an argument as text; "" if missing."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def number(self, name: str, default: int = 0) -> int:
        """Return an argument as a number, or the default if it is missing or no number, as Telegram does."""
        try:
            return int(self.values.get(name, default))
        except (TypeError, ValueError):
            return default

    def flag(self, name: str) -> bool:
        return str(self.values.get(name, "")).strip().lower() in ("true", "yes", "1")

    def parsed(self, name: str) -> Any:
        """Return an argument that is JSON, or None if missing. Raises ApiError if it cannot be read."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except ValueError as error:
            raise bad_request(f"can't parse {name.replace('_', ' ')} JSON object") from error


async def read_arguments(request: web.Request) -> Arguments:
    """Return the arguments of a call, however they were sent."""
    arguments = Arguments(dict(request.query))
    if request.content_type == "application/json":
        body = await request.json() if request.can_read_body else {}
        if not isinstance(body, dict):
            raise bad_request("can't parse JSON object")
        arguments.values |= body
    elif request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise bad_request("can't parse multipart body")
            content = bytes(await part.read())
            if part.filename is None:
                arguments.values[part.name] = content.decode()
            else:
                mime = part.headers.get("Content-Type", "application/octet-stream")
                arguments.files[part.name] = Upload(part.filename, mime, content)
    elif request.can_read_body:
        arguments.values |= dict(await request.post())
    return arguments
