"""People, chats and classifiers: found by the platform's ids, made when they are new; and forgotten again."""

import shlex

from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel.tables import Chat, Classifier, Person

DEFAULT = "default"
# A chat of this and a person's id is the private one with them, whether they ever wrote there or not.
PRIVATE = "user:"


def classifier(session: Session, name: str = DEFAULT) -> Classifier | None:
    """The classifier of this name, or None."""
    return session.scalar(select(Classifier).where(Classifier.name == name))


def option(name: str) -> str:
    """The option of the command line that names this classifier; the default one needs none."""
    return "" if name == DEFAULT else f" --classifier {shlex.quote(name)}"


def make_classifier(session: Session, name: str = DEFAULT) -> Classifier:
    """The classifier of this name, made when it is not there."""
    found = classifier(session, name)
    if found is None:
        found = Classifier(name=name)
        session.add(found)
        session.flush()
    return found


def person(session: Session, platform: str, platform_id: str, name: str = "") -> Person:
    """The person with this id on this platform, under the name that the platform shows now."""
    found = session.scalar(select(Person).where(Person.platform == platform, Person.platform_id == platform_id))
    if found is None:
        found = Person(platform=platform, platform_id=platform_id, name=name[:64])
        session.add(found)
        session.flush()
    elif name and found.name != name[:64]:
        found.name = name[:64]
    return found


def chat(session: Session, platform: str, platform_id: str, *, is_private: bool = False) -> Chat:
    """The chat with this id on this platform; a new one is bound to the default classifier."""
    found = session.scalar(select(Chat).where(Chat.platform == platform, Chat.platform_id == platform_id))
    if found is None:
        found = Chat(
            platform=platform,
            platform_id=platform_id,
            is_private=is_private,
            classifier_id=make_classifier(session).id,
        )
        session.add(found)
        session.flush()
    return found


def is_admin(admins: tuple[str, ...], platform: str, platform_id: str) -> bool:
    """Whether SNAPLABEL_ADMINS names this person."""
    return f"{platform}:{platform_id}" in admins
