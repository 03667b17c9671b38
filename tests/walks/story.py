"""The story that walks tell on every network: photos, corrections, a refit, a refusal, a training and a rollback."""

from typing import Literal, Protocol, TypeVar

from sqlalchemy import select

from snaplabel.tables import Model, Prediction
from tests.walks.house import House, unseen_shirts, wait_for

P = TypeVar("P")


class Room(Protocol[P]):
    """A group with Anna, who is an admin, and Max, who is not. P: a message with a photo on this network."""

    def send(self, data: bytes) -> P:
        """Max sends a photo."""

    def answer(self, photo: P) -> str:
        """What the answer to a photo shows now; "" before there is one."""

    def correct(self, photo: P, label: str) -> None:
        """Anna says what a photo shows."""

    def ask(self, who: Literal["Anna", "Max"], command: str) -> None:
        """Use a command, without its slash."""

    def said(self) -> list[str]:
        """What each message of the bot in this group shows now, oldest first."""


def walk(house: House, room: Room[P], photos: list[tuple[str, bytes]]) -> None:
    """Tell the story with these photos and their true labels; the model must not know them all yet."""
    sent = [(label, data, room.send(data)) for label, data in photos]
    wait_for(lambda: all(room.answer(photo) for _, _, photo in sent), "an answer to every photo")
    assert len(room.said()) == len(sent), "every photo is answered once"

    first = house.version()
    wrong = [each for each in sent if not room.answer(each[2]).startswith(f"{each[0]}, quite")]
    assert wrong, "an untrained network must get some wrong"
    for label, _, photo in wrong:
        room.correct(photo, label)
    wait_for(lambda: all(f"Anna said: {label}" in room.answer(photo) for label, _, photo in wrong), "every receipt")
    wait_for(lambda: house.version() > first and not house.is_training(), "the refit that follows by itself")

    room.ask("Max", "retrain")
    wait_for(lambda: "Only the admins" in room.said()[-1], "a refusal")
    before, messages = house.models(), len(room.said())
    room.ask("Anna", "retrain")
    wait_for(lambda: "No new version" in room.said()[-1] or "is live" in room.said()[-1], "its end")
    assert len(room.said()) == messages + 1, "a training is told in one message"
    assert max(house.models()) >= max(before)

    for label, data, _ in wrong[:3]:
        assert answered(room, room.send(data), "a corrected photo").startswith(label)

    here = house.version()
    room.ask("Anna", "rollback")
    wait_for(lambda: "Back to v" in room.said()[-1], "the rollback", 5)
    assert house.version() < here
    _, data = unseen_shirts(4)[-1]
    answered(room, room.send(data), "a photo after the rollback", 5)
    with house.database.read() as session:
        asked = select(Model.version).join(Prediction, Prediction.model_id == Model.id)
        by = session.scalar(asked.order_by(Prediction.photo_id.desc(), Prediction.id).limit(1))
    assert by == house.version(), "the version that was rolled back to answers"


def answered(room: Room[P], photo: P, what: str, timeout_s: float = 60.0) -> str:
    """What the answer to a photo shows, as soon as there is one."""
    return wait_for(lambda: room.answer(photo), f"an answer to {what}", timeout_s)
