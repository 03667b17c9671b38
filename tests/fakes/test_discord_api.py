"""The Discord stand-in, proven with the real discord.py: what passes here passes for the library's own reasons."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import aiohttp
import pytest
import yarl

from .discord_api import Channel, DiscordApi, Guild, Intent, NotPossible, Permission, User

with warnings.catch_warnings():
    # discord.py imports audioop for voice, which Python 3.11 and 3.12 announce as going.
    warnings.filterwarnings("ignore", "'audioop' is deprecated", DeprecationWarning)
    import discord
    from discord import app_commands
    from discord.gateway import DiscordWebSocket
    from discord.http import Route

pytestmark = [
    pytest.mark.real,
    # discord.py leaves sockets to be collected when a client ends; see `_end_of_discord` in tests/conftest.py.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
T = TypeVar("T")
JPEG = b"\xff\xd8\xff\xe0 not much of a photo, but every byte of it counts \x00\x01\xfe\xff" * 50
READY_AFTER_S = 0.05
"""discord.py waits this long for one more guild before it is ready; its default of 2 s is for real networks."""


class Bot(discord.Client):
    """The real discord.py, aimed at `api_url`, with a little behaviour plugged in by each test."""

    def __init__(self, api_url: str, intents: discord.Intents | None = None) -> None:
        # Aiming needs two addresses. REST: this class attribute, read whenever discord.py makes a Route.
        Route.BASE = f"{api_url}/api/v10"
        intents = intents or discord.Intents(guilds=True, messages=True, message_content=True, guild_reactions=True)
        super().__init__(intents=intents, guild_ready_timeout=READY_AFTER_S)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[discord.Message] = []
        self.events: list[str] = []
        self.answer: Callable[[discord.Message], Awaitable[Any]] | None = None
        self.views: list[type[discord.ui.View]] = []
        self.is_set_up = threading.Event()

    async def setup_hook(self) -> None:
        # Gateway: asked from REST, as Discord advises; discord.py itself would use this attribute unasked.
        _, gateway, _ = await self.http.get_bot_gateway()
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        for view in self.views:
            self.add_view(view())
        if self.tree.get_commands() or self.tree.get_commands(type=discord.AppCommandType.message):
            await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Skip the 5 s that discord.py waits before every IDENTIFY but the first."""

    async def on_ready(self) -> None:
        self.events.append("ready")
        self.is_set_up.set()

    async def on_resumed(self) -> None:
        self.events.append("resumed")

    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            self.heard.append(message)
            if self.answer:
                await self.answer(message)

    async def on_raw_message_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        self.events.append(f"edited {event.message.content}")

    async def on_raw_message_delete(self, event: discord.RawMessageDeleteEvent) -> None:
        self.events.append("deleted")

    async def on_raw_reaction_add(self, event: discord.RawReactionActionEvent) -> None:
        self.events.append(f"reacted {event.emoji}")

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the bot's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def say(self, channel: Channel, text: str, view: type[discord.ui.View] | None = None) -> discord.Message:
        """Send a message; the view is made inside the loop, where views work."""

        async def send() -> discord.Message:
            place = self.text_channel(channel)
            return await (place.send(text, view=view()) if view else place.send(text))

        return self.do(send())

    def text_channel(self, channel: Channel) -> discord.TextChannel:
        """Return discord.py's idea of a channel."""
        found = self.get_channel(channel.id)
        assert isinstance(found, discord.TextChannel)
        return found


@contextmanager
def running(bot: Bot, api: DiscordApi) -> Iterator[Bot]:
    """Let the bot run in a thread of its own until the block ends."""
    thread = threading.Thread(target=lambda: asyncio.run(run(bot, api.token)), daemon=True)
    thread.start()
    assert bot.is_set_up.wait(10), "the bot never became ready"
    try:
        yield bot
    finally:
        if not bot.is_closed():
            asyncio.run_coroutine_threadsafe(bot.close(), bot.loop)
        thread.join(10)


async def run(bot: Bot, token: str) -> None:
    """Run the bot until it is closed or fails; `async with` waits until it has closed everything."""
    async with bot:
        await bot.start(token)


