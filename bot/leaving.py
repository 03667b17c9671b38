"""/forget: a person's photos, corrections, posts and name are erased, in the chats' messages of ours too."""

import json
import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import Text, cast, or_, select
from sqlalchemy.orm import Session

from bot import answers, conversation, looks, reporting, reviewing, words
from bot.conversation import Known, Press, Talk, command_of, replace, show_in
from bot.messages import Choice, Command, Reply
from snaplabel import forgetting
from snaplabel.forgetting import Gone
from snaplabel.settings import Settings
from snaplabel.tables import Answer, Message, Person, Photo

# So many messages, the newest, are edited in their chats; in the database all of them are.
MOST_EDITED = 200
NOBODY = "somebody"


def erase(session: Session, settings: Settings, person: Person, keep: Collection[int] = ()) -> tuple[Gone, list[str]]:
    """Erase a person everywhere in the database; also the keys to delete from the store after the commit.

    keep: messages whose rows are needed until their answer is shown.
    """
    name, address, number = person.name, f"{person.platform}:{person.platform_id}", person.platform_id
    gone = forgetting.forget(session, person, votes_needed=settings.votes_needed, keep=keep)
    keys = list(gone.store_keys)
    reviewing.hide(session, gone.store_keys)
    if gone.photos:
        keys += reporting.erase(session, gone.classifier_ids)
    for answer_id in gone.answer_ids:
        _show(session, session.get(Answer, answer_id), Reply(text=words.ERASED, picture=""), is_edited=True)
    drawn = _draw_anew(session, settings, gone.corrected)
    patterns = [re.compile(rf"(?<!\w){re.escape(part)}(?!\w)") for part in (address, number, name) if part]
    for answer in _naming(session, (name, number)):
        if answer.id not in drawn:
            content = _without(answer.content, patterns)
            _show(session, answer, Reply.from_json(content), is_edited=True)
    return gone, keys


def _draw_anew(session: Session, settings: Settings, photo_ids: Collection[int]) -> set[int]:
    """Show the photos that a person had corrected, and those that look alike, as if they had said nothing."""
    drawn: set[int] = set()
    ids = sorted(photo_ids)
    for start in range(0, len(ids), forgetting.MANY):
        groups = select(Photo.group_id).where(Photo.id.in_(ids[start : start + forgetting.MANY]))
        query = select(Message).join(Photo, Photo.id == Message.photo_id).where(Photo.group_id.in_(groups))
        for message in session.scalars(query.where(Message.answer_id.is_not(None)).order_by(Message.id.desc())):
            if message.answer_id is None or message.answer_id in drawn:
                continue
            drawn.add(message.answer_id)
            if message.album is None:
                reply = looks.photo(session, settings, message)
            else:
                reply = looks.album(session, settings, conversation.album(session, message))
            _show(session, session.get(Answer, message.answer_id), reply, is_edited=len(drawn) <= MOST_EDITED)
    return drawn


def _naming(session: Session, parts: Collection[str]) -> list[Answer]:
    """Our messages in which one of these words may stand. They lie in the database as JSON writes them."""
    written = [json.dumps(part)[1:-1] for part in parts if part]
    if not written:
        return []
    content = cast(Answer.content, Text)
    query = select(Answer).where(or_(*(content.contains(part, autoescape=True) for part in written)))
    return list(session.scalars(query.order_by(Answer.id.desc())))


def _without(content: Any, patterns: list[re.Pattern[str]]) -> Any:
    """The same with these words replaced; buttons keep what they carry, which is numbers of ours."""
    if isinstance(content, dict):
        return {key: value if key == "data" else _without(value, patterns) for key, value in content.items()}
    if isinstance(content, list):
        return [_without(value, patterns) for value in content]
    if isinstance(content, str):
        for pattern in patterns:
            content = pattern.sub(NOBODY, content)
    return content


def _show(session: Session, answer: Answer | None, reply: Reply, *, is_edited: bool) -> None:
    """Put words into a message of ours. is_edited: its chat sees them too, if it still can."""
    if answer is None:
        return
    if is_edited and answer.state == "open":
        answers.show(session, answer, reply)
    else:
        answer.content = reply.to_json()


def _forget(talk: Talk, _argument: str) -> None:
    mine = forgetting.count(talk.session, talk.person)
    erase_it, keep_it = ("Erase them", "Keep them") if mine.photos or mine.corrections else ("Forget me", "Leave it")
    yes = Choice(erase_it, f"forget:{talk.message.id}", "danger")
    no = Choice(keep_it, f"keep:{talk.message.id}")
    talk.say(Reply("Forget you?", words.forget_question(mine.photos, mine.corrections), choices=((yes, no),)))


def _forget_yes(talk: Talk, numbers: list[str]) -> None:
    asked = command_of(talk, numbers, own=True)
    if asked is None:
        return
    answer_id = asked.answer_id
    gone, keys = erase(talk.session, talk.settings, talk.person, keep=(asked.id, talk.message.id))
    talk.erased.extend(keys)
    talk.session.expire(asked)
    show_in(talk, answer_id, Reply("Forgotten", words.forgotten(gone.photos, gone.corrections, gone.versions)))
    talk.rings.extend(("train.learn", classifier_id) for classifier_id in gone.classifier_ids)


def _forget_no(talk: Talk, numbers: list[str]) -> None:
    asked = command_of(talk, numbers, own=True)
    if asked is not None:
        replace(talk, asked, Reply(text=words.KEPT))


COMMANDS: tuple[Known, ...] = (Known(Command("forget", "erase my photos and corrections"), _forget),)
PRESSES: dict[str, Press] = {"forget": _forget_yes, "keep": _forget_no}
