"""The Telegram stand-in, proven with the library that real bots use."""

from __future__ import annotations

import asyncio
import io
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import httpx
import pytest
from aiohttp import web
from PIL import Image
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeAllChatAdministrators,
    CallbackQuery,
    ChatMemberAdministrator,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Message,
    ReplyParameters,
    Update,
)
from telegram.error import (
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)
from telegram.ext import Application, ContextTypes, MessageHandler, filters
from telegram.request import HTTPXRequest

from .telegram_api import LEFT, TelegramApi

pytestmark = pytest.mark.real

T = TypeVar("T")
YES_NO = InlineKeyboardMarkup(
    [[InlineKeyboardButton("Yes", callback_data="y"), InlineKeyboardButton("No", callback_data="n")]]
)


@pytest.fixture
def telegram() -> Iterator[TelegramApi]:
    with TelegramApi() as api:
        yield api


def as_bot(telegram: TelegramApi, use: Callable[[Bot], Awaitable[T]]) -> T:
    """Return what `use` returns, called with the library's bot."""

    async def run() -> T:
        async with Bot(telegram.token, base_url=telegram.base_url, base_file_url=telegram.base_file_url) as bot:
            return await use(bot)

    return asyncio.run(run())


def refusal(telegram: TelegramApi, use: Callable[[Bot], Awaitable[object]]) -> str:
    """Return the type and the words of the library's error."""
    with pytest.raises(TelegramError) as caught:
        as_bot(telegram, use)
    return f"{type(caught.value).__name__}: {caught.value.message}"


def picture(width: int = 400, height: int = 300, colour: str = "teal") -> bytes:
    jpeg = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(jpeg, "JPEG")
    return jpeg.getvalue()


def message_of(update: Update) -> Message:
    assert update.effective_message is not None
    return update.effective_message


def press_of(update: Update) -> CallbackQuery:
    assert update.callback_query is not None
    return update.callback_query


