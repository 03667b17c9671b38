"""A photo's way in: from a post with an attachment to a row that the worker can look at, learning from its caption."""

from datetime import timedelta

from sqlalchemy import func, select

from bot import answers, commands, words
from bot.conversation import Talk, album, vote
from bot.messages import Reply
from snaplabel import labels, naming, photos
from snaplabel.errors import ImageError, LabelError
from snaplabel.images import Prepared
from snaplabel.tables import Label, Message, Photo

BURST_S = 10
# A sender who posts a whole collection in one go must not end up on one side of the exam.
BURST_PHOTOS = 10


def take_in(talk: Talk, prepared: Prepared) -> None:
    """A photo's bytes are in the store: record it, learn from its caption, and ring for the worker."""
    caption = _lesson(talk)
    _point_at_command(talk)
    label_id = caption.id if caption is not None else None
    photo = photos.add(
        talk.session,
        talk.classifier_id,
        prepared,
        label_id=label_id,
        person_id=talk.person.id,
        beside=_beside(talk),
    ).photo
    # From now on its attempts are a worker's.
    talk.message.photo_id, talk.message.state, talk.message.attempts = photo.id, "waiting", 0
    talk.session.flush()
    if caption is not None:
        for post in _posts(talk):
            picture = talk.session.get(Photo, post.photo_id) if post.photo_id else None
            if picture is not None:
                vote(talk, picture, caption)
    talk.rings.append(("classify.photo", photo.id))


def _point_at_command(talk: Talk) -> None:
    """A caption that is one of our commands is not run: whose photo it came with would be lost sight of. We say so."""
    name = next(iter(talk.post.text.split()), "").lower()
    if name.startswith("/") and name[1:] in commands.KNOWN:
        # No reply to the photo: what is under that is its own answer.
        answers.say(talk.session, talk.chat, Reply(text=words.command_in_caption(name)))


def refuse(talk: Talk, error: ImageError | None) -> None:
    """The attachment is no photo that can be used: its sender is told why."""
    talk.message.failure = error.reason if error is not None else "lost"
    talk.message.state = "classified"


def hashtag(text: str) -> str | None:
    """The label in a caption: "#Harbour Rovers" → the whole line; "nice one #harbour_rovers" → that word."""
    text = text.strip()
    if text.startswith("#"):
        return text[1:].split("#")[0].split("\n")[0].replace("_", " ").strip() or None
    for word in text.split():
        if word.startswith("#") and len(word) > 1:
            return word[1:].replace("_", " ").strip(".,;!? ") or None
    return None


def _posts(talk: Talk) -> list[Message]:
    return [talk.message] if talk.message.album is None else album(talk.session, talk.message)


def _lesson(talk: Talk) -> Label | None:
    """The label that the caption says; one caption speaks for its whole album. Admins may name a new one."""
    captions = [(post.payload or {}).get("text", "") for post in _posts(talk)]
    wanted = next((found for text in captions if (found := hashtag(text))), None)
    if wanted is None:
        return None
    try:
        meant = labels.meant(talk.session, talk.classifier_id, wanted)
        if meant.label is None and talk.is_admin:
            talk.remember_name()
            return naming.make(talk.session, talk.classifier_id, wanted, person_id=talk.person.id)
        if not meant.is_sure:
            talk.message.draft = labels.clean(wanted)
    except LabelError:
        return None
    return meant.label if meant.is_sure else None


def _beside(talk: Talk) -> list[int]:
    """Photos of the same album, or of the burst that this sender is in the middle of: they share one side."""
    query = (
        select(Photo.id).join(Message, Message.photo_id == Photo.id).where(Photo.classifier_id == talk.classifier_id)
    )
    if talk.message.album is not None:
        here = Message.chat_id == talk.chat.id, Message.album == talk.message.album
        return list(talk.session.scalars(query.where(*here).limit(20)))
    since = talk.message.received_at - timedelta(seconds=BURST_S)
    burst = Message.chat_id == talk.chat.id, Message.person_id == talk.person.id, Message.received_at >= since
    before = query.where(*burst, Message.id < talk.message.id, Message.album.is_(None))
    last = talk.session.scalars(before.order_by(Message.id.desc()).limit(1)).first()
    if last is None:
        return []
    group = select(Photo.group_id).where(Photo.id == last).scalar_subquery()
    size = talk.session.scalar(select(func.count()).where(Photo.group_id == group)) or 0
    return [last] if size < BURST_PHOTOS else []
