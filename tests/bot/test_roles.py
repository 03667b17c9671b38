"""Whose word counts as an admin's: SNAPLABEL_ADMINS everywhere, a chat's own admins in a chat that is trusted."""

import logging

import pytest
from sqlalchemy import select

from bot import reception, rights
from bot.messages import Incoming
from snaplabel import acts, people, registry
from snaplabel.tables import Act, Chat, Classifier, Correction, Label, Person, TrainingRun
from tests.bot.room import ADMIN, MEMBER, OTHER, Room

BOSS = "7"
# What the platform says of somebody who manages the chat.
MANAGES = {"is_chat_admin": True}


@pytest.fixture
def trusted(room: Room) -> Room:
    """A room whose own admins are trusted."""
    room.say("/roles on", ADMIN)
    return room


def verbs(room: Room) -> list[str]:
    with room.database.read() as session:
        return [act.verb for act in acts.recent(session)]


def bind(room: Room, name: str) -> int:
    """Let the room use another classifier; its id."""
    with room.database.begin() as session:
        classifier = people.make_classifier(session, name)
        session.scalars(select(Chat).where(Chat.platform_id == "room")).one().classifier_id = classifier.id
        return classifier.id


@pytest.mark.parametrize("command", ["/retrain", "/rollback", "/label rename Juventus = Juve", "/review", "/acts"])
def test_roles_count_for_nothing_until_they_are_trusted(room: Room, command: str) -> None:
    room.say(command, BOSS, **MANAGES)

    assert room.shown().text.startswith("Only the admins")
    assert verbs(room) == []


def test_a_chats_own_admin_trains_where_roles_are_trusted(trusted: Room) -> None:
    trusted.say("/retrain", BOSS, **MANAGES)

    with trusted.database.read() as session:
        assert session.scalars(select(TrainingRun.kind)).all() == ["refit"]
        done = acts.recent(session)[0]
        assert (done.verb, session.get_one(Person, done.person_id).platform_id) == ("retrain", BOSS)


def test_whoever_does_not_manage_the_chat_is_a_member_still(trusted: Room) -> None:
    trusted.say("/retrain", MEMBER)

    assert trusted.shown().text.startswith("Only the admins")


def test_roles_can_be_switched_off_again(trusted: Room) -> None:
    trusted.say("/roles off", ADMIN)
    trusted.say("/retrain", BOSS, **MANAGES)

    assert trusted.shown().text.startswith("Only the admins")
    assert verbs(trusted) == ["roles", "roles"]


@pytest.mark.parametrize("command", ["/roles on", "/roles off", "/use birds", "/use"])
def test_a_chats_own_admin_can_neither_trust_chats_nor_leave_the_classifier(trusted: Room, command: str) -> None:
    trusted.say(command, BOSS, **MANAGES)

    assert "SNAPLABEL_ADMINS" in trusted.shown().text
    with trusted.database.read() as session:
        chat = session.scalars(select(Chat)).one()
        assert chat.trusts_roles
        assert session.scalars(select(Classifier.name)).all() == ["default"]


def test_a_foreign_groups_admin_takes_nothing_over(trusted: Room) -> None:
    for command in ("/roles on", "/retrain", "/rollback", "/use default", "/people", "/acts"):
        trusted.say(command, BOSS, chat="elsewhere", **MANAGES)
        assert trusted.shown().text.startswith("Only the admins"), command

    assert verbs(trusted) == ["roles"]


@pytest.mark.parametrize("parts", [{"is_private": True, "chat": "7"}, {"person": "chat:-100123"}])
def test_private_chats_and_anonymous_admins_have_no_roles(trusted: Room, parts: dict[str, object]) -> None:
    with trusted.database.begin() as session:
        people.chat(session, "test", "7", is_private=True).trusts_roles = True

    trusted.say("/retrain", str(parts.pop("person", BOSS)), **MANAGES, **parts)

    assert trusted.shown().text.startswith("Only the admins")


def test_whoever_was_demoted_before_the_press_presses_in_vain(trusted: Room) -> None:
    trusted.photo(1, MEMBER)
    trusted.work("sure", Juventus=0.93)
    trusted.say("Torino", BOSS, reply_to=trusted.answers()[-1].platform_id, **MANAGES)
    question = trusted.last()

    trusted.press(question, "Make the new label “Torino”", BOSS)

    assert trusted.shown().text.startswith("Only the admins")
    with trusted.database.read() as session:
        assert session.scalars(select(Label).where(Label.name == "Torino")).all() == []
        assert session.scalars(select(Correction)).all() == []


def test_what_a_chats_own_admin_says_of_a_photo_counts_at_once(trusted: Room) -> None:
    photo = trusted.photo(1, MEMBER)
    trusted.work("sure", Juventus=0.93)

    trusted.say("Newcastle", BOSS, reply_to=photo, **MANAGES)

    with trusted.database.read() as session:
        assert session.scalars(select(Correction.by_admin)).one()


def test_a_photo_of_another_classifier_is_beyond_a_chats_own_admin(trusted: Room) -> None:
    photo = trusted.photo(1, MEMBER)
    trusted.work("sure", Juventus=0.93)
    bind(trusted, "birds")

    trusted.say("Newcastle", BOSS, reply_to=photo, **MANAGES)

    with trusted.database.read() as session:
        assert not session.scalars(select(Correction.by_admin)).one()


