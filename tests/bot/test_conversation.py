"""Photos, corrections and buttons: what people say, and what they get."""

import pytest
from sqlalchemy import select

from bot import words
from bot.lessons import hashtag
from snaplabel.tables import Message
from tests.bot.room import ADMIN, MEMBER, OTHER, Room, picture


def test_a_photo_gets_one_answer_with_label_and_certainty_in_words(room: Room) -> None:
    room.photo()

    room.work("sure", Juventus=0.93, Newcastle=0.05, Botafogo=0.02)

    assert room.shown().title == "Juventus, quite sure"
    assert room.buttons() == ["✓ Juventus", "Newcastle", "Botafogo", "Something else…"]
    assert len(room.answers()) == 1


@pytest.mark.parametrize(("voice", "title"), [("maybe", "Juventus or Newcastle"), ("unknown", "I don't know this one")])
def test_an_unsure_model_says_so(room: Room, voice: str, title: str) -> None:
    room.photo()

    room.work(voice, Juventus=0.5, Newcastle=0.45)

    assert room.shown().title == title


def test_a_button_corrects_and_the_answer_says_who_taught_what(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05)

    room.press(room.last(), "Newcastle", OTHER)

    assert room.label_of(photo) == "Newcastle"
    assert room.shown().text == (
        "Olga said: Newcastle. Thanks, I'm learning it now. 3 more and I retrain from the ground up."
    )
    assert len(room.answers()) == 1
    assert ("train.learn", 1) in room.rings


@pytest.mark.parametrize("text", ["Newcastle", "  newcastle ", "NÉWCASTLE", "Newcaslte", "#newcastle", "new castle"])
def test_a_reply_with_a_label_forgives_case_accents_spaces_and_small_errors(room: Room, text: str) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say(text, reply_to=room.last().platform_id)

    assert room.label_of(photo) == "Newcastle"


