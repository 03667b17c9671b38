"""Telegram's adapter against the stand-in for the Bot API, over real HTTP."""

import asyncio
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from PIL import Image

from bot.messages import PRIVATE, Attachment, Choice, Command, Host, Incoming, Reply
from bot.platforms.telegram import adapter, webhook
from snaplabel.errors import DatabaseError, NotStored, PlatformError, SettingsError
from snaplabel.settings import Settings
from tests.fakes.telegram_api import TelegramApi

pytestmark = pytest.mark.real

T = TypeVar("T")
COMMANDS = (Command("status", "how things are"), Command("retrain", "train now", "admins", "full"))
WRONG_TOKEN = "7000000001:" + "A" * 35


class Notebook:
    """A Host that writes posts on paper. refusals: errors that the next calls of `receive` raise."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Any = None
        self.commands: Sequence[Command] = COMMANDS
        self.posts: list[Incoming] = []
        self.tries = 0
        self.refusals: list[Exception] = []
        self.pictures: dict[str, bytes] = {}

    async def receive(self, posts: Sequence[Incoming]) -> None:
        self.tries += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.posts += posts

    async def keep(self, data: bytes) -> str:
        raise AssertionError("Telegram's files are fetched, not kept")

    async def read(self, key: str) -> bytes:
        if key not in self.pictures:
            raise NotStored
        return self.pictures[key]

    async def last_seen(self, platform: str, chat: str) -> str | None:
        raise AssertionError("Telegram keeps its own mark: the offset")

    async def mark_seen(self, platform: str, chat: str, message: str) -> None:
        raise AssertionError("Telegram keeps its own mark: the offset")

    async def ring(self, task: str, number: int) -> None:
        raise AssertionError("the adapter commits nothing of its own")


class Desk:
    """The adapter at work in a thread of its own, as it would be in the bot's process."""

    def __init__(self, telegram: TelegramApi, settings: Settings) -> None:
        self.telegram = telegram
        self.host = Notebook(settings)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        host: Host = self.host
        self._runs = False
        self.platform = adapter.Telegram(settings, host, pause_s=0.05)
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)

    async def _run(self) -> None:
        self._runs = True
        try:
            await self.platform.run()
        finally:
            self._runs = False

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    def send(self, chat: Any, reply: Reply, reply_to: str | None = None) -> str:
        return self.do(self.platform.send(str(chat.id), reply, reply_to=reply_to, nonce="once"))

    def edit(self, chat: Any, message: str, reply: Reply) -> None:
        self.do(self.platform.edit(str(chat.id), message, reply))

    def posts(self, count: int = 1) -> list[Incoming]:
        """The posts that were written down, once there are so many."""
        self.telegram.wait_for(lambda: len(self.host.posts) >= count)
        return self.host.posts

    def end(self) -> BaseException | None:
        """Wait for `run` to end by itself; what it raised."""
        return self._running.exception(timeout=10)

    def leave(self) -> None:
        """Cancel `run`, and return once it has come to its end."""
        self._running.cancel()

        async def ended() -> None:
            while self._runs:
                await asyncio.sleep(0.001)

        self.do(ended())

    def stop(self) -> None:
        self.leave()

        async def rest() -> None:
            await self.platform.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait(others, timeout=5) if others else None

        self.do(rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        while self._loop.is_running():
            time.sleep(0.001)
        self._loop.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[TelegramApi]:
    with TelegramApi() as api:
        yield api


@pytest.fixture
def telegram(shared: TelegramApi) -> TelegramApi:
    """A Telegram at peace, with nothing waiting and no calls so far."""
    shared.heal()
    with shared.changed:
        shared.updates.pending.clear()
        shared.calls.clear()
    return shared


@contextmanager
def desk_at(telegram: TelegramApi, **settings: Any) -> Iterator[Desk]:
    values = {"telegram_token": telegram.token, "telegram_api_url": telegram.url, **settings}
    desk = Desk(telegram, Settings(home=Path("unused"), **values))
    try:
        yield desk
    finally:
        desk.stop()


@pytest.fixture
def desk(telegram: TelegramApi) -> Iterator[Desk]:
    with desk_at(telegram) as desk:
        # Only from the first poll on does Telegram know which updates are wanted.
        telegram.wait_for(lambda: telegram.calls_of("getUpdates"))
        yield desk


def picture(width: int = 64, height: int = 48, colour: str = "teal", kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


def refusal(act: Callable[[], object]) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        act()
    return caught.value


def in_chat(chat: Any, message: str) -> Any:
    return next(each for each in chat.log if each.id == int(message))


# Nothing is lost.


def test_an_update_is_confirmed_only_after_it_was_written_down(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    desk.host.refusals = [DatabaseError()]

    anna.send_text(telegram.private_chat(anna), "hello")
    desk.posts()

    telegram.wait_for(lambda: not telegram.updates.pending)
    first = telegram.updates.history[-1].id
    offsets = [call.arguments["offset"] for call in telegram.calls_of("getUpdates")]
    assert [int(offset) > first for offset in offsets] == [False, False, True]
    assert [post.text for post in desk.host.posts] == ["hello"]


def test_updates_that_could_not_be_written_down_come_again_together(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    desk.host.refusals = [DatabaseError(), OSError("disk full"), DatabaseError()]

    for word in ("one", "two", "three"):
        anna.send_text(chat, word)
    desk.posts(3)

    assert [post.text for post in desk.host.posts] == ["one", "two", "three"]


def test_an_update_that_nobody_understands_does_not_hold_up_the_others(
    telegram: TelegramApi, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    anna = telegram.person("Anna")

    with telegram.changed:
        telegram.updates.put("message", {"message_id": "?", "text": "dear diary"}, "x", 60)
        odd = telegram.updates.history[-1].id
        anna.send_text(telegram.private_chat(anna), "hello")
    desk.posts()

    telegram.wait_for(lambda: not telegram.updates.pending)
    assert [post.text for post in desk.host.posts] == ["hello"]
    assert f"update {odd} can't be understood" in caplog.text
    assert "diary" not in caplog.text


def test_an_outage_is_logged_once_and_outlived(telegram: TelegramApi, caplog: pytest.LogCaptureFixture) -> None:
    anna = telegram.person("Anna")
    telegram.fail_next("getUpdates", 502, times=3)

    with desk_at(telegram) as desk:
        anna.send_text(telegram.private_chat(anna), "hello")
        desk.posts()

    assert [post.text for post in desk.host.posts] == ["hello"]
    assert caplog.text.count("can't be reached") == 1


def test_another_poller_with_the_same_token_is_named_and_outlived(
    telegram: TelegramApi, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    anna = telegram.person("Anna")

    with httpx.Client() as other, pytest.raises(httpx.HTTPStatusError):
        other.get(f"{telegram.base_url}{telegram.token}/getUpdates?timeout=1", timeout=5).raise_for_status()
    anna.send_text(telegram.private_chat(anna), "hello")
    desk.posts()

    assert "Another program polls with this token" in caplog.text


def test_a_webhook_that_is_set_gives_way_to_polling(telegram: TelegramApi) -> None:
    httpx.get(f"{telegram.base_url}{telegram.token}/setWebhook?url=http://127.0.0.1:9/x").raise_for_status()
    anna = telegram.person("Anna")

    anna.send_text(telegram.private_chat(anna), "hello")
    with desk_at(telegram) as desk:
        desk.posts()

    assert [post.text for post in desk.host.posts] == ["hello"]


@pytest.mark.parametrize("token", [WRONG_TOKEN, "nonsense"])
def test_a_wrong_token_is_a_matter_for_the_settings(telegram: TelegramApi, token: str) -> None:
    with desk_at(telegram, telegram_token=token) as desk:
        error = desk.end()

    assert isinstance(error, SettingsError)
    assert "SNAPLABEL_TELEGRAM_TOKEN" in str(error)
    assert token not in str(error)


def test_no_connection_at_the_start_is_passing_trouble(telegram: TelegramApi) -> None:
    with desk_at(telegram, telegram_api_url="http://127.0.0.1:9") as desk:
        error = desk.end()

    assert isinstance(error, PlatformError)
    assert not error.permanent


def test_what_was_begun_can_still_be_sent_after_the_updates_stopped(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))

    desk.leave()
    desk.send(chat, Reply(text="the last word"))

    assert [message.text for message in chat.from_bot] == ["the last word"]


# Posts.


def test_a_text_comes_with_its_chat_its_author_and_what_it_replies_to(telegram: TelegramApi, desk: Desk) -> None:
    anna, ben = telegram.person("Anna" * 30), telegram.person("Ben")
    group = telegram.supergroup("Squirrels", anna, ben)
    first = ben.send_text(group, "what is it?")

    second = anna.send_text(group, "a red one", reply_to=first)

    post = desk.posts(2)[1]
    assert post == Incoming(
        platform="telegram",
        chat=str(group.id),
        message=str(second.id),
        person=str(anna.id),
        kind="text",
        name=("Anna" * 30)[:64],
        text="a red one",
        reply_to=str(first.id),
    )
    telegram.wait_for(lambda: not telegram.updates.pending)


def test_a_photo_comes_in_the_smallest_size_that_is_large_enough(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    sent = anna.send_photo(chat, picture(1600, 1200), "#squirrel")
    anna.send_photo(chat, picture(64, 48))

    large, small = desk.posts(2)
    assert (large.kind, large.text, large.is_private) == ("photo", "#squirrel", True)
    assert large.attachment is not None
    assert small.attachment is not None
    data = desk.do(desk.platform.fetch(large.attachment))
    assert Image.open(io.BytesIO(data)).size == (800, 600)
    assert sent.media is not None
    assert sent.media.files[2].content == data
    assert large.attachment.size == len(data)
    assert Image.open(io.BytesIO(desk.do(desk.platform.fetch(small.attachment)))).size == (64, 48)


def test_the_photos_of_an_album_share_its_name(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    album = anna.send_album(chat, [picture(colour="red"), picture(colour="blue")], "two of them")

    posts = desk.posts(2)
    assert {post.album for post in posts} == {album[0].media_group_id}
    assert [(post.message, post.position, post.text) for post in posts] == [
        (str(album[0].id), 0, "two of them"),
        (str(album[1].id), 0, ""),
    ]


@pytest.mark.parametrize(
    ("name", "mime"), [("squirrel.png", "image/png"), ("squirrel.PNG", "application/octet-stream"), ("x", "image/webp")]
)
def test_a_file_that_says_it_is_a_picture_is_a_photo(telegram: TelegramApi, desk: Desk, name: str, mime: str) -> None:
    anna = telegram.person("Anna")
    data = picture(kind="PNG")

    anna.send_document(telegram.private_chat(anna), data, name, mime)

    (post,) = desk.posts()
    assert post.kind == "photo"
    assert post.attachment is not None
    assert (post.attachment.name, post.attachment.size) == (name, len(data))
    assert desk.do(desk.platform.fetch(post.attachment)) == data


def test_what_is_no_photo_says_what_it_is(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    anna.send_document(chat, b"%PDF", "thesis.pdf", "application/pdf")
    anna.send_document(chat, b"\0" * ((20 << 20) + 1), "huge.png", "image/png")
    anna.send_video(chat)
    anna.send_animation(chat)
    anna.send_voice(chat)
    anna.send_sticker(chat)
    telegram.say(chat, anna, extra={"location": {"longitude": 1.0, "latitude": 2.0}})

    posts = desk.posts(7)
    assert {post.kind for post in posts} == {"unusable"}
    expected = ["document", "too-heavy", "video", "animation", "voice", "sticker", "location"]
    assert [post.what for post in posts] == expected


def test_commands_for_other_bots_are_left_out_and_ours_lose_our_name(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    group = telegram.group("Squirrels", anna)

    anna.send_text(group, "/status@other_bot")
    anna.send_text(group, f"/use@{str(telegram.bot.username).upper()} shirts")
    anna.send_text(group, "/status")

    assert [post.text for post in desk.posts(2)] == ["/use shirts", "/status"]


def test_an_anonymous_admin_is_nobody(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    group, channel = telegram.supergroup("Squirrels", anna), telegram.channel("News", anna)

    group.voice.send_text(group, "/retrain")
    channel.voice.send_text(group, "hello")

    posts = desk.posts(2)
    assert [post.person for post in posts] == [f"chat:{group.id}", f"chat:{channel.id}"]


def test_channels_service_messages_and_copies_of_channel_posts_are_left_out(telegram: TelegramApi, desk: Desk) -> None:
    anna, ben = telegram.person("Anna"), telegram.person("Ben")
    group, channel = telegram.supergroup("Squirrels", anna), telegram.channel("News", anna)
    channel.linked_group = group

    channel.voice.send_photo(channel, picture())
    group.set_status(ben, "member")
    telegram.upgrade(telegram.group("Old", anna))
    said = anna.send_text(group, "hello")
    anna.edit(said, "hello!")
    anna.send_text(group, "bye")

    assert [post.text for post in desk.posts(2)] == ["hello", "bye"]
    telegram.wait_for(lambda: not telegram.updates.pending)
    assert len(desk.host.posts) == 2


def test_words_that_somebody_only_forwards_are_not_theirs(telegram: TelegramApi, desk: Desk) -> None:
    anna, eve = telegram.person("Anna"), telegram.person("Eve")
    group, home = telegram.supergroup("Squirrels", anna, eve), telegram.private_chat(anna)
    trap, lure = eve.send_text(group, "/retrain"), eve.send_photo(group, picture(), "#wrong")
    mine = anna.send_photo(group, picture(), "#right")
    desk.posts(3)

    for message in (trap, lure, mine):
        anna.forward(message, home)

    assert [(post.kind, post.text) for post in desk.posts(6)[3:]] == [("text", ""), ("photo", ""), ("photo", "#right")]


def test_texts_are_free_of_what_a_database_refuses(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    anna.send_text(chat, "a\0b" + "\ud83d" + "x" * 5000)

    (post,) = desk.posts()
    assert post.text.startswith("ab?x")
    assert len(post.text) <= 4096


# Presses.


def test_a_press_is_written_down_and_then_acknowledged(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    group = telegram.group("Squirrels", anna)
    question = desk.send(group, Reply("Which?", choices=((Choice("Red", "as:1:2"),),)))
    desk.host.refusals = [DatabaseError()]

    press = anna.press(in_chat(group, question), "Red")

    (post,) = desk.posts()
    telegram.wait_for(lambda: press.answered)
    assert desk.host.tries == 2
    assert post == Incoming(
        platform="telegram",
        chat=str(group.id),
        message=f"press:{press.id}",
        person=str(anna.id),
        kind="press",
        name="Anna",
        data="as:1:2",
        reply_to=question,
        token=question,
    )


def test_a_press_that_is_too_old_to_acknowledge_still_counts(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    question = desk.send(chat, Reply("Which?", choices=((Choice("Red", "as:1:2"),),)))
    description = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    telegram.fail_next("answerCallbackQuery", 400, description=description)
    message = in_chat(chat, question)
    telegram.delete(message)

    anna.press_data(message, "as:1:2" + "x" * 100)
    anna.send_text(chat, "hello")

    pressed, said = desk.posts(2)
    assert (pressed.data, pressed.reply_to, said.text) == (("as:1:2" + "x" * 100)[:64], question, "hello")


# Answers.


def test_an_answer_shows_all_its_parts_as_they_are(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    group = telegram.group("Squirrels", anna)
    photo = anna.send_photo(group, picture())
    choices = ((Choice("<Red>", "as:1:2", "good"), Choice("Grey", "as:1:3")), (), (Choice("No", "no", "danger"),))

    sent = desk.send(group, Reply("<b>red & sure", "a < b", "x  1\ny <2", choices), str(photo.id))

    message = in_chat(group, sent)
    assert message.text == "<b>red & sure\na < b\nx  1\ny <2"
    assert [(entity["type"], entity["offset"], entity["length"]) for entity in message.entities] == [
        ("bold", 0, 13),
        ("pre", 20, 9),
    ]
    assert message.buttons == [["<Red>", "Grey"], ["No"]]
    styles = [button.get("style") for row in message.markup["inline_keyboard"] for button in row]
    assert styles == ["success", None, "danger"]
    assert message.reply_to is photo
    assert '"is_disabled": true' in telegram.calls_of("sendMessage")[0].arguments["link_preview_options"]


@pytest.mark.parametrize("reply_to", ["777777", "press:12", None])
def test_an_answer_to_a_post_that_is_gone_still_arrives(
    telegram: TelegramApi, desk: Desk, reply_to: str | None
) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))

    desk.send(chat, Reply("red"), reply_to)

    assert [(message.text, message.reply_to) for message in chat.from_bot] == [("red", None)]


def test_long_answers_are_cut_to_what_telegram_takes(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures["report"] = picture(kind="PNG")
    table = "\n".join(f"line {n}" for n in range(1000))

    words = in_chat(chat, desk.send(chat, Reply("T" * 999, "🐿&" * 3000)))
    listed = in_chat(chat, desk.send(chat, Reply("Labels", "all of them", table)))
    shown = in_chat(chat, desk.send(chat, Reply("Report", "x" * 2000, "a table", picture="report")))

    assert words.text.startswith("T" * 255 + "…\n🐿&")
    assert words.text.endswith("…")
    assert 2700 < len(words.text) <= 4096
    assert listed.text.startswith("Labels\nall of them\nline 0\n")
    last, ellipsis = listed.text.split("\n")[-2:]
    assert (last in table.split("\n"), ellipsis) == (True, "…")
    assert shown.caption.startswith("Report\nxxx")
    assert len(shown.caption) <= 1024
    assert shown.photo is not None


def test_a_picture_that_telegram_or_the_store_refuses_does_not_take_the_words_with_it(
    telegram: TelegramApi, desk: Desk
) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures["odd"] = picture(2000, 20, kind="PNG")

    for key in ("odd", "lost"):
        sent = desk.send(chat, Reply("Report", picture=key))
        desk.edit(chat, sent, Reply("Report 2", picture=key))

    assert [(message.text, message.photo) for message in chat.from_bot] == [("Report 2", None)] * 2


def test_a_message_is_edited_and_its_buttons_with_it(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    sent = desk.send(chat, Reply("Which?", choices=((Choice("Red", "as:1:2"),),)))

    desk.edit(chat, sent, Reply("Red", "Thanks <3"))
    desk.edit(chat, sent, Reply("Red", "Thanks <3"))

    assert [(message.text, message.buttons) for message in chat.from_bot] == [("Red\nThanks <3", [])]
    assert [call.status for call in telegram.calls_of("editMessageText")] == [200, 400]


def test_a_text_becomes_a_picture_and_its_caption_is_edited_from_then_on(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures["report"] = picture(kind="PNG")
    sent = desk.send(chat, Reply("Training…"))

    desk.edit(chat, sent, Reply("v2 is live", "91 % right", picture="report"))
    shown = (in_chat(chat, sent).caption, in_chat(chat, sent).photo is not None)
    desk.edit(chat, sent, Reply("v2 was rolled back", "x" * 2000))
    desk.edit(chat, sent, Reply("v2 was rolled back", "x" * 2000))

    (message,) = chat.from_bot
    assert shown == ("v2 is live\n91 % right", True)
    assert message.caption.startswith("v2 was rolled back\nxx")
    assert message.photo is not None


def colour_of(message: Any) -> str | None:
    """What a message's photo is mostly: "red", "blue", or "" for neither; None without a photo."""
    if message.photo is None:
        return None
    with Image.open(io.BytesIO(message.photo)) as image:
        red, _, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return "red" if red > 2 * blue else "blue" if blue > 2 * red else ""


def test_a_photo_is_sent_exchanged_and_taken_away_in_one_message(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures = {"photos/a.jpg": picture(colour="red"), "photos/b.jpg": picture(colour="blue")}

    sent = desk.send(chat, Reply("ant or bee?", picture="photos/a.jpg"))
    seen = [colour_of(in_chat(chat, sent))]
    for reply in (
        Reply("bee or ant?", picture="photos/b.jpg"),
        Reply("Which one?", picture="photos/b.jpg"),
        Reply("Nothing left", picture=""),
    ):
        desk.edit(chat, sent, reply)
        seen.append(colour_of(in_chat(chat, sent)))

    (message,) = chat.from_bot
    assert seen == ["red", "blue", "blue", ""]
    assert message.caption == "Nothing left"


@pytest.mark.parametrize("key", ["photos/lost.jpg", "photos/odd.jpg"])
def test_a_photo_that_cannot_be_shown_leaves_no_other_under_its_words(
    telegram: TelegramApi, desk: Desk, key: str
) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures = {"photos/a.jpg": picture(colour="red"), "photos/odd.jpg": picture(2000, 20, colour="blue")}
    sent = desk.send(chat, Reply("ant or bee?", picture="photos/a.jpg"))

    desk.edit(chat, sent, Reply("I can't read this photo", picture=key))

    (message,) = chat.from_bot
    assert (message.caption, colour_of(message)) == ("I can't read this photo", "")


def test_a_text_stays_a_text_when_there_is_no_picture_to_take_away(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    sent = desk.send(chat, Reply("Nothing to look at", picture=""))

    desk.edit(chat, sent, Reply("Still nothing", picture=""))

    assert [(message.text, message.photo) for message in chat.from_bot] == [("Still nothing", None)]


def test_a_server_that_adds_no_picture_to_a_text_gets_it_as_a_reply(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    desk.host.pictures["report"] = picture(kind="PNG")
    sent = desk.send(chat, Reply("Training…"))
    telegram.fail_next("editMessageMedia", 400, description="Bad Request: there is no media in the message to edit")

    desk.edit(chat, sent, Reply("v2 is live", picture="report"))

    words, shown = chat.from_bot
    assert (words.text, shown.reply_to, shown.photo is not None) == ("v2 is live", words, True)


def test_steps_of_progress_that_come_too_fast_are_dropped_but_never_the_end(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    sent = desk.send(chat, Reply("Training…", progress=0.0))

    for percent in range(1, 100):
        desk.edit(chat, sent, Reply("Training…", f"{percent} %", progress=percent / 100))
    desk.edit(chat, sent, Reply("Training done"))

    assert [version.text for version in in_chat(chat, sent).versions][-1] == "Training done"
    assert len(telegram.calls_of("editMessageText")) < 20


def test_typing_shows_and_never_fails(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    desk.do(desk.platform.busy(str(chat.id)))
    anna.block_bot()
    desk.do(desk.platform.busy(str(chat.id)))

    assert chat.actions == ["typing"]


# Refusals.


def test_a_flood_limit_says_how_long_to_wait(telegram: TelegramApi, desk: Desk) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    telegram.fail_next("sendMessage", 429, retry_after=7)

    error = refusal(lambda: desk.send(chat, Reply("red")))

    assert (error.permanent, error.retry_after_s) == (False, 7.0)


def test_who_blocked_us_left_or_deleted_will_not_be_tried_again(telegram: TelegramApi, desk: Desk) -> None:
    anna, ben = telegram.person("Anna"), telegram.person("Ben")
    blocked, group, old = telegram.private_chat(anna), telegram.group("G", ben), telegram.group("Old", ben)
    theirs, ours = ben.send_text(group, "hello"), desk.send(group, Reply("red"))
    anna.block_bot()
    telegram.upgrade(old)
    telegram.delete(in_chat(group, ours))
    nowhere = telegram.other_bot("No", "chat_bot")

    errors = [
        refusal(lambda: desk.send(blocked, Reply("red"))),
        refusal(lambda: desk.send(nowhere, Reply("red"))),
        refusal(lambda: desk.send(old, Reply("red"))),
        refusal(lambda: desk.edit(group, ours, Reply("grey"))),
        refusal(lambda: desk.edit(group, str(theirs.id), Reply("grey"))),
    ]

    assert [error.permanent for error in errors] == [True] * 5
    said = ["blocked", "chat not found", "supergroup", "message to edit not found", "can't be edited"]
    assert [words in str(error).lower() for words, error in zip(said, errors, strict=True)] == [True] * 5


@pytest.mark.parametrize("trouble", ["fail", "cut"])
def test_trouble_of_the_line_or_the_server_is_passing(telegram: TelegramApi, desk: Desk, trouble: str) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    if trouble == "fail":
        telegram.fail_next("sendMessage", 502)
    else:
        telegram.cut_before_accept("sendMessage")

    error = refusal(lambda: desk.send(chat, Reply("red")))

    assert (error.permanent, error.retry_after_s) == (False, None)


# Files.


def test_a_link_that_expired_is_asked_for_once_more(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    anna.send_photo(telegram.private_chat(anna), picture())
    attachment = desk.posts()[0].attachment
    assert attachment is not None

    telegram.fail_next("download", 404, description="Not Found")
    data = desk.do(desk.platform.fetch(attachment))
    telegram.fail_next("download", 404, description="Not Found", times=2)
    gone = refusal(lambda: desk.do(desk.platform.fetch(attachment)))

    assert Image.open(io.BytesIO(data)).size == (64, 48)
    assert gone.permanent


@pytest.mark.parametrize(
    ("status", "description", "permanent"),
    [
        (400, "Bad Request: file is too big", True),
        (400, "Bad Request: invalid file_id", True),
        (400, "Bad Request: wrong file_id or the file is temporarily unavailable", False),
        (401, "Unauthorized", False),
        (500, "Internal Server Error", False),
    ],
)
def test_a_file_that_can_not_be_had_says_whether_to_try_again(
    telegram: TelegramApi, desk: Desk, status: int, description: str, permanent: bool
) -> None:
    telegram.fail_next("getFile", status, description=description)

    error = refusal(lambda: desk.do(desk.platform.fetch(Attachment({"file_id": "x"}))))

    assert error.permanent is permanent


# The webhook.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def webhook_at(telegram: TelegramApi) -> Iterator[tuple[Desk, str]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    with desk_at(telegram, telegram_webhook_url=url, telegram_webhook_port=port) as desk:
        telegram.wait_for(lambda: any(call.status == 200 for call in telegram.calls_of("setWebhook")))
        yield desk, url


def test_a_webhook_takes_updates_and_refuses_strangers(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")

    with webhook_at(telegram) as (desk, url):
        forged = {"update_id": 1, "message": {}}
        guesses = [{webhook.SECRET_HEADER.encode(): key} for key in (b"guess", b"\xfc")]
        wrong = [httpx.post(url, json=forged, headers=guess) for guess in guesses]
        none = httpx.post(url, json=forged)
        anna.send_text(telegram.private_chat(anna), "hello")
        desk.posts()

    assert [answer.status_code for answer in (*wrong, none)] == [403, 403, 403]
    assert [post.text for post in desk.host.posts] == ["hello"]
    assert not telegram.calls_of("getUpdates")


def test_a_webhook_that_could_not_write_an_update_down_gets_it_again(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")

    with webhook_at(telegram) as (desk, _):
        desk.host.refusals = [DatabaseError(), DatabaseError()]
        anna.send_text(telegram.private_chat(anna), "hello")
        desk.posts()
        telegram.wait_for(lambda: not telegram.updates.pending)

    assert [post.text for post in desk.host.posts] == ["hello"]
    assert desk.host.tries == 3


def test_a_webhook_reads_no_more_than_an_update(telegram: TelegramApi) -> None:
    with webhook_at(telegram) as (desk, url):
        key = {webhook.SECRET_HEADER: telegram.calls_of("setWebhook")[0].arguments["secret_token"]}
        large = httpx.post(url, content=b" " * ((1 << 20) + 1), headers=key)
        broken = httpx.post(url, content=b"{", headers=key)
        odd = httpx.post(url, json={"update_id": 5, "message": {"message_id": 1}}, headers=key)

    assert [answer.status_code for answer in (large, broken, odd)] == [413, 400, 200]
    assert desk.host.posts == []


def test_a_port_that_is_taken_does_not_end_the_process(telegram: TelegramApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with desk_at(telegram, telegram_webhook_url="http://x/", telegram_webhook_port=port) as desk:
            error = desk.end()

    assert isinstance(error, PlatformError)
    assert "SNAPLABEL_TELEGRAM_WEBHOOK_PORT" in str(error)


# Around it.


def test_everybody_sees_the_commands_that_they_may_use(telegram: TelegramApi) -> None:
    anna, ben = telegram.person("Anna"), telegram.person("Ben")
    home, group = telegram.private_chat(anna), telegram.group("Squirrels", ben, anna)
    admins = ("telegram:12345", "discord:9", f"telegram:{anna.id}")

    with desk_at(telegram, admins=admins):
        telegram.wait_for(lambda: len([call for call in telegram.calls_of("setMyCommands") if call.status]) == 4)

    assert telegram.commands_shown_to(anna, home) == ["status", "retrain"]
    assert telegram.commands_shown_to(ben, telegram.private_chat(ben)) == ["status"]
    assert telegram.commands_shown_to(anna, group) == ["status"]


def test_privacy_mode_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with TelegramApi(privacy_mode=True) as telegram, desk_at(telegram):
        telegram.wait_for(lambda: telegram.calls_of("getUpdates"))

    assert "privacy mode is on" in caplog.text


def test_the_token_is_in_no_log(telegram: TelegramApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    telegram.fail_next("getUpdates", 500, description=f"no /bot{telegram.token}/getUpdates")
    telegram.fail_next("sendMessage", 400, description=f"no /bot{telegram.token}/sendMessage")

    with desk_at(telegram) as desk:
        anna.send_photo(chat, picture())
        attachment = desk.posts()[0].attachment
        assert attachment is not None
        desk.do(desk.platform.fetch(attachment))
        error = refusal(lambda: desk.send(chat, Reply("red")))
        desk.send(chat, Reply("red"))

    assert "can't be reached" in caplog.text
    assert telegram.token not in caplog.text + str(error)
    assert "AAStandIn" not in caplog.text + str(error)


def test_an_admin_is_told_in_private_under_their_own_number(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    message = desk.do(desk.platform.send(f"{PRIVATE}{anna.id}", Reply("Trouble"), reply_to=None, nonce="once"))
    desk.do(desk.platform.edit(f"{PRIVATE}{anna.id}", message, Reply("Over")))

    assert in_chat(chat, message).shown.startswith("Over")


@pytest.mark.parametrize("number", ["424242424242", "anna"])
def test_somebody_who_never_wrote_to_us_can_never_be_told(telegram: TelegramApi, desk: Desk, number: str) -> None:
    def tell() -> None:
        desk.do(desk.platform.send(PRIVATE + number, Reply("Trouble"), reply_to=None, nonce="once"))

    assert refusal(tell).permanent


def test_trouble_with_updates_is_there_to_be_seen_until_it_is_over(telegram: TelegramApi, desk: Desk) -> None:
    anna = telegram.person("Anna")
    before = desk.platform.trouble

    with httpx.Client() as other, pytest.raises(httpx.HTTPStatusError):
        other.get(f"{telegram.base_url}{telegram.token}/getUpdates?timeout=1", timeout=5).raise_for_status()
    telegram.wait_for(lambda: desk.platform.trouble == "conflict")
    anna.send_text(telegram.private_chat(anna), "hello")
    desk.posts()

    telegram.wait_for(lambda: not desk.platform.trouble)
    assert before == ""