def test_an_unconfirmed_update_is_given_again_until_a_higher_offset_confirms_it(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    for word in ("one", "two", "three"):
        anna.send_text(chat, word)

    async def fetch(bot: Bot) -> list[list[str | None]]:
        first = await bot.get_updates(limit=2)
        again = await bot.get_updates(limit=2)
        confirmed = await bot.get_updates(offset=first[-1].update_id + 1)
        rest = await bot.get_updates()
        return [[message_of(update).text for update in batch] for batch in (first, again, confirmed, rest)]

    batches = as_bot(telegram, fetch)

    assert batches == [["one", "two"], ["one", "two"], ["three"], ["three"]]


def test_a_long_poll_returns_as_soon_as_somebody_writes(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def fetch(bot: Bot) -> tuple[Update, ...]:
        polling = asyncio.create_task(bot.get_updates(timeout=10))
        await asyncio.to_thread(telegram.wait_for, lambda: telegram.calls_of("getUpdates"))
        anna.send_text(chat, "hello")
        return await polling

    began = time.monotonic()
    updates = as_bot(telegram, fetch)

    assert [message_of(update).text for update in updates] == ["hello"]
    assert time.monotonic() - began < 5


def test_an_application_of_the_library_answers_a_person(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna", username="anna")
    chat = telegram.private_chat(anna)
    question = anna.send_text(chat, "/start now")

    async def answer(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        await message_of(update).reply_text("Hello!", do_quote=True)

    async def run() -> None:
        builder = Application.builder().token(telegram.token)
        application = builder.base_url(telegram.base_url).base_file_url(telegram.base_file_url).build()
        application.add_handler(MessageHandler(filters.COMMAND, answer))
        async with application:
            await application.start()
            assert application.updater is not None
            await application.updater.start_polling(timeout=5)
            await asyncio.to_thread(telegram.wait_for, lambda: chat.from_bot)
            await application.updater.stop()
            await application.stop()

    asyncio.run(run())

    assert [(message.text, message.reply_to) for message in chat.from_bot] == [("Hello!", question)]
    assert telegram.updates.pending == []


def test_a_photo_arrives_upright_in_several_sizes_and_downloads_byte_for_byte(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    lying = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 1200)).save(lying, "JPEG", exif=exif)
    sent = anna.send_photo(chat, lying.getvalue(), "a fox?")

    async def fetch(bot: Bot) -> tuple[Message, bytes]:
        (update,) = await bot.get_updates()
        message = message_of(update)
        file = await message.photo[-1].get_file()
        return message, bytes(await file.download_as_bytearray())

    message, downloaded = as_bot(telegram, fetch)

    assert message.caption == "a fox?"
    assert [(size.width, size.height) for size in message.photo] == [(67, 90), (240, 320), (600, 800), (960, 1280)]
    assert downloaded == sent.photo
    assert Image.open(io.BytesIO(downloaded)).size == (960, 1280)
    assert message.photo[-1].file_size == len(downloaded)


def test_a_document_arrives_as_it_was_sent(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    content = picture(3000, 10)
    anna.send_document(chat, content, "fox.jpg", "image/jpeg")

    async def fetch(bot: Bot) -> tuple[str | None, bytes]:
        (update,) = await bot.get_updates()
        document = message_of(update).document
        assert document is not None
        return document.file_name, bytes(await (await document.get_file()).download_as_bytearray())

    assert as_bot(telegram, fetch) == ("fox.jpg", content)


def test_other_attachments_reach_the_library_under_their_own_names(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    anna.send_sticker(chat)
    anna.send_voice(chat)
    anna.send_video(chat, caption="look")
    anna.send_animation(chat)

    updates = as_bot(telegram, lambda bot: bot.get_updates())

    messages = [message_of(update) for update in updates]
    assert [filters.Sticker.ALL.check_update(updates[0]), filters.VOICE.check_update(updates[1])] == [True, True]
    assert [messages[2].caption, filters.VIDEO.check_update(updates[2])] == ["look", True]
    assert messages[3].animation
    assert messages[3].document


def test_a_button_press_reaches_the_bot_and_its_answer_reaches_the_person(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def ask(bot: Bot) -> None:
        await bot.send_message(anna.id, "A fox?", reply_markup=YES_NO)
        press = anna.press(chat.messages[-1], "No")
        (update,) = await bot.get_updates()
        query = press_of(update)
        assert (query.data, query.from_user.id) == ("n", anna.id)
        await query.answer("Thank you!", show_alert=True)
        await query.edit_message_text("Not a fox.")
        assert (press.answered, press.toast, press.is_alert) == (True, "Thank you!", True)

    as_bot(telegram, ask)

    answer = chat.messages[-1]
    assert (answer.text, answer.buttons) == ("Not a fox.", [])
    assert [(version.text, version.buttons) for version in answer.versions] == [
        ("A fox?", (("Yes", "No"),)),
        ("Not a fox.", ()),
    ]
    with pytest.raises(LookupError, match="no button 'No'"):
        anna.press(answer, "No")


def test_an_album_arrives_as_messages_of_one_group_in_one_batch(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def fetch(bot: Bot) -> list[Message]:
        polling = asyncio.create_task(bot.get_updates(timeout=10))
        await asyncio.to_thread(telegram.wait_for, lambda: telegram.calls_of("getUpdates"))
        anna.send_album(chat, [picture(), picture(colour="red"), picture(colour="blue")], "three foxes")
        return [message_of(update) for update in await polling]

    messages = as_bot(telegram, fetch)

    assert [message.caption for message in messages] == ["three foxes", None, None]
    assert len({message.media_group_id for message in messages}) == 1
    assert len({message.message_id for message in messages}) == 3


def test_a_bot_sends_and_edits_photos_and_albums(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def send(bot: Bot) -> None:
        sent = await bot.send_photo(anna.id, picture(colour="red"), caption="<b>Report</b>", parse_mode="HTML")
        await bot.send_media_group(
            anna.id, [InputMediaPhoto(picture()), InputMediaPhoto(sent.photo[-1].file_id, "old")]
        )
        await bot.edit_message_caption(anna.id, sent.message_id, caption="Report 2", reply_markup=YES_NO)
        await bot.edit_message_media(InputMediaPhoto(picture(colour="blue"), "Report 3"), anna.id, sent.message_id)

    as_bot(telegram, send)

    report, fresh, old = chat.from_bot
    assert [version.text for version in report.versions] == ["Report", "Report 2", "Report 3"]
    assert (fresh.media_group_id, old.caption) == (old.media_group_id, "old")
    assert old.photo == report.versions[0].photo != report.photo


def test_a_webhook_gets_each_update_with_its_secret_until_it_accepts(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    seen: list[tuple[str | None, str, str]] = []

    async def take(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(
            (request.headers.get("X-Telegram-Bot-Api-Secret-Token"), request.content_type, body["message"]["text"])
        )
        return web.Response(status=500 if len(seen) == 1 else 200)

    async def run(bot: Bot) -> None:
        application = web.Application()
        application.router.add_post("/hook", take)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await bot.set_webhook(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", secret_token="s3cret")
        anna.send_text(chat, "first")
        anna.send_text(chat, "second")
        await asyncio.to_thread(telegram.wait_for, lambda: not telegram.updates.pending)
        assert "500" in ((await bot.get_webhook_info()).last_error_message or "")
        telegram.stop()
        anna.send_text(chat, "after an outage")
        telegram.start()
        await asyncio.to_thread(telegram.wait_for, lambda: not telegram.updates.pending)
        with pytest.raises(Conflict, match="webhook is active"):
            await bot.get_updates()
        await bot.delete_webhook()
        assert await bot.get_updates() == ()
        await runner.cleanup()

    as_bot(telegram, run)

    told = [("s3cret", "application/json", text) for text in ("first", "first", "second", "after an outage")]
    assert seen == told


def test_of_two_pollers_the_older_is_sent_away(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def poll_twice(bot: Bot) -> tuple[Update, ...]:
        older = asyncio.create_task(bot.get_updates(timeout=10))
        await asyncio.to_thread(telegram.wait_for, lambda: len(telegram.calls_of("getUpdates")) == 1)
        newer = asyncio.create_task(bot.get_updates(timeout=10))
        with pytest.raises(Conflict, match="terminated by other getUpdates request"):
            await older
        anna.send_text(chat, "hello")
        return await newer

    # The library keeps getUpdates on a connection of its own, so both polls need a second one.
    updates = asyncio.run(_with_two_connections(telegram, poll_twice))

    assert [message_of(update).text for update in updates] == ["hello"]


async def _with_two_connections(telegram: TelegramApi, use: Callable[[Bot], Awaitable[T]]) -> T:
    async with Bot(
        telegram.token, base_url=telegram.base_url, get_updates_request=HTTPXRequest(connection_pool_size=2)
    ) as bot:
        return await use(bot)


def test_a_poller_that_died_leaves_its_updates_to_the_next(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    with socket.create_connection(("127.0.0.1", telegram.port)) as dying:
        request = f"GET /bot{telegram.token}/getUpdates?timeout=50 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        dying.sendall(request.encode())
        telegram.wait_for(lambda: telegram.calls_of("getUpdates"))
    anna.send_text(chat, "hello")

    updates = as_bot(telegram, lambda bot: bot.get_updates(timeout=5))

    assert [message_of(update).text for update in updates] == ["hello"]


def test_too_many_requests_tell_how_long_to_wait(telegram: TelegramApi, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without this the library warns when it makes a RetryAfter, and warnings are errors here.
    monkeypatch.setenv("PTB_TIMEDELTA", "true")
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    telegram.fail_next("sendMessage", status=429, retry_after=2)

    async def send(bot: Bot) -> None:
        with pytest.raises(RetryAfter) as caught:
            await bot.send_message(anna.id, "hello")
        assert caught.value.retry_after == timedelta(seconds=2)
        await bot.send_message(anna.id, "hello")

    as_bot(telegram, send)

    assert [message.text for message in chat.messages] == ["hello"]
    assert [call.status for call in telegram.calls_of("sendMessage")] == [429, 200]


def test_a_server_error_is_a_network_error_and_passes(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    telegram.private_chat(anna)
    telegram.fail_next("sendMessage", times=2)

    async def send(bot: Bot) -> int:
        for _ in range(2):
            with pytest.raises(NetworkError, match="Internal Server Error"):
                await bot.send_message(anna.id, "hello")
        return (await bot.send_message(anna.id, "hello")).message_id

    assert as_bot(telegram, send) == 1


def test_a_connection_cut_after_acceptance_leaves_the_message_in_the_chat(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    telegram.cut_after_accept("sendMessage")

    said = refusal(telegram, lambda bot: bot.send_message(anna.id, "once"))

    assert said.startswith("NetworkError: httpx.RemoteProtocolError")
    assert [message.text for message in chat.messages] == ["once"]
    assert [call.status for call in telegram.calls_of("sendMessage")] == [None]


@pytest.mark.parametrize("accepted", [True, False])
def test_a_call_that_is_never_answered_times_out(telegram: TelegramApi, accepted: bool) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    telegram.hang_next("sendMessage", accepted=accepted)

    with pytest.raises(TimedOut):
        as_bot(telegram, lambda bot: bot.send_message(anna.id, "once", read_timeout=0.2))

    assert len(chat.messages) == accepted


def test_a_file_over_20_mb_is_refused(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    sent = anna.send_document(telegram.private_chat(anna), bytes((20 << 20) + 1), "huge.bin")
    assert sent.media is not None

    file_id = sent.media.files[0].file_id
    said = refusal(telegram, lambda bot: bot.get_file(file_id))

    assert said == "BadRequest: File is too big"


def test_an_expired_link_is_not_found_until_asked_for_again(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    sent = anna.send_photo(telegram.private_chat(anna), picture())
    assert sent.media is not None
    file_id = sent.media.files[-1].file_id

    async def download(bot: Bot) -> bytes:
        file = await bot.get_file(file_id)
        telegram.pass_time(3601)
        with pytest.raises(InvalidToken, match="Not Found"):
            await file.download_as_bytearray()
        return bytes(await (await bot.get_file(file_id)).download_as_bytearray())

    assert as_bot(telegram, download) == sent.photo


def test_edits_are_refused_in_telegrams_words(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    theirs = anna.send_text(chat, "mine")
    as_bot(telegram, lambda bot: bot.send_message(anna.id, "A fox.", reply_markup=YES_NO))
    answer = chat.messages[-1]

    def edit(message_id: int, text: str) -> str:
        return refusal(telegram, lambda bot: bot.edit_message_text(text, anna.id, message_id, reply_markup=YES_NO))

    assert edit(answer.id, "A fox.").startswith("BadRequest: Message is not modified: specified new message content")
    assert edit(theirs.id, "A fox.") == "BadRequest: Message can't be edited"
    assert edit(999, "A fox.") == "BadRequest: Message to edit not found"
    anna.delete(answer)
    assert edit(answer.id, "A cat.") == "BadRequest: Message to edit not found"


def test_a_reply_to_a_deleted_message_is_refused_unless_allowed(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    question = anna.send_text(chat, "A fox?")
    anna.delete(question)

    def reply(*, allow: bool) -> Callable[[Bot], Awaitable[Message]]:
        to = ReplyParameters(question.id, allow_sending_without_reply=allow)
        return lambda bot: bot.send_message(anna.id, "Yes", reply_parameters=to)

    assert refusal(telegram, reply(allow=False)) == "BadRequest: Message to be replied not found"
    as_bot(telegram, reply(allow=True))
    assert [(message.text, message.reply_to) for message in chat.messages] == [("Yes", None)]


@pytest.mark.parametrize(
    ("send", "said"),
    [
        (lambda bot, to: bot.send_message(to, "x" * 4097), "Message is too long"),
        (lambda bot, to: bot.send_message(to, " \n "), "Message text is empty"),
        (lambda bot, to: bot.send_photo(to, picture(), "x" * 1025), "Message caption is too long"),
        (lambda bot, to: bot.send_photo(to, b"no picture"), "Image_process_failed"),
        (lambda bot, to: bot.send_message(1, "x"), "Chat not found"),
        (
            lambda bot, to: bot.send_message(to, "x", reply_markup=_one_button("é" * 33)),
            "Button_data_invalid",
        ),
        (
            lambda bot, to: bot.send_message(to, "a < b", parse_mode="HTML"),
            'Can\'t parse entities: unsupported start tag "" at byte offset 2',
        ),
        (
            lambda bot, to: bot.send_message(to, "<b>é</i>", parse_mode="HTML"),
            'Can\'t parse entities: unmatched end tag at byte offset 5, expected "</b>", found "</i>"',
        ),
        (
            lambda bot, to: bot.send_message(to, "<b>x", parse_mode="HTML"),
            "Can't parse entities: can't find end tag corresponding to start tag \"b\"",
        ),
    ],
)
def test_what_telegram_would_not_take_is_refused(
    telegram: TelegramApi, send: Callable[[Bot, int], Awaitable[object]], said: str
) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    words = refusal(telegram, lambda bot: send(bot, anna.id))

    assert words == f"BadRequest: {said}"
    assert chat.messages == []


def _one_button(data: str) -> InlineKeyboardMarkup:
    # The library itself refuses data that is too long, so the wire is shown what it did not check.
    button = InlineKeyboardButton("x", callback_data="x")
    button._unfreeze()
    button.callback_data = data
    return InlineKeyboardMarkup([[button]])


def test_html_becomes_text_with_entities_counted_in_utf_16(telegram: TelegramApi) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))
    text = '🦊 <b>fox &amp; <i>co</i></b> <a href="https://example.org">link</a>'

    sent = as_bot(telegram, lambda bot: bot.send_message(chat.id, text, parse_mode="HTML"))

    assert sent.text == "🦊 fox & co link"
    assert sent.parse_entities() == dict(zip(sent.entities, ("fox & co", "co", "link"), strict=True))


def test_a_bot_that_was_blocked_is_told_and_may_not_write(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    anna.block_bot()

    async def look(bot: Bot) -> tuple[str, str]:
        (update,) = await bot.get_updates()
        assert update.my_chat_member is not None
        with pytest.raises(Forbidden) as caught:
            await bot.send_message(chat.id, "hello")
        return update.my_chat_member.new_chat_member.status, caught.value.message

    assert as_bot(telegram, look) == ("kicked", "Forbidden: bot was blocked by the user")


def test_in_privacy_mode_a_group_bot_is_told_only_of_commands_and_replies_to_itself() -> None:
    with TelegramApi(privacy_mode=True) as telegram:
        anna, other = telegram.person("Anna"), telegram.other_bot("Other", "other_bot")
        group = telegram.supergroup("Squirrels", anna, other)
        own = as_bot(telegram, lambda bot: bot.send_message(group.id, "A fox."))
        anna.send_photo(group, picture())
        anna.send_text(group, "just talk")
        anna.send_text(group, "/label@other_bot fox")
        anna.send_text(group, "/label fox")
        anna.send_text(group, f"/label@{telegram.bot.username} cat")
        other.send_text(group, "/label bot")
        anna.send_text(group, "no, a cat", reply_to=group.from_bot[0])

        updates = as_bot(telegram, lambda bot: bot.get_updates())
        me = as_bot(telegram, lambda bot: bot.get_me())

        heard = [message_of(update).text for update in updates]
        assert heard == ["/label fox", "/label@snap_stand_in_bot cat", "no, a cat"]
        replied_to = message_of(updates[-1]).reply_to_message
        assert replied_to is not None
        assert replied_to.message_id == own.message_id
        assert me.can_read_all_group_messages is False


def test_those_who_speak_for_a_chat_arrive_under_telegrams_own_ids(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    group, channel = telegram.supergroup("Squirrels", anna), telegram.channel("Foxes", anna)
    channel.linked_group = group
    group.voice.send_text(group, "as an anonymous admin")
    channel.voice.send_text(group, "as a channel")
    channel.voice.send_photo(channel, picture(), "a post")

    updates = as_bot(telegram, lambda bot: bot.get_updates())

    speakers = [
        (message.from_user and message.from_user.id, message.sender_chat and message.sender_chat.id)
        for message in map(message_of, updates)
    ]
    assert speakers == [
        (1087968824, group.id),
        (136817688, channel.id),
        (None, channel.id),
        (777000, channel.id),
    ]
    assert updates[2].channel_post
    assert message_of(updates[3]).is_automatic_forward


def test_edits_and_forwards_reach_the_bot(telegram: TelegramApi) -> None:
    anna, ben = telegram.person("Anna"), telegram.person("Ben")
    group = telegram.group("Squirrels", anna, ben)
    photo = anna.send_photo(group, picture(), "fox")
    anna.edit(photo, "cat")
    ben.forward(photo, telegram.private_chat(ben))

    first, edited, forwarded = as_bot(telegram, lambda bot: bot.get_updates())

    assert [message_of(update).caption for update in (first, edited, forwarded)] == ["fox", "cat", "cat"]
    assert edited.edited_message
    origin = message_of(forwarded).forward_origin
    assert origin is not None
    assert origin.to_dict()["sender_user"]["id"] == anna.id
    assert message_of(forwarded).photo[0].file_unique_id == message_of(first).photo[0].file_unique_id


def test_a_bot_that_is_added_to_a_group_is_told_twice(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    group = telegram.supergroup("Squirrels", anna, bot=LEFT)
    anna.send_text(group, "nobody hears this")

    with pytest.raises(Forbidden, match="bot is not a member of the supergroup chat"):
        as_bot(telegram, lambda bot: bot.send_message(group.id, "hello"))
    group.set_status(telegram.bot, "member")
    first, second = as_bot(telegram, lambda bot: bot.get_updates())

    assert first.my_chat_member is not None
    assert (first.my_chat_member.from_user.id, first.my_chat_member.new_chat_member.status) == (anna.id, "member")
    assert [member.id for member in message_of(second).new_chat_members] == [telegram.bot.id]


def test_message_ids_start_again_in_each_supergroup_but_not_in_other_chats(telegram: TelegramApi) -> None:
    anna, ben = telegram.person("Anna"), telegram.person("Ben")
    account = [telegram.private_chat(anna), telegram.private_chat(ben), telegram.group("Kits", anna)]
    larger = [telegram.supergroup("Squirrels", anna), telegram.supergroup("Shirts", anna)]

    in_account = [chat.world.bot.send_text(chat, "x").id for chat in account]
    in_larger = [anna.send_text(chat, "x").id for chat in larger]

    assert (in_account, in_larger) == ([1, 2, 3], [1, 1])


def test_a_group_that_became_a_supergroup_sends_the_bot_on(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    group = telegram.group("Squirrels", anna)
    larger = telegram.upgrade(group)

    with pytest.raises(ChatMigrated) as caught:
        as_bot(telegram, lambda bot: bot.send_message(group.id, "hello"))

    assert caught.value.new_chat_id == larger.id
    first, second = as_bot(telegram, lambda bot: bot.get_updates())
    assert message_of(first).migrate_to_chat_id == larger.id
    assert message_of(second).migrate_from_chat_id == group.id


def test_the_bot_can_ask_who_rules_a_group(telegram: TelegramApi) -> None:
    anna, ben, cleo = telegram.person("Anna"), telegram.person("Ben"), telegram.person("Cleo")
    group = telegram.supergroup("Squirrels", anna, ben)
    group.set_status(ben, "administrator", by=anna)

    async def ask(bot: Bot) -> tuple[list[str], str, str]:
        rulers = [member.user.first_name for member in await bot.get_chat_administrators(group.id)]
        member = await bot.get_chat_member(group.id, ben.id)
        assert isinstance(member, ChatMemberAdministrator)
        stranger = await bot.get_chat_member(group.id, cleo.id)
        return rulers, stranger.status, (await bot.get_chat(group.id)).title or ""

    assert as_bot(telegram, ask) == (["Anna", "Ben"], "left", "Squirrels")


def test_people_see_the_commands_of_their_scope(telegram: TelegramApi) -> None:
    anna, ben = telegram.person("Anna", language_code="de"), telegram.person("Ben")
    group = telegram.supergroup("Squirrels", anna, ben)

    async def set_commands(bot: Bot) -> None:
        await bot.set_my_commands([BotCommand("help", "Help")])
        await bot.set_my_commands([BotCommand("hilfe", "Hilfe")], language_code="de")
        await bot.set_my_commands([BotCommand("revert", "Revert")], BotCommandScopeAllChatAdministrators())
        assert [command.command for command in await bot.get_my_commands(language_code="de")] == ["hilfe"]

    as_bot(telegram, set_commands)

    assert telegram.commands_shown_to(anna, telegram.private_chat(anna)) == ["hilfe"]
    assert telegram.commands_shown_to(anna, group) == ["revert"]
    assert telegram.commands_shown_to(ben, group) == ["help"]


def test_updates_that_nobody_fetched_for_a_day_are_gone(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    anna.send_text(telegram.private_chat(anna), "hello")

    telegram.pass_time(86_401)

    assert as_bot(telegram, lambda bot: bot.get_updates()) == ()


def test_a_confirmed_update_can_be_delivered_again(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    anna.send_text(telegram.private_chat(anna), "hello")

    async def fetch(bot: Bot) -> list[int]:
        (first,) = await bot.get_updates()
        assert await bot.get_updates(offset=first.update_id + 1) == ()
        telegram.redeliver()
        return [update.update_id - first.update_id for update in await bot.get_updates()]

    assert as_bot(telegram, fetch) == [0]


def test_an_outage_ends_at_the_same_address_with_everything_remembered(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)

    async def send(bot: Bot) -> tuple[Update, ...]:
        telegram.stop()
        anna.send_text(chat, "hello")
        with pytest.raises(NetworkError, match="ConnectError"):
            await bot.get_updates()
        telegram.start()
        return await bot.get_updates()

    assert [message_of(update).text for update in as_bot(telegram, send)] == ["hello"]


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"chat_id": 7_000_000_002, "text": "hello", "reply_markup": {"inline_keyboard": []}}},
        {"data": {"chat_id": "7000000002", "text": "hello"}},
        {"params": {"chat_id": "7000000002", "text": "hello"}},
        {"files": {"chat_id": (None, "7000000002"), "text": (None, "hello")}},
    ],
    ids=["json", "urlencoded", "query", "multipart"],
)
def test_calls_may_come_in_any_of_telegrams_formats(telegram: TelegramApi, request_: dict[str, object]) -> None:
    chat = telegram.private_chat(telegram.person("Anna"))

    answer = httpx.post(f"{telegram.base_url}{telegram.token}/SENDmessage", **request_)  # type: ignore[arg-type]

    assert answer.json()["ok"], answer.text
    assert [message.text for message in chat.messages] == ["hello"]


@pytest.mark.parametrize(
    ("path", "status", "description"),
    [
        ("{token}/sendTelegram", 404, "Not Found"),
        ("7000000001:AAAnotherTokenOfTheRightShape000000000/getMe", 401, "Unauthorized"),
        ("nonsense/getMe", 404, "Not Found"),
        ("{token}/sendMessage", 400, "Bad Request: chat_id is empty"),
    ],
)
def test_wrong_calls_get_telegrams_answers(telegram: TelegramApi, path: str, status: int, description: str) -> None:
    answer = httpx.get(telegram.base_url + path.format(token=telegram.token))

    assert answer.status_code == status
    assert answer.json() == {"ok": False, "error_code": status, "description": description}


def test_waiting_in_vain_tells_what_was_there_instead(telegram: TelegramApi) -> None:
    anna = telegram.person("Anna")
    chat = telegram.private_chat(anna)
    anna.send_photo(chat, picture(), "a fox?")

    with pytest.raises(TimeoutError) as caught:
        telegram.wait_for(lambda: chat.from_bot, timeout_s=0.05)

    assert "1 Anna: [photo] a fox?" in str(caught.value)
