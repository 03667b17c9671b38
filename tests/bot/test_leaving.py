"""Forgetting somebody: afterwards nothing of theirs is in the database, in its file, or in the store."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import MetaData, select

from bot import leaving, reception
from bot.messages import Reply
from snaplabel import acts, backbones, expiry, forgetting, people, trainings
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.store import photo_key
from snaplabel.tables import (
    Act,
    Answer,
    Chat,
    Embedding,
    Message,
    Model,
    Person,
    Photo,
    TrainingPhoto,
    TrainingRun,
)
from tests.bot.room import ADMIN, NAMES, OTHER, Room

# Names and numbers that are nothing else's.
WHO, NAME, HOME, POST = "700100200300", "Zöë Quux", "700100200300", "880088001"


def dump(room: Room) -> str:
    """Every row of every table, as JSON writes it and as people read it."""
    tables = MetaData()
    tables.reflect(room.database.engine)
    lines = []
    with room.database.read() as session:
        for table in tables.sorted_tables:
            lines += [f"{table.name}: {tuple(row)}" for row in session.execute(select(table))]
    text = "\n".join(lines)
    return text + text.encode("ascii", "backslashreplace").decode() + text.encode().decode("unicode_escape", "ignore")


def files(room: Room, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below the test's folder: database, its log, the store."""
    for path in tmp_path.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(tmp_path)), path.read_bytes()


def traces(room: Room, tmp_path: Path, shas: list[str], ids: list[int]) -> list[str]:
    """Where something of the person still is."""
    everything = dump(room)
    words = [WHO, NAME, POST, json.dumps(NAME)[1:-1], "my secret words", *shas]
    found = [f"database: {word}" for word in words if word in everything]
    for name, data in files(room, tmp_path):
        found += [f"{name}: {word}" for word in words if word.encode() in data or word in name]
    with room.database.read() as session:
        left = select(Photo.id).where(Photo.id.in_(ids), Photo.sha256.in_(shas))
        assert session.scalars(left).all() == []
    return found


def be_everywhere(room: Room) -> tuple[list[str], list[int], str, str]:
    """Let somebody leave traces in every way there is; their photos' bytes and ids, and where they asked in private."""
    mine = {"name": NAME, "chat": "room"}
    private = {"name": NAME, "chat": HOME, "is_private": True}
    group_photo = room.photo(1, WHO, **mine)
    room.photo(2, WHO, "#Newcastle", **mine)
    theirs = room.photo(3, OTHER)
    room.photo(4, WHO, **private)
    room.work("sure", Juventus=0.93)
    room.say("my secret words", WHO, reply_to=group_photo, **mine)
    room.say("Newcastle", WHO, reply_to=theirs, **mine)
    room.say("Newcastle", WHO, reply_to=group_photo, **mine)
    room.say("/labels", WHO, message=POST, **mine)
    room.say("/start", WHO, **private)
    room.say("my secret words", WHO, **private)
    room.say("/stats", OTHER)
    room.say("/people", ADMIN)
    room.say(f"/revert test:{WHO}", ADMIN)
    with room.database.begin() as session:
        person = session.scalars(select(Person).where(Person.platform_id == WHO)).one()
        photos = session.scalars(select(Photo).where(Photo.person_id == person.id)).all()
        model = session.scalars(select(Model).where(Model.state == "current")).one()
        for photo in photos:
            session.add(
                Embedding(photo_id=photo.id, backbone="tiny-1", vector=backbones.to_bytes(np.ones(4, np.float32)))
            )
        taught = next(photo for photo in photos if photo.label_id is not None)
        session.add(TrainingPhoto(photo_id=taught.id, first_version=model.version, label_id=taught.label_id))
        trainings.ask(session, 1, "refit", "command", person_id=person.id)
        acts.record(session, "keep", classifier_id=1, person_id=person.id, photo_id=taught.id, label_id=taught.label_id)
        shas, ids = [photo.sha256 for photo in photos], [photo.id for photo in photos]
    room.deliver()
    return shas, ids, group_photo, theirs


def sweep(room: Room) -> None:
    """What the trainer's clock does."""
    expiry.Sweeper(room.database, room.store, 0).tick()


def test_after_forget_nothing_of_a_person_is_left_anywhere(room: Room, tmp_path: Path) -> None:
    # Given somebody who is known in every way
    shas, ids, _, theirs = be_everywhere(room)
    assert len(traces_before := [word for word in (WHO, NAME, *shas) if word in dump(room)]) == 5, traces_before

    # When they wish to be forgotten, in their private chat
    room.say("/forget", WHO, name=NAME, chat=HOME, is_private=True)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME, chat=HOME, is_private=True)
    farewell = room.shown()
    room.deliver()
    sweep(room)

    # Then they were told, and no trace is left
    assert farewell.title == "Forgotten"
    assert "They had taught v0" in farewell.text
    assert traces(room, tmp_path, shas, ids) == []
    assert room.label_of(theirs) is None
    assert room.store.has(photo_key(_sha(room)))
    with room.database.read() as session:
        assert session.scalars(select(Person.platform_id).order_by(Person.id)).all() == [OTHER, ADMIN]
        assert session.scalars(select(Chat.platform_id)).all() == ["room"]
        assert session.scalars(select(TrainingRun.person_id)).all() == [None]