def test_a_reply_to_the_photo_itself_corrects_too(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("botafogo", reply_to=photo)

    assert room.label_of(photo) == "Botafogo"


def test_a_name_that_is_only_near_is_asked_about(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Newcastle=0.93)

    room.say("juve", reply_to=room.last().platform_id)

    assert room.label_of(photo) is None
    assert room.shown().text == "You wrote “juve”. Did you mean Juventus?"
    room.press(room.last(), "✓ Juventus")
    assert room.label_of(photo) == "Juventus"


def test_an_admin_makes_a_new_label_after_one_question(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("Harbour Rovers", ADMIN, reply_to=room.last().platform_id)
    asked = room.shown().text
    room.press(room.last(), "Make the new label “Harbour Rovers”", ADMIN)

    assert asked == "I have no label “Harbour Rovers” yet. Make a new label?"
    assert room.label_of(photo) == "Harbour Rovers"


def test_a_member_is_offered_the_labels_there_are(room: Room) -> None:
    room.photo()
    room.work("sure", Juventus=0.93)

    room.say("Harbour Rovers", MEMBER, reply_to=room.last().platform_id)

    assert room.buttons() == ["Botafogo", "Juventus", "Newcastle", "← Back"]


def test_a_member_who_presses_make_new_is_refused(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)
    room.say("Harbour Rovers", ADMIN, reply_to=room.last().platform_id)

    room.press(room.last(), "Make the new label “Harbour Rovers”", MEMBER)

    assert room.label_of(photo) is None
    assert "admins" in room.shown().text


def test_a_correction_can_be_changed_and_taken_back(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05)
    room.press(room.last(), "Newcastle")

    room.press(room.last(), "Change…")
    room.press(room.last(), "Botafogo")
    changed = room.label_of(photo)
    room.press(room.last(), "Take back")

    assert changed == "Botafogo"
    assert room.label_of(photo) is None
    assert room.shown().title == "Juventus, quite sure"


def test_an_admin_outvotes_a_member(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05, Botafogo=0.02)
    room.press(room.last(), "Newcastle", MEMBER)

    room.say("Botafogo", ADMIN, reply_to=photo)
    room.say("Newcastle", OTHER, reply_to=photo)

    assert room.label_of(photo) == "Botafogo"


def test_a_caption_with_a_label_is_a_lesson_at_once(room: Room) -> None:
    photo = room.photo(caption="#newcastle")

    assert room.label_of(photo) == "Newcastle"
    assert ("train.learn", 1) in room.rings


def test_only_an_admins_caption_makes_a_new_label(room: Room) -> None:
    members = room.photo(1, MEMBER, "#Harbour Rovers")
    admins = room.photo(2, ADMIN, "#Harbour Rovers")

    assert room.label_of(members) is None
    assert room.label_of(admins) == "Harbour Rovers"


def test_a_members_caption_that_is_no_label_is_told_so_beside_the_answer(room: Room) -> None:
    photo = room.photo(caption="#bee")

    room.work("maybe", Juventus=0.5, Newcastle=0.45)

    assert room.label_of(photo) is None
    assert room.shown().title == "Juventus or Newcastle"
    assert room.shown().text.endswith("\nI have no label “bee”; an admin can make it. Is it one of these?")
    assert len(room.answers()) == 1


def test_a_caption_that_is_only_near_a_label_is_asked_about(room: Room) -> None:
    photo = room.photo(caption="#juve")
    room.work("unknown", Newcastle=0.5)

    assert "You wrote “juve”. Did you mean Juventus?" in room.shown().text
    room.press(room.last(), "Juventus")
    assert room.label_of(photo) == "Juventus"
    assert "juve”" not in room.shown().text


def test_a_caption_of_an_album_that_is_no_label_is_told_once(room: Room) -> None:
    for n in range(3):
        room.photo(n + 1, album="x", caption="#bee" if n == 0 else "")
    with room.database.begin() as session:
        for message in session.scalars(select(Message)):
            message.received_at = message.received_at.replace(year=2020)

    room.work("sure", Juventus=0.93)

    assert room.shown().text.splitlines()[3:] == [
        "I have no label “bee”; an admin can make it.",
        "Wrong? Press its number.",
    ]


def test_a_photo_known_from_before_says_too_that_its_caption_is_no_label(room: Room) -> None:
    first = room.photo(1)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", reply_to=first)

    room.photo(1, OTHER, "#bee")
    room.work("sure", Juventus=0.93)

    assert room.shown().text == "Max told me.\nI have no label “bee”; an admin can make it."


def test_a_caption_that_has_become_a_label_is_not_said_to_be_none(room: Room) -> None:
    room.photo(caption="#bee")
    room.label("bee")

    room.work("sure", Juventus=0.93)

    assert room.shown().text == ""


@pytest.mark.parametrize("way", ["button", "reply"])
def test_a_name_that_is_no_label_is_settled_by_one_that_is(room: Room, way: str) -> None:
    photo = room.photo(caption="#bee")
    room.work("sure", Juventus=0.93)

    if way == "button":
        room.press(room.last(), "✓ Juventus")
    else:
        room.say("Juventus", reply_to=photo)
    room.press(room.last(), "Take back")

    assert (room.shown().title, room.shown().text) == ("Juventus, quite sure", "")


def test_who_goes_back_from_a_name_that_is_no_label_hears_no_more_of_it(room: Room) -> None:
    room.photo()
    room.work("sure", Juventus=0.93)
    room.say("bee", MEMBER, reply_to=room.last().platform_id)

    room.press(room.last(), "← Back")

    assert (room.shown().title, room.shown().text) == ("Juventus, quite sure", "")


@pytest.mark.parametrize(
    ("caption", "label"),
    [
        ("#Harbour Rovers", "Harbour Rovers"),
        ("nice one #harbour_rovers!", "harbour rovers"),
        ("no label", None),
        ("#", None),
        ("", None),
    ],
)
def test_a_hashtag_is_a_whole_line_or_a_word(caption: str, label: str | None) -> None:
    assert hashtag(caption) == label


def test_an_album_gets_one_answer_with_a_line_a_photo(room: Room) -> None:
    for n in range(3):
        room.photo(n + 1, album="x")
    with room.database.begin() as session:
        for message in session.scalars(select(Message)):
            message.received_at = message.received_at.replace(year=2020)

    room.work("sure", Juventus=0.93)

    assert len(room.answers()) == 1
    assert room.shown().text.splitlines()[:3] == [f"{n}. Juventus, quite sure" for n in (1, 2, 3)]


def test_a_photo_of_an_album_is_corrected_by_its_number(room: Room) -> None:
    photos = [room.photo(n + 1, album="x") for n in range(3)]
    with room.database.begin() as session:
        for message in session.scalars(select(Message)):
            message.received_at = message.received_at.replace(year=2020)
    room.work("sure", Juventus=0.93, Newcastle=0.05)

    room.press(room.last(), "2")
    room.press(room.last(), "Newcastle")
    room.say("3: Botafogo", reply_to=room.last().platform_id)

    assert [room.label_of(photo) for photo in photos] == [None, "Newcastle", "Botafogo"]
    assert len(room.answers()) == 1
    assert "2. Newcastle ✓ Max told me" in room.shown().text


def test_the_same_photo_again_is_answered_with_what_people_said(room: Room) -> None:
    first = room.photo(1)
    room.work("sure", Juventus=0.93)
    room.say("Newcastle", reply_to=first)

    room.photo(1, OTHER)
    room.work("sure", Juventus=0.93)

    assert (room.shown().title, room.shown().text) == ("Newcastle", "Max told me.")


def test_a_new_model_says_under_a_corrected_photo_what_it_thinks_now(room: Room) -> None:
    from bot import delivery

    room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05)
    room.press(room.last(), "Newcastle")
    before = delivery.follow_models(room.database, room.settings, ("test",), {})

    room.model("Juventus", "Newcastle")
    with room.database.begin() as session:
        session.scalars(select(Message)).first().state = "waiting"  # type: ignore[union-attr]
    room.work("sure", Newcastle=0.9)
    delivery.follow_models(room.database, room.settings, ("test",), before)

    expected = "Max said: Newcastle. v1 now says: Newcastle, quite sure (before: Juventus, quite sure)."
    assert room.shown().text == expected
    assert len(room.answers()) == 1


def test_the_same_post_twice_is_answered_once(room: Room) -> None:
    room.photo(1, message="m1")
    room.photo(1, message="m1")

    room.work("sure", Juventus=0.93)

    assert len(room.answers()) == 1


def test_a_button_of_another_chat_does_nothing(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93, Newcastle=0.05)
    stolen = room.shown().choices[1][0].data

    room.post(OTHER, chat="elsewhere", kind="press", data=stolen)

    assert room.label_of(photo) is None


@pytest.mark.parametrize("data", ["as:1:999999", "as:x:1", "as:1", "", "🙂", "as:" + "9" * 60, "new:1", "nonsense:1:2"])
def test_forged_button_data_changes_nothing(room: Room, data: str) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.post(OTHER, kind="press", data=data)

    assert room.label_of(photo) is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "empty"), (b"%PDF-1.4", "can't read that kind"), (picture()[:200], "damaged")],
)
def test_what_is_no_photo_gets_a_sentence(room: Room, data: bytes, sentence: str) -> None:
    room.photo(data_bytes=data)

    room.deliver()

    assert sentence in room.shown().text


