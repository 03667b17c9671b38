"""Every HTTP request passes through here: it is written down, counted against its limit, and may meet a fault."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import BodyPartReader, web

from .errors import ApiError, Json
from .gateway import GATEWAY_PATH
from .world import World

log = logging.getLogger(__name__)
REQUEST_LIMIT_BYTES = 25 * 1024 * 1024
Scope = Literal["user", "shared", "global", "cloudflare"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Body:
    """What a request carried. payload: its JSON, or `payload_json` of a form; files: n of `files[n]` -> the file."""

    payload: Any = None
    files: dict[int, tuple[str, bytes, str]] = field(default_factory=dict)


BODY = web.RequestKey("body", Body)


@dataclass(eq=False)
class Call:
    """One request. path: without `/api/v10`. status: None while it is (or stays) unanswered."""

    method: str
    path: str
    body: Any
    files: list[str]
    reason: str | None
    at_s: float
    status: int | None = None


@dataclass
class _Fault:
    method: str
    pattern: re.Pattern[str]
    times_left: int
    act: Literal["status", "hang", "cut before", "cut after", "delay"]
    status: int = 500
    retry_after_s: float = 1.0
    scope: Scope = "user"
    code: int = 0
    message: str = ""
    delay_s: float = 0.0


@dataclass
class _Limit:
    method: str
    pattern: re.Pattern[str]
    calls: int
    per_s: float


def route_pattern(pattern: str) -> re.Pattern[str]:
    """Return a matcher for paths like `/channels/*/messages`; `*` is one step, `**` any number of them."""
    steps = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join({"**": ".*", "*": "[^/]+"}.get(step) or re.escape(step) for step in steps))


def reply(payload: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON answer.

    The content type has no charset, as Discord's: discord.py compares it literally. `Via` is what tells discord.py
    that a 429 comes from Discord itself, so that waiting helps.
    """
    body = b"" if status == 204 else json.dumps(payload).encode()
    kind = {} if status == 204 else {"Content-Type": "application/json"}
    return web.Response(body=body, status=status, headers={"Via": "1.1 google", **kind, **(headers or {})})


def id_in(request: web.Request, name: str) -> int:
    """Return a number from the path; 0, which nothing has, if it is none."""
    found = request.match_info[name]
    return int(found) if found.isdigit() else 0


