"""Takes answers out: composes what the worker finished, claims what a chat should show, sends or edits, records it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from bot import answers, conversation
from bot.commands import training_reply
from bot.messages import Reply
from snaplabel import registry
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Chat, Classifier, Message, TrainingRun

# How long a claimed answer is ours; a bot that dies in between frees it this late.
CLAIM_S = 60.0
# Photos of an album arrive one by one; this long after the last one it is taken to be whole.
ALBUM_QUIET_S = 1.0
# A photo that waits this long is told so.
PATIENCE_S = 15.0
FIRST_RETRY_S, LAST_RETRY_S = 2.0, 300.0


@dataclass(frozen=True)
class Outgoing:
    """An answer as it is sent. message None: it was never sent, so it is sent now; else that message is edited."""

    id: int
    platform: str
    chat: str
    reply: Reply
    revision: int
    message: str | None
    reply_to: str | None
    attempts: int


def compose(database: Database, settings: Settings, platforms: Sequence[str]) -> int:
    """Put answers under the photos that the worker has looked at; how many photos that were."""
    ready = select(Message.id).where(Message.platform.in_(platforms), Message.state == "classified")
    with database.read() as session:
        ids = list(session.scalars(ready.order_by(Message.id).limit(100)))
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
    query = select(Message.id).where(
        Message.platform.in_(platforms),
        Message.state == "waiting",
        Message.answer_id.is_(None),
        Message.received_at < long_ago,
    )
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


def claim(database: Database, platforms: Sequence[str], limit: int = 50) -> list[Outgoing]:
    """Take what chats should show and don't yet: one answer a chat, its oldest, so that none overtakes another."""
    moment = now()
    free = (Answer.claimed_until.is_(None)) | (Answer.claimed_until < moment)
    unshown = select(Answer).where(
        Answer.platform.in_(platforms), Answer.shown < Answer.revision, Answer.state == "open"
    )
    with database.read() as session:
        rows = session.scalars(unshown.order_by(Answer.id).limit(limit * 10)).all()
    oldest: dict[int, Answer] = {}
    for row in rows:
        oldest.setdefault(row.chat_id, row)
    wanted = [
        row.id
        for row in oldest.values()
        if row.not_before <= moment and (row.claimed_until is None or row.claimed_until < moment)
    ][:limit]
    if not wanted:
        return []
    taken = []
    with database.begin() as session:
        for answer_id in wanted:
            won = session.execute(
                update(Answer)
                .where(Answer.id == answer_id, Answer.shown < Answer.revision, free)
                .values(claimed_until=moment + timedelta(seconds=CLAIM_S))
                .execution_options(synchronize_session=False)
            )
            if getattr(won, "rowcount", 0):
                answer = session.get(Answer, answer_id, populate_existing=True)
                assert answer is not None
                taken.append(_outgoing(session, answer))
    return taken


def sent(database: Database, out: Outgoing, message_id: str) -> None:
    """Record that a chat shows this revision now, in this message."""
    _record(database, out, platform_id=message_id, shown=out.revision, attempts=0)


def refused(database: Database, out: Outgoing) -> None:
    """Record that the platform will never show this: the chat or the message is gone, or we were blocked."""
    _record(database, out, state="gone")


def put_off(database: Database, out: Outgoing, retry_after_s: float | None) -> float:
    """Try again later, when the platform wishes or with growing patience; seconds until then."""
    wait_s = retry_after_s if retry_after_s is not None else min(FIRST_RETRY_S * 2**out.attempts, LAST_RETRY_S)
    _record(database, out, attempts=out.attempts + 1, not_before=now() + timedelta(seconds=wait_s))
    return wait_s


def _record(database: Database, out: Outgoing, **values: object) -> None:
    with database.begin() as session:
        session.execute(update(Answer).where(Answer.id == out.id).values(claimed_until=None, **values))


def _outgoing(session: Session, answer: Answer) -> Outgoing:
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
    )
