"""The people of the chaos bench: they send photos on Telegram and Discord, correct some, and remember all."""

import io
import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image
from sqlalchemy import select

from bot.looks import refusal
from snaplabel.database import Database
from snaplabel.tables import Chat as ChatRow
from snaplabel.tables import Correction, Label, Person, Photo
from snaplabel.tables import Message as MessageRow
from tests.fakes import discord_api, telegram_api

LABELS = ("Red", "Blue")
ADMIN = "Anna"
CORRECTED = 0.25
GIVEN_UP = refusal("trouble"), refusal("lost")


def drawn(seed: int) -> bytes:
    """A JPEG that looks like no other seed's: coloured squares, redder or bluer on the whole."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    squares[..., 2 if seed % 2 else 0] //= 3
    out = io.BytesIO()
    Image.fromarray(squares).resize((160, 160), Image.Resampling.NEAREST).save(out, "JPEG", quality=92)
    return out.getvalue()


class Sent(Protocol):
    """A photo that was sent somewhere, as its sender sees it."""

    platform: str

    @property
    def ids(self) -> tuple[str, str]:
        """Chat and message, as the platform numbers them."""

    @property
    def answers(self) -> list[list[str]]:
        """For every visible answer all that it ever showed, oldest first."""

    def correct(self, label: str, *, under_the_answer: bool) -> None:
        """The admin replies with a label, to the answer or to the photo."""


class OnTelegram:
    """A photo in a chat of Telegram's."""

    platform = "telegram"

    def __init__(self, admin: telegram_api.User, message: telegram_api.Message) -> None:
        self._admin, self._message = admin, message

    @property
    def ids(self) -> tuple[str, str]:
        return str(self._message.chat.id), str(self._message.id)

    def _ours(self) -> list[telegram_api.Message]:
        return [one for one in self._message.chat.from_bot if one.reply_to is self._message]

    @property
    def answers(self) -> list[list[str]]:
        return [[version.text for version in one.versions] for one in self._ours()]

    def correct(self, label: str, *, under_the_answer: bool) -> None:
        to = self._ours()[0] if under_the_answer else self._message
        self._admin.send_text(self._message.chat, label, reply_to=to)


class OnDiscord:
    """A photo in a channel of Discord's."""

    platform = "discord"

    def __init__(self, admin: discord_api.User, message: discord_api.Message) -> None:
        self._admin, self._message = admin, message

    @property
    def ids(self) -> tuple[str, str]:
        return str(self._message.channel.id), str(self._message.id)

    def _ours(self) -> list[discord_api.Message]:
        return [one for one in self._message.channel.from_bot if one.reply_to is self._message]

    @property
    def answers(self) -> list[list[str]]:
        return [[*(version.content for version in one.versions), one.content] for one in self._ours()]

    def correct(self, label: str, *, under_the_answer: bool) -> None:
        to = self._ours()[0] if under_the_answer else self._message
        self._admin.send(self._message.channel, label, reply_to=to)