class Traffic:
    """The log of calls, the faults that wait for their call, and the rate limits.

    Unless `limit` says otherwise a route takes 1000 requests a second, so that tests run at full speed.
    """

    def __init__(self, world: World, token: str) -> None:
        self.calls: list[Call] = []
        self.crashes: list[str] = []
        """Tracebacks of the stand-in's own mistakes."""
        self.is_down = False
        self._world = world
        self._token = token
        self._faults: list[_Fault] = []
        self._limits: list[_Limit] = []
        self._windows: dict[tuple[str, ...], tuple[float, int]] = {}

    def add_fault(self, method: str, pattern: str, times: int, act: Any, **details: Any) -> None:
        """Let the next `times` matching requests go wrong."""
        with self._world.changing():
            self._faults.append(_Fault(method, route_pattern(pattern), times, act, **details))

    def clear_faults(self) -> None:
        """Call off every fault that has not struck yet."""
        with self._world.changing():
            self._faults.clear()

    def add_limit(self, method: str, pattern: str, calls: int, per_s: float) -> None:
        """Allow matching routes only so many calls in a window that starts with the first of them."""
        with self._world.changing():
            self._limits.insert(0, _Limit(method, route_pattern(pattern), calls, per_s))

    async def handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer one HTTP request through the right handler, or as a waiting fault wants it."""
        path = re.sub(r"^/api(/v\d+)?(?=/)", "", request.path)
        if self.is_down:
            return _cut(request)
        if request.path == GATEWAY_PATH:
            return await handler(request)
        call = Call(request.method, path, None, [], request.headers.get("X-Audit-Log-Reason"), time.monotonic())
        try:
            request[BODY] = body = await _read_body(request)
            call.body, call.files = body.payload, [name for name, _, _ in body.files.values()]
        except ApiError as error:
            return self._close(call, reply(error.body(), error.status))
        with self._world.changing():
            self.calls.append(call)
            fault = self._take_fault(call)
            headers, retry_after_s = self._count(request, call)
        if fault and fault.act == "hang":
            await asyncio.Event().wait()
        if fault and fault.act == "delay":
            await asyncio.sleep(fault.delay_s)
        if fault and fault.act == "cut before":
            return _cut(request)
        if fault and fault.act == "status":
            return self._close(call, _refusal(fault, headers))
        if retry_after_s is not None:
            return self._close(call, _too_many(retry_after_s, "user", headers))
        answer = await self._answer(request, handler)
        if fault and fault.act == "cut after":
            return _cut(request)
        answer.headers.update(headers)
        return self._close(call, answer)

    def _close(self, call: Call, answer: web.StreamResponse) -> web.StreamResponse:
        with self._world.changing():
            call.status = answer.status
        return answer

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            needs_token = request.path.startswith("/api/") and not re.search(
                r"/(gateway|interactions/.*|webhooks/.*)$", request.path
            )
            if needs_token and request.headers.get("Authorization") != f"Bot {self._token}":
                raise ApiError(401, 0, "401: Unauthorized")
            return await handler(request)
        except ApiError as error:
            return reply(error.body(), error.status)
        except web.HTTPException as error:
            return reply({"message": f"{error.status}: {error.reason}", "code": 0}, error.status)
        except Exception:
            log.exception("the stand-in itself went wrong in %s %s", request.method, request.path)
            self.crashes.append(traceback.format_exc())
            return reply({"message": "500: Internal Server Error", "code": 0}, 500)

    def _take_fault(self, call: Call) -> _Fault | None:
        for fault in self._faults:
            if fault.times_left > 0 and fault.method in ("*", call.method) and fault.pattern.fullmatch(call.path):
                fault.times_left -= 1
                return fault
        return None

    def _count(self, request: web.Request, call: Call) -> tuple[dict[str, str], float | None]:
        """Return the rate-limit headers, and how long to wait if this call is one too many."""
        resource = request.match_info.route.resource
        template = resource.canonical if resource else call.path
        major = [request.match_info.get(name, "") for name in ("channel", "guild", "webhook", "token")]
        matching = (
            each for each in self._limits if each.method in ("*", call.method) and each.pattern.fullmatch(call.path)
        )
        limit = next(matching, None) or _Limit("*", re.compile(""), 1000, 1.0)
        key = (call.method, template, *major)
        since, used = self._windows.get(key, (0.0, 0))
        now = time.monotonic()
        if now - since >= limit.per_s:
            since, used = now, 0
        self._windows[key] = since, used + 1
        left_s = max(0.0, since + limit.per_s - now)
        headers = {
            "X-RateLimit-Limit": str(limit.calls),
            "X-RateLimit-Remaining": str(max(0, limit.calls - used - 1)),
            "X-RateLimit-Reset": f"{time.time() + left_s:.3f}",
            "X-RateLimit-Reset-After": f"{left_s:.3f}",
            "X-RateLimit-Bucket": hashlib.md5(f"{call.method} {template}".encode()).hexdigest(),
        }
        return headers, left_s if used >= limit.calls else None


async def _read_body(request: web.Request) -> Body:
    if (request.content_length or 0) > REQUEST_LIMIT_BYTES:
        raise ApiError(413, 40005, "Request entity too large")
    body = Body()
    try:
        if request.content_type == "multipart/form-data":
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                content = bytes(await part.read())
                if part.name == "payload_json":
                    body.payload = json.loads(content)
                elif found := re.fullmatch(r"files\[(\d+)\]", part.name or ""):
                    kind = part.headers.get("Content-Type", "application/octet-stream")
                    body.files[int(found[1])] = (part.filename or "unknown", content, kind)
        elif text := await request.text():
            body.payload = json.loads(text)
    except ValueError as error:
        raise ApiError(400, 50109, "The request body contains invalid JSON.") from error
    return body


def _cut(request: web.Request) -> web.Response:
    """Drop the connection; what is returned goes nowhere."""
    if request.transport:
        request.transport.abort()
    return web.Response()


def _too_many(retry_after_s: float, scope: Scope, headers: dict[str, str]) -> web.Response:
    if scope == "cloudflare":
        # The ban for too many invalid requests comes from the guard before Discord: no JSON, no Via header.
        return web.Response(text="error code: 1015", status=429)
    words = "The resource is being rate limited." if scope == "shared" else "You are being rate limited."
    limited = headers | {"Retry-After": str(int(retry_after_s) + 1), "X-RateLimit-Scope": scope}
    if scope == "user":
        limited |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": f"{retry_after_s:.3f}"}
    if scope == "global":
        limited = {"Retry-After": limited["Retry-After"], "X-RateLimit-Scope": scope, "X-RateLimit-Global": "true"}
    payload: Json = {"message": words, "retry_after": round(retry_after_s, 3), "global": scope == "global"}
    return reply(payload, 429, limited)


def _refusal(fault: _Fault, headers: dict[str, str]) -> web.Response:
    if fault.status == 429:
        return _too_many(fault.retry_after_s, fault.scope, headers)
    words = fault.message or f"{fault.status}: {web.Response(status=fault.status).reason}"
    return reply({"message": words, "code": fault.code}, fault.status, headers)
