"""Labels and people by command, for admins: rename, merge, archive, other names; who corrected what, and a revert."""

import logging
from collections.abc import Callable

from sqlalchemy import Select, func, select

from bot import looks, rights, words
from bot.conversation import Known, Press, Talk, announce, command_of, ids_of, replace
from bot.messages import Choice, Command, Reply
from snaplabel import acts, corrections, labels, naming, people, standing
from snaplabel.errors import LabelError
from snaplabel.labels import LabelCount
from snaplabel.tables import Answer, Correction, Label, Message, Person, Photo

log = logging.getLogger(__name__)

# More would not fit a phone.
MOST_OFFERS = 3
MOST_TEACHERS = 20
MOST_REDRAWN = 50


def offers(talk: Talk, counted: list[LabelCount] | None = None) -> tuple[str, looks.Rows]:
    """Labels that may be the same, as sentences, and a button to merge each two. counted: they need no counting."""
    found = labels.duplicates(talk.session, talk.classifier_id, counted)[:MOST_OFFERS]
    text = " ".join(words.may_be_same(one.fewer.label.name, one.more.label.name) for one in found)
    rows = tuple(
        (
            Choice(
                f"Merge {one.fewer.label.name} into {one.more.label.name}",
                f"label-ask:{talk.message.id}:{one.fewer.label.id}:{one.more.label.id}",
            ),
        )
        for one in found
    )
    return text, rows


def _label(talk: Talk, argument: str) -> None:
    verb, _, rest = argument.partition(" ")
    act = ACTS.get(verb.lower())
    if act is None or not rest.strip():
        text, rows = offers(talk)
        talk.say(Reply("Labels by command", f"{words.LABEL_HELP}\n{text}".strip(), choices=rows))
        return
    try:
        talk.say(act(talk, rest.strip()))
    except LabelError as error:
        talk.say(Reply(text=str(error), mood="error"))


def _pair(text: str) -> tuple[str, str]:
    """The two names of "A = B" or "A into B". Raises LabelError when there are not two."""
    for between in ("=", "→", "->", " into "):
        left, found, right = text.partition(between)
        if found and left.strip() and right.strip():
            return left.strip(), right.strip()
    raise LabelError("Name two, with = between them. " + words.LABEL_HELP.splitlines()[1])


def _rename(talk: Talk, text: str) -> Reply:
    old, new = _pair(text)
    label = naming.find(talk.session, talk.classifier_id, old)
    before = label.name
    naming.rename(talk.session, label, new, person_id=talk.person.id)
    _learn(talk)
    return Reply(f"{before} is now called {label.name}", "People may go on using the old name.", mood="taught")


def _merge(talk: Talk, text: str) -> Reply:
    old, new = _pair(text)
    label, into = (naming.find(talk.session, talk.classifier_id, name) for name in (old, new))
    if label.id == into.id:
        raise LabelError(f"“{labels.clean(old)}” and “{labels.clean(new)}” are the same label already.")
    return _ask_merge(talk, talk.message, label, into)


def _ask_merge(talk: Talk, asked: Message, label: Label, into: Label) -> Reply:
    photos = naming.photos_of(talk.session, label)
    yes = Choice(f"Move {words.number(photos, 'photo')}", f"label-merge:{asked.id}:{label.id}:{into.id}", "danger")
    no = Choice("Leave it", f"label-no:{asked.id}")
    text = words.merge_question(label.name, into.name, photos)
    return Reply(f"Merge {label.name} into {into.name}?", text, choices=((yes, no),))


def _archive(talk: Talk, text: str) -> Reply:
    label = naming.find(talk.session, talk.classifier_id, text)
    photos = naming.photos_of(talk.session, label)
    yes = Choice(f"Put away {words.number(photos, 'photo')}", f"label-away:{talk.message.id}:{label.id}", "danger")
    no = Choice("Leave it", f"label-no:{talk.message.id}")
    return Reply(f"Archive {label.name}?", words.archive_question(label.name, photos), choices=((yes, no),))


def _restore(talk: Talk, text: str) -> Reply:
    label = naming.archived(talk.session, talk.classifier_id, text)
    needed = talk.settings.votes_needed
    photos = naming.restore(talk.session, label, person_id=talk.person.id, votes_needed=needed)
    _learn(talk)
    return Reply(f"{label.name} is back", f"It has {words.number(photos, 'photo')}.", mood="taught")


def _alias(talk: Talk, text: str) -> Reply:
    one, other = _pair(text)
    # Whichever of the two is a label gets the other as one more name.
    if labels.by_name(talk.session, talk.classifier_id, one) is None:
        one, other = other, one
    label = naming.find(talk.session, talk.classifier_id, one)
    made = naming.add_alias(talk.session, label, other, person_id=talk.person.id)
    return Reply(text=f"“{made.name}” is another name of {label.name} now.", mood="taught")


