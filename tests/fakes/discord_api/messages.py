"""Messages as people see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from .cdn import Attachment
from .errors import Json
from .forms import BUTTON, EPHEMERAL, ROW, SELECTS, walk
from .places import Channel, Role
from .world import time_of

if TYPE_CHECKING:
    from .interactions import Interaction
    from .people import User

PLAIN, REPLY, SLASH_ANSWER, CONTEXT_ANSWER = 0, 19, 20, 23
SUPPRESS_EMBEDS, LOADING, SUPPRESS_NOTIFICATIONS, HAS_SNAPSHOT = 1 << 2, 1 << 7, 1 << 12, 1 << 14


@dataclass(frozen=True)
class Button:
    """A button as people see it; `custom_id` is None on a link."""

    label: str
    custom_id: str | None
    style: int
    is_disabled: bool = False
    emoji: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Option:
    """One line of a select menu."""

    label: str
    value: str
    description: str | None = None
    is_default: bool = False


@dataclass(frozen=True)
class Menu:
    """A select menu. kind: 3 text, 5 users, 6 roles, 7 users and roles, 8 channels; only 3 has options."""

    custom_id: str
    kind: int
    placeholder: str | None
    options: list[Option]
    fewest: int
    most: int
    is_disabled: bool = False


@dataclass(frozen=True)
class Version:
    """What a message said before an edit."""

    content: str
    embeds: list[Json]
    components: list[Json]
    attachments: list[Attachment]


@dataclass
class Mentions:
    """Whom a message names, after allowed_mentions had its say."""

    users: list[User] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    everyone: bool = False


@dataclass(eq=False)
class Message:
    """A message as it stands now; it changes when it is edited.

    visible_to: the only person who sees it, if it is ephemeral; else None.
    pings: the people whose phone rang because of it.
    allowed_mentions: what its author allowed, as on the wire.
    interaction: what it answers, if it does.
    versions: what it said earlier, oldest first.
    """

    id: int
    channel: Channel
    author: User
    content: str
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list, repr=False)
    attachments: list[Attachment] = field(default_factory=list)
    reply_to: Message | None = field(default=None, repr=False)
    forwarded: Message | None = field(default=None, repr=False)
    kind: int = PLAIN
    flags: int = 0
    nonce: str | None = None
    visible_to: User | None = None
    mentions: Mentions = field(default_factory=Mentions, repr=False)
    allowed_mentions: Json = field(default_factory=dict, repr=False)
    pings: list[User] = field(default_factory=list)
    reactions: dict[str, list[User]] = field(default_factory=dict)
    interaction: Interaction | None = field(default=None, repr=False)
    versions: list[Version] = field(default_factory=list, repr=False)
    edited_at: datetime | None = None
    is_deleted: bool = False

    @property
    def created_at(self) -> datetime:
        """When it was sent, in UTC."""
        return time_of(self.id)

    @property
    def is_ephemeral(self) -> bool:
        """Whether only `visible_to` sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def is_loading(self) -> bool:
        """Whether people see "thinking…" instead of an answer."""
        return bool(self.flags & LOADING)

    @property
    def text(self) -> str:
        """All that it says: content, text components, and the embeds' titles, descriptions and fields, a line each."""
        lines = [self.content, *(each["content"] for each in walk(self.components) if each["type"] == 10)]
        for embed in self.embeds:
            lines += [embed.get("title") or "", embed.get("description") or ""]
            lines += [f"{each['name']}: {each['value']}" for each in embed.get("fields") or []]
        return "\n".join(line for line in lines if line)

    @property
    def rows(self) -> list[list[Button | Menu]]:
        """The buttons and menus, row by row."""
        rows = [each for each in walk(self.components) if each["type"] == ROW]
        return [[_visible(each) for each in row["components"]] for row in rows]

    @property
    def buttons(self) -> list[Button]:
        """All buttons, in reading order, wherever they sit."""
        seen = [_visible(each) for each in walk(self.components) if each["type"] == BUTTON]
        return [each for each in seen if isinstance(each, Button)]

    @property
    def menus(self) -> list[Menu]:
        """All select menus, in reading order."""
        seen = [_visible(each) for each in walk(self.components) if each["type"] in SELECTS]
        return [each for each in seen if isinstance(each, Menu)]


def _visible(component: Json) -> Button | Menu:
    emoji = (component.get("emoji") or {}).get("name")
    if component["type"] == BUTTON:
        return Button(
            component.get("label") or "",
            component.get("custom_id"),
            component["style"],
            bool(component.get("disabled")),
            emoji,
            component.get("url"),
        )
    options = [
        Option(each["label"], each["value"], each.get("description"), bool(each.get("default")))
        for each in component.get("options") or []
    ]
    return Menu(
        component["custom_id"],
        component["type"],
        component.get("placeholder"),
        options,
        component.get("min_values", 1),
        component.get("max_values", 1),
        bool(component.get("disabled")),
    )