def test_only_what_somebody_corrected_here_can_be_taken_back_by_a_chats_own_admin(trusted: Room) -> None:
    # Given corrections by one person in this chat's classifier and in another one
    here = trusted.photo(1, OTHER)
    trusted.work("sure", Juventus=0.93)
    trusted.say("Newcastle", MEMBER, reply_to=here)
    with trusted.database.begin() as session:
        trusted_chat = session.scalars(select(Chat)).one().classifier_id
    birds = bind(trusted, "birds")
    trusted.say("wren", ADMIN, reply_to=trusted.photo(2, OTHER, "#wren"))
    there = trusted.photo(3, ADMIN, "#wren")
    trusted.say("wren", MEMBER, reply_to=there)
    bind(trusted, "default")

    trusted.say("/revert test:2", BOSS, **MANAGES)
    trusted.press(trusted.last(), "Take back 1 correction", BOSS)
    refused = trusted.shown().text
    trusted.post(BOSS, kind="press", data=f"revert:{_asked(trusted)}:{_id(trusted, MEMBER)}", **MANAGES)

    assert refused.startswith("Only the admins")
    with trusted.database.read() as session:
        stand = select(Correction).where(Correction.taken_back_at.is_(None))
        mine = session.scalars(stand.where(Correction.person_id == _id(trusted, MEMBER))).all()
        assert len(mine) == 1
        assert session.scalars(select(Act.classifier_id).where(Act.verb == "revert")).one() == trusted_chat != birds


@pytest.mark.parametrize("whom", [ADMIN, OTHER])
def test_another_admins_word_is_beyond_a_chats_own_admin(trusted: Room, whom: str) -> None:
    photo = trusted.photo(1, MEMBER)
    trusted.work("sure", Juventus=0.93)
    trusted.say("Newcastle", whom, reply_to=photo, **MANAGES)

    trusted.say(f"/revert test:{whom}", BOSS, **MANAGES)

    assert "an admin too" in trusted.shown().text
    assert trusted.label_of(photo) == "Newcastle"


def _asked(room: Room) -> int:
    from snaplabel.tables import Message

    with room.database.read() as session:
        query = select(Message.id).where(Message.answer_id.is_not(None), Message.photo_id.is_(None))
        return session.scalars(query.order_by(Message.id.desc())).all()[1]


def _id(room: Room, person: str) -> int:
    with room.database.read() as session:
        return session.scalars(select(Person.id).where(Person.platform_id == person)).one()


def test_a_chats_own_admin_sees_teachers_of_this_classifier_only(trusted: Room) -> None:
    photo = trusted.photo(1, MEMBER)
    trusted.work("sure", Juventus=0.93)
    trusted.say("Newcastle", OTHER, reply_to=photo)
    bind(trusted, "birds")

    trusted.say("/people", BOSS, **MANAGES)
    own = trusted.shown()
    trusted.say("/people", ADMIN)

    assert own.text == "Nobody has corrected anything yet."
    assert "Olga" in trusted.shown().table


def test_help_lists_for_a_chats_own_admin_what_they_may(trusted: Room) -> None:
    trusted.say("/help", BOSS, **MANAGES)

    assert "/retrain" in trusted.shown().table
    assert "/roles" not in trusted.shown().table


def test_refused_acts_are_logged_by_number_and_not_by_name(trusted: Room, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bot"):
        trusted.say("/retrain", MEMBER)
        trusted.say("/roles off", BOSS, name="Bossy", **MANAGES)

    assert [record.getMessage() for record in caplog.records] == [
        f"person {_id(trusted, MEMBER)} may not /retrain in chat 1: refused",
        f"person {_id(trusted, BOSS)} may not /roles in chat 1: refused",
    ]


def test_a_promotion_asks_for_rights_at_the_press(trusted: Room) -> None:
    trusted.model("Juventus")
    with trusted.database.begin() as session:
        registry.find(session, 1, 0).state = "candidate"

    trusted.post(BOSS, kind="press", data="promote:0")
    refused = trusted.shown().text
    trusted.post(BOSS, kind="press", data="promote:0", **MANAGES)

    assert refused.startswith("Only the admins")
    assert trusted.shown().title == "v0 is live"


@pytest.mark.parametrize(
    ("parts", "is_asked"),
    [
        ({"kind": "text", "text": "/retrain"}, True),
        ({"kind": "press", "data": "promote:0"}, True),
        ({"kind": "photo", "text": "#Torino"}, True),
        ({"kind": "photo", "text": "look"}, False),
        ({"kind": "text", "text": "so true", "reply_to": "a post of no account"}, False),
        ({"kind": "text", "text": "/retrain", "person": ADMIN}, False),
        ({"kind": "text", "text": "/retrain", "person": "chat:-1001"}, False),
        ({"kind": "text", "text": "/retrain", "chat": "elsewhere"}, False),
    ],
)
def test_the_platform_is_asked_only_where_a_role_may_give_rights(
    trusted: Room, parts: dict[str, str], is_asked: bool
) -> None:
    post = Incoming(**{"platform": "test", "chat": "room", "message": "99", "person": BOSS, **parts})  # type: ignore[arg-type]

    reception.write_down(trusted.database, [post])

    assert rights.is_role_needed(trusted.database, trusted.settings, post) == is_asked
