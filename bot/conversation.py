"""What we answer to each post: plain synchronous code on a database session; no platform, no network."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from bot import answers, looks, questions, rights, words
from bot.messages import Choice, Command, Incoming, Reply
from snaplabel import acts, corrections, labels
from snaplabel.errors import LabelError
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Correction, Label, Message, Person, Photo

log = logging.getLogger(__name__)


class NotYet(Exception):
    """The photo that this is about is still being taken in; try again in a moment."""


@dataclass
class Talk:
    """One post being answered. rings: (task, id) to be enqueued, erased: store keys to be deleted, after the commit."""

    session: Session
    settings: Settings
    post: Incoming
    message: Message
    chat: Chat
    person: Person
    rings: list[tuple[str, int]] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)

    @property
    def is_owner(self) -> bool:
        """One of the bot's own admins, who may do everything everywhere."""
        return rights.is_owner(self.settings, self.post)

    @property
    def is_admin(self) -> bool:
        """An admin of this chat's classifier: one of the bot's own, or by a role that is trusted here."""
        return self.is_owner or rights.is_chat_admin(self.chat, self.post)

    def is_admin_of(self, classifier_id: int) -> bool:
        """The same for a photo that may have come before the chat changed its classifier."""
        return self.is_owner or (self.is_admin and classifier_id == self.classifier_id)

    def may(self, what: str, *, as_owner: bool = False, of: int | None = None) -> bool:
        """Whether this person may do what only admins do, to classifier `of`; if not, they are told, and it is logged.

        as_owner: only the bot's own admins may. Whoever may is kept by name: the log of acts shows it.
        """
        allowed = self.is_owner if as_owner else self.is_admin_of(self.classifier_id if of is None else of)
        if allowed:
            self.remember_name()
        else:
            log.warning("person %s may not %s in chat %s: refused", self.person.id, what, self.chat.id)
            self.say(Reply(text=words.OWNERS_ONLY if as_owner and self.is_admin else words.ADMINS_ONLY, mood="error"))
        return allowed

    @property
    def classifier_id(self) -> int:
        return self.chat.classifier_id

    def note(self, verb: str, **facts: Any) -> None:
        """Write down that this person did this, as an admin."""
        acts.record(self.session, verb, classifier_id=self.classifier_id, person_id=self.person.id, **facts)

    def remember_name(self) -> None:
        """Keep the name that the platform shows, because something of this person's stands from now on."""
        if self.post.name:
            self.person.name = self.post.name[:64]

    def say(self, reply: Reply) -> Answer:
        answer = answers.say(self.session, self.chat, reply, reply_to=answers.reply_handle(self.message))
        self.message.answer_id = answer.id
        return answer


@dataclass(frozen=True)
class Known:
    """A command with what it does; `run` gets the text after it."""

    command: Command
    run: Callable[[Talk, str], None]


# What a button does: it gets the parts of its data after the verb. All come from outside and must be checked.
Press = Callable[[Talk, list[str]], None]


def respond(talk: Talk) -> None:
    """Answer a post that is no photo: a command, a reply, a button, a thing we can't use."""
    from bot import commands, presses

    post = talk.post
    if post.kind == "unusable":
        # In a group a sticker or a voice message is small talk; a file is meant for somebody, and that may be us.
        if post.is_private or post.what in ("document", "too-heavy", "video"):
            talk.say(Reply(text=words.UNUSABLE.get(post.what, words.UNUSABLE["document"]), mood="error"))
    elif post.kind == "deleted":
        _forget_waiting(talk)
    elif post.kind == "press":
        presses.run(talk)
    elif post.text.startswith("/"):
        commands.run(talk)
    elif post.reply_to and (about := _about(talk, post.reply_to)) is not None:
        _named(talk, about, post.text)
    elif post.is_private or post.token is not None or (post.is_signed and not _was_answered(talk)):
        talk.say(Reply(text=words.HINT))


def _was_answered(talk: Talk) -> bool:
    """Whether this person has had an answer here before, and so knows what we are for: small talk needs no other."""
    mine = select(Message.id).where(Message.chat_id == talk.chat.id, Message.person_id == talk.person.id)
    return talk.session.scalar(mine.where(Message.answer_id.is_not(None)).limit(1)) is not None


