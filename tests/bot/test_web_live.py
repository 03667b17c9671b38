"""The web chat while it runs: events for open pages, starting and stopping, uploads as they arrive."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bot.messages import Choice, Reply
from bot.platforms.web import connect, upload
from bot.platforms.web.door import Limiter, Refused
from bot.platforms.web.live import Live
from snaplabel.errors import SettingsError
from snaplabel.images import MAX_BYTES
from snaplabel.settings import Settings, read
from tests.bot.webhouse import (
    RED,
    TOKEN,
    House,
    Json,
    Served,
    picture,
    post_photos,
    served,
)

pytestmark = pytest.mark.real


class TestEvents:
    def test_open_pages_hear_of_everything(self, place: Served) -> None:
        with place.member() as reader, place.member("Ada") as writer, reader.stream("GET", "/events") as stream:
            lines = stream.iter_lines()
            while next(lines) != "event: hello":
                pass
            posted = post_photos(writer, picture(RED, 20))
            heard: list[tuple[str, Json]] = []
            event = ""
            while not heard or heard[-1][0] != "answer":
                line = next(lines)
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: ") and event in ("post", "answer"):
                    heard.append((event, json.loads(line.removeprefix("data: "))))

        assert stream.headers["content-type"].startswith("text/event-stream")
        assert (heard[0][0], heard[0][1]["id"], heard[0][1]["name"]) == ("post", posted["id"], "Ada")
        assert heard[-1][1]["reply_to"] == posted["id"]
        assert heard[-1][1]["reply"]["title"] == "Juventus, quite sure"

    def test_a_page_that_falls_behind_is_cut_off(self) -> None:
        async def behind() -> list[str]:
            live = Live()
            events = live.events()
            await anext(events)
            for number in range(500):
                live.tell("post", {"n": number})
            return [line async for line in events]

        assert asyncio.run(behind()) == []

    def test_stopping_does_not_wait_for_open_pages(self, tmp_path: Path) -> None:
        settings = read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")
        opened = threading.Event()

        def watch(url: str, cookies: httpx.Cookies) -> None:
            with httpx.stream("GET", f"{url}/events", cookies=cookies, timeout=20) as stream:
                for _ in stream.iter_lines():
                    opened.set()

        with served(settings) as alone:
            with alone.member() as member:
                watcher = threading.Thread(target=watch, args=(alone.url, member.cookies), daemon=True)
                watcher.start()
            assert opened.wait(5)
            began = time.monotonic()

        watcher.join(5)
        assert not watcher.is_alive()
        assert time.monotonic() - began < 4


class TestRunning:
    def test_a_taken_port_is_a_settings_error(self, settings: Settings, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            wanted = replace(settings, web_port=taken.getsockname()[1], web_token=TOKEN)
            wanted.home.mkdir(parents=True)
            house = House(wanted)
            platform = connect(wanted, house)

            with pytest.raises(SettingsError, match="SNAPLABEL_WEB_PORT"):
                asyncio.run(platform.run())
            house.database.close()

    def test_sending_twice_makes_one_message(self, settings: Settings) -> None:
        wanted = replace(settings, web_token=TOKEN)
        wanted.home.mkdir(parents=True)
        house = House(wanted)
        platform = connect(wanted, house)
        reply = Reply("Hello", choices=((Choice("Yes", "yes"),),))

        async def send() -> str:
            return await platform.send("room", reply, reply_to=None, nonce="n-1")

        assert asyncio.run(send()) == asyncio.run(send())
        house.database.close()


class TestUpload:
    @pytest.mark.parametrize("step", [1, 7, 64, 10_000])
    def test_a_form_is_read_however_it_is_cut(self, step: int) -> None:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="caption"\r\n\r\n#k\xc3\xbchn\r\n'
            b'--b\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n'
            + b"\x00\r\n--c" * 300
            + b"\r\n--b--\r\n"
        )

        async def read_it() -> list[upload.Part]:
            async def wire() -> AsyncIterator[bytes]:
                for start in range(0, len(body), step):
                    yield body[start : start + step]

            return [part async for part in upload.parts(wire(), "multipart/form-data; boundary=b")]

        caption, photo = asyncio.run(read_it())
        assert (caption.name, caption.filename, caption.data.decode()) == ("caption", None, "#kühn")
        assert (photo.name, photo.filename, bytes(photo.data)) == ("photos", "a.jpg", b"\x00\r\n--c" * 300)

    def test_a_file_that_grows_too_large_is_noticed_before_it_is_whole(self) -> None:
        taken = 0

        async def read_it() -> None:
            async def endless() -> AsyncIterator[bytes]:
                nonlocal taken
                yield b'--b\r\nContent-Disposition: form-data; name="photos"; filename="a.jpg"\r\n\r\n'
                while True:
                    taken += 1 << 20
                    yield b"x" * (1 << 20)

            async for _ in upload.parts(endless(), "multipart/form-data; boundary=b"):
                pass

        with pytest.raises(Refused, match="20 MB"):
            asyncio.run(read_it())
        assert taken <= MAX_BYTES + (1 << 20)

    def test_the_limit_is_for_each_client_and_for_a_minute(self) -> None:
        limiter = Limiter(2)

        assert [limiter.allows("ada") for _ in range(3)] == [True, True, False]
        assert limiter.allows("max")