@dataclass
class Photographed:
    """One photo of the round. fault: what went wrong while it was sent. label: what the admin says of it, or None."""

    sent: Sent
    fault: str
    label: str | None
    under_the_answer: bool
    is_corrected: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether its sender reads what it shows, and not that something went wrong."""
        shown = [versions[-1] for versions in self.sent.answers]
        return bool(shown) and not any(sorry in shown[0] for sorry in GIVEN_UP)

    @property
    def is_confirmed(self) -> bool:
        """Whether its admin was ever shown that the correction was heard."""
        words = f"said: {self.label}"
        return self.is_corrected and any(words in text for versions in self.sent.answers for text in versions)

    @property
    def is_in_trouble(self) -> bool:
        in_vain = self.is_corrected and not self.is_confirmed
        return len(self.sent.answers) != 1 or not self.is_answered or in_vain


class Crowd:
    """Members who send photos into chats of both platforms, and an admin who corrects some of them."""

    def __init__(self, telegram: telegram_api.TelegramApi, discord: discord_api.DiscordApi, seed: int) -> None:
        self._rng, self._seed = random.Random(seed), seed
        self.photos: list[Photographed] = []
        self.telegram, self.discord = telegram, discord
        self._anna = telegram.person(ADMIN)
        self._members = [telegram.person(name) for name in ("Max", "Olga")]
        here = (self._anna, *self._members)
        self._chats = [telegram.group("Reds", *here), telegram.supergroup("Blues", *here)]
        self._chats += [telegram.private_chat(self._anna)]
        guild = discord.guild("Shirts")
        self._channels = [guild.text_channel("photos"), guild.text_channel("more")]
        self._discord_anna = guild.join(discord.user(ADMIN))
        self._discord_members = [guild.join(discord.user(name)) for name in ("Max", "Olga")]
        self.admins = f"telegram:{self._anna.id},discord:{self._discord_anna.id}"
        self._stopping = threading.Event()
        self._correcting = threading.Thread(target=self._correct, name="admin")

    def __enter__(self) -> "Crowd":
        self._correcting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._correcting.join()

    def send(self, fault: str) -> None:
        """Somebody sends a photo somewhere; a part of them is corrected later on."""
        rng = self._rng
        data = drawn(1_000_003 * self._seed + len(self.photos))
        sent: Sent
        if rng.random() < 0.6:
            chat = rng.choice(self._chats)
            who = self._anna if chat.kind == "private" else rng.choice(self._members)
            sent = OnTelegram(self._anna, who.send_photo(chat, data))
        else:
            channel, member = rng.choice(self._channels), rng.choice(self._discord_members)
            files = [("shirt.jpg", data, "image/jpeg")]
            sent = OnDiscord(self._discord_anna, member.send(channel, attachments=files))
        label = rng.choice(LABELS) if rng.random() < CORRECTED else None
        found = Photographed(sent, fault, label, under_the_answer=rng.random() < 0.7)
        if label is not None and not found.under_the_answer:
            found.sent.correct(label, under_the_answer=False)
            found.is_corrected = True
        self.photos.append(found)

    def _correct(self) -> None:
        """Reply to answers as soon as they are there."""
        while not self._stopping.wait(0.1):
            for photo in list(self.photos):
                if photo.label is not None and not photo.is_corrected and photo.sent.answers:
                    photo.sent.correct(photo.label, under_the_answer=True)
                    photo.is_corrected = True

    def is_quiet(self) -> bool:
        """Whether nobody waits for anything any more."""
        return all(photo.sent.answers and (photo.label is None or photo.is_confirmed) for photo in self.photos)

    def strays(self) -> int:
        """Replies of the bot to something else than a photo: none is expected, since a correction changes an answer."""
        ours = [one for chat in self._chats for one in chat.from_bot if one.reply_to is not None]
        theirs = [one for channel in self._channels for one in channel.from_bot if one.reply_to is not None]
        return len(ours) + len(theirs) - sum(len(photo.sent.answers) for photo in self.photos)

    def troubles(self) -> list[str]:
        """A line for each photo that was not answered exactly once, or was corrected in vain."""
        bad = [photo for photo in self.photos if photo.is_in_trouble]
        return [
            f"{photo.sent.platform} {photo.sent.ids} while {photo.fault}, {photo.label} {photo.under_the_answer=}: "
            f"{photo.sent.answers}"
            for photo in bad
        ]

    def count(self, database: Database, faults: Iterable[str]) -> dict[str, dict[str, int]]:
        """Fault → what became of the photos that were sent while it lasted."""
        taught = _taught(database, [str(self._anna.id), str(self._discord_anna.id)])
        found = {fault: Counter(dict.fromkeys(COUNTS, 0)) for fault in faults}
        for photo in self.photos:
            tally, answers = found[photo.fault], photo.sent.answers
            tally["sent"] += 1
            tally["answered"] += len(answers) == 1 and photo.is_answered
            tally["lost"] += not photo.is_answered
            tally["doubled"] += len(answers) > 1
            if photo.is_corrected:
                is_kept = taught.get((photo.sent.platform, *photo.sent.ids)) == photo.label
                tally["corrections_confirmed"] += photo.is_confirmed
                tally["corrections_lost"] += not is_kept
        return {fault: dict(tally) for fault, tally in found.items()}


COUNTS = ("sent", "answered", "lost", "doubled", "corrections_confirmed", "corrections_lost")


def _taught(database: Database, admins: list[str]) -> dict[tuple[str, str, str], str]:
    """Platform, chat and message of a photo → the label that the admin gave it, as the database has it."""
    query = (
        select(MessageRow.platform, ChatRow.platform_id, MessageRow.platform_id.label("message"), Label.name)
        .join(ChatRow, ChatRow.id == MessageRow.chat_id)
        .join(Photo, Photo.id == MessageRow.photo_id)
        .join(Correction, Correction.photo_id == Photo.id)
        .join(Person, Person.id == Correction.person_id)
        .join(Label, Label.id == Correction.label_id)
        .where(Person.platform_id.in_(admins), Correction.taken_back_at.is_(None))
    )
    with database.read() as session:
        return {(row[0], row[1], row[2]): row[3] for row in session.execute(query)}
