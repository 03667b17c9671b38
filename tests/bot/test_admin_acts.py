"""Whatever an admin can do, in a chat, by the API or from the command line, leaves a line in the log of acts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from bot import commands, labelling
from bot.platforms.web import lookups, pages
from bot.platforms.web.adapter import Web
from bot.platforms.web.server import _application
from bot.platforms.web.shapes import Lesson
from bot.run import Bot
from snaplabel import acts, backbones, cli, home, labels, naming, people, registry
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings, read
from snaplabel.tables import Act, Model, Person, Photo
from tests.bot.room import ADMIN, MEMBER, OTHER, Room
from tests.bot.test_reviewing import doubt, press, review_of
from tests.snaplabel.test_importing import picture, write
from trainer import command as training


def verbs(room: Room) -> list[str]:
    with room.database.read() as session:
        return [act.verb for act in acts.recent(session)][::-1]


def _press_last(room: Room, button: str) -> None:
    room.press(room.last(), button, ADMIN)


def _asked(text: str, button: str) -> Callable[[Room], None]:
    def act(room: Room) -> None:
        room.say(text, ADMIN)
        _press_last(room, button)

    return act


def _said(*texts: str) -> Callable[[Room], None]:
    def act(room: Room) -> None:
        for text in texts:
            room.say(text, ADMIN)

    return act


def _revert(room: Room) -> None:
    photo = room.photo(1, MEMBER)
    room.work("sure", Juventus=0.9)
    room.say("Newcastle", OTHER, reply_to=photo)
    _asked("/revert test:3", "Take back 1 correction")(room)


def _candidate(verb: str) -> Callable[[Room], None]:
    def act(room: Room) -> None:
        room.model("Juventus")
        with room.database.begin() as session:
            registry.find(session, 1, 0).state = "candidate"
        room.say(f"/{verb} 0", ADMIN)

    return act


def _pressed_candidate(verb: str) -> Callable[[Room], None]:
    def act(room: Room) -> None:
        room.model("Juventus")
        with room.database.begin() as session:
            registry.find(session, 1, 0).state = "candidate"
        room.post(ADMIN, kind="press", data=f"{verb}:0")

    return act


def _review(*buttons: str) -> Callable[[Room], None]:
    def act(room: Room) -> None:
        doubt(room, 1)
        review = review_of(room)
        for button in buttons:
            press(room, review, button)

    return act


def _new_label(room: Room) -> None:
    photo = room.photo(1, MEMBER)
    room.work("sure", Juventus=0.9)
    room.say("Torino", ADMIN, reply_to=photo)
    _press_last(room, "Make the new label “Torino”")


def _rolled_back(room: Room) -> None:
    room.model("Juventus")
    room.say("/rollback", ADMIN)


COMMANDS: dict[str, tuple[Callable[[Room], None], list[str]]] = {
    "retrain": (_said("/retrain"), ["retrain"]),
    "cancel": (_said("/retrain", "/cancel"), ["retrain", "cancel"]),
    "rollback": (_rolled_back, ["rollback"]),
    "promote": (_candidate("promote"), ["promote"]),
    "discard": (_candidate("discard"), ["discard"]),
    "use": (_asked("/use birds", "Make the classifier “birds”"), ["new classifier"]),
    "roles": (_said("/roles on", "/roles on", "/roles off"), ["roles", "roles"]),
    "revert": (_revert, ["revert"]),
    "label": (_said("/label rename Juventus = Juve"), ["rename"]),
    "review": (_review("Keep “Juventus”"), ["keep"]),
}
# These change nothing.
LISTS = {"people", "acts"}

PRESSES: dict[str, tuple[Callable[[Room], None], list[str]]] = {
    "classifier": (_asked("/use birds", "Make the classifier “birds”"), ["new classifier"]),
    "promote": (_pressed_candidate("promote"), ["promote"]),
    "discard": (_pressed_candidate("discard"), ["discard"]),
    "label-merge": (_asked("/label merge Juventus = Newcastle", "Move 0 photos"), ["merge"]),
    "label-away": (_asked("/label archive Juventus", "Put away 0 photos"), ["archive"]),
    "revert": (_revert, ["revert"]),
    "rv-keep": (_review("Keep “Juventus”"), ["keep"]),
    "rv-as": (_review("It's “Newcastle”"), ["relabel"]),
    "rv-out": (_review("Remove"), ["remove"]),
    "rv-undo": (_review("Remove", "Undo"), ["remove", "undo"]),
}
# Questions and lists; and what everybody may do with what is theirs.
QUESTIONS, OWN = {"label-ask", "label-no", "rv-show", "rv-else"}, {"forget", "keep"}


def test_every_admins_command_and_button_is_walked_over_here() -> None:
    admins = {name for name, known in commands.KNOWN.items() if known.command.who != "everyone"}

    assert admins == set(COMMANDS) | LISTS
    assert set(commands.PRESSES) == set(PRESSES) | QUESTIONS | OWN


@pytest.mark.parametrize("name", COMMANDS)
def test_an_admins_command_is_written_down(room: Room, name: str) -> None:
    act, written = COMMANDS[name]

    act(room)

    assert verbs(room) == written
    with room.database.read() as session:
        who = select(Person.platform_id).join(Act, Act.person_id == Person.id).distinct()
        assert session.scalars(who).all() == [ADMIN]


@pytest.mark.parametrize("name", PRESSES)
def test_an_admins_press_is_written_down(room: Room, name: str) -> None:
    act, written = PRESSES[name]

    act(room)

    assert verbs(room) == written


LABEL_ACTS = {
    "rename": "rename Juventus = Juve",
    "merge": "",
    "archive": "",
    "restore": "restore Botafogo",
    "alias": "alias Juventus = old lady",
    "unalias": "unalias Magpies",
}


@pytest.mark.parametrize("verb", labelling.ACTS)
def test_whatever_is_done_to_a_label_is_written_down(room: Room, verb: str) -> None:
    if not LABEL_ACTS[verb]:
        return _pressed_label_act(room, verb)
    with room.database.begin() as session:
        naming.add_alias(session, naming.find(session, 1, "Newcastle"), "Magpies", person_id=None)
        naming.archive(session, naming.find(session, 1, "Botafogo"), person_id=None)

    room.say(f"/label {LABEL_ACTS[verb]}", ADMIN)

    assert verbs(room) == ["alias", "archive", verb]
    return None


def _pressed_label_act(room: Room, verb: str) -> None:
    act, written = PRESSES["label-merge" if verb == "merge" else "label-away"]

    act(room)

    assert verbs(room) == written == [verb]


@pytest.mark.parametrize("way", ["button", "caption"])
def test_a_new_label_is_written_down(room: Room, way: str) -> None:
    if way == "button":
        _new_label(room)
    else:
        room.photo(1, ADMIN, "#Torino")

    assert verbs(room) == ["new label"]


def test_the_log_is_shown_in_the_chat_with_who_and_what(room: Room) -> None:
    room.say("/label rename Juventus = Juve", ADMIN)

    room.say("/acts", ADMIN)

    assert room.shown().table.endswith("Anna (test:1): renamed Juventus to Juve")


def test_the_nameless_are_shown_by_the_beginning_of_a_long_number(room: Room) -> None:
    room.say("/label archive Juventus", ADMIN, name="")
    _press_last(room, "Put away 0 photos")
    with room.database.begin() as session:
        person = session.scalars(select(Person)).one()
        person.name, person.platform_id = "", "36e82c453a1b16b1164dde46f554dea0"

    with room.database.read() as session:
        assert acts.who(session, acts.recent(session)[0]) == "somebody (test:36e82c45)"


# By the API.

# Path → what it writes down; None: a photo or a vote like anybody's, which are rows of their own with who and when.
ROUTES = {
    ("POST", "/api/photos"): None,
    ("POST", "/api/photos/{id}/correction"): "new label",
    ("POST", "/api/review/undo"): "undo",
    ("POST", "/api/review/{photo_id}"): "keep",
    ("POST", "/name"): None,
    ("POST", "/photos"): None,
    ("POST", "/messages"): None,
    ("POST", "/press"): None,
}


def test_every_address_that_changes_something_is_walked_over_here(settings: Settings) -> None:
    home.prepare(settings)
    web = Web(settings, Bot(settings))

    api = {(how.upper(), path) for path, ways in _application(web).openapi()["paths"].items() for how in ways}
    page = {(how, one.path) for one in pages.room(web).routes if isinstance(one, APIRoute) for how in one.methods or ()}

    assert {(how, path) for how, path in api | page if how not in ("GET", "HEAD")} == set(ROUTES)


def test_a_new_label_by_the_api_is_written_down(room: Room) -> None:
    with room.database.begin() as session:
        person = people.person(session, "web", "api", "API")
        lookups.label_named(session, 1, Lesson(label="Torino", new=True), person.id)
        lookups.label_named(session, 1, Lesson(label="Torino", new=True), person.id)

    assert verbs(room) == ["new label"]


# From the command line.


@pytest.fixture
def birds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with photos of two birds and three versions that know them."""
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    files = {"wren/1.png": 1, "wren/2.png": 2, "robin/3.png": 3}
    source = write(tmp_path / "birds", {name: picture(seed) for name, seed in files.items()})
    with home.opened(read()) as (database, store):
        from snaplabel.commands import importing, sources

        with sources.opened(source) as (found, _):
            importing.take_in(database, store, found)
        backbones.save_card(store, BackboneCard("tiny-1", "tiny", 4, Preparation(32, 32), True, "test"))
        for name in ("graph.xml", "graph.bin", "weights.safetensors"):
            store.put(f"{backbones.folder('tiny-1')}/{name}", name.encode())
        with database.begin() as session:
            known = tuple((label.id, label.name) for label in labels.every(session, 1))
            for version in range(3):
                card = Card("default", version, "refit", "tiny-1", known).to_json()
                row = {"classifier_id": 1, "version": version, "kind": "refit", "backbone": "tiny-1", "key": "none"}
                session.add(model := Model(**row, card=card))
                session.flush()
                registry.publish(session, model)
            registry.find(session, 1, 1).state = "candidate"
            people.person(session, "test", "5", "Max")
    return source