def eventually(api: DiscordApi, truth: Callable[[], T]) -> T:
    """Return the first true value, also of things that only the bot knows."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if found := truth():
            return found
        time.sleep(0.005)
    return api.wait_for(truth, 0.01)


@pytest.fixture(autouse=True)
def _discord_py_aimed_as_before() -> Iterator[None]:
    """Both addresses belong to the whole process: give them back to the tests that follow."""
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
    return guild.join(api.user("anna"))


@pytest.fixture
def bot(api: DiscordApi, channel: Channel, anna: User) -> Iterator[Bot]:
    with running(Bot(api.url), api) as started:
        yield started


class Labels(discord.ui.View):
    """Two buttons that outlive the process: no timeout, fixed custom ids.

    To be made inside the event loop: a view made anywhere else never reacts, and discord.py does not say so.
    """

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Red squirrel", custom_id="label:red", style=discord.ButtonStyle.primary)
    async def red(self, interaction: discord.Interaction, button: discord.ui.Button[Labels]) -> None:
        await interaction.response.edit_message(content="It is a red squirrel.", view=None)

    @discord.ui.button(label="Something else", custom_id="label:other")
    async def other(self, interaction: discord.Interaction, button: discord.ui.Button[Labels]) -> None:
        await interaction.response.send_modal(Correction())


class Correction(discord.ui.Modal, title="What is it?"):
    label = discord.ui.TextInput["Correction"](label="Right label", custom_id="right", max_length=64)

    async def on_submit(self, interaction: discord.Interaction) -> None:
        await interaction.response.send_message(f"Thanks, {self.label.value}.", ephemeral=True)


# Starting


def test_a_bot_logs_in_and_sees_its_guild_its_channels_and_what_it_may_do(
    api: DiscordApi, guild: Guild, channel: Channel
) -> None:
    secret = guild.text_channel("secret")
    secret.deny(api.bot, Permission.SEND_MESSAGES)

    with running(Bot(api.url), api) as bot:
        seen = bot.guilds[0]
        may = {each.name: each.permissions_for(seen.me).send_messages for each in seen.text_channels}

    assert (seen.id, seen.name, may) == (guild.id, "Squirrel watchers", {"photos": True, "secret": False})


def test_members_are_told_to_a_bot_that_may_know_them(api: DiscordApi, guild: Guild, anna: User) -> None:
    guild.join(api.user("chief"), administrator=True, nick="boss")
    intents = discord.Intents.default() | discord.Intents(members=True)

    with running(Bot(api.url, intents), api) as bot:
        members = {each.display_name: each.guild_permissions.administrator for each in bot.guilds[0].members}

    assert members == {"snaplabel": False, "anna": False, "boss": True, "owner": True}


def test_a_guild_that_invites_the_running_bot_is_joined(api: DiscordApi, bot: Bot) -> None:
    new = api.guild("Architecture")
    hall = new.text_channel("hall")

    eventually(api, lambda: bot.get_channel(hall.id))
    bot.say(hall, "hello")

    assert [each.content for each in hall.messages] == ["hello"]


def test_a_wrong_token_is_refused(api: DiscordApi) -> None:
    with pytest.raises(discord.LoginFailure):
        asyncio.run(run(Bot(api.url), "not the token"))


def test_an_intent_that_the_portal_does_not_grant_ends_the_connection() -> None:
    with DiscordApi(privileged_intents=Intent.ALWAYS) as api, pytest.raises(discord.PrivilegedIntentsRequired):
        asyncio.run(run(Bot(api.url), api.token))


def test_a_bot_in_another_process_can_use_it(api: DiscordApi, channel: Channel) -> None:
    script = f"""
import discord, yarl
from discord.gateway import DiscordWebSocket
discord.http.Route.BASE = "{api.url}/api/v10"
class Bot(discord.Client):
    async def setup_hook(self):
        DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL((await self.http.get_bot_gateway())[1])
    async def on_ready(self):
        await self.get_channel({channel.id}).send("hello from far away")
        await self.close()
