"""What becomes of hostile texts: labels and persons' names, through the real conversation and as platforms show it."""

import html
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from bot.messages import Incoming, Reply
from bot.platforms.discord import looks as discord_looks
from bot.platforms.telegram import looks as telegram_looks
from snaplabel import labels, plain
from snaplabel.errors import LabelError
from snaplabel.tables import Label
from tests.bot.room import ADMIN, MEMBER, Room

ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SCIENTIST = "👩🏽\u200d🔬"
# What somebody writes → the label that it becomes.
TEXTS = [
    ("Ars\0en\x1b[31mal\x07", "Arsen[31mal"),
    ("evil\u202egnp.exe", "evilgnp.exe"),
    ("\u2066left\u2069 \u061cright\u200f", "left right"),
    ("two\r\nlines\u2028here\x85now", "two lines here now"),
    ("Cel\u200dtic", "Celtic"),
    ("soft\u00adhy\u200bphen\ufeff", "softhyphen"),
    ("te\U000e0061\U000e0062st", "test"),
    ("Z" + "\u0334" * 30 + "algo", "Z" + "\u0334" * plain.MOST_MARKS + "algo"),
    ("<b>bold</b> &amp; <script>", "<b>bold</b> &amp; <script>"),
    ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
    ("**bold** _it_ `code` ||spoiler||", "**bold** _it_ `code` ||spoiler||"),
    ("[free money](https://evil.example)", "[free money](https://evil.example)"),
    ("```\nfence", "``` fence"),
    ("@everyone @here <@123> <@&4> <#5>", "@everyone @here <@123> <@&4> <#5>"),
    ("'; DROP TABLE label; --", "'; DROP TABLE label; --"),
    ('" OR 1=1; %s {0} %(name)s', '" OR 1=1; %s {0} %(name)s'),
    ("../../etc/passwd", "../../etc/passwd"),
    ("C:\\windows\\system32\\con", "C:\\windows\\system32\\con"),
    (SCIENTIST, SCIENTIST),
    (ENGLAND, ENGLAND),
    ("❤️", "❤️"),
    ("##hash##", "hash"),
    ("half a pair \ud83d", "half a pair ?"),
    ("מועדון", "מועדון"),
    ("नदी", "नदी"),
]
# What can be no label → what its author reads.
NO_LABELS = [
    ("x" * 10_000, "at most 40 letters"),
    ("\u202e" * 10_000 + "y" * 41, "at most 40 letters"),
    ("   \t\n ", "at least one letter"),
    ("\u200b\u200d\u2060\ufeff", "at least one letter"),
    ("\u3164\u2800\u115f", "at least one letter"),
    ("...", "at least one letter"),
    ("\u0301\u0301", "at least one letter"),
    ("´", "at least one letter"),
]
ALLOWED_TAGS = re.compile(r"</?(?:b|pre)>")
TURNS = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def check(reply: Reply) -> None:
    """Every platform can show this, whole or cut, and it says no more than its words."""
    shown = [reply.plain(), *(choice.text for row in reply.choices for choice in row)]
    for text in shown:
        unseen = {ch for ch in text if unicodedata.category(ch) in ("Cc", "Cs") and ch != "\n"} | (TURNS & set(text))
        assert not unseen, ascii(text)
    for row in reply.choices:
        assert all(0 < len(choice.data.encode()) <= 64 and choice.text.strip() for choice in row)
    on_telegram = telegram_looks.formatted(reply, 4096)
    bare = ALLOWED_TAGS.sub("", on_telegram)
    assert "<" not in bare
    assert len(html.unescape(bare).encode("utf-16-le")) <= 2 * 4096
    telegram_looks.keyboard(reply)
    on_discord = discord_looks.formatted(reply)
    assert len(on_discord.encode("utf-16-le")) <= 2 * 2000
    assert not re.search(r"@(everyone|here)\b", on_discord.replace(reply.table, ""))
    assert not re.search(r"(?<!\\)<[@#]", on_discord.partition("```")[0])
    discord_looks.components(reply)


@pytest.mark.parametrize(("text", "name"), TEXTS)
def test_a_hostile_label_is_one_harmless_line_everywhere(room: Room, text: str, name: str) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say(text, ADMIN, reply_to=room.last().platform_id)
    asked = room.shown()
    room.press(room.last(), f"Make the new label “{name}”", ADMIN)
    taught = room.shown()
    room.say("/labels", ADMIN)

    assert room.label_of(photo) == name
    assert taught.title == name
    for reply in (asked, taught, room.shown()):
        check(reply)


@pytest.mark.parametrize(("text", "sentence"), NO_LABELS)
def test_what_can_be_no_label_is_refused_in_a_sentence(room: Room, text: str, sentence: str) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say(text, ADMIN, reply_to=room.last().platform_id)

    assert sentence in room.shown().text
    assert len(room.shown().text) < 200
    assert room.label_of(photo) is None


@pytest.mark.parametrize("text", ["Аrsenal", "АRSЕNАL", "Αrsenal", "arsеnаl"])
def test_a_label_that_only_looks_the_same_is_offered_as_the_one_there_is(room: Room, text: str) -> None:
    room.label("Arsenal")
    photo = room.photo(caption=f"#{text}", person=ADMIN)
    room.work("sure", Juventus=0.93)
    before = room.label_of(photo)

    room.say(text, ADMIN, reply_to=room.last().platform_id)
    offered = room.shown()
    room.press(room.last(), "✓ Arsenal", ADMIN)

    assert before is None
    assert f"Did you mean {'Arsenal'}?" in offered.text
    assert room.label_of(photo) == "Arsenal"


