"""The room of the web chat, over real HTTP against the running bot: photos, answers, history."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bot import answers, reception
from bot.messages import Attachment, Incoming, Reply
from bot.platforms.web import upload
from bot.platforms.web.door import Limiter
from bot.platforms.web.room import feed, room
from snaplabel import images
from snaplabel.errors import DatabaseError
from snaplabel.images import MAX_BYTES
from snaplabel.settings import read
from snaplabel.voices import REFUSALS
from tests.bot.webhouse import (
    GREEN,
    GREY,
    RED,
    Served,
    answered,
    button,
    eventually,
    item,
    photo_form,
    picture,
    post_photos,
    served,
)

pytestmark = pytest.mark.real


class TestPhotos:
    def test_a_photo_is_answered(self, place: Served) -> None:
        with place.member("Ada") as member:
            posted = post_photos(member, picture(RED, 1), caption="mine")
            answer = answered(member, posted["id"])
            found = item(member, posted["id"])

        assert (answer["reply"]["title"], answer["reply"]["mood"]) == ("Juventus, quite sure", "sure")
        assert (found["name"], found["text"], found["photos"][0]["state"]) == ("Ada", "mine", "ready")

    def test_an_album_gets_one_answer(self, place: Served) -> None:
        with place.member() as member:
            posted = post_photos(member, picture(RED, 2), picture(GREEN, 3))
            answer = answered(member, posted["id"])

        assert [shot["position"] for shot in posted["photos"]] == [0, 1]
        assert answer["reply"]["title"] == "2 photos"
        assert "2. Newcastle, Juventus or Botafogo" in answer["reply"]["text"]

    def test_trying_again_counts_once(self, place: Served) -> None:
        with place.member() as member:
            first = post_photos(member, picture(RED, 4), id="0123456789abcdef")
            again = post_photos(member, picture(RED, 4), id="0123456789abcdef")
            items = member.get("/feed").json()["items"]

        assert first["id"] == again["id"]
        assert [one["id"] for one in items].count(first["id"]) == 1

    def test_what_is_no_photo_is_answered_with_a_sentence(self, place: Served) -> None:
        with place.member() as member:
            posted = post_photos(member, b"<html><script>alert(1)</script></html>")
            answer = answered(member, posted["id"])
            served_back = member.get(f"/photo/{posted['id']}/0")

        assert (answer["reply"]["text"], answer["reply"]["mood"]) == (REFUSALS["no-photo"], "error")
        assert served_back.status_code == 404
        assert b"script" not in served_back.content

    def test_only_a_fresh_jpeg_is_ever_served_back(self, place: Served) -> None:
        out = io.BytesIO()
        exif = Image.Exif()
        exif[0x010E] = "secret place"
        Image.new("RGB", (2000, 1000), RED).save(out, "PNG", exif=exif)
        with place.member() as member:
            posted = post_photos(member, out.getvalue() + b"<script>alert(1)</script>")
            response = member.get(f"/photo/{posted['id']}/0")

        assert response.headers["content-type"] == "image/jpeg"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert b"secret" not in response.content
        assert b"script" not in response.content
        assert Image.open(io.BytesIO(response.content)).size == (1024, 512)

    def test_photos_of_the_api_are_not_for_the_room(self, place: Served) -> None:
        with place.program() as program, place.member() as member:
            found = program.post("/api/photos", content=picture(RED, 5)).json()

            assert member.get(f"/photo/{found['id']}/0").status_code == 404
            assert found["id"] not in [one["id"] for one in member.get("/feed").json()["items"]]

    def test_a_heavy_file_is_refused_and_not_kept(self, place: Served) -> None:
        inbox = place.house.settings.home / "store" / "inbox"
        before = set(inbox.glob("*"))
        with place.member() as member:
            response = member.post("/photos", files=photo_form(b"x" * (MAX_BYTES + 1)))

        assert (response.status_code, response.json()) == (413, {"error": REFUSALS["too-heavy"]})
        assert set(inbox.glob("*")) <= before

    def test_at_most_ten_photos_come_at_a_time(self, place: Served) -> None:
        with place.member() as member:
            response = member.post("/photos", files=photo_form(*[b"x"] * 11))

        assert (response.status_code, response.json()) == (413, {"error": upload.TOO_MANY})

    def test_an_upload_without_a_photo_is_refused(self, place: Served) -> None:
        with place.member() as member:
            no_form = member.post("/photos", content=b"hello", headers={"content-type": "text/plain"})
            no_file = member.post("/photos", files=[("caption", (None, "hello"))])
            cut = b"--b\r\ncontent-disposition: form-data; name=photos; filename=a\r\n\r\nxy"
            garbled = member.post("/photos", content=cut, headers={"content-type": "multipart/form-data; boundary=b"})

        assert (no_form.status_code, no_file.status_code, garbled.status_code) == (415, 400, 400)

    def test_too_many_photos_in_a_minute_have_to_wait(self, place: Served) -> None:
        before, place.web.photos_allowed = place.web.photos_allowed, Limiter(2)
        try:
            with place.member() as member:
                post_photos(member, picture(RED, 6), picture(RED, 7))
                response = member.post("/photos", files=photo_form(picture(RED, 8)))
        finally:
            place.web.photos_allowed = before

        assert response.status_code == 429
        assert "wait a minute" in response.json()["error"]

    def test_what_could_not_be_written_down_is_not_accepted(self, place: Served) -> None:
        place.house.trouble = DatabaseError()
        try:
            with place.member() as member, place.program() as program:
                photo = member.post("/photos", files=photo_form(picture()))
                text = member.post("/messages", json={"text": "hello"})
                asked = program.post("/api/photos", content=picture())
        finally:
            place.house.trouble = None

        assert [one.status_code for one in (photo, text, asked)] == [503, 503, 503]
        assert "send it again" in photo.json()["error"]


class TestConversation:
    def test_a_button_teaches(self, place: Served) -> None:
        with place.admin() as admin:
            posted = post_photos(admin, picture(RED, 10))
            answer = answered(admin, posted["id"])
            pressed = admin.post("/press", json={"answer": answer["id"], "data": button(answer, "Newcastle")})
            taught = eventually(lambda: (a := answered(admin, posted["id"]))["reply"]["mood"] == "taught" and a)

        assert pressed.status_code == 202
        assert (taught["id"], taught["reply"]["title"]) == (answer["id"], "Newcastle")
        assert ("train.learn", 1) in place.house.rings

    def test_only_a_button_that_is_there_can_be_pressed(self, place: Served) -> None:
        with place.member() as member:
            posted = post_photos(member, picture(RED, 11))
            answer = answered(member, posted["id"])
            forged = member.post("/press", json={"answer": answer["id"], "data": "promote:1"})
            foreign = member.post("/press", json={"answer": "anobody", "data": "as:1:1"})

        assert (forged.status_code, foreign.status_code) == (409, 409)
        assert "another time" in forged.json()["error"]

    @pytest.mark.parametrize("to_the_answer", [True, False])
    def test_a_reply_teaches(self, place: Served, to_the_answer: bool) -> None:
        with place.member("Ada") as member:
            posted = post_photos(member, picture(GREY, 12 + to_the_answer))
            answer = answered(member, posted["id"])
            reply_to = answer["id"] if to_the_answer else posted["id"]
            member.post("/messages", json={"text": "Botafogo", "reply_to": reply_to})
            taught = eventually(lambda: (a := answered(member, posted["id"]))["reply"]["mood"] == "taught" and a)

        assert taught["reply"]["title"] == "Botafogo"
        assert "Ada said: Botafogo." in taught["reply"]["text"]

    def test_a_command_is_answered_by_itself(self, place: Served) -> None:
        with place.member() as member:
            posted = member.post("/messages", json={"text": "/labels"}).json()
            found = eventually(
                lambda: [one for one in member.get("/feed").json()["items"] if one["kind"] == "answer"][-1:]
            )[0]
            text = item(member, posted["id"])

        assert found["answer"]["reply"]["title"].endswith("labels")
        assert "Juventus" in found["answer"]["reply"]["table"]
        assert (text["kind"], text["text"]) == ("text", "/labels")

    def test_a_picture_is_shown_by_its_answer(self, place: Served) -> None:
        png = picture(GREY, 1, kind="PNG")
        place.house.store.put("reports/test.png", png)
        with place.member() as member:
            member.post("/messages", json={"text": "hello"})
            with place.house.database.begin() as session:
                chat = room(session)
                assert chat is not None
                answers.say(session, chat, Reply("v9 is live", picture="reports/test.png"))
            shown = eventually(
                lambda: next((one for one in member.get("/feed").json()["items"] if "v9" in json.dumps(one)), None)
            )
            picture_of = member.get(shown["answer"]["reply"]["picture"])

        assert (picture_of.headers["content-type"], picture_of.content) == ("image/png", png)
        assert "reports" not in json.dumps(shown)

    def test_older_things_come_a_page_at_a_time(self, tmp_path: Path) -> None:
        settings = read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")
        with served(settings) as alone, alone.member() as member:
            member.post("/messages", json={"text": "hello"})
            eventually(lambda: len(member.get("/feed").json()["items"]) == 2)
            with alone.house.database.begin() as session:
                chat = room(session)
                assert chat is not None
                for number in range(60):
                    answers.say(session, chat, Reply(f"number {number}")).platform_id = f"a{number}"
            newest = member.get("/feed").json()
            older = member.get("/feed", params={"before": newest["items"][0]["at"]}).json()

        titles = [one["answer"]["reply"]["title"] for one in newest["items"]]
        assert titles == [f"number {number}" for number in range(10, 60)]
        assert newest["more"]
        assert [one["kind"] for one in older["items"]] == ["text"] + ["answer"] * 11
        assert not older["more"]

    def test_too_much_text_is_refused(self, place: Served) -> None:
        with place.member() as member:
            long = member.post("/messages", json={"text": "x" * 3000})
            huge = member.post("/messages", json={"text": "x" * 100_000})
            nothing = member.post("/messages", json={"text": "  "})

        assert (long.status_code, huge.status_code, nothing.status_code) == (422, 413, 422)
        assert all("error" in one.json() for one in (long, huge, nothing))


@pytest.mark.real
def test_postgresql_shows_the_same_feed(new_postgres_url: str) -> None:
    from snaplabel.database import Base, Database
    from tests.bot.room import picture as any_picture

    database = Database(new_postgres_url)
    Base.metadata.create_all(database.engine)
    post = Incoming("web", "room", "m1", "p1", "photo", name="Ada", attachment=Attachment({"key": "k"}))
    texts = [Incoming("web", "room", "m2", "p1", "text", text="hello")]
    ids = reception.write_down(database, [post, *texts])
    reception.handle(database, read({}, dotenv=Path("no.env")), ids[0], images.prepare(any_picture()))
    with database.begin() as session:
        chat = room(session)
        assert chat is not None
        answers.say(session, chat, Reply("Hello")).platform_id = "a1"

    with database.read() as session:
        items = feed(session)
        older = feed(session, items[1].at)
    database.close()

    assert [(one.kind, one.id) for one in items] == [("photos", "m1"), ("answer", "a1")]
    assert [one.id for one in older] == ["m1"]
