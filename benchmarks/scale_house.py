"""The filled house as its people use it: posts to ask about, and the ways in by which the bot takes one."""

import hashlib
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import premises
import scale_filling
from scale_filling import BACKBONE, DIMENSION, Size
from sqlalchemy import insert, text

from bot import reception
from bot.messages import Attachment, Incoming
from snaplabel import backbones, heads
from snaplabel.database import Database, now
from snaplabel.heads import Head
from snaplabel.images import Prepared
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Embedding, Message
from worker.classify import Context
from worker.engine import Engine
from worker.turns import Turns

PLATFORMS = ("telegram", "discord", "web")
# Of each platform: the bot's own admin.
OWNERS = {platform: str(1_000_000 + n) for n, platform in enumerate(PLATFORMS)}
HOT_CHATS = 3
SAMPLE = 600

POSTS = """
SELECT m.id, m.chat_id, c.platform, c.platform_id, c.is_private, c.classifier_id, p.id, p.platform_id, m.photo_id,
       m.platform_id, m.position, a.id, a.platform_id, f.label_id
FROM message m JOIN chat c ON c.id = m.chat_id JOIN person p ON p.id = m.person_id JOIN photo f ON f.id = m.photo_id
JOIN answer a ON a.id = m.answer_id
"""


@dataclass(frozen=True)
class Post:
    """A photo post that was answered, with what belongs to it."""

    id: int
    chat_id: int
    platform: str
    chat: str
    is_private: bool
    classifier_id: int
    person_id: int
    person: str
    photo_id: int
    number: str
    position: int
    answer_id: int
    answer: str
    label_id: int | None


