"""The stand-in's front door: HTTP on 127.0.0.1 in a thread of its own, and the troubles a test can order."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from .delivery import Delivery
from .errors import ApiError, Json
from .faults import Fault, FaultPlan, failure
from .methods import Methods
from .people import Chat, User
from .request import BIGGEST_BODY, Arguments, read_arguments
from .world import World


@dataclass
class Call:
    """One call of the bot. status: the HTTP status of the answer; None while or if there was none."""

    method: str
    arguments: Json = field(repr=False)
    at: float
    status: int | None = None


class TelegramApi(World):
    """A World that real bots reach over HTTP.

    Start and stop it by `with`, or by start() and stop(): stopped, it is an outage; started again, it has the
    same address and remembers everything. A file download counts as a call of "download".
    """

    def __init__(
        self,
        *,
        username: str = "snap_stand_in_bot",
        name: str = "Snap",
        privacy_mode: bool = False,
        webhook_retry_s: float = 0.05,
    ) -> None:
        super().__init__(username=username, name=name, privacy_mode=privacy_mode)
        # Shaped like a real token: libraries and settings check that.
        self.token = f"{self.bot.id}:{'AAStandInForTelegram'.ljust(35, '0')}"
        self.calls: list[Call] = []
        self.port = 0
        self._webhook_retry_s = webhook_retry_s
        self._faults = FaultPlan()
        self._methods = Methods(self)
        self._webhook: Json = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """The address in place of https://api.telegram.org, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.url}/bot"

    @property
    def base_file_url(self) -> str:
        return f"{self.url}/file/bot"

    def start(self) -> Self:
        """Listen; the first time on a free port, later on the same one. Raises OSError if it was taken since."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="telegram", daemon=True)
        self._thread.start()
        ready.result(timeout=10)
        return self

    def stop(self) -> None:
        """Hang up on everybody and refuse connections until the next start."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout=10)
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def calls_of(self, method: str) -> list[Call]:
        """Return the calls of one method, oldest first."""
        return [call for call in list(self.calls) if call.method.lower() == method.lower()]

    def story(self) -> str:
        """Return every chat as text, and the latest calls."""
        calls = [f"  {call.method} {call.status or 'unanswered'}" for call in self.calls[-20:]]
        return "\n".join([super().story(), "latest calls", *calls])

    def commands_shown_to(self, user: User, chat: Chat) -> list[str]:
        """Return the commands in the menu that a person sees in a chat."""
        return self._methods.commands_shown_to(user, chat)

    def fail_next(
        self,
        method: str,
        status: int = 500,
        *,
        retry_after: int | None = None,
        description: str | None = None,
        times: int = 1,
    ) -> None:
        """Refuse the next calls without doing anything. retry_after: seconds, for 429 (default 1)."""
        self._faults.add(method, Fault("fail", failure(status, retry_after, description)), times)

    def hang_next(self, method: str, *, times: int = 1, accepted: bool = False) -> None:
        """Never answer the next calls. accepted: they take effect all the same."""
        self._faults.add(method, Fault("hang", accepted=accepted), times)

    def cut_after_accept(self, method: str, *, times: int = 1) -> None:
        """Do what the next calls ask, then drop the connection without an answer."""
        self._faults.add(method, Fault("cut", accepted=True), times)

    def cut_before_accept(self, method: str, *, times: int = 1) -> None:
        """Drop the connection of the next calls, and do nothing."""
        self._faults.add(method, Fault("cut"), times)

    def delay_next(self, method: str, delay_s: float, *, times: int = 1) -> None:
        """Take the next calls' time before doing anything."""
        self._faults.add(method, Fault("delay", delay_s=delay_s), times)

    def heal(self) -> None:
        """Call off every trouble that has not struck yet."""
        self._faults.clear()

    def expire_downloads(self) -> None:
        """Make every download link given out so far answer 404, as an hour would."""
        with self.changed:
            self.files.expire_links()

    async def _serve(self, ready: Future[None]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._delivery = Delivery(self, self._webhook_retry_s)
        self._delivery.resume(self._webhook)
        application = web.Application(client_max_size=BIGGEST_BODY)
        application.router.add_get("/file/bot{token:[^/]+}/{path:.+}", self._download)
        application.router.add_route("*", "/bot{token:[^/]+}/{method}", self._answer)
        # handler_cancellation: a poller that went away must not go on waiting, and eat the next one's updates.
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self.port, reuse_address=True).start()
            self.port = runner.addresses[0][1]
            ready.set_result(None)
            await self._stopping.wait()
        except OSError as error:
            ready.set_exception(error)
        finally:
            self._webhook = self._delivery.webhook
            await self._delivery.close()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        try:
            arguments = await read_arguments(request)
        except web.HTTPRequestEntityTooLarge:
            return _refused(ApiError(413, "Request Entity Too Large"))
        except ApiError as error:
            return _refused(error)
        call = self._note(method, arguments.values | {name: file.filename for name, file in arguments.files.items()})

        async def act() -> web.Response:
            if error := self._wrong_token(request):
                raise error
            return web.json_response({"ok": True, "result": await self._perform(method, arguments)})

        return await self._with_faults(request, call, act)

    async def _perform(self, method: str, arguments: Arguments) -> Any:
        if asynchronous := self._delivery.methods.get(method.lower()):
            return await asynchronous(arguments)
        with self.changed:
            try:
                return self._methods.call(method, arguments)
            finally:
                self.changed.notify_all()

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        call = self._note("download", {"path": path})

        async def act() -> web.Response:
            with self.changed:
                content = self.files.download(path, self.now())
            if content is None or self._wrong_token(request):
                raise ApiError(404, "Not Found")
            return web.Response(body=content, content_type="application/octet-stream")

        return await self._with_faults(request, call, act)

    async def _with_faults(
        self, request: web.Request, call: Call, act: Callable[[], Awaitable[web.Response]]
    ) -> web.StreamResponse:
        """Answer a call, unless a test has ordered something else."""
        fault = self._faults.next(call.method)
        try:
            if fault and fault.error:
                raise fault.error
            if fault and fault.kind == "delay":
                await asyncio.sleep(fault.delay_s)
            if fault is None or fault.kind == "delay" or fault.accepted:
                response = await act()
            if fault and fault.kind == "hang":
                await self._stopping.wait()
            if fault and fault.kind in ("hang", "cut"):
                return _hung_up(request)
        except ApiError as error:
            response = _refused(error)
        with self.changed:
            call.status = response.status
            self.changed.notify_all()
        return response

    def _note(self, method: str, arguments: Json) -> Call:
        call = Call(method, arguments, time.time())
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
        return call

    def _wrong_token(self, request: web.Request) -> ApiError | None:
        token = request.match_info["token"]
        if token == self.token:
            return None
        number, colon, secret = token.partition(":")
        is_shaped = number.isdigit() and colon and len(secret) >= 30
        return ApiError(401, "Unauthorized") if is_shaped else ApiError(404, "Not Found")


def _refused(error: ApiError) -> web.Response:
    body: Json = {"ok": False, "error_code": error.status, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    headers = {"Retry-After": str(error.parameters["retry_after"])} if "retry_after" in error.parameters else {}
    return web.json_response(body, status=error.status, headers=headers)


def _hung_up(request: web.Request) -> web.Response:
    """Close the connection; the response that aiohttp asks for finds nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()
