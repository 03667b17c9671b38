"""How a photo's answer looks now: read from the database, so that it can be drawn again at any time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import questions, words
from bot.messages import Choice, Reply
from snaplabel import labels, photos, tally, trainings, voices
from snaplabel.errors import NothingToLearn
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.tables import Correction, Label, Message, Model, Person, Photo, Prediction

LABELS_A_PAGE = 10
Rows = tuple[tuple[Choice, ...], ...]


@dataclass(frozen=True)
class Seen:
    """What a model said of a photo, with names: top (label id, name, probability)."""

    top: tuple[tuple[int, str, float], ...]
    voice: str
    version: int

    @property
    def named(self) -> list[tuple[str, float]]:
        return [(name, chance) for _, name, chance in self.top]

    @property
    def shortlist(self) -> int:
        """How many of the first labels "one of these" names."""
        return voices.shortlist(self.named)

    @property
    def title(self) -> str:
        return voices.guess(self.voice, self.named, self.shortlist)[0]


def refusal(reason: str) -> str:
    """Why a photo can't be used, for its sender."""
    return voices.REFUSALS.get(reason, voices.REFUSALS["trouble"])


def seen(session: Session, photo_id: int) -> list[Seen]:
    """What the models said of this photo first and lately, under the names that labels have now; in between, each
    training may have said something, and nobody is told of it.
    """
    query = (
        select(Prediction, Model.version)
        .join(Model, Model.id == Prediction.model_id)
        .where(Prediction.photo_id == photo_id)
        .order_by(Prediction.id)
    )
    rows = session.execute(query).all()
    ends = [*rows[:1], *rows[1:][-1:]]
    named = labels.some(session, (label_id for prediction, _ in ends for label_id, _ in prediction.top))
    found = [_as_now(session, prediction, version) for prediction, version in ends]
    del named  # Held until now, so that the session asked once for all of them.
    return found


def _as_now(session: Session, prediction: Prediction, version: int) -> Seen:
    """What a model said, under the labels of now."""
    now = {label_id: labels.in_use(session, label_id) for label_id, _ in prediction.top}
    voice, top = voices.as_now(prediction.voice, prediction.top, now)
    return Seen(tuple((label.id, label.name, chance) for label, chance in top), voice, version)


def photo(session: Session, settings: Settings, message: Message) -> Reply:
    """The answer under one photo."""
    if message.failure is not None:
        return Reply(text=refusal(message.failure), mood="error")
    picture = session.get(Photo, message.photo_id) if message.photo_id else None
    if picture is None:
        return Reply(text=words.GETTING_READY)
    said = seen(session, picture.id)
    votes = _votes(session, picture)
    twin = photos.like(session, picture)
    if twin is not None and twin.label_id is not None:
        return _taught(session, settings, message, picture, twin, said, votes)
    if not said:
        return Reply(text=words.GETTING_READY)
    counted = tally.of(session, picture)
    if counted.is_question and len(counted.sides) > 1:
        return questions.reply(message, counted)
    latest = said[-1]
    title, text = voices.guess(latest.voice, latest.named, latest.shortlist)
    if votes:
        heard = " ".join(_said(message, person, label) for person, label in votes)
        waits = words.WAITS_FOR_AN_ADMIN if votes[-1][0].id in counted.waiting else words.waits_for_votes()
        text = f"{text}\n{heard} {waits}".strip()
    rows = _guesses(session, message, latest)
    if message.draft and not votes:
        asked, near = _about_draft(session, picture, message.draft, has_buttons=bool(rows))
        text = f"{text}\n{asked}".strip()
        if near is not None and near.id not in [label_id for label_id, _, _ in latest.top[:3]]:
            rows = ((Choice(near.name, f"as:{message.id}:{near.id}"),), *rows)
    return Reply(title, text, choices=rows, mood=latest.voice)


def _about_draft(session: Session, picture: Photo, draft: str, *, has_buttons: bool) -> tuple[str, Label | None]:
    """What to say of a name that taught nothing, since it is no label, and the label that was perhaps meant.

    "": it is a label by now.
    """
    meant = labels.meant(session, picture.classifier_id, draft)
    if meant.label is None:
        return words.no_such_label(draft, has_buttons=has_buttons), None
    return ("", None) if meant.is_sure else (words.did_you_mean(draft, meant.label.name), meant.label)