class House:
    """What questions are asked with. pick: the posts of the call that is prepared, of busy chats or of any."""

    def __init__(self, url: str, folder: Path, size: Size, settings: Settings) -> None:
        self.size = size
        self.settings = settings
        self.database = Database(url)
        self.store = Store(settings.store)
        self.random = random.Random(0)
        self.is_hot = True
        self._next = int(time.time() * 1000)  # No id of an earlier run in the same database.
        self._models(folder)
        self.engine = Engine(self.database, self.store, settings.home, threads=1)
        self.context = Context(self.database, self.store, self.engine)
        self.turns = Turns(self.database)
        self._posts = {True: self._sample(is_hot=True), False: self._sample(is_hot=False)}
        self._taught = {hot: [post for post in posts if post.label_id] for hot, posts in self._posts.items()}

    def _models(self, folder: Path) -> None:
        """The files of each classifier's current model."""
        premises.draw_backbone(self.store, folder, BACKBONE, DIMENSION)
        weight = np.random.default_rng(0).standard_normal((scale_filling.LABELS, DIMENSION), np.float32)
        unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
        for classifier in range(1, scale_filling.CLASSIFIERS + 1):
            last = self.size.versions(classifier)
            head = Head(weight, np.zeros(len(weight), np.float32), unit)
            heads.save(self.store, f"models/{classifier}/head", head, scale_filling.card(classifier, last))

    def _sample(self, *, is_hot: bool) -> list[Post]:
        """Of the three busiest chats the latest posts; else any posts of any chats, however old."""
        with self.database.read() as session:
            found: list[Post] = []
            for chat in range(1, HOT_CHATS + 1) if is_hot else ():
                query = text(f"{POSTS} WHERE m.chat_id = :chat AND m.photo_id > :old LIMIT {SAMPLE}")
                rows = session.execute(query, {"chat": chat, "old": self.size.photos * 0.95 - self.size.waiting})
                found += [Post(*row) for row in rows]
            # In every chat alike, so that most of these are chats in which little is said.
            chats = [] if is_hot else self.random.choices(range(HOT_CHATS + 1, self.size.chats + 1), k=SAMPLE)
            for chat in chats:
                query = text(f"{POSTS} WHERE m.chat_id = :chat AND m.photo_id >= :n ORDER BY m.photo_id LIMIT 1")
                rows = session.execute(query, {"chat": chat, "n": self.random.randrange(self.size.photos)})
                found += [Post(*row) for row in rows]
        self.random.shuffle(found)
        return found

    def pick(self, *, platform: str = "", taught: bool | None = None, private: bool | None = None) -> Post:
        """A post; of this platform, with a label or without, where that is asked."""
        some: Sequence[Post] = self._taught[self.is_hot] if taught else self._posts[self.is_hot]
        for _ in range(10_000):
            post = self.random.choice(some)
            fits = not platform or post.platform == platform
            fits = fits and (taught is not False or post.label_id is None)
            if fits and (private is None or post.is_private == private):
                return post
        some = self._posts[not self.is_hot]
        return next(post for post in some if (not platform or post.platform == platform))

    def says(self, post: Post, kind: str, *, by: str = "", **parts: Any) -> Incoming:
        """Somebody does something in the chat of a post. by: "" its own sender, "owner", or "other"."""
        self._next += 1
        person = {"": post.person, "owner": OWNERS[post.platform]}.get(by) or str(
            1_000_100 + 3 * self.random.randrange(self.size.people // 3 - 50) + PLATFORMS.index(post.platform)
        )
        about = {"is_private": post.is_private, "is_signed": post.platform == "web", "name": f"Person {person}"}
        here = {"platform": post.platform, "chat": post.chat, "message": str(self._next), "person": person}
        return Incoming(kind=kind, is_admin=by == "owner" and post.platform == "web", **{**here, **about, **parts})  # type: ignore[arg-type]

    def written(self, post: Incoming) -> int:
        """The post as a row that is still to be handled."""
        return reception.write_down(self.database, [post])[0]

    def handle(self, message_id: int, found: Prepared | None = None) -> None:
        reception.handle(self.database, self.settings, message_id, found)

    def command(self, words: str, *, by: str = "owner", **where: Any) -> int:
        """A command in some chat, written down; the bot's admins are in groups, not in other people's private chats."""
        where = {"private": False, **where} if by == "owner" else where
        return self.written(self.says(self.pick(**where), "text", by=by, text=words))

    def photo(self) -> Incoming:
        return self.says(self.pick(), "photo", attachment=Attachment({"id": "1"}))

    def picture(self) -> Prepared:
        """A photo that nobody has sent yet; one in ten is plain."""
        fingerprint = os.urandom(8)
        if self.random.random() < 0.1:
            fingerprint = b"".join((1 << self.random.randrange(12)).to_bytes(2, "big") for _ in range(4))
        sha256 = hashlib.sha256(os.urandom(16)).hexdigest()
        return Prepared(b"", sha256, int.from_bytes(fingerprint, "big", signed=True), os.urandom(48), 1280, 960)

    def coming(self) -> int:
        """A photo that was taken in just now and has its embedding, as if a worker had looked at it; its id."""
        message_id = self.written(self.photo())
        self.handle(message_id, self.picture())
        vector = np.maximum(np.random.default_rng(message_id).standard_normal(DIMENSION, np.float32), 0)
        with self.database.begin() as session:
            photo_id = session.get_one(Message, message_id).photo_id
            assert photo_id is not None
            row = {"photo_id": photo_id, "backbone": BACKBONE, "vector": backbones.to_bytes(vector)}
            session.execute(insert(Embedding), row)
        return photo_id

    def delivered(self) -> None:
        """Have every chat show what it should: between two questions the outbox is emptied, as it is in life."""
        shown = (
            "UPDATE answer SET shown = revision, claimed_until = NULL, platform_id = coalesce(platform_id, 'x' || id)"
        )
        with self.database.begin() as session:
            session.execute(text(f"{shown} WHERE shown < revision AND state = 'open'"))

    def quiet(self) -> None:
        """Nobody waits for an answer that no question here asked for."""
        with self.database.begin() as session:
            session.execute(
                text("UPDATE message SET state = 'answered', answered_at = now() WHERE state = 'classified'")
            )

    def earlier(self, days: float) -> str:
        return (now() - timedelta(days=days)).isoformat()

    def close(self) -> None:
        self.engine.close()
        self.database.close()


def admins() -> str:
    return ",".join(f"{platform}:{number}" for platform, number in OWNERS.items())
