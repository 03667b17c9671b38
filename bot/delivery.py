"""Takes answers out: composes what the worker finished, claims what a chat should show, sends or edits, records it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session, aliased

from bot import answers, conversation
from bot.commands import training_reply
from bot.messages import Reply
from snaplabel import registry
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Classifier, Message, TrainingRun

# Photos of an album arrive one by one; this long after the last one it is taken to be whole.
ALBUM_QUIET_S = 1.0
# A photo that waits this long is told so.
PATIENCE_S = 15.0
# So many answers of one chat are written ahead of being sent; and so many that only say that a photo is safe.
AHEAD, KIND_WORDS = 40, 4
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0
LEASE_S = 60.0  # Where no setting says otherwise.


@dataclass(frozen=True)
class Outgoing:
    """An answer as it is sent. message None: it was never sent, so it is sent now; else that message is edited.

    is_doubtful: it may have been sent all the same: a try failed half-way, or whoever had claimed it never came back.
    """

    id: int
    platform: str
    chat: str
    reply: Reply
    revision: int
    message: str | None
    reply_to: str | None
    attempts: int
    is_doubtful: bool = False


def look(
    database: Database, settings: Settings, platforms: Sequence[str], *, lease_s: float, ours: Collection[int]
) -> tuple[int, list[Outgoing]]:
    """`compose` and then `claim`: how many photos have an answer now, and what is to be sent."""
    composed = compose(database, settings, platforms)
    return composed, claim(database, platforms, lease_s=lease_s, ours=ours)


def compose(database: Database, settings: Settings, platforms: Sequence[str]) -> int:
    """Put answers under the photos that the worker has looked at; how many photos that were."""
    with database.read() as session:
        ids = list(session.connection().scalars(_ready(tuple(platforms))))
    done = 0
    for start in range(0, len(ids), 20):
        with database.begin() as session:
            for message_id in ids[start : start + 20]:
                message = session.get(Message, message_id, with_for_update=True)
                if message is None or message.state != "classified" or not _album_is_whole(session, message):
                    continue
                conversation.announce(session, settings, message)
                message.state = "failed" if message.failure is not None else "answered"
                message.answered_at, message.payload = now(), None
                done += 1
    return done


@cache
def _ready(platforms: tuple[str, ...]) -> Select[int]:
    """Looked-at photos in the order of their answers: everybody's first, everybody's second, …

    Putting this together takes longer than asking it, so it is done once.

    Chats send their answers one after the other, and platforms slow them down. So a chat gets a few at a time: who
    comes later has their turn before the rest of somebody's hundreds. An album with a photo to come is passed over.
    """
    other = aliased(Message)
    comes = other.chat_id == Message.chat_id, other.album == Message.album, other.state.in_(("received", "waiting"))
    place = func.row_number().over(partition_by=(Message.chat_id, Message.person_id), order_by=Message.id)
    ready = Message.platform.in_(platforms), Message.state == "classified"
    free = Message.chat_id.not_in(_busy_chats(platforms, AHEAD)), ~select(other.id).where(*comes).exists()
    return select(Message.id).where(*ready, *free).order_by(place, Message.id).limit(100)


def _busy_chats(platforms: Sequence[str], answers_to_send: int) -> Select[int]:
    """Chats that have so many answers yet to be sent."""
    here = select(Answer.chat_id).where(*_is_unshown(platforms))
    return here.group_by(Answer.chat_id).having(func.count() >= answers_to_send)


def _is_unshown(platforms: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    return Answer.platform.in_(platforms), Answer.shown < Answer.revision, Answer.state == "open"


def _album_is_whole(session: Session, message: Message) -> bool:
    """Whether all photos of an album are here and looked at; true for a single photo."""
    if message.album is None:
        return True
    posts = conversation.album(session, message)
    quiet = now() - timedelta(seconds=ALBUM_QUIET_S)
    looked_at = all(post.state in ("classified", "answered", "failed", "gone") for post in posts)
    return looked_at and max(post.received_at for post in posts) < quiet


def reassure(database: Database, settings: Settings, platforms: Sequence[str]) -> None:
    """Tell those whose photo waits for longer than PATIENCE_S that it is safe; that message becomes the answer."""
    long_ago = now() - timedelta(seconds=PATIENCE_S)
    place = func.row_number().over(partition_by=Message.chat_id, order_by=Message.id).label("place")
    waiting = select(Message.id, place).where(
        Message.platform.in_(platforms),
        Message.state == "waiting",
        Message.answer_id.is_(None),
        Message.received_at < long_ago,
        Message.chat_id.not_in(_busy_chats(platforms, KIND_WORDS)),
    )
    # In a flood a few are told for all: the others' places in the chat are for answers.
    first = waiting.subquery()
    query = select(first.c.id).where(first.c.place <= KIND_WORDS).order_by(first.c.place, first.c.id)
    with database.read() as session:
        ids = list(session.scalars(query.limit(50)))
    if ids:
        with database.begin() as session:
            for message in session.scalars(select(Message).where(Message.id.in_(ids), Message.state == "waiting")):
                conversation.announce(session, settings, message)


def follow_trainings(database: Database, platforms: Sequence[str]) -> None:
    """Bring the messages in which trainings are watched up to date."""
    recent = now() - timedelta(minutes=10)
    query = (
        select(TrainingRun, Answer)
        .join(Answer, Answer.id == TrainingRun.answer_id)
        .where(Answer.platform.in_(platforms), Answer.state == "open")
        .where((TrainingRun.finished_at.is_(None)) | (TrainingRun.finished_at > recent))
    )
    with database.read() as session:
        news = [(answer.id, training_reply(run)) for run, answer in session.execute(query)]
        stale = [(n, reply) for n, reply in news if answers.differs(session.get(Answer, n), reply)]
    if stale:
        with database.begin() as session:
            for answer_id, reply in stale:
                answer = session.get(Answer, answer_id)
                if answer is not None:
                    answers.show(session, answer, reply)


def follow_models(
    database: Database, settings: Settings, platforms: tuple[str, ...], known: dict[int, int]
) -> dict[int, int]:
    """Send receipts when another model came into force; known: classifier id → model id that was current before."""
    with database.read() as session:
        classifiers = session.scalars(select(Classifier.id)).all()
        models = {number: registry.current(session, number) for number in classifiers}
    current = {number: model.id for number, model in models.items() if model is not None}
    for number, model_id in current.items():
        if number in known and known[number] != model_id:
            with database.begin() as session:
                conversation.receipts(session, settings, platforms, model_id)
    return current


def claim(
    database: Database,
    platforms: Sequence[str],
    limit: int = 50,
    *,
    lease_s: float = LEASE_S,
    ours: Collection[int] = (),
) -> list[Outgoing]:
    """Take what chats should show and don't yet: one answer a chat, its oldest, so that none overtakes another.

    lease_s: how long they are ours; those of a bot that dies are free after that. ours: answers that this very bot is
    still sending, however long ago it claimed them.
    """
    moment = now()
    free = (Answer.claimed_until.is_(None)) | (Answer.claimed_until < moment)
    with database.read() as session:
        rows = session.scalars(_first_unshown(tuple(platforms))).all()
    oldest = {row.chat_id: row for row in rows}
    wanted = [
        row.id
        for row in oldest.values()
        if row.id not in ours and row.not_before <= moment and (row.claimed_until is None or row.claimed_until < moment)
    ][:limit]
    if not wanted:
        return []
    left_behind = {row.id for row in oldest.values() if row.claimed_until is not None}
    taken = []
    with database.begin() as session:
        for answer_id in wanted:
            won = session.execute(
                update(Answer)
                .where(Answer.id == answer_id, Answer.shown < Answer.revision, free)
                .values(claimed_until=moment + timedelta(seconds=lease_s))
                .execution_options(synchronize_session=False)
            )
            if getattr(won, "rowcount", 0):
                answer = session.get(Answer, answer_id, populate_existing=True)
                assert answer is not None
                taken.append(_outgoing(session, answer, was_claimed=answer_id in left_behind))
    return taken


@cache
def _first_unshown(platforms: tuple[str, ...]) -> Select[Any]:
    """Each chat's oldest answer that it does not show yet: thousands of one chat must not hide the others."""
    first = select(func.min(Answer.id)).where(*_is_unshown(platforms)).group_by(Answer.chat_id)
    return select(Answer).where(Answer.id.in_(first)).order_by(Answer.id)


