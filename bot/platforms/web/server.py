"""FastAPI and uvicorn set up: routes together, errors as sentences, headers and limits on everything."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import h11
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as NotRouted
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot.platforms.web import api, healthz, pages, reports, reviews
from bot.platforms.web.door import Refused
from bot.platforms.web.guard import header_of
from snaplabel import __version__
from snaplabel.errors import DatabaseError, SettingsError, StoreError

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

log = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
UPLOADS = ("/photos", "/api/photos")
# For a request's head, and for a body that is not an upload: a message, at most 64 KB.
HEAD_WITHIN_S = 20.0
BODY_WITHIN_S = 30.0
# Beyond it the answer is 503. Often a process may have 1,024 files open, and the database needs some.
MAX_CONNECTIONS = 800
STOP_S = 2
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cache-control": "no-store",
}
SENTENCES = {
    400: "That can't be understood.",
    404: "There is nothing here.",
    405: "That can't be done here.",
    408: "That came too slowly. Please send it again.",
    413: "That is too much text for one message.",
}
NOT_WRITTEN = "I could not write that down just now. Please send it again."
OUR_TROUBLE = "Something went wrong on my side. Please try again."


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0: any free one. Raises SettingsError, since another address is what helps."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise SettingsError(
            f"The web chat can't listen on {host}:{port}: {error.strerror}. "
            "SNAPLABEL_WEB_HOST and SNAPLABEL_WEB_PORT choose another address."
        ) from error


async def serve(web: "Web", listener: socket.socket) -> None:
    """Serve on a socket until cancelled."""
    # Putting it together takes 60 ms of a processor, in which other platforms have posts to take.
    application = await asyncio.to_thread(_application, web)
    config = uvicorn.Config(
        _Guard(application),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        http=_Hurried,
        limit_concurrency=MAX_CONNECTIONS,
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        # Cancelling uvicorn would leave its connections open: it is asked to stop, and given a moment.
        server.should_exit = True
        web.live.close()
        await asyncio.wait({serving}, timeout=STOP_S + 2)
        serving.cancel()


def _application(web: "Web") -> FastAPI:
    """Everything that is served, with errors as sentences."""
    app = FastAPI(
        title="snaplabel",
        version=__version__,
        description="A photo classifier that learns from corrections. Authorise with the admin token.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(pages.page(web), include_in_schema=False)
    app.include_router(pages.room(web), include_in_schema=False)
    app.include_router(healthz.routes(web), include_in_schema=False)
    app.include_router(api.routes(web), prefix="/api")
    app.include_router(reports.routes(web), prefix="/api")
    app.include_router(reviews.routes(web), prefix="/api")

    def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"error": str(error), **error.more}, error.status, header_of(error))

    def not_routed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, NotRouted)
        # FastAPI tells 422, no such JSON, from 400, no JSON at all; who sent either mends it alike.
        status = 422 if error.status_code == 400 else error.status_code
        sentence = SENTENCES.get(error.status_code, str(error.detail))
        return JSONResponse({"error": sentence}, status, error.headers)

    def not_understood(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse({"error": f"That can't be understood: {where}: {first['msg']}.".replace(": :", ":")}, 422)

    def not_written(_request: Request, error: Exception) -> Response:
        log.warning("web: %s", type(error).__name__)
        return JSONResponse({"error": NOT_WRITTEN}, 503)

    def failed(_request: Request, _error: Exception) -> Response:
        return JSONResponse({"error": OUR_TROUBLE}, 500)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(NotRouted, not_routed)
    app.add_exception_handler(RequestValidationError, not_understood)
    for unwritten in (DatabaseError, StoreError, SQLAlchemyError):
        app.add_exception_handler(unwritten, not_written)
    app.add_exception_handler(Exception, failed)
    return app


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's event loop: signals are the bot's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Hurried(H11Protocol):
    """A connection that is closed when a request's head does not come within HEAD_WITHIN_S of its first byte.

    uvicorn itself waits for ever, and every such connection takes one of MAX_CONNECTIONS.
    """

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        has_head = self.conn.their_state is not h11.IDLE
        if has_head and self._late is not None:
            self._late.cancel()
            self._late = None
        elif not has_head and self._late is None:
            self._late = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)


class _Guard:
    """Outermost: security headers on every response, and limits on every body that is not an upload."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, is_whole = 0, scope["path"] in UPLOADS
        until = asyncio.get_running_loop().time() + BODY_WITHIN_S

        async def limited() -> Message:
            nonlocal seen, is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408) from None
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(413)
            is_whole = not message.get("more_body", False)
            return message

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                extra = [(name.encode(), value.encode()) for name, value in SECURITY.items()]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in there)]
            await send(message)

        await self._app(scope, limited, secured)
