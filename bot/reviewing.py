"""The review, for admins: what to look at first, and a press that keeps, relabels or removes.

A review is one message, drawn anew from the database at every press. What a press needs is in its button: the command
that asked (M), the photo (P), a label (L) or an act (A), and how many photos were skipped before it (n).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from bot import answers, looks, words
from bot.conversation import Known, Press, Talk, ids_of
from bot.messages import Choice, Command, Reply
from snaplabel import labels, reviews, tally
from snaplabel.errors import ReviewError
from snaplabel.reviews import Item
from snaplabel.store import photo_key
from snaplabel.tables import Act, Answer, Label, Message, Photo

OURS = "rv-"
MOST_RIVALS = 4
# In these, another label is likelier than the present one, or as likely; in others it is no more than a hint.
LIKELY_WRONG = ("conflict", "mislabelled", "twins")


@dataclass(frozen=True)
class Done:
    """A decision, or the undoing of one. changed: label or removal, so that there is something to learn."""

    act: Act
    photo: Photo
    changed: bool


def decide(
    session: Session,
    classifier_id: int,
    photo_id: int,
    decision: str,
    label: Label | None = None,
    *,
    person_id: int,
    votes_needed: float,
) -> Done:
    """Keep, relabel or remove a photo, unless somebody else decided on it: then ReviewError says so.

    label: what a photo is relabelled to, or the one to be kept as the reviewer saw it. The same decision by the same
    person once more is the same act: a page whose answer got lost asks again.
    """
    photo = session.get(Photo, photo_id, with_for_update=True, populate_existing=True)
    if photo is None or photo.classifier_id != classifier_id:
        raise ReviewError(words.PHOTO_IS_GONE)
    standing = _standing(session, photo)
    if standing is not None:
        is_same = decision == "remove" or label is None or label.id == photo.label_id
        if is_same and standing.verb == decision and standing.person_id == person_id:
            return Done(standing, photo, changed=False)
        raise ReviewError(words.DECIDED_MEANWHILE)
    before = photo.label_id, photo.removed_at
    if decision == "keep":
        if label is not None and label.id != photo.label_id:
            raise ReviewError(words.LABEL_CHANGED_MEANWHILE)
        act = reviews.keep(session, photo, person_id=person_id, votes_needed=votes_needed)
    elif decision == "remove":
        act = reviews.remove(session, photo, person_id=person_id)
    else:
        assert decision == "relabel", decision
        assert label is not None
        act = reviews.relabel(session, photo, label, person_id=person_id, votes_needed=votes_needed)
    return Done(act, photo, changed=(photo.label_id, photo.removed_at) != before)


def undo(session: Session, classifier_id: int, act_id: int, *, person_id: int, votes_needed: float) -> Done:
    """Take a decision of this classifier back. Raises ReviewError when that can't be done, or was done already."""
    act = session.get(Act, act_id)
    if act is None or act.classifier_id != classifier_id or act.verb not in reviews.REVIEWS:
        raise ReviewError(words.PHOTO_IS_GONE)
    photo = session.get(Photo, act.photo_id, with_for_update=True, populate_existing=True) if act.photo_id else None
    if photo is None:
        raise ReviewError(words.PHOTO_IS_GONE)
    before = photo.label_id, photo.removed_at
    if not reviews.undo(session, act, person_id=person_id, votes_needed=votes_needed):
        raise ReviewError(words.UNDONE_MEANWHILE)
    return Done(act, photo, changed=(photo.label_id, photo.removed_at) != before)


def _standing(session: Session, photo: Photo) -> Act | None:
    """The decision by which a photo is what it is now.

    None: no reviewer decided on its present label, or somebody disagreed since, which asks anew.
    """
    if photo.removed_at is None and tally.of(session, photo).is_question:
        return None
    query = select(Act).where(Act.photo_id == photo.id, Act.verb.in_(reviews.REVIEWS), Act.undone_at.is_(None))
    for act in session.scalars(query.order_by(Act.id.desc())):
        is_out = photo.removed_at is not None
        if (is_out and act.verb == "remove") or (not is_out and act.facts.get("label_id") == photo.label_id):
            return act
    return None


# In a chat.