def sent(database: Database, out: Outgoing, message_id: str) -> None:
    """Record that a chat shows this revision now, in this message."""
    _record(database, out, platform_id=message_id, shown=out.revision, attempts=0)


def refused(database: Database, out: Outgoing) -> None:
    """Record that the platform will never show this: the chat or the message is gone, or we were blocked."""
    _record(database, out, state="gone")


def put_off(database: Database, out: Outgoing, retry_after_s: float | None) -> float:
    """Try again later, when the platform wishes or with growing patience; seconds until then.

    A platform that names the wait has not taken it, so that is no failed try.
    """
    if retry_after_s is not None:
        wait_s, attempts = retry_after_s, max(out.attempts, int(out.is_doubtful))
    else:
        wait_s, attempts = min(FIRST_RETRY_S * 2**out.attempts, LAST_RETRY_S), out.attempts + 1
    _record(database, out, attempts=attempts, not_before=now() + timedelta(seconds=wait_s))
    return wait_s


def _record(database: Database, out: Outgoing, **values: object) -> None:
    with database.begin() as session:
        session.execute(update(Answer).where(Answer.id == out.id).values(claimed_until=None, **values))


def _outgoing(session: Session, answer: Answer, *, was_claimed: bool) -> Outgoing:
    chat = session.get(Chat, answer.chat_id)
    assert chat is not None
    return Outgoing(
        id=answer.id,
        platform=answer.platform,
        chat=chat.platform_id,
        reply=Reply.from_json(answer.content),
        revision=answer.revision,
        message=answer.platform_id,
        reply_to=answer.reply_to,
        attempts=answer.attempts,
        is_doubtful=was_claimed or answer.attempts > 0,
    )