def _unalias(talk: Talk, text: str) -> Reply:
    label = naming.remove_alias(talk.session, talk.classifier_id, text, person_id=talk.person.id)
    return Reply(text=f"“{labels.clean(text)}” is no name of {label.name} any more.", mood="taught")


ACTS: dict[str, Callable[[Talk, str], Reply]] = {
    "rename": _rename,
    "merge": _merge,
    "archive": _archive,
    "restore": _restore,
    "alias": _alias,
    "unalias": _unalias,
}


def _asked_by_admin(talk: Talk, numbers: list[str]) -> Message | None:
    """The command that a button belongs to, for an admin; says why not to others, and where there is none."""
    return command_of(talk, numbers) if talk.may("press that") else None


def _pressed(labels_wanted: int, act: Callable[[Talk, Message, list[Label]], Reply]) -> Press:
    """A press under a command about labels, by an admin, in its own chat."""

    def run(talk: Talk, numbers: list[str]) -> None:
        asked = _asked_by_admin(talk, numbers)
        if asked is None:
            return
        found = [label for n in ids_of(numbers[1:]) if (label := talk.session.get(Label, n)) is not None]
        here = [one for one in found if one.classifier_id == talk.classifier_id and one.archived_at is None]
        is_same = len(here) == len(numbers) - 1 == labels_wanted
        replace(talk, asked, act(talk, asked, here) if is_same else Reply(text=words.LABELS_CHANGED))

    return run


def _merge_yes(talk: Talk, _asked: Message, pair: list[Label]) -> Reply:
    label, into = pair
    try:
        moved = naming.merge(
            talk.session, label, into, person_id=talk.person.id, votes_needed=talk.settings.votes_needed
        )
    except LabelError as error:
        return Reply(text=str(error), mood="error")
    _learn(talk)
    text = f"{words.number(moved, 'photo')} moved. /label restore {label.name} parts them again."
    return Reply(f"{label.name} is {into.name} now", text, mood="taught")


def _archive_yes(talk: Talk, _asked: Message, one: list[Label]) -> Reply:
    label = one[0]
    photos = naming.archive(talk.session, label, person_id=talk.person.id)
    _learn(talk)
    text = f"{words.number(photos, 'photo')} put away. /label restore {label.name} brings them back."
    return Reply(f"{label.name} is archived", text, mood="taught")


def _learn(talk: Talk) -> None:
    talk.rings.append(("train.learn", talk.classifier_id))


# People.


def _people(talk: Talk, _argument: str) -> None:
    classifier_id = None if talk.is_owner else talk.classifier_id
    found = standing.teachers(talk.session, MOST_TEACHERS, classifier_id=classifier_id)
    if not found:
        talk.say(Reply(text=words.NO_TEACHERS))
        return
    lines = []
    for one in found:
        who = f"{one.person.platform}:{one.person.platform_id}"
        is_admin = one.is_admin or people.is_admin(talk.settings.admins, one.person.platform, one.person.platform_id)
        said = words.record(one.record.agreed, one.record.counted, one.record.has_standing, is_admin)
        lines.append(words.teacher(who, one.person.name, one.corrections, said))
    text = "/revert with one of these takes back everything that they corrected."
    everybody = standing.count_teachers(talk.session, classifier_id=classifier_id)
    talk.say(Reply(words.number(everybody, "teacher"), text, table="\n".join(lines)))


def _revert(talk: Talk, argument: str) -> None:
    person = _person(talk, argument)
    if person is None:
        talk.say(Reply(text=words.WHOM_TO_REVERT, mood="error"))
        return
    name, theirs = person.name or "somebody", _photos_corrected(talk, person)
    count = talk.session.scalar(select(func.count()).select_from(theirs.subquery())) or 0
    if not talk.is_owner and not count:
        # A chat's admin need not learn who else there is.
        talk.say(Reply(text=words.WHOM_TO_REVERT, mood="error"))
        return
    if _is_beyond(talk, person) or _is_the_import(talk, person):
        return
    if not count:
        talk.say(Reply(text=f"There are no corrections by {name}."))
        return
    yes = Choice(f"Take back {words.number(count, 'correction')}", f"revert:{talk.message.id}:{person.id}", "danger")
    no = Choice("Leave them", f"label-no:{talk.message.id}")
    text = f"That is {words.number(count, 'correction')}; I learn again without them."
    talk.say(Reply(f"Take back everything that {name} corrected?", text, choices=((yes, no),)))


