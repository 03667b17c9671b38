"""The platform-free words of a conversation: what came in, what goes out, and what a platform must be able to do."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from snaplabel import plain
from snaplabel.database import Database
from snaplabel.people import PRIVATE as PRIVATE
from snaplabel.settings import Settings

LONGEST_NAME = 64

Kind = Literal["photo", "text", "press", "unusable", "deleted"]


@dataclass(frozen=True)
class Attachment:
    """A file on the platform, not yet fetched.

    handle: whatever the platform's `fetch` needs, as JSON; it may expire. size: bytes, 0 where the platform didn't say.
    """

    handle: dict[str, Any]
    name: str = ""
    size: int = 0


@dataclass(frozen=True)
class Incoming:
    """One post by one person.

    chat, message, person: the platform's own ids, as text. A press has an id of its own, so that it counts once.
    kind: "photo" (attachment is set), "text" (commands too: "/status"), "press" (data of the button; reply_to is the
    message it hangs under), "unusable" (what it was: "video", "voice", "sticker", "document", …) or "deleted" (the
    post named by `message` is gone from the chat).
    text: what was written, or the caption. position: place in an album whose photos share one message id.
    album: what the photos of one album share. reply_to: id of the message replied to.
    token: what `send` needs, as `reply_to`, to answer this very post in the platform's own way; None: message's id.
    is_admin: the platform itself vouches for it (the web chat's admin link); SNAPLABEL_ADMINS is asked elsewhere.
    is_chat_admin: the platform said with this post that its author manages the chat; `rights` knows what it is worth.
    is_signed: the platform shows its posts from our database, so the name is kept with them; others' names only while
    something of theirs stands.
    person may be an id that is nobody ("chat:-100…" for an anonymous admin or a channel): such a one is never an admin.
    """

    platform: str
    chat: str
    message: str
    person: str
    kind: Kind
    name: str = ""
    text: str = ""
    data: str = ""
    what: str = ""
    attachment: Attachment | None = None
    position: int = 0
    album: str | None = None
    reply_to: str | None = None
    token: str | None = None
    is_private: bool = False
    is_admin: bool = False
    is_chat_admin: bool = False
    is_signed: bool = False

    def __post_init__(self) -> None:
        """Whatever a platform lets through: a name is one line, and nothing here breaks a database."""
        object.__setattr__(self, "name", plain.line(self.name[: 4 * LONGEST_NAME])[:LONGEST_NAME].strip())
        for field in ("text", "data"):
            object.__setattr__(self, field, plain.storable(getattr(self, field)))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Incoming":
        attachment = found.get("attachment")
        return cls(**{**found, "attachment": Attachment(**attachment) if attachment else None})


@dataclass(frozen=True)
class Choice:
    """A button. data: at most 64 bytes, comes back in a press. style: "plain", "good" or "danger"."""

    text: str
    data: str
    style: str = "plain"


@dataclass(frozen=True)
class Reply:
    """What a message of ours shows, in plain text: the platform escapes it and sets the title in bold.

    table: lines to be set in a fixed width. choices: rows of buttons. picture: key of a PNG or JPEG in the store; None
    leaves the one that is there, "" takes it away.
    progress: 0 to 1, for platforms that can draw a bar of their own; `text` says it in words all the same.
    mood: what the message is about, for colour: "sure", "maybe", "unknown", "taught", "question", "error" or "".
    """

    title: str = ""
    text: str = ""
    table: str = ""
    choices: tuple[tuple[Choice, ...], ...] = ()
    picture: str | None = None
    progress: float | None = None
    mood: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Reply":
        rows = tuple(tuple(Choice(**choice) for choice in row) for row in found.get("choices", ()))
        return cls(**{**found, "choices": rows})

    def plain(self) -> str:
        """Everything but the buttons as plain text."""
        return "\n".join(part for part in (self.title, self.text, self.table) if part)


@dataclass(frozen=True)
class Command:
    """A command of the menu. argument: its name where it takes one, "" where not.

    who: "everyone", "admins" (those of a chat that is trusted too) or "owners" (the bot's own admins only).
    """

    name: str
    sentence: str
    who: Literal["everyone", "admins", "owners"] = "everyone"
    argument: str = ""


class Host(Protocol):
    """What a platform may ask of the house.

    keep: bytes that came with a post, written to the store under a key (for `Attachment.handle`) before `receive`.
    last_seen, mark_seen: a mark a chat, for platforms that are read by history: ids that grow, as decimal text.
    ring: enqueue a task ("train.learn", a classifier's id) after a commit of one's own.
    read: the bytes under a key of the store, for `Reply.picture`.
    receive: writes posts down, in order; when it returns they are committed, and only then may the platform be told.
    A post that is known already is left out. It raises DatabaseError or StoreError when it could not write: then tell
    the platform nothing, and offer the same posts again.
    """

    @property
    def settings(self) -> Settings: ...
    @property
    def database(self) -> Database: ...
    @property
    def commands(self) -> Sequence[Command]: ...

    async def receive(self, posts: Sequence[Incoming]) -> None: ...
    async def keep(self, data: bytes) -> str: ...
    async def read(self, key: str) -> bytes: ...
    async def last_seen(self, platform: str, chat: str) -> str | None: ...
    async def mark_seen(self, platform: str, chat: str, message: str) -> None: ...
    async def ring(self, task: str, number: int) -> None: ...


class Platform(Protocol):
    """A chat platform. All errors that it raises are PlatformError, or SettingsError from `run`.

    run: connect, hand every post to `host.receive`, until cancelled. Returning or raising makes the bot start it again.
    fetch: an attachment's bytes. send: a new message, its id comes back; nonce: the same for every try of one message.
    chat may be PRIVATE with a person's id; where no such chat can be opened that is a permanent PlatformError.
    find: the message that an earlier `send` of this answer (a row's id) left without our hearing of it; None: there is
    none, or the platform itself makes one of two sends with the same nonce.
    edit: make an earlier message show this. busy: "typing…", best effort, never raises.
    manages: whether a person manages a chat there, asked of the platform at this moment; False where it can't tell, or
    says so with every post (`Incoming.is_chat_admin`). Never raises.
    One that tries again by itself may have an attribute `trouble`, a key of words.TROUBLE while posts don't come in.
    """

    name: str

    async def run(self) -> None: ...
    async def fetch(self, attachment: Attachment) -> bytes: ...
    async def send(self, chat: str, reply: Reply, *, reply_to: str | None, nonce: str) -> str: ...
    async def find(self, chat: str, answer: int, reply: Reply, *, reply_to: str | None) -> str | None: ...
    async def edit(self, chat: str, message: str, reply: Reply) -> None: ...
    async def busy(self, chat: str) -> None: ...
    async def manages(self, chat: str, person: str) -> bool: ...


Connect = Callable[[Settings, Host], Platform]
