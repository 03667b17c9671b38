"""Discord's adapter against the stand-in for Discord, over real HTTP and websockets, with the real discord.py."""

import asyncio
import io
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

from bot import reception
from bot.messages import PRIVATE, Attachment, Choice, Command, Host, Incoming, Reply
from bot.platforms.discord import adapter, calls, client, looks
from snaplabel import people
from snaplabel.database import Database
from snaplabel.errors import DatabaseError, NotStored, PlatformError, SettingsError
from snaplabel.settings import Settings
from snaplabel.tables import Answer
from tests.fakes.discord_api import Channel, DiscordApi, Guild, Intent, Message, NotPossible, Permission, User

pytestmark = [
    pytest.mark.real,
    # discord.py leaves sockets to be collected when a client ends; see `_end_of_discord` in tests/conftest.py.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
T = TypeVar("T")
COMMANDS = (Command("status", "how things are"), Command("retrain", "train now", "admins", "full"))
RED, GREY = Choice("Red", "as:1:2", "good"), Choice("Grey", "as:1:3")


class Notebook:
    """A Host on a real database, which also remembers what it was given.

    refusals: what `receive` raises next. holds: whether it waits before it writes anything down; held: how many wait.
    """

    def __init__(self, database: Database) -> None:
        self.settings: Any = None
        self.database = database
        self.commands: Sequence[Command] = COMMANDS
        self.posts: list[Incoming] = []
        self.refusals: list[Exception] = []
        self.takes_s = 0.0
        self.holds, self.held = False, 0
        self.pictures: dict[str, bytes] = {}

    async def receive(self, posts: Sequence[Incoming]) -> None:
        await asyncio.sleep(self.takes_s)
        self.held += 1
        while self.holds:
            await asyncio.sleep(0.005)
        self.held -= 1
        if self.refusals:
            raise self.refusals.pop(0)
        for post in posts:
            if await asyncio.to_thread(reception.write_down, self.database, [post]):
                self.posts.append(post)

    async def last_seen(self, platform: str, chat: str) -> str | None:
        return await asyncio.to_thread(reception.newest_seen, self.database, platform, chat)

    async def mark_seen(self, platform: str, chat: str, message: str) -> None:
        await asyncio.to_thread(reception.mark_seen, self.database, platform, chat, message)

    async def read(self, key: str) -> bytes:
        if key not in self.pictures:
            raise NotStored
        return self.pictures[key]

    async def keep(self, data: bytes) -> str:
        raise AssertionError("Discord's files are fetched, not kept")

    async def ring(self, task: str, number: int) -> None:
        raise AssertionError("a platform on the other side of the network rings for nothing")


class Desk:
    """The adapter in a thread of its own; it can be stopped and started like the bot's process."""

    def __init__(self, api: DiscordApi, database: Database, **settings: Any) -> None:
        self.api = api
        self.host = Notebook(database)
        values = {"discord_token": api.token, "discord_api_url": f"{api.url}/api/v10", **settings}
        self._settings = Settings(home=Path("unused"), **values)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.new()

    def new(self, **times: float) -> None:
        """As another process: nothing that was in memory is left. times: what the adapter's patience should be."""
        host: Host = self.host
        self.platform = adapter.Discord(self._settings, host, **({"settle_s": 0.05, "pause_s": 0.02} | times))

    def start(self, *, waits: bool = True) -> None:
        """Run; by default until the bot has looked up what it missed and registered its commands."""
        self._running = asyncio.run_coroutine_threadsafe(self.platform.run(), self._loop)
        if waits:
            self.eventually(lambda: self.platform._client and self.platform._client.is_ready())
            self.eventually(lambda: self.platform._client and self.platform._client._registering.done())  # type: ignore[union-attr]
            self.rest()

    def stop(self) -> None:
        self._running.cancel()
        self.eventually(lambda: self._running.done() and not self.api.is_connected)

    def restart(self, **times: float) -> None:
        self.stop()
        self.new(**times)
        self.start()

    def rest(self) -> None:
        """Wait until nothing that came in is being worked on."""

        async def others() -> None:
            def busy() -> list[Any]:
                return [each for each in asyncio.all_tasks() if each.get_name().startswith("discord.py: on_")]

            while tasks := busy():
                await asyncio.wait(tasks)

        self.do(others())

    def count(self, event: str) -> int:
        """How many of these events are being worked on."""
        return sum(event in task.get_name() for task in asyncio.all_tasks(self._loop))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=20)

    def send(self, channel: Channel, reply: Reply, reply_to: str | None = None, nonce: str = "snaplabel-1") -> str:
        return self.do(self.platform.send(str(channel.id), reply, reply_to=reply_to, nonce=nonce))

    def edit(self, channel: Channel, message: str, reply: Reply) -> None:
        self.do(self.platform.edit(str(channel.id), message, reply))

    def fetch(self, post: Incoming) -> bytes:
        assert post.attachment is not None
        return self.do(self.platform.fetch(post.attachment))

    def mark(self, channel: Channel) -> str | None:
        return reception.newest_seen(self.host.database, "discord", str(channel.id))

    def posts(self, count: int = 1) -> list[Incoming]:
        """The posts that were written down, once there are so many."""
        self.eventually(lambda: len(self.host.posts) >= count)
        return self.host.posts

    def eventually(self, truth: Callable[[], T], timeout_s: float = 10.0) -> T:
        end = time.monotonic() + timeout_s
        while not (found := truth()):
            assert time.monotonic() < end, "not in time"
            time.sleep(0.005)
        return found

    def end(self) -> BaseException | None:
        """Wait for `run` to end by itself; what it raised."""
        return self._running.exception(timeout=15)

    def close(self) -> None:
        async def cancel_all() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0.01)

        self._running.cancel()
        with_patience = time.monotonic() + 5
        while not self._running.done() and time.monotonic() < with_patience:
            time.sleep(0.002)
        self.do(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        while self._loop.is_running():
            time.sleep(0.001)
        self._loop.close()


@pytest.fixture(autouse=True)
def _discord_py_aimed_as_before() -> Iterator[None]:
    """Both addresses belong to the whole process."""
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    yield
    Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@pytest.fixture
def api() -> Iterator[DiscordApi]:
    with DiscordApi() as started:
        yield started


@pytest.fixture
def guild(api: DiscordApi) -> Guild:
    return api.guild("Squirrel watchers")


@pytest.fixture
def channel(guild: Guild) -> Channel:
    return guild.text_channel("photos")


@pytest.fixture
def anna(api: DiscordApi, guild: Guild) -> User:
    return guild.join(api.user("Anna"))


@contextmanager
def desk_at(api: DiscordApi, database: Database, *, starts: bool = True, **settings: Any) -> Iterator[Desk]:
    desk = Desk(api, database, **settings)
    try:
        desk.start(waits=starts)
        yield desk
    finally:
        desk.close()


@pytest.fixture
def desk(api: DiscordApi, channel: Channel, anna: User, database: Database) -> Iterator[Desk]:
    with desk_at(api, database) as desk:
        yield desk


def picture(colour: str = "teal", kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, kind)
    return file.getvalue()


def photo(colour: str = "teal") -> tuple[str, bytes, str]:
    return f"{colour}.jpg", picture(colour), "image/jpeg"


def refusal(act: Callable[[], object]) -> PlatformError:
    with pytest.raises(PlatformError) as caught:
        act()
    return caught.value


def in_channel(channel: Channel, message: str) -> Message:
    return next(each for each in channel.messages if each.id == int(message))


def texts(channel: Channel) -> list[str]:
    return [message.content for message in channel.from_bot]


# Posts.


def test_a_photo_comes_in_and_is_fetched_byte_for_byte(channel: Channel, anna: User, desk: Desk) -> None:
    sent = anna.send(channel, "#red look", [photo()])

    (post,) = desk.posts()

    assert (post.kind, post.chat, post.message) == ("photo", str(channel.id), str(sent.id))
    assert (post.person, post.name, post.text) == (str(anna.id), "Anna", "#red look")
    assert (post.album, post.position, post.is_private, post.reply_to) == (None, 0, False, None)
    assert post.attachment is not None
    assert (post.attachment.name, post.attachment.size) == ("teal.jpg", len(picture()))
    assert desk.fetch(Incoming.from_json(post.to_json())) == picture()


def test_a_photo_is_fetched_after_its_link_expired(api: DiscordApi, channel: Channel, anna: User, desk: Desk) -> None:
    anna.send(channel, attachments=[photo("red"), photo("grey")])
    _, second = desk.posts(2)

    api.expire_links()

    assert desk.fetch(second) == picture("grey")


def test_a_photo_that_is_gone_with_its_message_will_not_be_tried_again(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    sent = anna.send(channel, attachments=[photo()])
    post = desk.posts()[0]

    anna.delete(sent)
    api.expire_links()

    assert refusal(lambda: desk.fetch(post)).permanent


def test_a_file_that_can_not_be_had_now_is_tried_again(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    anna.send(channel, attachments=[photo()])
    post = desk.posts()[0]

    api.fail_next("GET", "/attachments/**", 503)
    failed = refusal(lambda: desk.fetch(post))
    api.cut_before_accept("GET", "/attachments/**", times=2)  # aiohttp itself tries once more.
    cut = refusal(lambda: desk.fetch(post))

    assert (failed.permanent, cut.permanent) == (False, False)
    assert desk.fetch(post) == picture()


def test_reading_a_file_ends_at_20_mb(
    channel: Channel, anna: User, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna.send(channel, attachments=[photo()])
    post = desk.posts()[0]

    monkeypatch.setattr(calls, "HEAVIEST_FILE", 100)

    assert refusal(lambda: desk.fetch(post)).permanent


def test_several_photos_in_a_message_are_an_album(channel: Channel, anna: User, desk: Desk) -> None:
    files = [photo("red"), ("notes.txt", b"hm", "text/plain"), photo("grey"), ("b.PNG", picture(kind="PNG"), None)]

    sent = anna.send(channel, "three", files)
    posts = desk.posts(3)

    assert [(post.message, post.album, post.position) for post in posts] == [
        (str(sent.id),) * 2 + (n,) for n in (0, 1, 2)
    ]
    assert [desk.fetch(post) for post in posts] == [picture("red"), picture("grey"), picture(kind="PNG")]


def test_what_is_no_photo_is_named_once(channel: Channel, anna: User, desk: Desk) -> None:
    heavy = b"x" * ((20 << 20) + 1)

    anna.send(channel, "look", [("a.mp4", b"x", "video/mp4"), ("b.mp4", b"x", "video/mp4")])
    anna.send(channel, "listen", [("a.ogg", b"x", "audio/ogg")])
    anna.send(channel, "read", [("a.pdf", b"x", "application/pdf"), ("b.bin", b"x", None)])
    anna.send(channel, "big", [("a.jpg", heavy, "image/jpeg"), ("b.jpg", b"x", "image/jpeg")])

    posts = desk.posts(5)
    said = [(post.kind, post.what, post.album) for post in posts]
    assert said[:3] == [("unusable", what, None) for what in ("video", "audio", "document")]
    assert said[3:] == [("photo", "", None), ("unusable", "too-heavy", None)]


def test_only_words_that_are_meant_for_the_bot_are_read(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    seen = anna.send(channel, attachments=[photo()])

    anna.send(channel, "nice weather")
    anna.send(channel, "red", reply_to=seen)
    anna.send(channel, f"{api.bot.mention} /status")
    anna.send(channel, api.bot.mention)
    anna.send(anna.dm(), "/help")

    desk.eventually(lambda: len(desk.host.posts) == 4)
    desk.rest()
    found = [(post.text, post.reply_to, post.is_private, post.kind) for post in desk.host.posts[1:]]
    assert sorted(found, key=str) == sorted(
        [("red", str(seen.id), False, "text"), ("/status", None, False, "text"), ("/help", None, True, "text")], key=str
    )


def test_a_forwarded_photo_is_a_photo_without_its_words(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    first = anna.send(channel, "#wrong", [photo()])
    forwarded = anna.forward(first, anna.dm())

    post = next(post for post in desk.posts(2) if post.message == str(forwarded.id))

    assert (post.kind, post.text, post.reply_to, post.is_private) == ("photo", "", None, True)
    api.expire_links()
    assert desk.fetch(post) == picture()


def test_bots_are_not_heard_the_own_one_least(api: DiscordApi, channel: Channel, anna: User, desk: Desk) -> None:
    sent = desk.send(channel, Reply("Red", picture=None))
    desk.host.pictures["report"] = picture(kind="PNG")
    desk.send(channel, Reply("Report", picture="report"), reply_to=sent, nonce="other")

    anna.send(channel, "hello", [photo()])

    assert [post.person for post in desk.posts()] == [str(anna.id)]


def test_edits_other_bots_and_webhooks_are_not_heard(api: DiscordApi, channel: Channel, anna: User, desk: Desk) -> None:
    said = anna.send(channel, f"{api.bot.mention} red")
    desk.posts()
    echo = {"id": "77", "username": "Echo", "discriminator": "0000", "avatar": None, "bot": True}
    quiet = {"mentions": [], "mention_roles": [], "mention_everyone": False, "attachments": [], "embeds": []}
    common = {**quiet, "channel_id": str(channel.id), "timestamp": "2026-01-01T00:00:00Z", "edited_timestamp": None}
    words = {"content": f"{api.bot.mention} /retrain", "pinned": False, "tts": False, "type": 0}

    anna.edit(said, f"{api.bot.mention} /retrain")
    api.send_event("MESSAGE_CREATE", {**common, **words, "id": str(said.id + 1), "author": echo})
    hook = {**echo, "bot": False}
    api.send_event("MESSAGE_CREATE", {**common, **words, "id": str(said.id + 2), "author": hook, "webhook_id": "77"})
    anna.send(channel, f"{api.bot.mention} bye")

    assert [post.text for post in desk.posts(2)] == ["red", "bye"]
    desk.rest()
    assert len(desk.host.posts) == 2


def test_a_photo_deleted_before_its_answer_is_told_of_and_answered_all_the_same(
    channel: Channel, anna: User, desk: Desk
) -> None:
    sent, chat = anna.send(channel, attachments=[photo()]), anna.send(channel, "pssst")
    desk.posts()
    desk.rest()

    anna.delete(chat)
    anna.delete(sent)
    gone = desk.posts(2)[1]
    desk.send(channel, Reply("Red"), str(sent.id))

    assert (gone.kind, gone.message, gone.reply_to) == ("deleted", f"deleted:{sent.id}", str(sent.id))
    assert [(message.content, message.reply_to) for message in channel.from_bot] == [("**Red**", None)]


# Nothing is lost.


def test_photos_sent_while_the_bot_was_away_come_in_once_and_in_order(channel: Channel, anna: User, desk: Desk) -> None:
    anna.send(channel, attachments=[photo("red")])
    anna.send(anna.dm(), "hello")
    desk.posts(2)
    desk.rest()
    desk.stop()

    away = [anna.send(channel, "words"), *(anna.send(channel, attachments=[photo()]) for _ in range(3))]
    direct = anna.send(anna.dm(), attachments=[photo("grey")])
    desk.start()
    desk.posts(6)
    desk.restart()
    desk.restart()

    found = [post.message for post in desk.host.posts[2:]]
    assert [each for each in found if each != str(direct.id)] == [str(each.id) for each in away[1:]]
    assert len(found) == 4


def test_what_was_there_before_the_bot_is_let_lie(
    api: DiscordApi, guild: Guild, channel: Channel, anna: User, database: Database
) -> None:
    anna.send(channel, attachments=[photo()])
    secret = guild.text_channel("secret")
    secret.deny(guild.everyone, Permission.VIEW_CHANNEL)

    with desk_at(api, database) as desk:
        desk.stop()
        new = anna.send(channel, attachments=[photo()])
        desk.start()

        assert [post.message for post in desk.posts()] == [str(new.id)]
        assert desk.mark(secret) is None


def test_of_a_long_absence_the_latest_is_read(
    channel: Channel, anna: User, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()
    desk.stop()
    monkeypatch.setattr(client, "MOST_MISSED", 2)

    sent = [anna.send(channel, attachments=[photo()]) for _ in range(4)]
    desk.start()

    assert [post.message for post in desk.host.posts[1:]] == [str(each.id) for each in sent[2:]]
    assert desk.mark(channel) == str(sent[-1].id)


def test_a_thread_opened_while_the_bot_was_away_is_read_from_its_start(
    channel: Channel, anna: User, desk: Desk
) -> None:
    chatter = anna.send(channel, "before")
    desk.eventually(lambda: desk.mark(channel) == str(chatter.id))
    desk.stop()

    thread = anna.open_thread(channel, "squirrels")
    sent = anna.send(thread, attachments=[photo()])
    desk.start()

    assert [(post.chat, post.message) for post in desk.posts()] == [(str(thread.id), str(sent.id))]


def test_photos_sent_into_a_lost_session_are_found(api: DiscordApi, channel: Channel, anna: User, desk: Desk) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()

    api.drop_gateway(resumable=False)
    missed = [anna.send(channel, attachments=[photo()]) for _ in range(2)]
    desk.eventually(lambda: api.is_connected, 15)
    live = anna.send(channel, attachments=[photo()])

    posts = desk.posts(4)
    assert [post.message for post in posts[1:]] == [str(each.id) for each in (*missed, live)]


def test_what_was_said_while_one_session_gave_way_to_another_under_a_backfill_is_found(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()
    desk.stop()
    missed = [anna.send(channel, attachments=[photo()])]
    desk.host.holds = True
    desk.new()
    desk.start(waits=False)
    desk.eventually(lambda: desk.host.held)

    api.drop_gateway(resumable=False)
    missed.append(anna.send(channel, attachments=[photo()]))
    desk.eventually(lambda: desk.count("on_guild_available") == 2, 20)
    desk.host.holds = False

    assert [post.message for post in desk.posts(3)[1:]] == [str(each.id) for each in missed]


def test_a_message_during_the_backfill_does_not_overtake_it(channel: Channel, anna: User, desk: Desk) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()
    desk.stop()
    desk.host.takes_s = 0.05

    sent = [anna.send(channel, attachments=[photo()]) for _ in range(3)]
    desk.start(waits=False)
    desk.eventually(lambda: desk.api.is_connected)
    sent += [anna.send(channel, attachments=[photo()]) for _ in range(3)]

    assert [post.message for post in desk.posts(7)[1:]] == [str(each.id) for each in sent]


def test_what_could_not_be_written_down_is_offered_again_before_what_follows(
    channel: Channel, anna: User, desk: Desk
) -> None:
    desk.host.refusals = [DatabaseError(), OSError("disk full")]

    sent = [anna.send(channel, attachments=[photo()]) for _ in range(3)]

    assert [post.message for post in desk.posts(3)] == [str(each.id) for each in sent]


def test_a_channel_without_a_history_for_the_bot_is_still_heard(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()
    channel.deny(api.bot, Permission.READ_MESSAGE_HISTORY)
    desk.restart()

    anna.send(channel, attachments=[photo()])
    sent = desk.send(channel, Reply("Red"), desk.posts(2)[1].message)

    assert in_channel(channel, sent).reply_to is None


def test_an_event_that_discord_py_can_not_read_ends_the_run_and_the_next_one_finds_all(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    anna.send(channel, attachments=[photo()])
    desk.posts()
    desk.rest()

    api.send_event("MESSAGE_CREATE", {"id": None, "channel_id": str(channel.id)})
    error = desk.end()
    anna.send(channel, attachments=[photo()])
    desk.start()

    assert isinstance(error, PlatformError)
    assert len(desk.posts(2)) == 2


def test_a_first_connection_that_is_refused_ends_the_run(
    api: DiscordApi, channel: Channel, anna: User, database: Database
) -> None:
    api.refuse_gateway()

    with desk_at(api, database, starts=False) as desk:
        error = desk.end()
        desk.start()
        anna.send(channel, attachments=[photo()])

        assert isinstance(error, PlatformError)
        assert len(desk.posts()) == 1


def test_an_outage_that_lasts_ends_the_run(api: DiscordApi, desk: Desk) -> None:
    desk.restart(away_s=0.3)

    with api.outage():
        error = desk.end()

    assert isinstance(error, PlatformError)


def test_a_wrong_token_is_named(api: DiscordApi, database: Database) -> None:
    with desk_at(api, database, starts=False, discord_token="wrong") as desk:
        error = desk.end()

    assert isinstance(error, SettingsError)
    assert "SNAPLABEL_DISCORD_TOKEN" in str(error)


def test_a_missing_intent_is_named(database: Database) -> None:
    with DiscordApi(privileged_intents=Intent.ALWAYS) as api, desk_at(api, database, starts=False) as desk:
        error = desk.end()

    assert isinstance(error, SettingsError)
    assert "Message Content Intent" in str(error)


# Commands, buttons, menus and forms.


def test_commands_are_registered_once_and_those_of_admins_for_admins(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    desk.restart()

    retrain = api.command("retrain")
    assert [each.name for each in api.commands] == ["status", "retrain", "Correct this photo"]
    assert (retrain.description, retrain.default_member_permissions) == ("train now", Permission.MANAGE_GUILD)
    assert [(each["name"], each["required"]) for each in retrain.options] == [("full", False)]
    with pytest.raises(NotPossible):
        anna.slash(channel, "retrain")
    assert len(api.calls_to("PUT", "/applications/*/commands")) == 1


def test_a_slash_command_is_answered_where_it_says_thinking(
    api: DiscordApi, guild: Guild, channel: Channel, desk: Desk
) -> None:
    chief = guild.join(api.user("Chief"), administrator=True)
    desk.host.pictures["report"] = picture(kind="PNG")

    asked = chief.slash(channel, "retrain", {"full": "full"}).wait_answered()
    (post,) = desk.posts()
    assert post.token is not None
    sent = desk.send(channel, Reply("Training…", choices=((RED,),)), post.token)
    desk.edit(channel, sent, Reply("v2 is live", picture="report"))

    assert (post.kind, post.text, post.message) == ("text", "/retrain full", f"interaction:{asked.id}")
    assert (post.person, post.name, post.is_private) == (str(chief.id), "Chief", False)
    (answer,) = channel.from_bot
    assert (str(answer.id), answer.content, asked.response) == (sent, "**v2 is live**", answer)
    assert [each.filename for each in answer.attachments] == ["picture.png"]
    assert not answer.is_loading


def test_an_answer_that_is_ready_at_once_waits_for_thinking(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    api.delay_next("POST", "/interactions/*/*/callback", 0.3)

    asked = anna.slash(channel, "status")
    token = desk.posts()[0].token
    desk.send(channel, Reply("Fine"), token)
    asked.wait_answered()

    assert [(message.content, message.is_loading) for message in channel.from_bot] == [("**Fine**", False)]


def test_an_answer_that_comes_too_late_for_its_command_is_a_message(
    api: DiscordApi, channel: Channel, anna: User, desk: Desk
) -> None:
    anna.slash(anna.dm(), "status").wait_answered()
    (post,) = desk.posts()

    api.expire_interactions()
    sent = desk.send(anna.dm(), Reply("Fine"), post.token)

    assert (post.is_private, in_channel(anna.dm(), sent).content) == (True, "**Fine**")


def test_who_asks_while_nothing_can_be_written_is_told(channel: Channel, anna: User, desk: Desk) -> None:
    question = desk.send(channel, Reply("Which?", choices=((RED, GREY),)))

    desk.host.refusals = [DatabaseError(), DatabaseError()]
    asked = anna.slash(channel, "status").wait_answered()
    pressed = anna.press(in_channel(channel, question), "Red").wait_answered()

    for each in (asked, pressed):
        assert each.response is not None
        assert (each.response.content, each.response.is_ephemeral) == (looks.NOT_WRITTEN, True)
    assert desk.host.posts == []


def test_writing_that_takes_long_does_not_make_a_press_fail(channel: Channel, anna: User, desk: Desk) -> None:
    question = desk.send(channel, Reply("Which?", choices=((RED, GREY),)))
    desk.host.takes_s = 2.0

    pressed = anna.press(in_channel(channel, question), "Red").wait_answered()

    assert pressed.answered_after_s is not None
    assert pressed.answered_after_s < 2.0
    assert desk.posts()[0].data == "as:1:2"


def test_a_button_works_after_a_restart(channel: Channel, anna: User, desk: Desk) -> None:
    rows = ((RED, GREY), (Choice("No", "no", "danger"), replace(GREY, text="Grey again")))
    question = desk.send(channel, Reply("Which?", choices=rows))
    desk.restart()

    pressed = anna.press(in_channel(channel, question), "Grey").wait_answered()
    (post,) = desk.posts()

    assert (post.kind, post.data, post.reply_to, post.token) == ("press", "as:1:3", question, question)
    assert (post.message, post.person, pressed.answer_type) == (f"press:{pressed.id}", str(anna.id), 6)
    styles = [(button.label, button.style) for button in in_channel(channel, question).buttons]
    assert styles == [("Red", 3), ("Grey", 2), ("No", 4)]


def test_a_long_list_becomes_a_menu_and_keeps_its_other_buttons(channel: Channel, anna: User, desk: Desk) -> None:
    labels = [Choice(f"Label {n} " + "x" * 120, f"as:1:{n}") for n in range(30)]
    rows = (
        *(tuple(labels[n : n + 2]) for n in range(0, 30, 2)),
        (Choice("← Back", "back:1"), Choice("More ↓", "else:1:1")),
    )

    question = in_channel(channel, desk.send(channel, Reply(text="Which one?", choices=rows)))
    anna.choose(question, "as:1:27", menu="menu:1").wait_answered()
    anna.press(question, "← Back").wait_answered()

    assert desk.platform._client is not None
    assert list(desk.platform._client.persistent_views) == []
    assert [len(menu.options) for menu in question.menus] == [25, 5]
    assert [button.label for button in question.buttons] == ["← Back", "More ↓"]
    assert sorted(post.data for post in desk.posts(2)) == ["as:1:27", "back:1"]


def test_a_page_of_labels_is_one_menu_and_an_album_keeps_its_numbers(channel: Channel, desk: Desk) -> None:
    labels = [Choice(f"Label {n}", f"as:1:{n}") for n in range(10)]
    page = (*(tuple(labels[n : n + 2]) for n in range(0, 10, 2)), (Choice("← Back", "back:1"),))
    numbers = tuple(Choice(str(n), f"pick:{n}") for n in range(7))

    listed = in_channel(channel, desk.send(channel, Reply("Which?", choices=page), nonce="1"))
    album = in_channel(channel, desk.send(channel, Reply("7 photos", choices=(numbers,)), nonce="2"))

    assert ([len(menu.options) for menu in listed.menus], len(listed.buttons)) == ([10], 1)
    assert ([len(row) for row in album.rows], album.menus) == ([5, 2], [])


def test_a_photo_is_corrected_from_its_menu_even_over_a_restart(channel: Channel, anna: User, desk: Desk) -> None:
    sent = anna.send(channel, attachments=[photo()])
    desk.posts()

    form = anna.context(sent, "Correct this photo").wait_answered().modal
    assert form is not None
    desk.restart()
    submitted = anna.submit(form, {"Label": " Grey squirrel "}).wait_answered()
    post = desk.posts(2)[1]

    assert form.title == "Correct this photo"
    assert (post.kind, post.text, post.reply_to, post.token) == ("text", "Grey squirrel", str(sent.id), str(sent.id))
    assert post.message == f"interaction:{submitted.id}"
    assert submitted.response is not None
    assert (submitted.response.content, submitted.response.visible_to) == (looks.THANKS, anna)


# Answers.


def test_an_answer_shows_all_its_parts_as_they_are(channel: Channel, anna: User, desk: Desk) -> None:
    sent = anna.send(channel, attachments=[photo()])
    desk.host.pictures["report"] = picture(kind="PNG")
    reply = Reply("*Red* & sure", "- a_b\n# c `d` <#1> https://x.y/a_b", "x  1\ny ``` 2", ((RED,),), "report")

    answer = in_channel(channel, desk.send(channel, reply, str(sent.id)))

    words = "**\\*Red\\* & sure**\n\\- a\\_b\n\\# c \\`d\\` \\<#1> <https://x.y/a_b>\n```\nx  1\ny `\u200b`` 2\n```"
    assert (answer.content, answer.reply_to) == (words, sent)
    assert [(each.filename, each.content) for each in answer.attachments] == [("picture.png", picture(kind="PNG"))]


def test_nobody_is_pinged_whatever_a_label_says(api: DiscordApi, channel: Channel, anna: User, desk: Desk) -> None:
    sent = anna.send(channel, attachments=[photo()])
    loud = f"@everyone @here {anna.mention}"

    answer = in_channel(channel, desk.send(channel, Reply(loud, loud, loud), str(sent.id)))
    desk.edit(channel, str(answer.id), Reply(loud, loud + "!", loud))
    asked = anna.slash(channel, "status").wait_answered()
    desk.send(channel, Reply(loud), desk.posts(2)[1].token)

    for message in (answer, asked.response):
        assert message is not None
        assert (message.pings, message.mentions.users, message.mentions.everyone) == ([], [], False)


def test_long_answers_are_cut_to_what_discord_takes(channel: Channel, desk: Desk) -> None:
    table = "\n".join(f"line {n}" for n in range(1000))

    words = in_channel(channel, desk.send(channel, Reply("T" * 999, "🐿*" * 3000), nonce="1"))
    listed = in_channel(channel, desk.send(channel, Reply("Labels", "all", table), nonce="2"))
    empty = in_channel(channel, desk.send(channel, Reply(), nonce="3"))

    assert words.content.startswith("**" + "T" * 255 + "…**\n🐿\\*")
    assert words.content.endswith("…")
    assert not words.content.endswith("\\…")
    assert 1300 < len(words.content) <= 2000
    assert listed.content.endswith("\n…\n```")
    assert listed.content.split("\n")[-3] in table.split("\n")
    assert empty.content == "…"


def test_a_send_that_was_cut_after_it_arrived_is_one_message(api: DiscordApi, channel: Channel, desk: Desk) -> None:
    api.cut_after_accept("POST", "/channels/*/messages")

    error = refusal(lambda: desk.send(channel, Reply("Looking…")))
    sent = desk.send(channel, Reply("Red"))

    assert (error.permanent, [str(message.id) for message in channel.from_bot]) == (False, [sent])
    assert texts(channel) == ["**Red**"]


def test_a_message_whose_nonce_discord_forgot_is_found_in_the_history(
    channel: Channel, anna: User, desk: Desk, database: Database
) -> None:
    post, other = anna.send(channel, "", [photo()]), anna.send(channel, "", [photo("red")])
    desk.posts(2)
    sent = desk.send(channel, Reply("Red"), str(post.id), nonce="snaplabel-1")
    desk.send(channel, Reply("Blue"), str(other.id), nonce="snaplabel-2")

    found = desk.do(desk.platform.find(str(channel.id), 1, Reply("Red"), reply_to=str(post.id)))
    with database.begin() as session:
        here = people.chat(session, "discord", str(channel.id)).id
        session.add(Answer(platform="discord", chat_id=here, reply_to=str(post.id), revision=1, platform_id=sent))
    known = desk.do(desk.platform.find(str(channel.id), 2, Reply("Red"), reply_to=str(post.id)))

    assert (found, known) == (sent, None)


def test_a_message_is_edited_and_its_picture_uploaded_once(api: DiscordApi, channel: Channel, desk: Desk) -> None:
    desk.host.pictures |= {"one": picture(kind="PNG"), "two": picture("red", kind="PNG")}
    sent = desk.send(channel, Reply("Training…", choices=((RED,),)))

    desk.edit(channel, sent, Reply("v2", picture="one"))
    desk.edit(channel, sent, Reply("v2", "again", picture="one"))
    desk.edit(channel, sent, Reply("v2", "no picture"))
    desk.edit(channel, sent, Reply("v3", picture="two"))

    (message,) = channel.from_bot
    assert (message.content, message.buttons) == ("**v3**", [])
    assert [each.content for each in message.attachments] == [picture("red", kind="PNG")]
    assert [len(version.attachments) for version in message.versions] == [0, 1, 1, 1]
    assert [len(call.files) for call in api.calls_to("PATCH", "/channels/*/messages/*")] == [1, 0, 0, 1]


def test_a_photo_is_exchanged_and_taken_away_in_one_message(channel: Channel, desk: Desk) -> None:
    desk.host.pictures |= {"photos/a.jpg": picture(), "photos/b.jpg": picture("red")}
    sent = desk.send(channel, Reply("ant or bee?", picture="photos/a.jpg"))

    for key in ("photos/b.jpg", "photos/b.jpg", "photos/lost.jpg", "photos/a.jpg", ""):
        desk.edit(channel, sent, Reply("bee or ant?", picture=key))

    message = in_channel(channel, sent)
    shown = [[(each.filename, each.content) for each in version.attachments] for version in message.versions]
    assert [version for n, version in enumerate([*shown]) if n == 0 or version != shown[n - 1]] == [
        [("picture.jpg", picture())],
        [("picture.jpg", picture("red"))],
        [],
        [("picture.jpg", picture())],
    ]
    assert message.attachments == []


def test_a_picture_that_the_place_or_the_store_refuses_does_not_take_the_words_with_it(
    api: DiscordApi, guild: Guild, channel: Channel, desk: Desk
) -> None:
    desk.host.pictures["report"] = picture(kind="PNG")
    channel.deny(guild.everyone, Permission.ATTACH_FILES)
    channel.deny(api.bot, Permission.ATTACH_FILES)

    desk.send(channel, Reply("Report", picture="report"), nonce="1")
    desk.send(channel, Reply("Lost", picture="lost"), nonce="2")

    assert [(message.content, message.attachments) for message in channel.from_bot] == [
        ("**Report**", []),
        ("**Lost**", []),
    ]


def test_typing_shows_and_never_fails(api: DiscordApi, channel: Channel, desk: Desk) -> None:
    desk.do(desk.platform.busy(str(channel.id)))
    desk.do(desk.platform.busy("4"))

    assert [call.status for call in api.calls_to("POST", "/channels/*/typing")] == [204, 404]


# Refusals.


def test_what_is_gone_or_forbidden_will_not_be_tried_again(
    api: DiscordApi, guild: Guild, channel: Channel, anna: User, desk: Desk
) -> None:
    ours = desk.send(channel, Reply("Red"))
    guild.join(api.user("Chief"), administrator=True).delete(in_channel(channel, ours))
    theirs, dm, quiet, hidden = anna.send(channel, "mine"), anna.dm(), guild.text_channel("q"), guild.text_channel("h")
    anna.accepts_dms = False
    quiet.deny(api.bot, Permission.SEND_MESSAGES)
    hidden.deny(api.bot, Permission.VIEW_CHANNEL)

    errors = [
        refusal(lambda: desk.edit(channel, ours, Reply("Grey"))),
        refusal(lambda: desk.edit(channel, str(theirs.id), Reply("Grey"))),
        refusal(lambda: desk.do(desk.platform.send("4", Reply("Red"), reply_to=None, nonce="2"))),
        *(refusal(lambda place=place: desk.send(place, Reply("Red"))) for place in (dm, quiet, hidden)),  # type: ignore[misc]
    ]

    assert [error.permanent for error in errors] == [True] * 6
    codes = [next(code for code in (10008, 50005, 10003, 50007, 50013, 50001) if str(code) in str(e)) for e in errors]
    assert codes == [10008, 50005, 10003, 50007, 50013, 50001]


@pytest.mark.parametrize("trouble", ["cut", "hang", "server", "ban", "proxy"])
def test_trouble_of_the_line_or_the_server_is_passing(
    api: DiscordApi, channel: Channel, desk: Desk, trouble: str
) -> None:
    desk.restart(call_s=0.3)
    route = ("POST", "/channels/*/messages")
    {
        "cut": lambda: api.cut_before_accept(*route),
        "hang": lambda: api.never_answer(*route),
        "server": lambda: api.fail_next(*route, 503, times=5),
        "ban": lambda: api.fail_next(*route, 429, scope="cloudflare"),
        "proxy": lambda: api.fail_next(*route, 403),
    }[trouble]()

    error = refusal(lambda: desk.send(channel, Reply("Red")))

    assert (error.permanent, error.retry_after_s) == (False, None)


def test_a_long_limit_says_how_long_to_wait_and_a_short_one_is_waited_for(
    api: DiscordApi, channel: Channel, desk: Desk
) -> None:
    api.fail_next("POST", "/channels/*/messages", 429, retry_after_s=77)
    error = refusal(lambda: desk.send(channel, Reply("Red")))
    api.fail_next("POST", "/channels/*/messages", 429, retry_after_s=0.1)
    desk.send(channel, Reply("Red"))

    assert (error.permanent, error.retry_after_s) == (False, 77.0)
    assert texts(channel) == ["**Red**"]


def test_without_a_connection_calls_are_passing_failures(channel: Channel, desk: Desk) -> None:
    desk.stop()
    desk.new(call_s=0.05)

    errors = [
        refusal(lambda: desk.send(channel, Reply("Red"))),
        refusal(lambda: desk.edit(channel, "1", Reply("Red"))),
        refusal(lambda: desk.do(desk.platform.fetch(Attachment({"url": "http://127.0.0.1:9/"})))),
    ]
    desk.do(desk.platform.busy(str(channel.id)))

    assert [error.permanent for error in errors] == [False] * 3


def test_no_token_and_no_words_are_in_any_log(
    api: DiscordApi, channel: Channel, anna: User, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with desk_at(api, database) as desk:
        anna.send(channel, "dear diary", [photo()])
        asked = anna.slash(channel, "status").wait_answered()
        desk.posts(2)
        api.fail_next("PATCH", "/webhooks/**", 429, retry_after_s=0.1)
        desk.send(channel, Reply("Fine"), desk.host.posts[-1].token)
        api.cut_before_accept("PATCH", "/webhooks/**")
        error = refusal(lambda: desk.send(channel, Reply("Fine"), f"interaction:{api.bot.id}:{asked.token}"))

    assert "dear diary" not in caplog.text
    for secret in (api.token, asked.token):
        assert secret not in caplog.text + str(error)


# Roles.


def test_whoever_may_manage_the_guild_is_said_to_manage_its_chats(
    api: DiscordApi, guild: Guild, channel: Channel, anna: User, desk: Desk
) -> None:
    chief = guild.join(api.user("Chief"), roles=[guild.role("keepers", Permission.MANAGE_GUILD)])
    owner = guild.owner

    chief.slash(channel, "retrain").wait_answered()
    anna.slash(channel, "status").wait_answered()
    for who in (chief, anna, owner):
        who.send(channel, f"{api.bot.mention} hello")

    posts = desk.posts(5)
    said = {(post.person, post.kind, post.text): post.is_chat_admin for post in posts}
    assert said == {
        (str(chief.id), "text", "/retrain"): True,
        (str(anna.id), "text", "/status"): False,
        (str(chief.id), "text", "hello"): True,
        (str(anna.id), "text", "hello"): False,
        (str(owner.id), "text", "hello"): True,
    }


def test_whoever_is_demoted_before_a_press_is_said_to_manage_nothing(
    api: DiscordApi, guild: Guild, channel: Channel, desk: Desk
) -> None:
    chief = guild.join(api.user("Chief"), administrator=True)
    question = desk.send(channel, Reply("Which?", choices=((Choice("Red", "as:1:2"),),)))

    chief.press(in_channel(channel, question), "Red").wait_answered()
    guild.join(chief)
    chief.press(in_channel(channel, question), "Red").wait_answered()

    assert [post.is_chat_admin for post in desk.posts(2)] == [True, False]


def test_in_direct_messages_nobody_manages_anything(api: DiscordApi, guild: Guild, desk: Desk) -> None:
    chief = guild.join(api.user("Chief"), administrator=True)

    chief.send(chief.dm(), "/retrain")

    assert [post.is_chat_admin for post in desk.posts(1)] == [False]


def test_what_was_said_while_the_bot_was_away_comes_without_roles(
    api: DiscordApi, guild: Guild, channel: Channel, desk: Desk
) -> None:
    chief = guild.join(api.user("Chief"), administrator=True)
    chief.send(channel, f"{api.bot.mention} hello")
    desk.posts(1)
    desk.rest()
    desk.stop()
    chief.send(channel, f"{api.bot.mention} /retrain")

    desk.new()
    desk.start()

    assert [(post.text, post.is_chat_admin) for post in desk.posts(2)] == [("hello", True), ("/retrain", False)]


def test_an_admin_is_told_in_direct_messages_that_are_opened_once(api: DiscordApi, desk: Desk, anna: User) -> None:
    chat = f"{PRIVATE}{anna.id}"

    message = desk.do(desk.platform.send(chat, Reply("Trouble"), reply_to=None, nonce="once"))
    desk.do(desk.platform.edit(chat, message, Reply("Over")))

    assert "Over" in in_channel(anna.dm(), message).content
    assert len(anna.dm().from_bot) == 1


@pytest.mark.parametrize("person", ["424242424242", "anna"])
def test_a_person_who_is_not_there_can_never_be_told(desk: Desk, person: str) -> None:
    def tell() -> None:
        desk.do(desk.platform.send(PRIVATE + person, Reply("Trouble"), reply_to=None, nonce="once"))

    assert refusal(tell).permanent
