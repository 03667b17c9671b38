"""A chat room for tests of the conversation: a real database, people who post, and a worker told what to say."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image
from sqlalchemy import select

from bot import delivery, reception
from bot.messages import Attachment, Incoming, Reply
from snaplabel import labels, people, registry
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from snaplabel.tables import Answer, Chat, Message, Model, Photo, Prediction

ADMIN, MEMBER, OTHER = "1", "2", "3"
NAMES = {ADMIN: "Anna", MEMBER: "Max", OTHER: "Olga"}


def picture(seed: int = 1) -> bytes:
    """A JPEG that looks like no other seed's."""
    out = io.BytesIO()
    dots = bytes((seed * 7919 + n * n * 31) % 251 for n in range(6 * 6 * 3))
    Image.frombytes("RGB", (6, 6), dots).resize((120, 120), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


class Room:
    """Posts go in as a platform would hand them over; answers come out as a platform would be told to show them."""

    def __init__(self, database: Database, folder: Path, settings: Settings) -> None:
        self.database = database
        self.store = Store(str(folder / "store"))
        self.settings = replace(settings, admins=("test:1",), fine_tune_after=4)
        self.rings: list[tuple[str, int]] = []
        # Hears of everything that a chat shows.
        self.hears: Callable[[delivery.Outgoing], None] = lambda _: None
        self._next = 0

    def label(self, *names: str) -> None:
        """Make labels."""
        with self.database.begin() as session:
            for name in names:
                labels.make(session, people.make_classifier(session).id, name)

    def post(self, person: str = MEMBER, **parts: object) -> str:
        """Somebody posts; the message's id on the platform."""
        self._next += 1
        message = str(parts.pop("message", self._next))
        data = parts.pop("data_bytes", None)
        fields = {
            "platform": "test",
            "chat": "room",
            "message": message,
            "person": person,
            "name": NAMES.get(person, ""),
        }
        post = Incoming(**{**fields, **parts})  # type: ignore[arg-type]
        for message_id in reception.write_down(self.database, [post]):
            found = reception.check(self.store, data) if isinstance(data, bytes) else None
            after = reception.handle(self.database, self.settings, message_id, found)
            self.rings += after.rings
            reception.erase(self.store, after.erased)
        return message

    def photo(self, seed: int = 1, person: str = MEMBER, caption: str = "", **parts: object) -> str:
        """Somebody posts a photo."""
        attachment = Attachment({"id": str(seed)})
        data = parts.pop("data_bytes", picture(seed))
        return self.post(person, kind="photo", text=caption, attachment=attachment, data_bytes=data, **parts)

    def say(self, text: str, person: str = MEMBER, reply_to: str | None = None, **parts: object) -> str:
        """Somebody writes a text."""
        return self.post(person, kind="text", text=text, reply_to=reply_to, **parts)

    def press(self, answer: Answer, button: str, person: str = MEMBER) -> None:
        """Somebody presses a button by its text."""
        choices = [choice for row in Reply.from_json(answer.content).choices for choice in row]
        data = next(choice.data for choice in choices if choice.text == button)
        self.post(person, kind="press", data=data, reply_to=answer.platform_id)

    def model(self, *names: str) -> None:
        """Publish a new model that knows these labels."""
        with self.database.begin() as session:
            classifier = people.make_classifier(session)
            known = tuple((labels.make(session, classifier.id, name).id, name) for name in names)
            version = registry.next_version(session, classifier.id)
            card = Card("default", version, "refit", "tiny-1", known).to_json()
            model = Model(
                classifier_id=classifier.id, version=version, kind="refit", backbone="tiny-1", key="none", card=card
            )
            session.add(model)
            session.flush()
            registry.publish(session, model)

    def work(self, voice: str = "sure", **chances: float) -> None:
        """The worker looks at every photo that waits, and the bot answers."""
        self.look(voice, **chances)
        self.deliver()

    def look(self, voice: str = "sure", **chances: float) -> None:
        """The worker looks at every photo that waits: label name (underscores for spaces) → probability."""
        with self.database.begin() as session:
            classifier = people.make_classifier(session)
            model = registry.current(session, classifier.id)
            assert model is not None
            top = [[labels.make(session, classifier.id, n.replace("_", " ")).id, p] for n, p in chances.items()]
            for message in session.scalars(select(Message).where(Message.state == "waiting")):
                has_one = select(Prediction.id).where(
                    Prediction.photo_id == message.photo_id, Prediction.model_id == model.id
                )
                if session.scalar(has_one) is None:
                    session.add(Prediction(photo_id=message.photo_id, model_id=model.id, top=top, voice=voice))
                    session.flush()
                message.state = "classified"

    def deliver(self) -> list[delivery.Outgoing]:
        """The bot composes and sends; what was sent."""
        delivery.compose(self.database, self.settings, ["test"])
        everything = []
        while out := delivery.claim(self.database, ["test"]):
            for one in out:
                delivery.sent(self.database, one, one.message or f"a{one.id}")
                self.hears(one)
            everything += out
        return everything

    def answers(self) -> list[Answer]:
        """Every message of ours, oldest first."""
        with self.database.read() as session:
            return list(session.scalars(select(Answer).order_by(Answer.id)))

    def last(self) -> Answer:
        self.deliver()
        return self.answers()[-1]

    def shown(self) -> Reply:
        """What our latest message shows."""
        return Reply.from_json(self.last().content)

    def buttons(self) -> list[str]:
        return [choice.text for row in self.shown().choices for choice in row]

    def label_of(self, message: str) -> str | None:
        """The accepted label of a photo that was posted."""
        from snaplabel.tables import Label

        with self.database.read() as session:
            query = select(Photo).join(Message, Message.photo_id == Photo.id).join(Chat, Chat.id == Message.chat_id)
            photo = session.scalars(query.where(Message.platform_id == message)).first()
            label = session.get(Label, photo.label_id) if photo is not None and photo.label_id else None
            return label.name if label is not None else None
