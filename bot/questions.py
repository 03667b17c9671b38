"""Questions to admins: how a photo looks about which people disagree, and a word in private, at most once an hour."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session

from bot import answers, words
from bot.messages import Choice, Reply
from snaplabel import corrections, voices
from snaplabel.database import now
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Classifier, Label, Message, Person
from snaplabel.tally import Tally

AT_MOST_EVERY = timedelta(hours=1)
MOOD = "question"
MOST_SIDES = 6


def reply(message: Message, counted: Tally, label: Label | None = None) -> Reply:
    """Who says what of a photo, and a button for each label; an admin's press decides, another's is a vote.

    label: what counts until then.
    """
    sides = [([_name(person) for person in side.people] or [""], side.label.name) for side in counted.sides]
    buttons = [Choice(side.label.name, f"as:{message.id}:{side.label.id}") for side in counted.sides[:MOST_SIDES]]
    rows = tuple(tuple(buttons[n : n + 2]) for n in range(0, len(buttons), 2))
    last = (Choice("Change…", f"else:{message.id}:0"), Choice("Take back", f"undo:{message.id}"))
    title = label.name if label is not None else f"{voices.either([name for _, name in sides[:3]])}?"
    return Reply(title, words.disagree(sides), choices=(*rows, last), mood="maybe")


def _name(person: Person) -> str:
    return "The import" if person.platform == "local" else person.name


def ask_admins(session: Session, settings: Settings, classifier_id: int) -> int:
    """Tell the admins who have a private chat with us how many photos await their word; how many were told."""
    chats = _private_chats(session, settings.admins)
    told = _told(session, chats)
    chats = [chat for chat in chats if chat.id not in told]
    if not chats:
        return 0
    photos = len(corrections.conflicts(session, classifier_id))
    classifier = session.get_one(Classifier, classifier_id)
    for chat in chats if photos else []:
        elsewhere = classifier.name if chat.classifier_id != classifier_id else None
        answers.say(session, chat, Reply(text=words.await_your_word(photos, elsewhere), mood=MOOD))
    return len(chats) if photos else 0


def _private_chats(session: Session, admins: tuple[str, ...]) -> list[Chat]:
    """Chats between one admin and us: those in which an admin ever wrote."""
    if not admins:
        return []
    named = (name.partition(":") for name in admins)
    is_admin = or_(*(and_(Person.platform == platform, Person.platform_id == number) for platform, _, number in named))
    wrote = exists().where(Message.chat_id == Chat.id, Message.person_id == Person.id, is_admin)
    return list(session.scalars(select(Chat).where(Chat.is_private, wrote).order_by(Chat.id)))


def _told(session: Session, chats: Sequence[Chat]) -> set[int]:
    """Ids of those chats that were told within the last hour."""
    query = select(Answer.chat_id).where(
        Answer.chat_id.in_([chat.id for chat in chats]),
        Answer.created_at > now() - AT_MOST_EVERY,
        Answer.content["mood"].as_string() == MOOD,
    )
    return set(session.scalars(query)) if chats else set()
