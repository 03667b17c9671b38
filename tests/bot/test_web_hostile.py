"""What strangers and members may send that no page would: it is answered with a sentence, and does nothing."""

import itertools
import json
import socket
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.bot.webhouse import RED, TOKEN, Served, photo_form, picture, post_photos

pytestmark = pytest.mark.real

NASTY = (
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    "\u202egnp.exe",
    "x" * 199,
    "../../../etc/passwd",
    "..\\..\\win.ini",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "@everyone",
    "%s%s%n{0.__class__}",
    "🏳️‍🌈",
    "",
    " ",
    "/retrain full",
)
WRITES = {
    "/messages": ("text", "reply_to", "id"),
    "/press": ("answer", "data", "id"),
    "/name": ("name",),
    "/door": ("key",),
    "/api/photos/x/correction": ("label",),
    "/api/photos/{photo}/correction": ("label",),
    "/api/review/1": ("decision", "label"),
    "/api/review/undo": ("act",),
}
NO_JSON = (b"", b"{", b"\xff\xfe", b"[" * 60_000, b'{"text": 1e999}', b"NaN", b"null", b'"x"', b"[]", b'{"text": {}}')
PATHS = (
    "/static/../door.py",
    "/static/..%2fdoor.py",
    "/static/%2e%2e%2f%2e%2e%2fbot%2frun.py",
    "/static/..%5cdoor.py",
    "/static//etc/passwd",
    "/static/door.py",
    "/static/page.html",
    "/static/%00",
    "/static/app.js%00.svg",
    "//etc/passwd",
    "/photo/../../etc/passwd",
    "/photo/..%2f..%2fweb-token/0",
    "/photo/x/99999999999999999999999",
    "/photo/x/-1",
    "/photo/%00/0",
    "/picture/..%2f..%2f..%2fweb-token",
    "/picture/%00",
    "/picture/%F0%9F%8F%B3",
    "/feed?before=0001-01-01T00:00:00%2B23:59",
    "/feed?before=9999-12-31T23:59:59-23:59",
    "/feed?before=now",
    "/feed?before=%00",
    "/api/photos/%00",
    "/api/photos/..%2f..%2fweb-token",
    "/api/photos/x?wait_s=nan",
    "/api/photos/x?wait_s=inf",
    "/api/models/" + "9" * 5000 + "/report",
    "/api/models/1/photos/" + "9" * 30,
    "/api/models?limit=" + "9" * 400,
    "/api/review?offset=" + "9" * 400,
    "/api/review/" + "9" * 400 + "/picture",
)


@pytest.mark.parametrize("path", WRITES)
def test_no_text_breaks_a_post(place: Served, path: str) -> None:
    with place.program() as program, place.admin() as admin:
        photo = program.post("/api/photos", content=picture(RED, 1)).json()["id"]
        for field, nasty, new in itertools.product(WRITES[path], NASTY, (False, True)):
            body = json.dumps(
                {"text": "x", "answer": "a", "data": "b", "decision": "relabel", "new": new, field: nasty}
            )
            headers = {"Content-Type": "application/json"}
            client = program if path.startswith("/api") else admin
            response = client.post(path.replace("{photo}", photo), content=body, headers=headers)

            place.web.posts_allowed._seen.clear()
            place.web.wrong_keys._seen.clear()
            assert response.status_code < 500, (field, nasty, response.text)
            assert response.is_success or response.json()["error"], (field, nasty)


@pytest.mark.parametrize("path", WRITES)
def test_what_is_no_json_is_answered_with_a_sentence(place: Served, path: str) -> None:
    with place.program() as program, place.admin() as admin:
        client = program if path.startswith("/api") else admin
        for body in NO_JSON:
            response = client.post(
                path.replace("{photo}", "x"), content=body, headers={"Content-Type": "application/json"}
            )

            assert (response.status_code, bool(response.json()["error"])) == (422, True), body[:20]


@pytest.mark.parametrize("path", PATHS)
def test_no_address_leads_out_of_what_is_served(place: Served, path: str) -> None:
    with place.admin() as admin:
        admin.headers["Authorization"] = f"Bearer {TOKEN}"
        response = admin.get(path)

    assert response.status_code in (400, 404, 422), response.text[:200]
    assert TOKEN not in response.text
    assert "root:" not in response.text


