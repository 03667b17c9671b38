"""/report: how well a version does, in words at once, and as a picture as soon as the trainer has drawn it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bot import answers, looks, words
from bot.conversation import Known, Talk
from bot.messages import Command, Reply
from snaplabel import registry, reports, voices
from snaplabel.database import Database, now
from snaplabel.errors import ModelError
from snaplabel.registry import Card, Exam
from snaplabel.tables import Answer, Message, Model, TrainingRun

# What a command awaits is its message's draft: this and the id of the training run. Other drafts are names, which are
# always one line.
AWAITS = "report\n"
PATIENCE_S = 60.0
# A picture is drawn within seconds, so only the last messages can be waiting for one.
LATEST = 2000
HARDEST = 8
# With count and bar beside it, a longer name would not fit a line of a phone.
NAME_LETTERS = 18


def _report(talk: Talk, argument: str) -> None:
    wanted = argument.lower().removeprefix("v")
    try:
        if wanted and not wanted.isdecimal():
            raise ModelError("Write /report, or /report 3 for a certain version.")
        model = (
            registry.find(talk.session, talk.classifier_id, int(wanted[:9]))
            if wanted
            else registry.current(talk.session, talk.classifier_id)
        )
    except ModelError as error:
        talk.say(Reply(text=str(error), mood="error"))
        return
    if model is None:
        talk.say(Reply(text=words.GETTING_READY_TO_LEARN))
        return
    run = reports.run_of(talk.session, model)
    is_awaited = run is not None and run.picture is None and model.card["exam"]["error"] is not None
    talk.say(look(talk.session, model, run, words.DRAWING if is_awaited else ""))
    if run is not None and is_awaited:
        talk.message.draft = f"{AWAITS}{run.id}"
        talk.rings.append(("train.report", run.id))


def waiting(session: Session, classifier_id: int) -> Model | None:
    """The newest version that waits for an admin's word, if it is newer than the one that answers."""
    here = registry.current(session, classifier_id)
    query = select(Model).where(Model.classifier_id == classifier_id, Model.state == "candidate")
    if here is not None:
        query = query.where(Model.version > here.version)
    return session.scalar(query.order_by(Model.version.desc()).limit(1))


def look(session: Session, model: Model, run: TrainingRun | None, hint: str = "") -> Reply:
    """How well a version does, from its card. run: the training that made it. hint: a last sentence."""
    card = Card.from_json(model.card)
    exam, facts = card.exam, run.progress if run is not None else {}
    parent = session.get(Model, model.parent_id) if model.parent_id is not None else None
    lines = []
    title = f"v{model.version}: no exam yet"
    if exam.error is not None:
        title = f"v{model.version}: {voices.percent(1 - exam.error)} right"
        lines.append(
            f"{words.number(exam.photos, 'photo')} {words.asked_by(exam.by)}: {words.between(exam.low, exam.high)}."
        )
    old = facts.get("old_error")
    if isinstance(old, int | float) and exam.error is not None and parent is not None:
        lines.append(words.turned(parent.version, old, exam.error, facts.get("fixed", 0), facts.get("broken", 0)))
    if exam.ece is not None and exam.ece_by_chance is not None:
        lines.append(words.calibration(exam.ece, exam.ece_by_chance))
    lines += [line for line in (card.verdict, hint) if line]
    rows = looks.waiting_choices(model.version) if model.state == "candidate" else ()
    mood = {"current": "sure", "candidate": "maybe"}.get(model.state, "")
    picture = run.picture if run is not None else None
    return Reply(title, "\n".join(lines), _hardest(exam), rows, picture, mood=mood)


def _hardest(exam: Exam) -> str:
    """The labels that come out wrong most, as a table."""
    asked = sorted(exam.recall.items(), key=lambda item: (item[1][0] / item[1][1], -item[1][1]))
    # A line that says "1 more" could as well name it.
    most = HARDEST + 1 if len(asked) == HARDEST + 1 else HARDEST
    shown = [(words.cut(name, NAME_LETTERS), right, all_) for name, (right, all_) in asked[:most]]
    width = max((len(name) for name, _, _ in shown), default=0)
    digits = max((len(str(all_)) for _, _, all_ in shown), default=0)
    lines = [
        f"{name:<{width}} {right:>{digits}} of {all_:<{digits}} {words.block(right / all_, 6)}"
        for name, right, all_ in shown
    ]
    if len(asked) > most:
        lines.append(f"… and {len(asked) - most} more")
    return "\n".join(lines)


def follow(database: Database, platforms: Sequence[str]) -> None:
    """Show the pictures that were drawn since, and say where one does not come."""
    newest = select(func.max(Message.id)).scalar_subquery()
    query = select(Message.id).where(
        Message.id > newest - LATEST, Message.platform.in_(platforms), Message.draft.startswith(AWAITS)
    )
    with database.read() as session:
        waiting = [n for n in session.scalars(query) if _outcome(session, session.get_one(Message, n)) is not None]
    if waiting:
        with database.begin() as session:
            for message in session.scalars(select(Message).where(Message.id.in_(waiting))):
                reply, answer = _outcome(session, message), session.get(Answer, message.answer_id)
                if reply is not None and answer is not None:
                    answers.show(session, answer, reply)
                message.draft = None


def _outcome(session: Session, message: Message) -> Reply | None:
    """What a command that awaits a picture shows from now on; None while it still waits."""
    number = (message.draft or "").removeprefix(AWAITS)
    run = session.get(TrainingRun, int(number)) if number.isdecimal() else None
    model = session.get(Model, run.model_id) if run is not None and run.model_id is not None else None
    if run is None or model is None:
        return Reply(text=words.OLD_BUTTON)
    if run.picture is not None:
        return look(session, model, run)
    is_late = message.answered_at is not None and now() - message.answered_at > timedelta(seconds=PATIENCE_S)
    return look(session, model, run, words.NOT_DRAWN) if is_late else None


def erase(session: Session, classifier_ids: Sequence[int]) -> list[str]:
    """Take the pictures of these classifiers' reports out of every chat, since they show photos; keys to delete."""
    keys = reports.undraw(session, classifier_ids)
    for answer in answers.showing(session, keys):
        answers.show(session, answer, replace(Reply.from_json(answer.content), picture=""))
    return keys


COMMANDS: tuple[Known, ...] = (
    Known(Command("report", "how well a version does, as a picture", "everyone", "version"), _report),
)