def _taught(
    session: Session,
    settings: Settings,
    message: Message,
    picture: Photo,
    twin: Photo,
    said: list[Seen],
    votes: list[tuple[Person, Label]],
) -> Reply:
    """The answer once people said what the photo shows."""
    label = labels.in_use(session, twin.label_id)
    assert label is not None
    counted = tally.of(session, picture)
    if counted.is_question and twin.id == picture.id:
        return questions.reply(message, counted, label)
    teachers = [person for person, voted in (votes or _votes(session, twin)) if voted.id == label.id]
    name = teachers[-1].name if teachers else ""
    rows: Rows = ((Choice("Change…", f"else:{message.id}:0"), Choice("Take back", f"undo:{message.id}")),)
    if not _votes(
        session, picture, since=message.received_at
    ):  # Somebody said it of this very picture before; here it only has to be remembered.
        rows = (
            (Choice(f"✓ {label.name}", f"as:{message.id}:{label.id}", "good"),),
            (Choice(words.SOMETHING_ELSE, f"else:{message.id}:0"),),
        )
        asked = _about_draft(session, picture, message.draft, has_buttons=False)[0] if message.draft else ""
        return Reply(label.name, f"{words.told(name)}.\n{asked}".strip(), choices=rows, mood="taught")
    if counted.sides and not counted.is_confirmed:
        # One press of an admin, and it counts in the exam too.
        rows = ((Choice(f"✓ {label.name}", f"as:{message.id}:{label.id}", "good"),), *rows)
    text = _said(message, teachers[-1] if teachers else None, label)
    if len(said) > 1 and said[-1].version != said[0].version and said[-1].top:
        before = said[0].title if said[0].top and said[0].title != said[-1].title else None
        is_known = said[-1].voice in ("sure", "maybe")
        news = words.now_says(said[-1].version, said[-1].title, before) if is_known else words.more_of_it(label.name)
        text += " " + news
    else:
        more = trainings.until_fine_tune(session, picture.classifier_id, settings.fine_tune_after)
        text += " " + words.thanks(more)
    return Reply(label.name, text, choices=rows, mood="taught")


def _said(message: Message, person: Person | None, label: Label) -> str:
    name, is_sender = (person.name, person.id == message.person_id) if person is not None else ("", False)
    return words.said(name, label.name, is_sender=is_sender)


def _votes(session: Session, picture: Photo, since: datetime | None = None) -> list[tuple[Person, Label]]:
    """Who says what of a photo, oldest first; since: only what was said after a moment."""
    query = (
        select(Person, Label)
        .join(Correction, Correction.person_id == Person.id)
        .join(Label, Label.id == Correction.label_id)
        .where(Correction.photo_id == picture.id, Correction.taken_back_at.is_(None))
        .order_by(Correction.changed_at)
    )
    if since is not None:
        query = query.where(Correction.changed_at >= since)
    return [(person, labels.in_use(session, label.id) or label) for person, label in session.execute(query)]


def _guesses(session: Session, message: Message, latest: Seen) -> Rows:
    """Buttons: right, the two next guesses, something else."""
    rows: list[tuple[Choice, ...]] = []
    if latest.top:
        first, *others = latest.top[:3]
        is_guess = latest.voice != "unknown"  # What none of the labels explains is not ticked beforehand.
        name, style = (f"✓ {first[1]}", "good") if is_guess else (first[1], "plain")
        rows.append((Choice(name, f"as:{message.id}:{first[0]}", style),))
        if others:
            rows.append(tuple(Choice(name, f"as:{message.id}:{label_id}") for label_id, name, _ in others))
    has_labels = session.scalar(
        select(Label.id).join(Photo, Photo.classifier_id == Label.classifier_id).where(Photo.id == message.photo_id)
    )
    if has_labels is not None:
        rows.append((Choice(words.SOMETHING_ELSE, f"else:{message.id}:0"),))
    return tuple(rows)