def test_names_of_files_lead_nowhere(place: Served) -> None:
    store = place.house.settings.home / "store"
    with place.member() as member:
        names = ["../../evil.html", "/etc/evil", "a\x00.html", "x" * 5000, "evil.php", "con", ""]
        for number, name in enumerate(names):
            files = [("photos", (name, picture(RED, number), "text/html"))]
            assert member.post("/photos", files=files).status_code in (202, 400, 413), name

    kept = [path.name for path in store.parent.rglob("*")]
    assert not [name for name in kept if "evil" in name or name.endswith((".html", ".php"))]


def test_whatever_was_uploaded_comes_back_as_a_picture_only(place: Served) -> None:
    with place.member() as member:
        page = b"GIF89a<html><script>alert(1)</script></html>"
        pasted = post_photos(member, picture(RED, 30, kind="GIF") + page)
        refused = member.post("/photos", files=[("photos", ("a.svg", b"<svg onload='alert(1)'/>", "image/svg+xml"))])
        shown = [member.get(f"/photo/{found['id']}/0") for found in (pasted, refused.json())]

    assert (shown[0].status_code, shown[0].headers["content-type"]) == (200, "image/jpeg")
    assert shown[1].status_code == 404
    for response in shown:
        assert b"script" not in response.content
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_nothing_speaks_websocket(place: Served) -> None:
    at = urlsplit(place.url)
    for path, origin in itertools.product(("/events", "/", "/ws"), ("https://elsewhere.example", place.url)):
        with place.admin() as admin, closing(socket.create_connection((at.hostname, at.port), timeout=10)) as line:
            line.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: {origin}\r\n"
                f"Cookie: snaplabel={admin.cookies['snaplabel']}\r\n\r\n".encode()
            )

            assert b" 101 " not in line.recv(4096)


def test_no_other_site_is_allowed_to_read(place: Served) -> None:
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    with place.admin() as admin:
        for path in ("/feed", "/events", "/api/photos", "/api/openapi.json", "/door"):
            before = admin.options(path, headers=asked)

            assert before.status_code in (404, 405)
            assert not [name for name in before.headers if name.startswith("access-control")]
        read = admin.get("/feed", headers=asked)

    assert not [name for name in read.headers if name.startswith("access-control")]
    assert read.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x:y", "evil.example", "\u00e9"])
def test_a_forged_host_opens_nothing(place: Served, host: str) -> None:
    at = urlsplit(place.url)
    with place.admin() as admin, closing(socket.create_connection((at.hostname, at.port), timeout=10)) as line:
        line.sendall(
            f"POST /messages HTTP/1.1\r\nHost: {host}\r\nOrigin: {place.url}\r\nX-Snaplabel: 1\r\n"
            f"Cookie: snaplabel={admin.cookies['snaplabel']}\r\nContent-Type: application/json\r\n"
            'Content-Length: 16\r\n\r\n{"text": "evil"}'.encode()
        )
        status = line.recv(4096).split(b" ")[1]
        with closing(socket.create_connection((at.hostname, at.port), timeout=10)) as again:
            again.sendall(
                f"GET /me HTTP/1.1\r\nHost: {host}\r\nCookie: snaplabel={admin.cookies['snaplabel']}\r\n\r\n".encode()
            )
            me = again.recv(4096).split(b" ")[1]

    assert status in (b"400", b"403")
    assert me in (b"200", b"400")


def test_every_route_that_changes_something_asks_who_is_there(place: Served) -> None:
    from bot.platforms.web import server

    changing = {
        (included.include_context.prefix + route.path, method)
        for included in server._application(place.web).routes
        if hasattr(included, "original_router")
        for route in included.original_router.routes
        for method in route.methods - {"GET", "HEAD", "OPTIONS"}
    }
    with place.guest() as stranger:
        for path, method in changing:
            address = path.replace("{id}", "x").replace("{photo_id}", "1")
            bare = stranger.request(method, address, json={"key": "x", "label": "x", "decision": "keep", "act": 1})
            place.web.wrong_keys._seen.clear()
            body = {"text": "x", "name": "x", "answer": "x", "data": "x", "key": "wrong", "label": "x", "act": 1}
            headers = {"X-Snaplabel": "1", "Origin": place.url, "Authorization": "Bearer wrong"}
            forged = stranger.request(method, address, json={**body, "decision": "keep"}, headers=headers)

            assert (bare.status_code, forged.status_code) in [(401, 401), (403, 401), (422, 401)], (path, method)
    assert len(changing) >= 9


def test_an_empty_form_leaves_nothing_behind(place: Served) -> None:
    with place.member() as member:
        assert member.post("/photos", files=photo_form(b"")).status_code in (202, 400)
