"""Who is behind a post of Telegram's: real updates of many kinds, as the library reads them."""

from typing import Any

import pytest
import telegram

from bot.platforms.telegram.posts import post_of

ANNA = {"id": 5, "is_bot": False, "first_name": "Anna"}
ECHO = {"id": 6, "is_bot": True, "first_name": "Echo", "username": "echo_bot"}
GROUP_ANONYMOUS = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
CHANNEL_BOT = {"id": 136817688, "is_bot": True, "first_name": "Channel", "username": "Channel_Bot"}
SERVICE = {"id": 777000, "is_bot": False, "first_name": "Telegram"}
GROUP = {"id": -100, "type": "supergroup", "title": "Squirrels"}
CHANNEL = {"id": -200, "type": "channel", "title": "News"}


def update(kind: str = "message", **parts: Any) -> telegram.Update:
    message = {"message_id": 9, "date": 1, "chat": GROUP, "text": "/retrain", **parts}
    found = telegram.Update.de_json({"update_id": 1, kind: message}, None)
    assert found is not None
    return found


# What comes in → who is taken to have said "/retrain"; None: nobody is answered.
AUTHORS: list[tuple[str, telegram.Update, str | None]] = [
    ("a person", update(**{"from": ANNA}), "5"),
    ("another bot", update(**{"from": ECHO}), None),
    ("an anonymous admin", update(**{"from": GROUP_ANONYMOUS, "sender_chat": GROUP}), "chat:-100"),
    ("the same without its chat", update(**{"from": GROUP_ANONYMOUS}), None),
    ("a channel in the group", update(**{"from": CHANNEL_BOT, "sender_chat": CHANNEL}), "chat:-200"),
    (
        "the group's own channel",
        update(**{"from": SERVICE, "sender_chat": CHANNEL, "is_automatic_forward": True}),
        None,
    ),
    ("Telegram itself", update(**{"from": SERVICE}), "chat:-100"),
    ("a channel", update(**{"chat": CHANNEL, "sender_chat": CHANNEL}), None),
    ("a channel's post", update("channel_post", chat=CHANNEL, sender_chat=CHANNEL), None),
    ("an edited message", update("edited_message", edit_date=2, **{"from": ANNA}), None),
    ("an edited channel post", update("edited_channel_post", chat=CHANNEL, edit_date=2), None),
    ("nobody", update(), None),
]


@pytest.mark.parametrize(("_what", "found", "person"), AUTHORS)
def test_only_persons_are_persons(_what: str, found: telegram.Update, person: str | None) -> None:
    post = post_of(found, "snap_bot")

    assert (post.person if post is not None else None) == person


ORIGINS: list[tuple[str, dict[str, Any], str]] = [
    ("one's own words", {"type": "user", "sender_user": ANNA}, "/retrain"),
    ("somebody else's", {"type": "user", "sender_user": {**ANNA, "id": 7}}, ""),
    ("a hidden person's", {"type": "hidden_user", "sender_user_name": "Anna"}, ""),
    ("a chat's", {"type": "chat", "sender_chat": GROUP}, ""),
    ("a channel's", {"type": "channel", "chat": CHANNEL, "message_id": 3}, ""),
]


@pytest.mark.parametrize(("_what", "origin", "text"), ORIGINS)
def test_forwarded_words_count_only_as_one_s_own(_what: str, origin: dict[str, Any], text: str) -> None:
    post = post_of(update(**{"from": ANNA, "forward_origin": {**origin, "date": 1}}), "snap_bot")

    assert post is not None
    assert post.text == text


@pytest.mark.parametrize("name", ["Max\u202e\n\0Admin", "\ud83d", "x" * 500])
def test_names_and_words_come_in_clean(name: str) -> None:
    post = post_of(update(text="a\0b" + "y" * 9_999, **{"from": {**ANNA, "first_name": name}}), "snap_bot")

    assert post is not None
    assert post.name in ("MaxAdmin", "Max Admin", "?", "", "x" * 64)
    assert "\0" not in post.text
    assert len(post.text) <= 4096


def test_a_press_comes_with_no_more_data_than_a_button_holds() -> None:
    query = {"id": "1", "from": ANNA, "chat_instance": "1", "data": "as:1:2" + "9" * 500}
    query["message"] = {"message_id": 3, "date": 1, "chat": GROUP, "text": "Which?", "from": ECHO}
    found = telegram.Update.de_json({"update_id": 1, "callback_query": query}, None)
    assert found is not None

    post = post_of(found, "snap_bot")

    assert post is not None
    assert (post.kind, post.person, len(post.data)) == ("press", "5", 64)
