"""What open pages of the browser chat are told while it happens, and the little that only memory keeps.

What people type is a chat's small talk: the database keeps it no longer than it takes to answer. Pages show the last of
it, from here; a restart forgets it, and the answers remain.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Collection
from typing import Any

from bot.messages import Reply
from bot.platforms.web.room import Item

# Proxies and phones drop a connection on which nothing is said.
HEARTBEAT_S = 15.0
# A page that is this far behind is cut off; it connects again and reads the feed.
MAX_BEHIND = 200
MAX_PAGES = 500
MAX_PAGES_OF_ONE = 12
MAX_TEXTS = 200
MAX_SHOWN = 1000


class Live:
    """The open pages, the last texts, and what each answer shows at this moment."""

    def __init__(self) -> None:
        self._pages: dict[asyncio.Queue[str | None], str] = {}
        self._texts: deque[Item] = deque(maxlen=MAX_TEXTS)
        self._shown: dict[str, Reply] = {}

    def is_full(self, person: str = "") -> bool:
        """Whether no other page of a person can be told anything."""
        return len(self._pages) >= MAX_PAGES or list(self._pages.values()).count(person) >= MAX_PAGES_OF_ONE

    def tell(self, event: str, data: dict[str, Any]) -> None:
        """Send one server-sent event to every open page."""
        line = f"event: {event}\ndata: {json.dumps(data)}\n\n"
        for page in tuple(self._pages):
            try:
                page.put_nowait(line)
            except asyncio.QueueFull:
                self._cut(page)

    async def events(self, person: str = "") -> AsyncIterator[str]:
        """Everything that is told from now on, as an event stream, until `close` or the page leaves."""
        page: asyncio.Queue[str | None] = asyncio.Queue(MAX_BEHIND)
        self._pages[page] = person
        try:
            yield "retry: 2000\nevent: hello\ndata: {}\n\n"
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        line = await page.get()
                except TimeoutError:
                    line = ": still here\n\n"
                if line is None:
                    return
                yield line
        finally:
            self._pages.pop(page, None)

    def close(self) -> None:
        """End every event stream, so that the server can stop."""
        for page in tuple(self._pages):
            self._cut(page)

    def said(self, item: Item) -> None:
        """Remember what somebody typed."""
        self._texts.append(item)

    def only(self, people: Collection[str]) -> None:
        """Forget what was typed by anybody else than these, by their public ids: the others are not here any more."""
        if any(item.person not in people for item in self._texts):
            self._texts = deque((item for item in self._texts if item.person in people), MAX_TEXTS)

    def oldest(self) -> str:
        """When the first of the texts was said; "" without any."""
        return min((item.at for item in self._texts), default="")

    def texts(self, since: str, before: str) -> list[Item]:
        """What was typed between two moments, oldest first; "" as `since`: from the beginning, as `before`: to now."""
        return [item for item in self._texts if item.at >= since and (not before or item.at < before)]

    def shows(self, answer: str, reply: Reply) -> None:
        """An answer was sent or edited: its id is ours before the database has noted it."""
        self._shown.pop(answer, None)
        self._shown[answer] = reply
        if len(self._shown) > MAX_SHOWN:
            del self._shown[next(iter(self._shown))]

    def shown(self, answer: str) -> Reply | None:
        return self._shown.get(answer)

    def _cut(self, page: asyncio.Queue[str | None]) -> None:
        self._pages.pop(page, None)
        while not page.empty():
            page.get_nowait()
        page.put_nowait(None)