def _review(talk: Talk, _argument: str) -> None:
    earlier = (
        select(Answer)
        .join(Message, Message.answer_id == Answer.id)
        .where(Message.chat_id == talk.chat.id, Message.person_id == talk.person.id, Answer.state == "open")
    )
    for answer in talk.session.scalars(earlier.order_by(Answer.id.desc()).limit(50)):
        if _is_review(answer):
            answers.show(talk.session, answer, Reply(text=words.REVIEW_GOES_ON, picture=""))
    talk.say(_drawn(talk, talk.message, 0))


def _drawn(talk: Talk, asked: Message, skipped: int, note: str = "") -> Reply:
    """The review as it is now. note: what became of the last press."""
    session, classifier_id = talk.session, talk.classifier_id
    found, total = reviews.page(session, classifier_id, limit=1, offset=skipped)
    mine = _decided_since(talk, asked)
    undo_it = (Choice("Undo", f"rv-undo:{asked.id}:{mine[0]}:{skipped}"),) if mine else ()
    again = Choice("Look again", f"rv-show:{asked.id}:0")
    if not found:
        if total:
            text = f"{words.SEEN_IT_ALL} {words.left(total, total + len(mine), total)}"
        else:
            text = words.review_done(len(mine)) if mine else words.NOTHING_TO_REVIEW
        return Reply(text=f"{note}\n{text}".strip(), choices=((again, *undo_it),), picture="")
    item = found[0]
    photo = session.get_one(Photo, item.photo_id)
    label = item.label.name if item.label is not None else None
    suggested = item.suggested.name if item.suggested is not None else None
    votes = [(voted.name, n) for voted, n in item.votes]
    reason = words.why(item.kind, label, suggested, votes)
    text = f"{reason}\n\n{note} {words.left(total, total + len(mine), skipped)}".replace("\n\n ", "\n\n")
    rows = _choices(asked, item, skipped, undo_it)
    title = words.question(item.kind, label, suggested)
    return Reply(title, text, choices=rows, picture=photo_key(photo.sha256), mood="maybe")


def _choices(asked: Message, item: Item, skipped: int, undo_it: tuple[Choice, ...]) -> looks.Rows:
    here = f"{asked.id}:{item.photo_id}"
    kept = item.label.id if item.label is not None else None
    rivals = {label.id: label for label in (item.suggested, *(voted for voted, _ in item.votes)) if label is not None}
    rivals.pop(kept or 0, None)
    style = "good" if item.kind in LIKELY_WRONG else "plain"
    other = [
        Choice(f"It's “{label.name}”", f"rv-as:{here}:{label.id}:{skipped}", "plain" if n else style)
        for n, label in enumerate(list(rivals.values())[:MOST_RIVALS])
    ]
    keep = [Choice(f"Keep “{item.label.name}”", f"rv-keep:{here}:{kept}:{skipped}")] if item.label is not None else []
    rows = [tuple(other[n : n + 2]) for n in range(0, len(other), 2)]
    rows.append((*keep, Choice(words.SOMETHING_ELSE, f"rv-else:{here}:0:{skipped}")))
    skip = Choice("Skip", f"rv-show:{asked.id}:{skipped + 1}")
    rows.append((Choice("Remove", f"rv-out:{here}:{skipped}", "danger"), skip, *undo_it))
    return tuple(rows)


def _decided_since(talk: Talk, asked: Message) -> list[int]:
    """The acts of this person that stand since they asked for this review, newest first."""
    query = select(Act.id).where(
        Act.classifier_id == talk.classifier_id,
        Act.person_id == talk.person.id,
        Act.verb.in_(reviews.REVIEWS),
        Act.undone_at.is_(None),
        Act.created_at >= asked.received_at,
    )
    return list(talk.session.scalars(query.order_by(Act.id.desc())))


# Presses.


def _pressed(numbers_wanted: int, act: Callable[[Talk, Message, list[int]], Reply]) -> Press:
    """A press under a review, by an admin, in its own chat; the first number is the command that asked."""

    def run(talk: Talk, numbers: list[str]) -> None:
        ids = ids_of(numbers)
        if not talk.may("review"):
            return
        asked = talk.session.get(Message, ids[0]) if len(ids) == len(numbers) == numbers_wanted else None
        answer = talk.session.get(Answer, asked.answer_id) if asked is not None and asked.answer_id else None
        if asked is None or asked.chat_id != talk.chat.id or answer is None or not _is_review(answer):
            talk.say(Reply(text=words.OLD_BUTTON))
            return
        answers.show(talk.session, answer, act(talk, asked, ids[1:]))

    return run


