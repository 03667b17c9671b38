"""Who may come into the web chat, and who may post there."""

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.platforms.web import upload
from bot.platforms.web.door import Door, Visitor, admin_link, public_place, web_token
from snaplabel.errors import LabelError, SettingsError
from snaplabel.settings import Settings, read
from tests.bot.webhouse import OURS, TOKEN, Served, served

pytestmark = pytest.mark.real


@pytest.fixture(scope="class")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A web chat whose limits nobody else uses up."""
    home = tmp_path_factory.mktemp("alone") / "home"
    with served(read({"SNAPLABEL_HOME": str(home)}, dotenv=home / "no.env")) as found:
        yield found


class TestPlace:
    """Where others reach the page."""

    def test_the_address_in_settings_wins(self, tmp_path: Path) -> None:
        settings = Settings(tmp_path, web_host="0.0.0.0", web_url="https://birds.example.org/", web_token=TOKEN)

        assert public_place(settings, asked="http://localhost:8080/") == "https://birds.example.org"
        assert admin_link(settings) == f"https://birds.example.org/door#{TOKEN}"

    def test_the_address_that_somebody_came_by_is_good_for_others(self, tmp_path: Path) -> None:
        settings = Settings(tmp_path, web_host="0.0.0.0")

        assert public_place(settings, asked="http://192.168.1.7:8080/") == "http://192.168.1.7:8080"

    @pytest.mark.parametrize("asked", ["", "http://localhost:8080/", "http://127.0.0.1:8080/", "http://[::1]:8080/"])
    def test_who_listens_everywhere_tells_no_localhost(self, tmp_path: Path, asked: str) -> None:
        settings = Settings(tmp_path, web_host="0.0.0.0", web_port=8080)

        host = urlsplit(public_place(settings, asked=asked)).hostname

        assert host not in (None, "localhost", "0.0.0.0", "127.0.0.1", "::1")

    def test_who_listens_on_this_machine_only_says_so(self, tmp_path: Path) -> None:
        settings = Settings(tmp_path, web_port=8080)

        assert public_place(settings) == "http://localhost:8080"
        assert public_place(settings, asked="http://127.0.0.1:9000/") == "http://127.0.0.1:9000"

    def test_the_invite_link_leads_to_the_public_address(self, tmp_path: Path) -> None:
        given = {"SNAPLABEL_HOME": str(tmp_path / "home"), "SNAPLABEL_WEB_URL": "https://birds.example.org"}

        with served(read(given, dotenv=tmp_path / "no.env")) as found, found.admin() as admin:
            invite = admin.get("/me").json()["invite"]

        assert invite == f"https://birds.example.org/door#{found.web.door.invite}"


class TestDoor:
    def test_a_stranger_is_asked_for_the_invite_link(self, place: Served) -> None:
        with place.guest() as stranger:
            page, feed = stranger.get("/"), stranger.get("/feed")

        assert page.status_code == 401
        assert "invite link" in page.text
        assert (feed.status_code, feed.json()) == (
            401,
            {"error": "You are not in this chat yet. Ask for the invite link."},
        )

    def test_a_key_in_a_post_opens(self, place: Served) -> None:
        with place.guest() as guest:
            response = place.enter(guest, TOKEN)
            page = guest.get("/")

        assert (response.status_code, response.json(), page.status_code) == (200, {"is_admin": True}, 200)
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie

    def test_behind_https_the_cookie_is_secure(self, place: Served) -> None:
        with place.guest() as guest:
            guest.headers["X-Forwarded-Proto"] = "https"
            response = place.enter(guest, TOKEN)

        assert "secure" in response.headers["set-cookie"].lower()

    @pytest.mark.parametrize("key", ["wrong", "", "ü", "x" * 500, "\x00", TOKEN[:-1], f"{TOKEN} x"])
    def test_a_wrong_key_opens_nothing(self, alone: Served, key: str) -> None:
        with alone.guest() as guest:
            guest.headers.update({**OURS, "Origin": alone.url, "Content-Type": "application/json"})
            response = guest.post("/door", content=json.dumps({"key": key}))

        assert (response.status_code, response.json()["error"][:8]) == (401, "This key")
        assert "set-cookie" not in response.headers

    @pytest.mark.parametrize("address", ["/?token={0}", "/join/{1}", "/door?key={0}", "/door/{0}"])
    def test_a_key_in_an_address_opens_nothing_since_addresses_are_logged(self, place: Served, address: str) -> None:
        with place.guest() as guest:
            response = guest.get(address.format(TOKEN, place.web.door.invite))

            assert "set-cookie" not in response.headers
            assert guest.get("/me").status_code == 401

    def test_another_site_can_knock_for_nobody(self, place: Served) -> None:
        with place.guest() as victim:
            for headers in ({}, {**OURS, "Origin": "https://elsewhere.example"}, {"Origin": place.url}):
                response = victim.post("/door", json={"key": TOKEN}, headers=headers)

                assert response.status_code == 403

    def test_an_invited_person_is_no_admin(self, place: Served) -> None:
        with place.member() as member, place.admin() as admin:
            invited, owner = member.get("/me").json(), admin.get("/me").json()

        assert (invited["is_admin"], invited["invite"]) == (False, None)
        assert (owner["is_admin"], owner["invite"]) == (True, f"{place.url}/door#{place.web.door.invite}")
        assert {one["name"] for one in owner["commands"] if one["allowed"]} > {"retrain", "labels"}
        assert "retrain" not in {one["name"] for one in invited["commands"] if one["allowed"]}

    def test_an_admin_who_follows_the_invite_stays_admin(self, place: Served) -> None:
        with place.admin() as admin:
            before = admin.get("/me").json()
            place.enter(admin, place.web.door.invite)
            after = admin.get("/me").json()

        assert after["is_admin"]
        assert before["id"] == after["id"]

    def test_a_cookie_of_another_secret_is_worth_nothing(self, place: Served) -> None:
        forged = Door("another-token-of-enough-letters").seal(Visitor("x", is_admin=True))
        with place.guest() as guest:
            guest.cookies.set("snaplabel", forged)

            assert guest.get("/me").status_code == 401

    def test_the_kept_token_is_private_and_stays_the_same(self, settings: Settings) -> None:
        token = web_token(settings)

        file = settings.home / "web-token"
        assert len(token) >= 32
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert web_token(settings) == token
        assert admin_link(settings, 81) == f"http://localhost:81/door#{token}"

    def test_a_short_token_is_refused(self, settings: Settings) -> None:
        with pytest.raises(SettingsError, match="SNAPLABEL_WEB_TOKEN"):
            web_token(replace(settings, web_token="short"))

    def test_a_name_is_cleaned_and_kept(self, place: Served) -> None:
        with place.member() as member:
            renamed = member.post("/name", json={"name": " Ada\u202e  L. "}).json()
            refused = member.post("/name", json={"name": "x" * 60})

            assert renamed["name"] == member.get("/me").json()["name"] == "Ada L."
        assert (refused.status_code, "40" in refused.json()["error"]) == (422, True)

    def test_a_nameless_visitor_may_stay_so(self) -> None:
        assert Visitor("x", "Ada").called("").name == ""
        with pytest.raises(LabelError):
            Visitor("x").called("!!!")


class TestOtherSites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Snaplabel": "1", "Origin": "https://elsewhere.example"},
            {"X-Snaplabel": "1", "Sec-Fetch-Site": "cross-site"},
            {"X-Snaplabel": "1", "Sec-Fetch-Site": "same-site"},
            {"X-Snaplabel": "1", "Origin": "null"},
            {"X-Snaplabel": "1"},
            {"Origin": "HERE"},
        ],
    )
    def test_another_site_can_post_nothing(self, place: Served, headers: dict[str, str]) -> None:
        sent = {name: value.replace("HERE", place.url) for name, value in headers.items()}
        with place.guest() as victim:
            place.enter(victim, TOKEN)
            for path in ("/messages", "/press", "/name", "/photos"):
                response = victim.post(
                    path, json={"text": "/retrain", "name": "x", "answer": "a", "data": "b"}, headers=sent
                )

                assert response.status_code == 403, path

    def test_a_browser_that_vouches_for_the_page_is_believed(self, place: Served) -> None:
        with place.member() as member:
            del member.headers["Origin"]
            response = member.post("/messages", json={"text": "hello"}, headers={"Sec-Fetch-Site": "same-origin"})

        assert response.status_code == 202

    @pytest.mark.parametrize("path", ["/", "/feed", "/nowhere", "/static/app.js", "/api/health", "/photo/x/0"])
    def test_everything_carries_the_security_headers(self, place: Served, path: str) -> None:
        with place.member() as member:
            headers = member.get(path).headers

        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"

    def test_the_page_asks_nobody_else_for_anything(self) -> None:
        folder = Path(upload.__file__).parent
        for name in ("page.html", "door.html", "style.css", *(file.name for file in folder.glob("*.js"))):
            text = (folder / name).read_text().replace("http://www.w3.org/2000/svg", "")

            assert "://" not in text, name
            assert " style=" not in text, name
