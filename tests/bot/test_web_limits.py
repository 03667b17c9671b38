"""How much, how fast and how often: the limits of the page's server, over real sockets."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from bot.platforms.web import adapter, door, live, server, upload
from bot.platforms.web.door import Limiter, address_of
from tests.bot.webhouse import OURS, RED, TOKEN, Served, photo_form, picture

pytestmark = pytest.mark.real

POSTS = ("/messages", "/name", "/press", "/door", "/api/photos/x/correction", "/api/review/undo", "/api/review/1")


LIMITERS = ("posts_allowed", "photos_allowed", "posts_of_address", "photos_of_address", "program_allowed", "wrong_keys")


@pytest.fixture
def alone(place: Served) -> Iterator[Served]:
    """The web chat, its limits as if nobody had been there before."""
    usual = {name: getattr(place.web, name).per_minute for name in LIMITERS}
    yield place
    for name, per_minute in usual.items():
        setattr(place.web, name, Limiter(per_minute))


def _line(place: Served) -> socket.socket:
    at = urlsplit(place.url)
    return socket.create_connection((at.hostname or "", at.port or 0), timeout=20)


def _heard(line: socket.socket) -> bytes:
    """Everything until the other side hangs up, in whatever way."""
    found = b""
    with suppress(ConnectionResetError):
        while part := line.recv(65536):
            found += part
    return found


class TestKeys:
    def test_whoever_tries_many_keys_has_to_wait_even_with_the_right_one(self, alone: Served) -> None:
        with alone.guest() as guest:
            tries = [alone.enter(guest, f"guess {number}") for number in range(door.WRONG_KEYS_A_MINUTE + 1)]
            right = alone.enter(guest, TOKEN)
            program = guest.get("/api/model", headers={"Authorization": f"Bearer {TOKEN}"})

        assert {one.status_code for one in tries[:-1]} == {401}
        assert [one.status_code for one in (tries[-1], right, program)] == [429, 429, 429]
        assert right.headers["retry-after"] == "60"

    def test_wrong_tokens_of_programs_count_too(self, alone: Served) -> None:
        with alone.guest() as guest:
            tries = [
                guest.get("/api/model", headers={"Authorization": f"Bearer {number}"}).status_code
                for number in range(door.WRONG_KEYS_A_MINUTE + 1)
            ]
            right = alone.enter(guest, TOKEN)

        assert tries == [401] * door.WRONG_KEYS_A_MINUTE + [429]
        assert right.status_code == 429

    def test_who_is_in_stays_in_while_somebody_guesses(self, alone: Served) -> None:
        with alone.member() as member, alone.guest() as guest:
            for number in range(door.WRONG_KEYS_A_MINUTE + 1):
                alone.enter(guest, f"guess {number}")

            assert member.get("/feed").status_code == 200
            assert member.post("/messages", json={"text": "hello"}).status_code == 202

    def test_who_is_asked_for_a_token_is_told_how(self, alone: Served) -> None:
        with alone.guest() as guest:
            response = guest.get("/api/model")

        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")

    @pytest.mark.parametrize(
        ("client", "counted_as"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("", ""),
        ],
    )
    def test_a_network_of_ipv6_is_one_address(self, client: str, counted_as: str) -> None:
        assert address_of(client) == counted_as


class TestPosts:
    def test_too_many_posts_in_a_minute_have_to_wait(self, alone: Served) -> None:
        alone.web.posts_allowed = Limiter(2)
        with alone.member() as member:
            posts = [member.post("/messages", json={"text": "hello"}) for _ in range(3)]

        assert [post.status_code for post in posts] == [202, 202, 429]
        assert posts[-1].headers["retry-after"] == "60"

    def test_being_many_people_does_not_help(self, alone: Served) -> None:
        alone.web.posts_of_address, alone.web.photos_of_address = Limiter(3), Limiter(2)
        found = []
        for number in range(3):
            with alone.member() as member:
                sent = member.post("/photos", files=photo_form(picture(RED, number)))
                said = member.post("/messages", json={"text": "hello"})
                found.append((sent.status_code, said.status_code))

        # A refused photo was a post all the same.
        assert found == [(202, 202), (202, 429), (429, 429)]

    def test_a_program_that_runs_wild_is_slowed_down(self, alone: Served) -> None:
        alone.web.program_allowed = Limiter(1)
        with alone.program() as program:
            first, second = (program.post("/api/photos", params={"wait_s": 0}, content=picture()) for _ in range(2))
            looked = program.get("/api/model")

        assert (first.status_code, second.status_code, looked.status_code) == (202, 429, 200)

    def test_one_person_opens_only_so_many_pages(self, alone: Served) -> None:
        full = live.Live()
        for number in range(live.MAX_PAGES_OF_ONE):
            full._pages[number] = "ada"  # type: ignore[index]

        assert (full.is_full("ada"), full.is_full("max")) == (True, False)


class TestSizes:
    @pytest.mark.parametrize("path", POSTS)
    def test_a_body_that_does_not_say_its_size_is_cut_off_all_the_same(self, alone: Served, path: str) -> None:
        def endless() -> Iterator[bytes]:
            for _ in range(100):
                yield b'"' + b"x" * 10_000

        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        with alone.admin() as admin:
            try:
                status = admin.post(path, content=endless(), headers=headers).status_code
            except (httpx.WriteError, httpx.ReadError):  # It hung up while we were still sending.
                status = 413

        assert status == 413

    def test_a_form_of_nothing_but_fields_is_cut_off(self, alone: Served) -> None:
        with alone.member() as member:
            response = member.post("/photos", files=[(f"field {n}", (None, "x")) for n in range(100)])

        assert (response.status_code, response.json()["error"]) == (413, upload.TOO_MUCH_TEXT)

    def test_a_form_with_an_endless_head_is_cut_off(self, alone: Served) -> None:
        body = b"--b\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000))
        with alone.member() as member:
            response = member.post("/photos", content=body, headers={"content-type": "multipart/form-data; boundary=b"})

        assert response.status_code in (400, 413)

    def test_a_request_whose_head_is_too_long_is_refused(self, alone: Served) -> None:
        with closing(_line(alone)) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"x" * 70_000)

            assert _heard(line).startswith(b"HTTP/1.1 400")


class TestTime:
    def test_a_head_that_does_not_come_is_not_waited_for(self, alone: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "HEAD_WITHIN_S", 0.3)
        with closing(_line(alone)) as silent, closing(_line(alone)) as slow, closing(_line(alone)) as second:
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            second.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
            found = second.recv(65536)
            while not found.endswith(b"}"):
                found += second.recv(65536)
            second.sendall(b"GET /api/he")

            assert (_heard(silent), _heard(slow), _heard(second)) == (b"", b"", b"")

    def test_a_body_that_does_not_come_is_not_waited_for(self, alone: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "BODY_WITHIN_S", 0.3)
        head = "".join(f"{name}: {value}\r\n" for name, value in {**OURS, "Host": "x", "Content-Length": "50"}.items())
        with closing(_line(alone)) as line:
            line.sendall(f"POST /door HTTP/1.1\r\nContent-Type: application/json\r\n{head}\r\n{{".encode())

            assert line.recv(65536).startswith(b"HTTP/1.1 408")

    def test_an_upload_that_trickles_ends_at_last(self, alone: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload, "WHOLE_S", 0.3)
        with closing(_line(alone)) as line:
            line.sendall(
                f"POST /api/photos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n"
                "x".encode()
            )

            assert line.recv(65536).startswith(b"HTTP/1.1 408")

    def test_one_person_can_not_take_every_place_for_uploads(self, alone: Served) -> None:
        with alone.member() as member, alone.member() as other:
            cookie = f"snaplabel={member.cookies['snaplabel']}"
            head = {"Host": alone.url[7:], "Origin": alone.url, "Cookie": cookie, **OURS, "Content-Length": "9999"}
            lines = [_line(alone) for _ in range(adapter.UPLOADS_OF_ONE)]
            for line in lines:
                kind = "Content-Type: multipart/form-data; boundary=b\r\n"
                asked = "".join(f"{name}: {value}\r\n" for name, value in head.items())
                line.sendall(f"POST /photos HTTP/1.1\r\n{kind}{asked}\r\n--b\r\n".encode())
            one_more = None
            while one_more is None or one_more.status_code == 202:  # Until the server has seen all of them.
                one_more = member.post("/photos", files=photo_form(picture()))
            of_another = other.post("/photos", files=photo_form(picture()))
            for line in lines:
                line.close()

        assert (one_more.status_code, of_another.status_code) == (429, 202)