def _button(room: Room, text: str) -> str:
    rows = Reply.from_json(room.last().content).choices
    return next(choice.data for row in rows for choice in row if choice.text == text)


def _sha(room: Room) -> str:
    with room.database.read() as session:
        return session.scalars(select(Photo.sha256)).one()


def test_the_last_answer_is_waited_for_before_the_chat_is_forgotten(room: Room) -> None:
    be_everywhere(room)
    room.say("/forget", WHO, name=NAME, chat=HOME, is_private=True)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME, chat=HOME, is_private=True)

    sweep(room)
    with room.database.read() as session:
        waiting = session.scalars(select(Chat.platform_id).order_by(Chat.id)).all()
    shown = [out.chat for out in room.deliver()]
    sweep(room)

    assert waiting == ["room", HOME]
    assert HOME in shown
    with room.database.read() as session:
        assert session.scalars(select(Chat.platform_id)).all() == ["room"]


def test_a_platform_that_takes_no_answer_is_not_waited_for_for_ever(room: Room) -> None:
    be_everywhere(room)
    room.say("/forget", WHO, name=NAME, chat=HOME, is_private=True)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME, chat=HOME, is_private=True)
    with room.database.begin() as session:
        leaver = session.scalars(select(Person).where(Person.platform_id.startswith(forgetting.LEAVING))).one()
        leaver.created_at = now() - timedelta(days=2)

    sweep(room)

    with room.database.read() as session:
        assert session.scalars(select(Chat.platform_id)).all() == ["room"]


def test_whoever_writes_again_after_being_forgotten_is_somebody_new(room: Room) -> None:
    be_everywhere(room)
    private = {"name": NAME, "chat": HOME, "is_private": True}
    room.say("/forget", WHO, **private)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), **private)
    room.say("hello again", WHO, **private)
    room.deliver()

    sweep(room)

    with room.database.read() as session:
        again = session.scalars(select(Person).where(Person.platform_id == WHO)).one()
        assert session.scalars(select(Message.person_id).join(Chat).where(Chat.platform_id == HOME)).all() == [again.id]


def test_an_answer_to_a_teacher_who_left_names_them_no_more(room: Room) -> None:
    theirs = room.photo(3, OTHER)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", WHO, reply_to=theirs, name=NAME)
    room.say("/stats", OTHER)
    room.deliver()
    named = [answer.content for answer in room.answers() if NAME in json.dumps(answer.content, ensure_ascii=False)]

    room.say("/forget", WHO, name=NAME)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME)

    assert len(named) == 2
    assert room.answers()[0].content["title"] == "Juventus, quite sure"
    assert "somebody 1" in room.answers()[1].content["text"]


def test_bytes_that_another_classifier_needs_stay(room: Room) -> None:
    from snaplabel import people

    room.photo(1, WHO, name=NAME)
    with room.database.begin() as session:
        chat = people.chat(session, "test", "birders")
        chat.classifier_id = people.make_classifier(session, "birds").id
    room.photo(1, OTHER, chat="birders")

    room.say("/forget", WHO, name=NAME)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME)

    assert room.store.has(photo_key(_sha(room)))


def test_what_admins_did_to_erased_photos_stays_as_who_and_when(room: Room) -> None:
    room.photo(1, WHO, "#Newcastle", name=NAME)
    with room.database.begin() as session:
        admin = Person(platform="test", platform_id=ADMIN, name=NAMES[ADMIN])
        session.add(admin)
        session.flush()
        photo = session.scalars(select(Photo)).one()
        acts.record(session, "remove", classifier_id=1, person_id=admin.id, photo_id=photo.id, label_id=photo.label_id)

    room.say("/forget", WHO, name=NAME)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME)

    with room.database.read() as session:
        removal = session.scalars(select(Act).where(Act.verb == "remove")).one()
        assert (removal.photo_id, acts.who(session, removal)) == (None, "Anna (test:1)")
        assert acts.what(session, removal) == "took out a photo that was erased since"


def test_a_group_stays_one_group_when_its_first_photo_is_erased(room: Room) -> None:
    for n, who in enumerate((WHO, OTHER, OTHER)):
        room.photo(n, who)
    with room.database.begin() as session:
        for photo in session.scalars(select(Photo)):
            photo.group_id = 1
        leaver = session.scalars(select(Person).where(Person.platform_id == WHO)).one()
        leaving.erase(session, room.settings, leaver)

    with room.database.read() as session:
        assert session.scalars(select(Photo.group_id)).all() == [2, 2]


