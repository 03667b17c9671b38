"""The webhook: a small server that says "got it" only after the update is written down."""

import contextlib
import hmac
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from snaplabel.errors import PlatformError

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

log = logging.getLogger(__name__)

HEAVIEST_UPDATE = 1 << 20
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105
TakeIn = Callable[[dict[str, Any]], Awaitable[bool]]


def door(host: str, port: int) -> socket.socket:
    """The socket on which Telegram is heard. Raises PlatformError when the port is taken.

    Bound here, because uvicorn ends the whole process when a port is taken.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PlatformError(f"SNAPLABEL_TELEGRAM_WEBHOOK_PORT {port}: {error.strerror}.") from error


def server(secret: str, take_in: TakeIn) -> "uvicorn.Server":
    """A server for `serve(sockets=[door])`; it leaves the process's signals alone.

    take_in: writes one update down, and says whether it could; Telegram sends it again until it could.
    """
    import uvicorn

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # The process has its own handlers.

    config = uvicorn.Config(
        application(secret, take_in), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    return Quiet(config)


def application(secret: str, take_in: TakeIn) -> "Starlette":
    """Answers 200 once an update is written down, 500 when it could not be, 403 to whoever lacks the secret."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    async def take(request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), secret.encode()):
            return Response(status_code=403)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > HEAVIEST_UPDATE:
                return Response(status_code=413)
        try:
            update = json.loads(body)
        except ValueError:
            update = None
        if not isinstance(update, dict):
            return Response(status_code=400)
        return Response(status_code=200 if await take_in(update) else 500)

    # Any path: a proxy in front of us may have rewritten it, and the secret tells.
    return Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])