def announce(session: Session, settings: Settings, message: Message) -> None:
    """Put the answer under a photo (or its album), or bring the one that is there up to date."""
    chat = session.get(Chat, message.chat_id)
    assert chat is not None
    # A correction can be handled just while the worker's word is put under the photo: the second waits for the first.
    session.refresh(message, ("answer_id",), with_for_update=True)
    answer = session.get(Answer, message.answer_id) if message.answer_id else None
    if message.album is None:
        reply = looks.photo(session, settings, message)
        if answer is None:
            answer = answers.say(session, chat, reply, reply_to=answers.reply_handle(message))
        else:
            answers.show(session, answer, reply)
        message.answer_id = answer.id
        return
    posts = album(session, message)
    answer = session.scalar(select(Answer).where(Answer.chat_id == chat.id, Answer.album == message.album))
    reply = looks.album(session, settings, posts)
    if answer is None:
        first = answers.reply_handle(posts[0])
        answer = answers.say(session, chat, reply, reply_to=first, album=message.album)
    else:
        answers.show(session, answer, reply)
    for post in posts:
        post.answer_id = answer.id


def album(session: Session, message: Message) -> list[Message]:
    """The photos that were posted together with this one, in order."""
    query = select(Message).where(Message.chat_id == message.chat_id, Message.album == message.album)
    return list(session.scalars(query.order_by(Message.id)))


def vote(talk: Talk, picture: Photo, label: Label) -> None:
    """Record this person's vote, and ring for a refit when it changes what is accepted."""
    talk.remember_name()
    is_admin = talk.is_admin_of(picture.classifier_id)
    outcome = corrections.vote(
        talk.session,
        picture,
        talk.person,
        label,
        is_admin=is_admin,
        votes_needed=talk.settings.votes_needed,
    )
    if outcome.changed:
        talk.rings.append(("train.learn", picture.classifier_id))
    if (outcome.is_question or outcome.waits) and not is_admin:
        questions.ask_admins(talk.session, talk.settings, picture.classifier_id)


def ids_of(numbers: list[str]) -> list[int]:
    """The parts of a button's data that can be ids; who needs all of them compares how many there are."""
    return [int(number) for number in numbers if number.isdecimal() and len(number) < 19]


def command_of(talk: Talk, numbers: list[str], *, own: bool = False) -> Message | None:
    """The command that a button belongs to; says why when it is not this chat's, or not this person's."""
    ids = ids_of(numbers)
    found = talk.session.get(Message, ids[0]) if ids else None
    if found is None or found.chat_id != talk.chat.id or found.answer_id is None:
        talk.say(Reply(text=words.OLD_BUTTON))
        return None
    if own and found.person_id != talk.person.id:
        talk.say(Reply(text=words.NOT_YOURS))
        return None
    return found


def replace(talk: Talk, asked: Message, reply: Reply) -> None:
    """Show this in the answer to a command."""
    show_in(talk, asked.answer_id, reply)


def show_in(talk: Talk, answer_id: int | None, reply: Reply) -> None:
    """Show this in one of our messages, where it is still known."""
    answer = talk.session.get(Answer, answer_id) if answer_id is not None else None
    if answer is not None:
        answers.show(talk.session, answer, reply)


def _about(talk: Talk, reply_to: str) -> Message | None:
    """The photo post that a reply is about: itself, or the one that our message answers. None: something else.

    Raises NotYet when that can't be told yet.
    """
    session, chat = talk.session, talk.chat
    query = select(Message).where(Message.chat_id == chat.id, Message.platform_id == reply_to)
    direct = session.scalars(query.order_by(Message.position)).first()
    if direct is None:
        answered = select(Answer.id).where(Answer.chat_id == chat.id, Answer.platform_id == reply_to)
        direct = session.scalars(select(Message).where(Message.answer_id.in_(answered)).order_by(Message.id)).first()
    if direct is None and _is_unnumbered(talk):
        raise NotYet
    if direct is None or direct.state in ("failed", "gone"):
        return None
    if direct.photo_id is None:
        if direct.state == "received" and (direct.payload or {}).get("kind") == "photo":
            raise NotYet
        return None
    return direct


def _is_unnumbered(talk: Talk) -> bool:
    """Whether an answer may stand in this chat whose number we don't know yet, since it is being sent or we died at it.

    People are quick: they correct an answer in the moment between its sending and our writing down its number.
    """
    here = Answer.chat_id == talk.chat.id, Answer.state == "open", Answer.platform_id.is_(None)
    begun = or_(Answer.claimed_until.is_not(None), Answer.attempts > 0)
    query = select(Answer.id).where(*here, begun, Answer.created_at < talk.message.received_at)
    return talk.session.scalar(query.limit(1)) is not None