def _is_review(answer: Answer) -> bool:
    rows = Reply.from_json(answer.content).choices
    return any(choice.data.startswith(OURS) for row in rows for choice in row)


def hide(session: Session, store_keys: Sequence[str]) -> None:
    """Take erased photos out of the reviews that show them; any of their buttons leads on to the next photo."""
    for answer in answers.showing(session, store_keys):
        shown = Reply.from_json(answer.content)
        answers.show(session, answer, replace(shown, title="", text=words.ERASED, picture=""))


def _decision(decision: str) -> Callable[[Talk, Message, list[int]], Reply]:
    def press(talk: Talk, asked: Message, ids: list[int]) -> Reply:
        photo_id, *rest, skipped = ids
        label = talk.session.get(Label, rest[0]) if rest else None
        if rest and (label is None or label.classifier_id != talk.classifier_id):
            return _drawn(talk, asked, skipped, words.LABEL_CHANGED_MEANWHILE)
        needed = talk.settings.votes_needed
        try:
            done = decide(
                *(talk.session, talk.classifier_id, photo_id, decision, label),
                person_id=talk.person.id,
                votes_needed=needed,
            )
        except ReviewError as error:
            return _drawn(talk, asked, skipped, str(error))
        if done.changed:
            talk.rings.append(("train.learn", talk.classifier_id))
        return _drawn(talk, asked, skipped, words.decided(decision, label.name if label is not None else None))

    return press


def _undo(talk: Talk, asked: Message, ids: list[int]) -> Reply:
    act_id, skipped = ids
    needed = talk.settings.votes_needed
    try:
        done = undo(talk.session, talk.classifier_id, act_id, person_id=talk.person.id, votes_needed=needed)
    except ReviewError as error:
        return _drawn(talk, asked, skipped, str(error))
    if done.changed:
        talk.rings.append(("train.learn", talk.classifier_id))
    return _drawn(talk, asked, skipped, words.UNDONE)


def _show(talk: Talk, asked: Message, ids: list[int]) -> Reply:
    return _drawn(talk, asked, ids[0])


def _labels(talk: Talk, asked: Message, ids: list[int]) -> Reply:
    """All labels as buttons, a page at a time, under the same photo."""
    photo_id, page, skipped = ids
    photo = talk.session.get(Photo, photo_id)
    if photo is None or photo.classifier_id != talk.classifier_id:
        return _drawn(talk, asked, skipped, words.PHOTO_IS_GONE)
    known = labels.every(talk.session, talk.classifier_id)
    page = min(page, max(0, len(known) - 1) // looks.LABELS_A_PAGE)
    start = page * looks.LABELS_A_PAGE
    shown = known[start : start + looks.LABELS_A_PAGE]
    here = f"{asked.id}:{photo_id}"
    buttons = [Choice(label.name, f"rv-as:{here}:{label.id}:{skipped}") for label in shown]
    rows: list[tuple[Choice, ...]] = [tuple(buttons[n : n + 2]) for n in range(0, len(buttons), 2)]
    last = [Choice("← Back", f"rv-show:{asked.id}:{skipped}")]
    if page:
        last.append(Choice("↑ Earlier", f"rv-else:{here}:{page - 1}:{skipped}"))
    if len(known) > start + looks.LABELS_A_PAGE:
        last.append(Choice("More ↓", f"rv-else:{here}:{page + 1}:{skipped}"))
    return Reply(text=words.WHICH_IS_IT, choices=(*rows, tuple(last)), picture=photo_key(photo.sha256))


COMMANDS: tuple[Known, ...] = (Known(Command("review", "photos whose label looks wrong", "admins"), _review),)
PRESSES: dict[str, Press] = {
    "rv-keep": _pressed(4, _decision("keep")),
    "rv-as": _pressed(4, _decision("relabel")),
    "rv-out": _pressed(3, _decision("remove")),
    "rv-undo": _pressed(3, _undo),
    "rv-show": _pressed(2, _show),
    "rv-else": _pressed(4, _labels),
}
