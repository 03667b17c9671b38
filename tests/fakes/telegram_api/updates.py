"""The queue of updates between what happens in chats and the bot that fetches it or is sent it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .errors import Json

DEFAULT_KINDS = frozenset({
    "message", "edited_message", "channel_post", "edited_channel_post", "inline_query", "chosen_inline_result",
    "callback_query", "shipping_query", "pre_checkout_query", "poll", "poll_answer", "my_chat_member",
    "chat_join_request", "chat_boost", "removed_chat_boost",
})  # fmt: skip
"""What a bot is told unless it asks otherwise: everything but chat_member and reactions."""


@dataclass(frozen=True)
class Update:
    """One update as it was when it happened; later edits do not change it.

    order: a webhook gets updates with the same order one after the other, others at the same time.
    """

    id: int
    kind: str
    content: Json
    order: str
    expires_at: float

    def wire(self) -> Json:
        return {"update_id": self.id, self.kind: self.content}


class UpdateQueue:
    """Unconfirmed updates, oldest first. The caller holds the world's lock.

    history: every update ever queued. on_news: called after each new update, from any thread.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.pending: list[Update] = []
        self.history: list[Update] = []
        self.allowed = DEFAULT_KINDS
        self.on_news: Callable[[], None] = lambda: None
        self._now = now
        self._next_id = 870_000_001

    def put(self, kind: str, content: Json, order: str, lifetime_s: float) -> None:
        """Append an update, unless the bot did not ask for its kind when this happened."""
        if kind in self.allowed:
            update = Update(self._next_id, kind, content, order, self._now() + lifetime_s)
            self.pending.append(update)
            self.history.append(update)
            self._next_id += 1
            self.on_news()

    def put_again(self, last: int) -> None:
        """Queue the last updates once more, confirmed or not, with the ids they had."""
        waiting = {update.id for update in self.pending}
        again = [update for update in self.history[-last:] if update.id not in waiting]
        self.pending = sorted([*self.pending, *again], key=lambda update: update.id)
        self.on_news()

    def allow(self, kinds: Iterable[str] | None) -> None:
        """Remember which kinds the bot wants from now on. None: no change; empty: the default."""
        if kinds is not None:
            self.allowed = frozenset(kinds) or DEFAULT_KINDS

    def take(self, offset: int, limit: int) -> list[Update]:
        """Return up to `limit` updates from `offset` on; forget for good all before it.

        A negative offset counts from the end. 0 forgets nothing, nor does one far in the future (the bot's own
        book-keeping of another account): Telegram then starts from the oldest.
        """
        self.forget_expired()
        if offset > self._next_id + 10:
            offset = 0
        if offset < 0:
            self.pending = self.pending[offset:]
        elif offset > 0:
            self.pending = [update for update in self.pending if update.id >= offset]
        return self.pending[:limit]

    def confirm(self, update: Update) -> None:
        """Forget one update that a webhook has taken."""
        self.pending = [pending for pending in self.pending if pending.id != update.id]

    def forget_expired(self) -> None:
        now = self._now()
        self.pending = [update for update in self.pending if now < update.expires_at]