def label_list(session: Session, message: Message, classifier_id: int, page: int, text: str = "") -> Reply:
    """All labels as buttons, a page at a time."""
    known = labels.every(session, classifier_id)
    page = min(page, max(0, len(known) - 1) // LABELS_A_PAGE)
    shown = known[page * LABELS_A_PAGE : (page + 1) * LABELS_A_PAGE]
    buttons = [Choice(label.name, f"as:{message.id}:{label.id}") for label in shown]
    rows: list[tuple[Choice, ...]] = [tuple(buttons[n : n + 2]) for n in range(0, len(buttons), 2)]
    last = [Choice("← Back", f"back:{message.id}")]
    if page:
        last.append(Choice("↑ Earlier", f"else:{message.id}:{page - 1}"))
    if len(known) > (page + 1) * LABELS_A_PAGE:
        last.append(Choice("More ↓", f"else:{message.id}:{page + 1}"))
    rows.append(tuple(last))
    return Reply(text=text or words.which_one(), choices=tuple(rows))


def album(session: Session, settings: Settings, posts: Sequence[Message]) -> Reply:
    """The one answer under an album: a line a photo, and a button a photo to set it right."""
    lines, buttons, asked = [], [], dict[str, None]()
    for n, message in enumerate(posts, start=1):
        if message.failure is not None:
            lines.append(f"{n}. {refusal(message.failure)}")
            continue
        picture = session.get(Photo, message.photo_id) if message.photo_id else None
        twin = photos.like(session, picture) if picture else None
        said = seen(session, picture.id) if picture else []
        buttons.append(Choice(str(n), f"pick:{message.id}"))
        label = labels.in_use(session, twin.label_id) if twin else None
        if twin and label:
            if tally.of(session, twin).is_question:
                lines.append(f"{n}. {label.name}? {words.PEOPLE_DISAGREE}")
                continue
            teachers = [person.name for person, said_it in _votes(session, twin) if said_it.id == label.id]
            lines.append(f"{n}. {label.name} ✓ {words.told(teachers[-1] if teachers else '')}")
            continue
        if picture is not None and message.draft:
            asked[_about_draft(session, picture, message.draft, has_buttons=False)[0]] = None
        if said:
            lines.append(f"{n}. {words.line(said[-1].voice, said[-1].named, said[-1].shortlist)}")
        else:
            lines.append(f"{n}. …")
    rows = tuple(tuple(buttons[n : n + 5]) for n in range(0, len(buttons), 5))
    hint = "Wrong? Press its number." if buttons else ""
    return Reply(f"{len(posts)} photos", "\n".join(filter(None, (*lines, *asked, hint))), choices=rows)


def training(state: str, kind: str, progress: dict[str, object], failure: str | None, picture: str | None) -> Reply:
    """A training as its chat sees it, from asked-for to old score → new score."""
    name = "Full training" if kind == "fine_tune" else "Training"
    if state == "failed" and failure == str(NothingToLearn()):
        return Reply("Can't train yet", failure, mood="unknown")
    if state == "failed":
        return Reply(f"{name} failed", failure or "Something went wrong on my side.", mood="error")
    if state == "cancelled":
        return Reply(f"{name} stopped", "Nothing was changed.", mood="unknown")
    if state in ("queued", "running"):
        done = progress.get("done")
        share = float(done) if isinstance(done, int | float) else 0.0
        parts = [words.bar(share), str(progress.get("step") or ("waiting for its turn" if state == "queued" else ""))]
        if progress.get("epochs"):
            error = progress.get("error_rate")
            so_far = f", {voices.percent(1 - error)} right so far" if isinstance(error, int | float) else ""
            parts.append(f"epoch {progress.get('epoch')} of {progress.get('epochs')}{so_far}")
        return Reply(f"{name}…", "\n".join(part for part in parts if part), progress=share)
    old, new, version = progress.get("old_error"), progress.get("new_error"), progress.get("version")
    verdict = str(progress.get("verdict") or "")
    is_idle = "new_error" not in progress and not progress.get("published")
    if version is None or is_idle:
        text = verdict or "There was nothing new to learn."
        if isinstance(old, int | float):
            text += f" v{version} stays: {voices.percent(1 - old)} right on the exam."
        return Reply("No new version", text)
    if isinstance(new, int | float):
        before = f"{voices.percent(1 - old)} right → " if isinstance(old, int | float) else ""
        scores = f"{before}{voices.percent(1 - new)} right {_asked(progress)}"
    else:
        scores = "no exam yet: a few more labelled photos, and I can grade myself"
    text = f"{scores}\n{verdict}".strip()
    if progress.get("published"):
        return Reply(f"v{version} is live", text, picture=picture, mood="sure")
    rows = waiting_choices(int(str(version)))
    return Reply(f"v{version} is not better", text, picture=picture, choices=rows, mood="maybe")


def _asked(progress: dict[str, object]) -> str:
    """What a training's score was measured on, and how far chance may have moved it."""
    low, high, asked = (progress.get(name) for name in ("low", "high", "asked"))
    if not (isinstance(low, int | float) and isinstance(high, int | float) and isinstance(asked, int)):
        return "on the exam"
    where = "on the exam" if progress.get("by") == "exam" else "in a cross-validation"
    return f"{where} ({words.between(low, high)}, {words.number(asked, 'photo')})"


def waiting_choices(version: int) -> Rows:
    """What an admin may do with a version that was not published."""
    return ((Choice("Publish it anyway", f"promote:{version}"), Choice("Discard", f"discard:{version}", "danger")),)


def model_line(model: Model) -> str:
    """A version in one line."""
    card = Card.from_json(model.card)
    mark = {"current": "●", "candidate": "○", "discarded": "✕"}.get(model.state, " ")
    exam = card.exam
    right = f"{voices.percent(1 - exam.error)} right" if exam.error is not None else "not examined"
    # What it was made by comes last: on a phone that goes on below.
    kind = voices.KINDS.get(model.kind, model.kind)
    return f"{mark} v{model.version:<3} {right:<12} {model.created_at.astimezone():%d %b %H:%M}  {kind}"