def test_somebody_without_photos_can_have_it_forgotten_that_they_wrote(room: Room) -> None:
    room.say("/help", WHO, name=NAME)

    room.say("/forget", WHO, name=NAME)
    room.post(WHO, kind="press", data=_button(room, "Forget me"), name=NAME)
    room.deliver()
    sweep(room)

    assert WHO not in dump(room)
    assert NAME not in dump(room)


def test_whoever_only_sends_photos_is_not_known_by_name(room: Room) -> None:
    photo = room.photo(1, WHO, name=NAME)
    room.work("sure", Juventus=0.93)
    before = NAME in dump(room)

    room.say("Newcastle", WHO, reply_to=photo, name=NAME)

    assert not before
    assert f"{NAME} said: Newcastle." in room.shown().text


@pytest.mark.parametrize("end", ["answered", "failed", "gone", "worn out"])
def test_what_people_wrote_is_emptied_however_it_ends(room: Room, end: str) -> None:
    if end == "answered":
        room.say("my secret words", is_private=True)
    elif end == "failed":
        room.photo(1, caption="my secret words", data_bytes=b"no photo at all")
    elif end == "gone":
        photo = room.photo(1, caption="my secret words")
        room.post(kind="deleted", reply_to=photo)
    else:
        from bot.messages import Incoming

        post = Incoming("test", "room", "77", "2", "text", text="my secret words")
        (written,) = reception.write_down(room.database, [post])
        for _ in range(reception.MAX_ATTEMPTS):
            reception.failed(room.database, written)
    room.deliver()

    assert "my secret words" not in dump(room)


def test_a_name_for_a_label_that_nobody_confirmed_is_dropped_after_a_week(room: Room) -> None:
    photo = room.photo(1)
    room.work("sure", Juventus=0.93)
    room.say("Zebra Rovers", ADMIN, reply_to=photo)
    room.deliver()

    sweep(room)
    with room.database.begin() as session:
        drafted = session.scalars(select(Message).where(Message.draft.is_not(None))).one()
        early, drafted.received_at = drafted.draft, now() - timedelta(days=8)
    sweep(room)

    assert early == "Zebra Rovers"
    with room.database.read() as session:
        assert session.scalars(select(Message.draft).where(Message.draft.is_not(None))).all() == []


def test_an_answer_that_can_be_shown_no_more_is_emptied_of_the_name_too(room: Room) -> None:
    theirs = room.photo(3, OTHER)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", WHO, reply_to=theirs, name=NAME)
    room.say("/stats", OTHER)
    room.deliver()
    with room.database.begin() as session:
        for answer in session.scalars(select(Answer)):
            answer.state = "gone"

    with room.database.begin() as session:
        leaver = session.scalars(select(Person).where(Person.platform_id == WHO)).one()
        leaving.erase(session, room.settings, leaver)

    assert NAME not in dump(room)


@pytest.mark.real
def test_on_postgresql_nothing_of_a_person_is_left_either(
    new_postgres_url: str, tmp_path: Path, settings: Settings
) -> None:
    # Given the same room on PostgreSQL, with photos that had their time too
    database = Database(new_postgres_url)
    Person.metadata.create_all(database.engine)
    room = Room(database, tmp_path, settings)
    room.model("Juventus", "Newcastle", "Botafogo")
    shas, ids, _, theirs = be_everywhere(room)

    # When somebody is forgotten, and the rest expires
    room.say("/forget", WHO, name=NAME, chat=HOME, is_private=True)
    room.post(WHO, kind="press", data=_button(room, "Erase them"), name=NAME, chat=HOME, is_private=True)
    room.deliver()
    sweep(room)
    left = traces(room, tmp_path, shas, ids)
    with database.begin() as session:
        for table in (Photo, Answer, Person, Chat):
            for row in session.scalars(select(table)):
                row.created_at -= timedelta(days=40)
        for message in session.scalars(select(Message)):
            message.received_at -= timedelta(days=40)
    expiry.Sweeper(database, room.store, 30).tick()

    # Then neither is there
    assert left == []
    assert room.label_of(theirs) is None
    with database.read() as session:
        for table in (Photo, Message):
            assert session.scalars(select(table)).all() == []
    database.close()


def test_what_somebody_typed_on_the_page_leaves_its_memory_with_them(room: Room) -> None:
    from bot.platforms.web.door import public_id
    from bot.platforms.web.live import Live
    from bot.platforms.web.room import Item, people_here, stamp

    live = Live()
    with room.database.begin() as session:
        stays, goes = (Person(platform="web", platform_id=number) for number in ("stays", "goes"))
        chat = people.chat(session, "web", "room")
        session.add_all((stays, goes))
        session.flush()
        for person in (stays, goes):
            about = {"platform": "web", "chat_id": chat.id, "platform_id": person.platform_id}
            session.add(Message(person_id=person.id, state="answered", **about))
            item = Item("text", person.platform_id, stamp(now()), public_id(person.platform_id))
            live.said(replace(item, text=person.platform_id))
        leaving.erase(session, room.settings, goes)

    with room.database.read() as session:
        live.only(people_here(session, live.oldest()))

    assert [item.text for item in live.texts("", "")] == ["stays"]