def _named(talk: Talk, about: Message, text: str) -> None:
    """Somebody replied with what the photo shows."""
    number, _, rest = text.partition(":") if ":" in text else text.partition(" ")
    if about.album is not None and number.strip(" .").isdecimal() and rest.strip():
        posts = album(talk.session, about)
        index = int(number.strip(" .")) - 1
        if 0 <= index < len(posts) and posts[index].photo_id is not None:
            about, text = posts[index], rest
    picture = talk.session.get(Photo, about.photo_id)
    assert picture is not None
    # A token says that the words came by a form that is ours alone; a reply to a photo may be small talk.
    to_a_photo = talk.post.reply_to == about.platform_id and talk.post.token is None
    try:
        name = labels.clean(text.strip().lstrip("#"))
        meant = labels.meant(talk.session, picture.classifier_id, name)
    except LabelError as error:
        if not to_a_photo or talk.post.is_private:
            talk.say(Reply(text=str(error), mood="error"))
        return None
    if meant.label is not None and meant.is_sure:
        vote(talk, picture, meant.label)
        about.draft = None
        return announce(talk.session, talk.settings, about)
    if meant.label is None and to_a_photo and not talk.post.is_private and len(name.split()) > 2:
        return None  # People talk about photos; not every word is meant for us.
    about.draft = name
    _ask_about_draft(talk, about, meant.label, may_make=talk.is_admin_of(picture.classifier_id))
    return None


def _ask_about_draft(talk: Talk, about: Message, near: Label | None, *, may_make: bool) -> None:
    """Ask what was meant by a name that is no label: a near one, a new one, or one of those there are."""
    name = about.draft or ""
    rows: list[tuple[Choice, ...]] = []
    text = words.no_such_label(name)
    if near is not None:
        text = words.did_you_mean(name, near.name)
        rows.append((Choice(f"✓ {near.name}", f"as:{about.id}:{near.id}", "good"),))
    if may_make:
        text = text if near is not None else words.make_new(name)
        style = "plain" if near is not None else "good"
        rows.append((Choice(f"Make the new label “{name}”", f"new:{about.id}:{draft_mark(name)}", style),))
    if near is None and not may_make:
        listed = looks.label_list(talk.session, about, talk.classifier_id, 0, text)
        return show_under(talk, about, listed)
    rows.append((Choice(words.SOMETHING_ELSE, f"else:{about.id}:0"), Choice("← Back", f"back:{about.id}")))
    return show_under(talk, about, Reply(text=text, choices=tuple(rows)))


def draft_mark(name: str) -> int:
    """A number that tells one draft from another: a button that offers this name makes no other."""
    return zlib.crc32(name.encode())


def show_under(talk: Talk, about: Message, reply: Reply) -> None:
    """Show this in the answer under a photo; a photo that has none yet gets one."""
    answer = talk.session.get(Answer, about.answer_id) if about.answer_id else None
    if answer is None:
        announce(talk.session, talk.settings, about)
        answer = talk.session.get(Answer, about.answer_id)
    assert answer is not None
    answers.show(talk.session, answer, reply)


def _forget_waiting(talk: Talk) -> None:
    """A post was deleted by its sender: what was not answered yet will not be."""
    query = select(Message).where(
        Message.chat_id == talk.chat.id,
        Message.platform_id == talk.post.reply_to,
        Message.state.in_(("received", "waiting", "classified")),
    )
    for message in talk.session.scalars(query):
        message.state, message.payload = "gone", None


def receipts(session: Session, settings: Settings, platforms: tuple[str, ...], model_id: int) -> int:
    """After a new model came into force: say under each corrected photo what it makes of it now; how many were told."""
    from snaplabel.tables import Prediction

    query = (
        select(Message)
        .join(Prediction, Prediction.photo_id == Message.photo_id)
        .where(Prediction.model_id == model_id, Message.platform.in_(platforms), Message.answer_id.is_not(None))
        .where(Message.state == "answered", Message.photo_id.in_(select(Correction.photo_id)))
    )
    messages = session.scalars(query.order_by(Message.id.desc()).limit(50)).all()
    for message in messages:
        announce(session, settings, message)
    return len(messages)


def waiting(session: Session, classifier_id: int) -> int:
    """How many photos of this classifier await their answer."""
    query = select(func.count()).select_from(Message).join(Photo, Photo.id == Message.photo_id)
    found = session.scalar(query.where(Message.state == "waiting", Photo.classifier_id == classifier_id))
    return found or 0
