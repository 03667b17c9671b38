"""Who may come into the web chat, and who may post there."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bot.platforms.web import upload
from bot.platforms.web.door import Door, Visitor, admin_link, web_token
from snaplabel.errors import LabelError, SettingsError
from snaplabel.settings import Settings
from tests.bot.webhouse import TOKEN, Served

pytestmark = pytest.mark.real


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

    def test_the_token_leaves_the_address_bar(self, place: Served) -> None:
        with place.guest() as guest:
            response = guest.get("/", params={"token": TOKEN})

        assert (response.status_code, response.headers["location"]) == (303, "/")
        assert response.headers["referrer-policy"] == "no-referrer"
        cookie = response.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert "secure" not in cookie

    def test_behind_https_the_cookie_is_secure(self, place: Served) -> None:
        with place.guest() as guest:
            response = guest.get("/", params={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})

        assert "secure" in response.headers["set-cookie"].lower()

    @pytest.mark.parametrize("address", ["/?token=wrong", "/?token=", "/join/wrong", "/?token=ü"])
    def test_a_wrong_link_opens_nothing(self, place: Served, address: str) -> None:
        with place.guest() as guest:
            response = guest.get(address)

        assert response.status_code == 401
        assert "set-cookie" not in response.headers

    def test_an_invited_person_is_no_admin(self, place: Served) -> None:
        with place.member() as member, place.admin() as admin:
            invited, owner = member.get("/me").json(), admin.get("/me").json()

        assert (invited["is_admin"], invited["invite"]) == (False, None)
        assert (owner["is_admin"], owner["invite"]) == (True, f"{place.url}/join/{place.web.door.invite}")
        assert {one["name"] for one in owner["commands"] if one["allowed"]} > {"retrain", "labels"}
        assert "retrain" not in {one["name"] for one in invited["commands"] if one["allowed"]}

    def test_an_admin_who_follows_the_invite_stays_admin(self, place: Served) -> None:
        with place.admin() as admin:
            before = admin.get("/me").json()
            admin.get(f"/join/{place.web.door.invite}")
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
        assert admin_link(settings, 81) == f"http://localhost:81/?token={token}"

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
            victim.get("/", params={"token": TOKEN})
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