CHANGES = {
    "import": (["import", "birds"], "import"),
    "export": (["export", "out"], "export"),
    "rollback": (["rollback"], "rollback"),
    "promote": (["promote", "1"], "promote"),
    "discard": (["discard", "1"], "discard"),
    "review": (["review", "remove", "1"], "remove"),
    "label": (["label", "rename", "wren", "jenny"], "rename"),
    "revert": (["revert", "test:5"], "revert"),
    "forget": (["forget", "test:5"], "forget"),
}
# Services, whose acts are those of people and of the clock; what only looks; and what is about the machine.
OTHERS = {
    *("up", "bot", "worker", "trainer", "scheduler", "demo"),
    *("classify", "models", "report", "acts", "people", "doctor"),
    *("migrate", "backup", "restore"),
}


def test_every_command_of_the_command_line_is_walked_over_here() -> None:
    assert set(cli.COMMANDS) - OTHERS == {*CHANGES, "train"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_from_the_command_line_is_written_down(birds: Path, name: str) -> None:
    arguments, verb = CHANGES[name]

    assert cli.main(arguments) == 0

    with home.opened(read()) as (database, _), database.read() as session:
        written = acts.recent(session)
        assert [(act.verb, acts.who(session, act)) for act in written] == [(verb, "command line")]


def test_a_new_label_and_an_undo_from_the_command_line_are_written_down(birds: Path) -> None:
    assert cli.main(["review", "relabel", "1", "jackdaw", "--new"]) == 0
    assert cli.main(["review", "undo"]) == 0

    with home.opened(read()) as (database, _), database.read() as session:
        assert [act.verb for act in acts.recent(session)] == ["undo", "relabel", "new label"]


def test_a_training_from_the_command_line_is_written_down(database: Database) -> None:
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id

    training._ask(database, classifier_id, "fine_tune")

    with database.read() as session:
        (act,) = acts.recent(session)
        assert (act.verb, act.facts["kind"], acts.who(session, act)) == ("retrain", "fine_tune", "command line")


def test_somebody_is_forgotten_from_the_command_line(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with home.opened(read()) as (database, _), database.begin() as session:
        person = session.scalars(select(Person).where(Person.platform == "test")).one()
        session.get_one(Photo, 1).person_id = person.id

    code = cli.main(["forget", "test:5"])
    again = cli.main(["forget", "test:5"])

    assert (code, again) == (0, 1)
    assert "Erased: 1 photo and 0 corrections" in capsys.readouterr().out
    with home.opened(read()) as (database, store), database.read() as session:
        assert session.scalars(select(Person.platform_id)).all() == ["import"]
        assert len(session.scalars(select(Photo)).all()) == 2
        assert len([key for n in range(256) for key in store.keys(f"photos/{n:02x}")]) == 2