@pytest.mark.parametrize("what", ["video", "voice", "sticker", "document", "too-heavy"])
def test_what_is_no_photo_at_all_is_told_what_to_send(room: Room, what: str) -> None:
    room.post(kind="unusable", what=what, is_private=True)

    assert "photo" in room.shown().text


def test_people_who_chat_under_a_photo_are_not_interrupted(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("what a lovely day that was", OTHER, reply_to=photo)

    assert room.shown().title == "Juventus, quite sure"
    assert len(room.answers()) == 1


def test_a_deleted_photo_is_not_answered(room: Room) -> None:
    photo = room.photo()

    room.post(kind="deleted", reply_to=photo)
    room.work("sure", Juventus=0.93)

    assert room.answers() == []


@pytest.mark.parametrize(
    ("what", "is_told"), [("too-heavy", True), ("video", True), ("sticker", False), ("voice", False)]
)
def test_in_a_group_only_files_are_answered(room: Room, what: str, is_told: bool) -> None:
    room.post(kind="unusable", what=what)

    assert bool(room.answers()) is is_told


def test_a_name_from_a_form_is_never_taken_for_small_talk(room: Room) -> None:
    photo = room.photo()
    room.work("sure", Juventus=0.93)

    room.say("North Sea Wanderers", ADMIN, reply_to=photo, token="interaction:1:2")

    assert room.shown().text == "I have no label “North Sea Wanderers” yet. Make a new label?"


def test_a_form_about_no_photo_is_answered(room: Room) -> None:
    room.say("Newcastle", reply_to="999", token="interaction:1:2")

    assert "Send me a photo" in room.shown().text


def test_no_label_is_ticked_beforehand_on_a_photo_that_is_none_of_them(room: Room) -> None:
    room.photo()

    room.work("unknown", Juventus=0.5, Newcastle=0.45)

    assert room.buttons() == ["Juventus", "Newcastle", "Something else…"]
    assert {choice.style for row in room.shown().choices for choice in row} == {"plain"}


def test_quite_sure_stands_without_a_number_that_would_say_less(room: Room) -> None:
    room.photo()

    room.work("sure", Juventus=0.7, Newcastle=0.3)

    assert (room.shown().title, room.shown().text) == ("Juventus, quite sure", "")


@pytest.mark.parametrize(("person", "who"), [(MEMBER, "You"), (OTHER, "Somebody")])
def test_the_nameless_sender_of_a_photo_is_spoken_to(room: Room, person: str, who: str) -> None:
    photo = room.photo(person=MEMBER, name="")
    room.work("sure", Juventus=0.93, Newcastle=0.05)

    room.say("Newcastle", person, reply_to=photo, name="")

    assert room.shown().text.startswith(f"{who} said: Newcastle.")


def test_small_talk_of_a_newcomer_on_the_page_gets_one_hint(room: Room) -> None:
    room.say("hello there", is_signed=True)
    room.say("anybody here?", is_signed=True)

    assert [answer.content["text"] for answer in room.answers()] == [words.HINT]


def test_small_talk_of_somebody_who_posted_photos_gets_none(room: Room) -> None:
    room.photo(is_signed=True)
    room.work("sure", Juventus=0.93)

    room.say("nice one", is_signed=True)

    assert len(room.answers()) == 1


def test_a_command_as_a_caption_is_not_run_and_that_is_said(room: Room) -> None:
    room.photo(caption="/labels please", person=ADMIN)
    room.work("sure", Juventus=0.93)

    texts = [answer.content for answer in room.answers()]

    assert [content["title"] for content in texts] == ["", "Juventus, quite sure"]
    assert "send /labels in a message of its own" in texts[0]["text"]


def test_a_caption_that_only_begins_like_a_command_is_a_caption(room: Room) -> None:
    room.photo(caption="/shrug what is this")

    room.work("sure", Juventus=0.93)

    assert len(room.answers()) == 1
