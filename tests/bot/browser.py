"""A real Chromium, driven over its DevTools protocol: nothing to download but the browser itself."""

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)
KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "Space": (32, " "),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
    **{letter: (ord(letter.upper()), letter) for letter in "abcdefghijklmnopqrstuvwxyz"},
}
START_S = 30.0


def program() -> str | None:
    """Path of a Chromium on this machine, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Page:
    """One tab. troubles: errors and refusals (of the content security policy, too) that the page ran into."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session
        self.troubles: list[str] = []
        for domain in ("Page", "Runtime", "Log", "DOM", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command; its result."""
        return self._browser.send(method, params, self._session)

    def looks_like(
        self, width: int, height: int, *, phone: bool = False, dark: bool = False, still: bool = True
    ) -> None:
        """Take the size and the wishes of a device; still: no animations (prefers-reduced-motion)."""
        scale = 2 if phone else 1
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        wishes = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce",
        }
        self.send("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in wishes.items()])

    def open(self, address: str) -> None:
        """Go there, and wait until it is loaded."""
        self.send("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def offline(self, is_offline: bool) -> None:
        self.send(
            "Network.emulateNetworkConditions",
            offline=is_offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def run(self, script: str) -> Any:
        """The value of an expression in the page, which may be a promise."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, script: str, within_s: float = 10.0) -> Any:
        """The value of an expression as soon as it is true; of an element: True."""
        until = time.monotonic() + within_s
        while True:
            with contextlib.suppress(AssertionError):
                if found := self.run(f"(found => found instanceof Node || found)({script})"):
                    return found
            assert time.monotonic() < until, f"{script} did not become true; the page ran into {self.troubles}"
            time.sleep(0.03)

    def choose_files(self, selector: str, *files: Path) -> None:
        """Choose files in a file input, as the system's dialog would."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(file) for file in files], nodeId=node)

    def write(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key of KEYS."""
        code, text = KEYS[key]
        given = {
            "key": " " if key == "Space" else key,
            "code": key,
            "windowsVirtualKeyCode": code,
            "modifiers": 8 if shift else 0,
        }
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def screenshot(self, path: Path) -> Path:
        """Write what is to be seen as a PNG."""
        time.sleep(0.15)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
        return path


class Browser:
    """A running Chromium; `page` opens a tab that shares nothing with other tabs."""

    def __init__(self, address: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._pages: dict[str, Page] = {}
        self._number = 0
        self._http, self._socket = self._loop.run_until_complete(self._connect(address))

    @staticmethod
    async def _connect(address: str) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        http = aiohttp.ClientSession()
        return http, await http.ws_connect(address, max_msg_size=0)

    def page(self) -> Page:
        """A new tab, with cookies of its own."""
        context = self.send("Target.createBrowserContext", {})["browserContextId"]
        target = self.send("Target.createTarget", {"url": "about:blank", "browserContextId": context})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._pages[session] = page = Page(self, session)
        return page

    def send(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its result; events that come meanwhile are noted."""
        return self._loop.run_until_complete(self._send(method, params, session))

    async def _send(self, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        number = self._number
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_str(json.dumps(command if session is None else {**command, "sessionId": session}))
        while True:
            found = json.loads(await self._socket.receive_str(timeout=30))
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result
            self._note(found)

    def _note(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is None:
            return
        if event["method"] == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            page.troubles.append(str(details.get("exception", {}).get("description", details["text"])))
        elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            entry = event["params"]["entry"]
            page.troubles.append(f"{entry['text']} {entry.get('url', '')}")

    def close(self) -> None:
        async def leave() -> None:
            await self._socket.close()
            await self._http.close()

        self._loop.run_until_complete(leave())
        self._loop.close()


@contextlib.contextmanager
def browser(path: str) -> Iterator[Browser]:
    """Run this Chromium, with a profile of its own, until the block ends."""
    profile = Path(tempfile.mkdtemp(prefix="snaplabel-browser-"))
    options = (*OPTIONS, f"--user-data-dir={profile}")
    process = subprocess.Popen([path, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = Browser(_address(profile, process))
        try:
            yield found
        finally:
            found.close()
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(profile, ignore_errors=True)


def _address(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where the browser listens: it writes port and path into its profile."""
    told, until = profile / "DevToolsActivePort", time.monotonic() + START_S
    while not told.is_file() or "\n" not in told.read_text():
        assert process.poll() is None, "the browser ended at once"
        assert time.monotonic() < until, "the browser does not start"
        time.sleep(0.05)
    port, path = told.read_text().split("\n")[:2]
    return f"ws://127.0.0.1:{port}{path}"