Bot(intents=discord.Intents.default(), guild_ready_timeout=0.05).run("{api.token}", log_handler=None)
"""

    subprocess.run([sys.executable, "-c", script], check=True, timeout=20)

    assert [each.content for each in channel.messages] == ["hello from far away"]


# Listening


def test_a_photo_arrives_byte_for_byte(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    anna.send(channel, "what is this?", [("my squirrel.jpg", JPEG, "image/jpeg")])

    heard = eventually(api, lambda: bot.heard)[0]
    photo = heard.attachments[0]

    assert (heard.content, heard.author.name) == ("what is this?", "anna")
    assert (photo.filename, photo.content_type, photo.size) == ("my_squirrel.jpg", "image/jpeg", len(JPEG))
    assert bot.do(photo.read()) == JPEG


def test_without_the_content_intent_only_messages_that_concern_the_bot_can_be_read(
    api: DiscordApi, channel: Channel, anna: User
) -> None:
    photo = ("a.jpg", JPEG, "image/jpeg")

    with running(Bot(api.url, discord.Intents.default()), api) as bot:
        anna.send(channel, "among us", [photo])
        anna.send(channel, f"{api.bot.mention} look", [photo])
        anna.send(anna.dm(), "just for you", [photo])
        heard = eventually(api, lambda: len(bot.heard) == 3 and bot.heard)

    assert [len(each.attachments) for each in heard or []] == [0, 1, 1]
    assert [bool(each.content) for each in heard or []] == [False, True, True]


def test_edits_deletions_reactions_and_forwards_are_heard(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    message = anna.send(channel, "a squirel", [("a.jpg", JPEG, "image/jpeg")])

    anna.edit(message, "a squirrel")
    anna.react(message, "👍")
    forwarded = anna.forward(message, channel)
    anna.delete(message)

    eventually(api, lambda: "deleted" in bot.events)
    assert bot.events == ["ready", "edited a squirrel", "reacted 👍", "deleted"]
    assert [each.content for each in message.versions] == ["a squirel"]
    snapshot = next(each for each in bot.heard if each.id == forwarded.id).message_snapshots[0]
    assert (snapshot.content, bot.do(snapshot.attachments[0].read())) == ("a squirrel", JPEG)


def test_an_expired_link_is_dead_until_the_message_is_fetched_again(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    anna.send(channel, attachments=[("a.jpg", JPEG, "image/jpeg")])
    heard = eventually(api, lambda: bot.heard)[0]

    api.expire_links()

    with pytest.raises(discord.NotFound):
        bot.do(heard.attachments[0].read())
    again = bot.do(heard.channel.fetch_message(heard.id))
    assert bot.do(again.attachments[0].read()) == JPEG


def test_history_after_a_message_holds_what_was_said_while_the_bot_was_away(
    api: DiscordApi, channel: Channel, anna: User
) -> None:
    last_seen = anna.send(channel, "before")
    for number in range(3):
        anna.send(channel, f"away {number}", [("a.jpg", JPEG, "image/jpeg")])

    async def backfill(place: discord.TextChannel) -> list[str]:
        return [each.content async for each in place.history(after=discord.Object(last_seen.id), limit=2)]

    with running(Bot(api.url), api) as late:
        missed = late.do(backfill(late.text_channel(channel)))

    assert missed == ["away 0", "away 1"]


def test_a_thread_is_a_channel_too(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    thread = anna.open_thread(anna.send(channel, "let us talk"), "about squirrels")
    anna.send(thread, "in here")

    heard = eventually(api, lambda: [each for each in bot.heard if each.content == "in here"])[0]
    assert isinstance(heard.channel, discord.Thread)
    bot.do(heard.reply("yes"))

    assert [each.content for each in thread.from_bot] == ["yes"]


# Speaking


def test_a_reply_with_a_picture_and_buttons_is_seen_as_people_see_it(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot, tmp_path: Any
) -> None:
    (tmp_path / "box.png").write_bytes(JPEG)

    async def answer(message: discord.Message) -> None:
        await message.reply("A squirrel?", view=Labels(), file=discord.File(tmp_path / "box.png"))

    bot.answer = answer
    asked = anna.send(channel, "what is this?")

    seen = api.wait_for(lambda: channel.from_bot)[0]
    assert (seen.content, seen.reply_to, seen.pings) == ("A squirrel?", asked, [anna])
    assert [each.label for each in seen.buttons] == ["Red squirrel", "Something else"]
    assert [(each.filename, each.content) for each in seen.attachments] == [("box.png", JPEG)]


def test_a_bot_writes_to_a_person_directly(api: DiscordApi, anna: User, bot: Bot) -> None:
    async def write() -> None:
        await (await bot.fetch_user(anna.id)).send("psst")

    bot.do(write())

    assert [each.content for each in anna.dm().messages] == ["psst"]
    anna.accepts_dms = False
    with pytest.raises(discord.Forbidden) as refused:
        bot.do(write())
    assert refused.value.code == 50007


def test_allowed_mentions_decide_whose_phone_rings(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    place = bot.text_channel(channel)

    bot.do(place.send("@everyone look"))
    bot.do(place.send("@everyone look", allowed_mentions=discord.AllowedMentions.none()))

    loud, quiet = channel.messages
    assert anna in loud.pings
    assert quiet.pings == []


def test_a_nonce_makes_the_second_send_return_the_first_message(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    place = bot.text_channel(channel)

    first = bot.do(place.send("once", nonce="photo-17"))
    second = bot.do(place.send("once, again", nonce="photo-17"))
    other = bot.do(place.send("twice", nonce="photo-18"))

    assert second.id == first.id != other.id
    assert [each.content for each in channel.messages] == ["once", "twice"]


def test_a_nonce_is_remembered_when_its_message_is_gone(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    place = bot.text_channel(channel)
    bot.do(bot.do(place.send("once", nonce="photo-17")).delete())

    with pytest.raises(discord.NotFound) as refused:
        bot.do(place.send("once", nonce="photo-17"))

    assert refused.value.code == 10008


def test_a_send_that_was_cut_after_it_was_accepted_can_be_repeated_safely(
    api: DiscordApi, channel: Channel, bot: Bot
) -> None:
    place = bot.text_channel(channel)
    api.cut_after_accept("POST", "/channels/*/messages")

    with pytest.raises((aiohttp.ClientError, OSError)):
        bot.do(place.send("once", nonce="photo-17"))
    again = bot.do(place.send("once", nonce="photo-17"))

    assert [each.id for each in channel.messages] == [again.id]


# Being refused


def test_discord_py_waits_as_long_as_a_429_says(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    api.fail_next("POST", "/channels/*/messages", status=429, retry_after_s=0.3)

    bot.do(bot.text_channel(channel).send("patience"))

    refused, accepted = api.calls_to("POST", "/channels/*/messages")
    assert (refused.status, accepted.status) == (429, 200)
    assert accepted.at_s - refused.at_s >= 0.3


def test_discord_py_holds_back_when_the_headers_count_down(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    api.limit("POST", "/channels/*/messages", calls=2, per_s=0.4)

    for number in range(4):
        bot.do(bot.text_channel(channel).send(str(number)))

    calls = api.calls_to("POST", "/channels/*/messages")
    assert [call.status for call in calls] == [200] * 4
    assert calls[2].at_s - calls[0].at_s >= 0.4


def test_refusals_carry_discords_own_codes(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    place = bot.text_channel(channel)
    row = discord.ui.View(timeout=None).add_item(discord.ui.Button(label="x" * 81, custom_id="y"))
    foreign = anna.send(channel, "mine")
    gone = bot.do(place.send("soon gone"))
    bot.do(gone.delete())
    codes = []

    for attempt in (
        lambda: place.send("x" * 2001),
        lambda: place.send("fine", view=row),
        lambda: place.get_partial_message(gone.id).edit(content="too late"),
        lambda: place.get_partial_message(foreign.id).edit(content="not mine"),
        lambda: place.get_partial_message(foreign.id).delete(),
        lambda: place.send("a reply", reference=gone),
    ):
        with pytest.raises(discord.HTTPException) as refused:
            bot.do(attempt())
        codes.append(refused.value.code)

    assert codes == [50035, 50035, 10008, 50005, 50013, 50035]


def test_a_place_without_permissions_refuses(api: DiscordApi, guild: Guild, channel: Channel, bot: Bot) -> None:
    place = bot.text_channel(channel)

    channel.deny(api.bot, Permission.SEND_MESSAGES)
    with pytest.raises(discord.Forbidden) as silenced:
        bot.do(place.send("hello?"))
    channel.deny(guild.everyone, Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as blinded:
        bot.do(place.send("hello?"))

    assert (silenced.value.code, blinded.value.code) == (50013, 50001)


def test_a_request_that_is_never_answered_hangs(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    api.never_answer("POST", "/channels/*/messages")

    with pytest.raises(TimeoutError):
        bot.do(asyncio.wait_for(bot.text_channel(channel).send("hello?"), 0.1))

    assert channel.messages == []


def test_a_server_error_is_tried_again_but_a_ban_is_not(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    api.fail_next("POST", "/channels/*/messages", status=502)
    bot.say(channel, "at last")

    api.fail_next("POST", "/channels/*/messages", status=429, scope="cloudflare")
    with pytest.raises(discord.HTTPException) as banned:
        bot.say(channel, "banned")

    assert [each.content for each in channel.messages] == ["at last"]
    assert banned.value.status == 429


def test_troubles_that_were_called_off_do_not_strike(api: DiscordApi, channel: Channel, bot: Bot) -> None:
    api.fail_next("POST", "/channels/*/messages", status=502, times=3)

    api.heal()
    bot.say(channel, "at once")

    assert [call.status for call in api.calls_to("POST", "/channels/*/messages")] == [200]


# Being used


def test_a_button_of_a_persistent_view_edits_its_message(api: DiscordApi, channel: Channel, anna: User) -> None:
    first = Bot(api.url)
    with running(first, api):
        first.say(channel, "A squirrel?", Labels)
    question = channel.from_bot[0]
    second = Bot(api.url)
    second.views = [Labels]

    with running(second, api):
        pressed = anna.press(question, "Red squirrel").wait_answered()

    assert (question.content, question.buttons, pressed.answer_type) == ("It is a red squirrel.", [], 7)
    assert [each.content for each in question.versions] == ["A squirrel?"]
    with pytest.raises(NotPossible):
        anna.press(question, "Red squirrel")


def test_a_form_pops_up_and_its_answer_is_ephemeral(
    api: DiscordApi, guild: Guild, channel: Channel, anna: User, bot: Bot
) -> None:
    bob = guild.join(api.user("bob"))
    bot.say(channel, "A squirrel?", Labels)

    form = anna.press(channel.from_bot[0], "Something else").wait_answered().modal
    assert form is not None
    assert (form.title, [each.label for each in form.fields]) == ("What is it?", ["Right label"])
    thanks = anna.submit(form, {"Right label": "a marmot"}).wait_answered().response

    assert thanks is not None
    assert (thanks.content, thanks.is_ephemeral) == ("Thanks, a marmot.", True)
    assert thanks in channel.seen_by(anna)
    assert thanks not in channel.seen_by(bob)
    with pytest.raises(discord.NotFound):
        bot.do(bot.text_channel(channel).fetch_message(thanks.id))


def test_a_choice_from_a_menu_arrives(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    class Menu(discord.ui.View):
        @discord.ui.select(options=[discord.SelectOption(label=each) for each in ("red", "grey")], custom_id="menu")
        async def chosen(self, interaction: discord.Interaction, menu: discord.ui.Select[Menu]) -> None:
            await interaction.response.defer()
            await interaction.edit_original_response(content=f"So it is {menu.values[0]}.", view=None)

    bot.say(channel, "Which one?", Menu)
    question = channel.from_bot[0]
    assert [each.label for each in question.menus[0].options] == ["red", "grey"]
    anna.choose(question, "grey")

    api.wait_for(lambda: question.content == "So it is grey.")


def test_a_slash_command_is_registered_filled_in_and_answered_later(
    api: DiscordApi, channel: Channel, anna: User
) -> None:
    bot = Bot(api.url)

    @bot.tree.command(name="teach", description="Teach a label")
    @app_commands.describe(label="the right label", photo="an example", friend="who knows it")
    @app_commands.choices(mood=[app_commands.Choice(name="Happy", value=1)])
    async def teach(
        interaction: discord.Interaction,
        label: str,
        mood: int,
        photo: discord.Attachment,
        friend: discord.Member | None = None,
    ) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        size = len(await photo.read())
        await interaction.followup.send(f"{label} {mood} {size} {friend}")
        await interaction.followup.send("for all", ephemeral=False)

    with running(bot, api):
        filled = {"label": "marmot", "mood": "Happy", "photo": ("a.jpg", JPEG, "image/jpeg"), "friend": anna}
        asked = anna.slash(channel, "teach", filled).wait_answered()
        api.wait_for(lambda: asked.followups)
        with pytest.raises(NotPossible):
            anna.slash(channel, "teach", {"label": "marmot"})

    assert asked.response is not None
    assert (asked.response.content, asked.response.is_ephemeral) == (f"marmot 1 {len(JPEG)} anna", True)
    assert [each.content for each in asked.followups] == ["for all"]


def test_subcommands_and_suggestions(api: DiscordApi, channel: Channel, anna: User) -> None:
    bot = Bot(api.url)
    group = app_commands.Group(name="model", description="Models")
    bot.tree.add_command(group)

    @group.command(name="rollback", description="Go back")
    async def rollback(interaction: discord.Interaction, version: str) -> None:
        await interaction.response.send_message(f"back to {version}")

    @rollback.autocomplete("version")
    async def suggest(interaction: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"version {typed}", value=typed)]

    with running(bot, api):
        typing = anna.type_option(channel, "model rollback", "version", "4").wait_answered()
        asked = anna.slash(channel, "model rollback", {"version": "4"}).wait_answered()

    assert [each["name"] for each in typing.choices or []] == ["version 4"]
    assert asked.response is not None
    assert asked.response.content == "back to 4"


def test_a_message_command_sees_the_message_and_obeys_its_permissions(
    api: DiscordApi, guild: Guild, channel: Channel, anna: User
) -> None:
    chief = guild.join(api.user("chief"), administrator=True)
    bot = Bot(api.url, discord.Intents.default())

    @bot.tree.context_menu(name="Correct this photo")
    @app_commands.default_permissions(manage_guild=True)
    async def correct(interaction: discord.Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"{message.author.name} sent {len(message.attachments)}")

    with running(bot, api):
        photo = anna.send(channel, "look", [("a.jpg", JPEG, "image/jpeg")])
        asked = chief.context(photo, "Correct this photo").wait_answered()
        with pytest.raises(NotPossible):
            anna.context(photo, "Correct this photo")

    assert asked.response is not None
    assert asked.response.content == "anna sent 1"
    assert api.command("Correct this photo").default_member_permissions == Permission.MANAGE_GUILD


def test_an_interaction_is_answered_once_and_in_time() -> None:
    with DiscordApi(answer_within_s=0.2) as api:
        guild = api.guild("Squirrel watchers")
        channel, anna = guild.text_channel("photos"), guild.join(api.user("anna"))
        bot = Bot(api.url)
        codes: list[int] = []

        @bot.tree.command(name="twice", description="Answer twice")
        async def twice(interaction: discord.Interaction, wait_s: float) -> None:
            await asyncio.sleep(wait_s)
            for _ in range(2):
                try:
                    interaction.response._response_type = None  # else discord.py refuses by itself
                    await interaction.response.send_message("here")
                except discord.HTTPException as refused:
                    codes.append(refused.code)

        with running(bot, api):
            asked = anna.slash(channel, "twice", {"wait_s": 0.0}).wait_answered()
            eventually(api, lambda: codes == [40060])
            late = anna.slash(channel, "twice", {"wait_s": 0.3})
            eventually(api, lambda: len(codes) == 3)

    assert codes == [40060, 10062, 10062]
    assert (asked.has_failed, late.has_failed) == (False, True)


def test_a_stale_press_reaches_the_bot_like_any_other(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    bot.say(channel, "A squirrel?", Labels)
    question = channel.from_bot[0]
    anna.press(question, "Red squirrel").wait_answered()

    pressed = anna.press_stale(question, "label:other").wait_answered()

    assert pressed.modal is not None


def test_an_ephemeral_answer_comes_back_dressed_as_a_direct_message(
    api: DiscordApi, channel: Channel, anna: User
) -> None:
    bot = Bot(api.url, discord.Intents.default())
    own: list[discord.Message] = []

    @bot.event
    async def on_message(message: discord.Message) -> None:
        own.append(message)

    @bot.tree.command(name="whisper", description="Whisper")
    async def whisper(interaction: discord.Interaction) -> None:
        await interaction.response.send_message("psst", ephemeral=True)

    with running(bot, api):
        anna.slash(channel, "whisper").wait_answered()
        eventually(api, lambda: own)

    assert (own[0].content, own[0].guild, own[0].author.id) == ("psst", None, api.bot.id)


def test_registering_commands_refuses_names_that_discord_refuses(api: DiscordApi, guild: Guild, bot: Bot) -> None:
    bad = {"name": "Has Spaces", "description": "", "type": 1}

    with pytest.raises(discord.HTTPException) as refused:
        bot.do(bot.http.bulk_upsert_guild_commands(api.bot.id, guild.id, [bad]))

    assert refused.value.code == 50035
    assert api.commands == []


def test_an_answer_cannot_be_changed_once_its_token_has_run_out(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    interactions: list[discord.Interaction] = []

    class Keep(discord.ui.View):
        @discord.ui.button(label="Keep", custom_id="keep")
        async def keep(self, interaction: discord.Interaction, button: discord.ui.Button[Keep]) -> None:
            interactions.append(interaction)
            await interaction.response.defer()

    bot.say(channel, "?", Keep)
    anna.press(channel.from_bot[0], "Keep").wait_answered()
    eventually(api, lambda: interactions)
    api.expire_interactions()

    with pytest.raises(discord.HTTPException) as refused:
        bot.do(interactions[0].edit_original_response(content="too late"))

    assert (refused.value.status, refused.value.code) == (401, 50027)


# Losing the connection


def test_a_dropped_gateway_is_resumed_and_nothing_is_missed(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    api.drop_gateway()
    anna.send(channel, "said into the gap")

    eventually(api, lambda: "resumed" in bot.events)

    assert [each.content for each in bot.heard] == ["said into the gap"]
    assert (len(api.gateway.identifies), api.gateway.resumes) == (1, 1)


def test_a_session_that_cannot_be_resumed_starts_anew_and_has_missed_what_was_said(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    api.drop_gateway(resumable=False)
    anna.send(channel, "said into the gap")

    eventually(api, lambda: bot.events.count("ready") == 2)
    anna.send(channel, "said afterwards")
    eventually(api, lambda: bot.heard)

    assert [each.content for each in bot.heard] == ["said afterwards"]
    assert len(api.gateway.identifies) == 2


def test_an_outage_ends_and_what_was_said_meanwhile_arrives(
    api: DiscordApi, channel: Channel, anna: User, bot: Bot
) -> None:
    with api.outage():
        anna.send(channel, "is anybody there?")
        with pytest.raises((aiohttp.ClientError, OSError)):
            bot.say(channel, "hello?")

    eventually(api, lambda: bot.heard)

    assert api.gateway.resumes == 1


def test_a_request_to_reconnect_is_followed(api: DiscordApi, channel: Channel, anna: User, bot: Bot) -> None:
    api.gateway.ask_to_reconnect()

    eventually(api, lambda: "resumed" in bot.events)
    anna.send(channel, "still there?")

    eventually(api, lambda: bot.heard)


def test_a_malformed_event_ends_discord_py_altogether(api: DiscordApi, channel: Channel) -> None:
    bot = Bot(api.url)
    ended: list[BaseException] = []

    def run_until_it_fails() -> None:
        try:
            asyncio.run(run(bot, api.token))
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run_until_it_fails, daemon=True)
    thread.start()
    assert bot.is_set_up.wait(10)
    api.send_event("MESSAGE_CREATE", {"id": None, "channel_id": str(channel.id)})
    thread.join(10)

    assert [type(error) for error in ended] == [TypeError]


def test_a_refused_first_connection_ends_discord_py_altogether(api: DiscordApi) -> None:
    api.refuse_gateway()

    with pytest.raises(AttributeError):
        asyncio.run(run(Bot(api.url), api.token))