def test_two_labels_that_look_the_same_are_offered_for_merging(room: Room) -> None:
    room.label("Хорс", "Xopc")

    with room.database.read() as session:
        found = labels.duplicates(session, 1)

    assert [{one.fewer.label.name, one.more.label.name} for one in found] == [{"Хорс", "Xopc"}]


@pytest.mark.parametrize(
    ("one", "other"), [("バス", "ハス"), ("की", "का"), ("ตี", "ตา"), (SCIENTIST, "👩🏽🔬"), (ENGLAND, "🏴")]
)
def test_marks_that_make_another_word_make_another_label(room: Room, one: str, other: str) -> None:
    room.label(one, other)

    with room.database.read() as session:
        names = {label.name for label in labels.every(session, 1)}

    assert {one, other} <= names


NAMES = [
    ("Max\u202e\0\x1b[1m", "Max[1m"),
    ("<b>@everyone</b> **x** `", "<b>@everyone</b> **x** `"),
    ("\u202e\u200b", "You"),  # Nobody has this name, and whoever posted the photo said it.
    ("half a pair \ud83d", "half a pair"),
    ("N" * 10_000, "N" * 64),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_a_hostile_name_of_a_person_is_one_harmless_line_everywhere(room: Room, text: str, name: str) -> None:
    room.photo()
    room.work("sure", Juventus=0.93)

    room.say("Newcastle", MEMBER, reply_to=room.last().platform_id, name=text)
    corrected = room.shown()
    room.say("/stats")
    counted = room.shown()
    room.say("/people", ADMIN)

    assert corrected.text.startswith(f"{name} said: Newcastle.")
    for reply in (corrected, counted, room.shown()):
        check(reply)


def test_a_name_cannot_say_what_an_admin_would() -> None:
    post = Incoming("test", "room", "1", "2", "text", name="Max said: ant.\nAnna (admin)\u202e")

    assert post.name == "Max said: ant. Anna (admin)"


@pytest.mark.parametrize(
    "verb", ["rename Juventus =", "alias Juventus =", "merge Juventus =", "archive", "restore", "unalias"]
)
@pytest.mark.parametrize("text", ["\u202e<b>@everyone</b>\x07", "y" * 4000])
def test_commands_about_labels_take_hostile_names(room: Room, verb: str, text: str) -> None:
    room.photo()
    room.work("sure", Juventus=0.93)

    room.say(f"/label {verb} {text}", ADMIN)

    check(room.shown())
    assert len(room.shown().plain()) < 600


@pytest.mark.parametrize("text", ["\u202eshirts\x00", "<b>@everyone</b>", "'; DROP TABLE classifier; --", "../up"])
def test_a_classifier_may_be_called_anything_harmless(room: Room, text: str) -> None:
    room.say(f"/use {text}", ADMIN)
    check(room.shown())

    room.press(room.last(), room.buttons()[0], ADMIN)

    assert room.shown().title == f"This chat now uses “{plain.line(text)}”"
    check(room.shown())


def test_the_page_puts_no_text_into_its_html() -> None:
    scripts = list((Path(__file__).parents[2] / "bot/platforms/web").glob("*.js"))

    assert len(scripts) > 5
    for script in scripts:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script.read_text())


ANY_TEXT = strategies.one_of(
    strategies.text(max_size=200),
    strategies.text(
        strategies.sampled_from("aА \u202e\u200d\u0301\u0334#@<>*_`:=/|\\\n\0🏴👩🔬\ufe0f\u3164"), max_size=60
    ),
    strategies.sampled_from([text for text, _ in (*TEXTS, *NO_LABELS)]),
)
COMMANDS = [
    "",
    "",
    "#",
    "/",
    "/label rename Juventus = ",
    "/label alias ",
    "/use ",
    "/revert ",
    "/rollback ",
    "1: ",
    "/report ",
]


@given(ANY_TEXT)
def test_cleaning_is_whole_at_once_and_leaves_one_line(text: str) -> None:
    found = plain.line(text)

    assert plain.line(found) == found
    assert "\n" not in found
    assert not any(unicodedata.category(ch) in ("Cc", "Cs", "Co", "Cn") for ch in found)
    assert not TURNS & set(found)


@given(ANY_TEXT)
def test_any_text_is_a_label_that_is_found_again_or_an_error_in_words(text: str) -> None:
    try:
        name = labels.clean(text)
    except LabelError as error:
        name = None if len(str(error)) < 100 else text
    if name is None:
        return

    assert labels.clean(name) == name
    assert 0 < len(name) <= labels.MAX_LENGTH
    assert 0 < len(labels.key(name)) <= 64


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=ANY_TEXT,
    name=ANY_TEXT,
    command=strategies.sampled_from(COMMANDS),
    who=strategies.sampled_from([ADMIN, MEMBER]),
)
def test_whatever_people_write_the_conversation_goes_on(
    room: Room, text: str, name: str, command: str, who: str
) -> None:
    photo = room.photo(1, who, caption=command + text, name=name)
    room.work("sure", Juventus=0.93)

    room.say(command + text, who, reply_to=photo, name=name)
    room.say(command + text, who, reply_to=room.last().platform_id, name=name)
    room.say(command + text, who, name=name, is_private=True)
    room.post(who, kind="press", data=(command + text)[:64], name=name)

    room.deliver()
    for answer in room.answers()[-6:]:
        check(Reply.from_json(answer.content))
    with room.database.read() as session:
        assert session.query(Label).count() >= 3
