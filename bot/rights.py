"""Rights: who may do what in a chat; every room of the conversation asks here, and only here.

The bot's own admins are those whom SNAPLABEL_ADMINS names, or for whom the platform vouches (the web chat's admin
link); they may do everything everywhere. Where one of them trusted a chat's roles (`/roles on`), whoever manages that
chat on its platform is an admin of the classifier that it uses now, and of nothing else.
"""

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from bot.messages import Incoming
from snaplabel import people
from snaplabel.database import Database
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Correction, Message, Person, Photo


def is_owner(settings: Settings, post: Incoming) -> bool:
    """Whether this is one of the bot's own admins."""
    return post.is_admin or people.is_admin(settings.admins, post.platform, post.person)


def is_chat_admin(chat: Chat, post: Incoming) -> bool:
    """Whether the platform said of this very act that its author manages the chat, and a bot's admin trusts that."""
    return chat.trusts_roles and post.is_chat_admin and not chat.is_private and not post.person.startswith("chat:")


def is_role_needed(database: Database, settings: Settings, post: Incoming) -> bool:
    """Whether a post may be an admin's act by its author's role alone.

    Then the platform is asked; for anything else in the chat it is not.
    """
    # Most posts are photos without a word, which even the database need not be asked about.
    if not _may_be_an_act(post) or is_owner(settings, post) or post.is_chat_admin or post.person.startswith("chat:"):
        return False
    with database.read() as session:
        here = Chat.platform == post.platform, Chat.platform_id == post.chat
        chat = session.scalar(select(Chat).where(*here))
        if chat is None or not chat.trusts_roles or chat.is_private:
            return False
        return post.kind != "text" or post.text.startswith("/") or _is_about_a_photo(session, chat, post)


def _may_be_an_act(post: Incoming) -> bool:
    if post.kind == "photo":
        return "#" in post.text
    if post.kind == "text":
        return post.text.startswith("/") or post.reply_to is not None
    return post.kind == "press"


def _is_about_a_photo(session: Session, chat: Chat, post: Incoming) -> bool:
    """Whether this replies to a photo or to one of our messages: it may make a label; people's small talk can't."""
    ours = exists().where(Answer.chat_id == chat.id, Answer.platform_id == post.reply_to)
    photo = exists().where(
        Message.chat_id == chat.id, Message.platform_id == post.reply_to, Message.photo_id.is_not(None)
    )
    return bool(session.scalar(select(or_(ours, photo))))


def is_beyond(session: Session, settings: Settings, person: Person, classifier_id: int) -> bool:
    """Whether a chat's admin may not touch this person's votes: the bot's admins', the import's, another admin's."""
    if person.platform == "local" or people.is_admin(settings.admins, person.platform, person.platform_id):
        return True
    theirs = Correction.person_id == person.id, Correction.by_admin, Correction.taken_back_at.is_(None)
    here = select(Correction.id).join(Photo, Photo.id == Correction.photo_id)
    return session.scalar(here.where(*theirs, Photo.classifier_id == classifier_id).limit(1)) is not None