def _person(talk: Talk, argument: str) -> Person | None:
    """Whom a /revert means: platform:id; else whose post it replies to, or the last to correct the photo answered."""
    if argument:
        platform, _, number = argument.partition(":")
        query = select(Person).where(Person.platform == platform, Person.platform_id == number)
        return talk.session.scalar(query)
    if talk.post.reply_to is None:
        return None
    here = Message.chat_id == talk.chat.id
    post = talk.session.scalar(select(Message).where(here, Message.platform_id == talk.post.reply_to).limit(1))
    if post is not None:
        return talk.session.get(Person, post.person_id)
    ours = select(Answer.id).where(Answer.chat_id == talk.chat.id, Answer.platform_id == talk.post.reply_to)
    photos = select(Message.photo_id).where(here, Message.answer_id.in_(ours))
    voted = select(Person).join(Correction, Correction.person_id == Person.id)
    stands = Correction.photo_id.in_(photos), Correction.taken_back_at.is_(None), ~Correction.by_admin
    return talk.session.scalar(voted.where(*stands).order_by(Correction.changed_at.desc()).limit(1))


def _photos_corrected(talk: Talk, person: Person) -> Select[int]:
    """Ids of photos on which a person's votes stand, as far as they are this admin's to take back."""
    query = select(Correction.photo_id).where(Correction.person_id == person.id, Correction.taken_back_at.is_(None))
    if talk.is_owner:
        return query
    return query.join(Photo, Photo.id == Correction.photo_id).where(Photo.classifier_id == talk.classifier_id)


def _is_beyond(talk: Talk, person: Person) -> bool:
    """Whether this person's votes are none of a chat's admin's business; then they are told so."""
    if talk.is_owner or not rights.is_beyond(talk.session, talk.settings, person, talk.classifier_id):
        return False
    log.warning("person %s may not revert person %s: refused", talk.person.id, person.id)
    talk.say(Reply(text=words.NOT_OVER_ADMINS, mood="error"))
    return True


def _is_the_import(talk: Talk, person: Person) -> bool:
    """Whether these are the labels of `snaplabel import`, nobody's corrections; then that is said."""
    if person.platform != "local":
        return False
    talk.say(Reply(text=words.NOT_THE_IMPORT, mood="error"))
    return True


def _revert_yes(talk: Talk, numbers: list[str]) -> None:
    asked = _asked_by_admin(talk, numbers)
    if asked is None:
        return
    ids = ids_of(numbers[1:2])
    person = talk.session.get(Person, ids[0]) if ids else None
    if person is None:
        talk.say(Reply(text=words.OLD_BUTTON))
        return
    if _is_beyond(talk, person) or _is_the_import(talk, person):
        return
    theirs = _photos_corrected(talk, person)
    classifiers = talk.session.scalars(select(Photo.classifier_id).where(Photo.id.in_(theirs)).distinct()).all()
    shown = select(Message).where(Message.photo_id.in_(theirs), Message.answer_id.is_not(None))
    messages = talk.session.scalars(shown.order_by(Message.id.desc()).limit(MOST_REDRAWN)).all()
    here = None if talk.is_owner else talk.classifier_id
    count = corrections.revert_all(talk.session, person, votes_needed=talk.settings.votes_needed, classifier_id=here)
    facts = {"reverted_id": person.id, "corrections": count}
    acts.record(talk.session, "revert", classifier_id=here, person_id=talk.person.id, **facts)
    talk.rings.extend(("train.learn", classifier_id) for classifier_id in classifiers)
    for message in messages:
        announce(talk.session, talk.settings, message)
    text = f"{words.number(count, 'correction')} by {person.name or 'somebody'} taken back."
    replace(talk, asked, Reply("Reverted", text, mood="taught"))


def _leave(talk: Talk, _numbers: list[str]) -> None:
    asked = command_of(talk, _numbers)
    if asked is not None and talk.is_admin:
        replace(talk, asked, Reply(text=words.LEFT_AS_IT_IS))


COMMANDS: tuple[Known, ...] = (
    Known(Command("label", "rename, merge, archive labels; other names", "admins", "change"), _label),
    Known(Command("people", "who corrected how much", "admins"), _people),
    Known(Command("revert", "take back all that somebody corrected", "admins", "person"), _revert),
)
PRESSES: dict[str, Press] = {
    "label-ask": _pressed(2, lambda talk, asked, pair: _ask_merge(talk, asked, *pair)),
    "label-merge": _pressed(2, _merge_yes),
    "label-away": _pressed(1, _archive_yes),
    "label-no": _leave,
    "revert": _revert_yes,
}
