"""The HTTP API for programs, over real HTTP against the running bot."""

import time
from collections.abc import Iterator

import httpx
import pytest

from bot.platforms.web import lookups
from snaplabel import images
from snaplabel.images import MAX_BYTES
from snaplabel.voices import REFUSALS
from tests.bot.webhouse import GREEN, GREY, RED, Served, eventually, picture

pytestmark = pytest.mark.real


@pytest.fixture
def program(place: Served) -> Iterator[httpx.Client]:
    with place.program() as client:
        yield client


def test_a_photo_is_asked_about_and_answered(program: httpx.Client) -> None:
    response = program.post("/api/photos", content=picture(RED, 1), headers={"content-type": "image/jpeg"})

    found = response.json()
    assert response.status_code == 200
    assert found == {
        "id": found["id"],
        "label": "Juventus",
        "confidence": 0.93,
        "voice": "sure",
        "top": [["Juventus", 0.93], ["Newcastle", 0.05], ["Botafogo", 0.02]],
        "model": 0,
    }


def test_a_form_does_as_well(program: httpx.Client) -> None:
    response = program.post("/api/photos", files={"file": ("a.jpg", picture(GREEN, 2))})

    assert (response.status_code, response.json()["voice"]) == (200, "maybe")


def test_who_does_not_wait_gets_an_id_to_ask_with(program: httpx.Client) -> None:
    response = program.post("/api/photos", params={"wait_s": 0}, content=picture(RED, 3))
    later = program.get(f"/api/photos/{response.json()['id']}", params={"wait_s": 10})

    assert (response.status_code, response.json()["state"]) in [(202, "received"), (202, "waiting")]
    assert (later.status_code, later.json()["label"]) == (200, "Juventus")


def test_the_answer_comes_as_soon_as_it_is_there(place: Served, program: httpx.Client) -> None:
    began = time.monotonic()
    program.post("/api/photos", content=picture(RED, 4))

    assert time.monotonic() - began < place.house.looks_for_s + 2


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "no-photo"),
        (picture(RED)[:200], 400, "broken"),
        (picture(RED, side=8), 400, "too-small"),
        (b"x" * (MAX_BYTES + 1), 413, "too-heavy"),
    ],
    ids=["empty", "no-photo", "broken", "too-small", "too-heavy"],
)
def test_what_is_no_photo_is_refused_with_a_sentence(
    program: httpx.Client, body: bytes, status: int, reason: str
) -> None:
    response = program.post("/api/photos", content=body)

    assert (response.status_code, response.json()) == (status, {"error": REFUSALS[reason]})


def test_every_reason_to_refuse_a_photo_is_the_senders_and_no_trouble_of_ours() -> None:
    assert {reason: 400 <= lookups.STATUS[reason] < 500 for reason in images.REASONS} == dict.fromkeys(
        images.REASONS, True
    )


def test_a_correction_counts_at_once_and_rings_the_trainer(place: Served, program: httpx.Client) -> None:
    photo = program.post("/api/photos", content=picture(GREY, 5)).json()["id"]
    place.house.rings.clear()

    taught = program.post(f"/api/photos/{photo}/correction", json={"label": "newcastle"})
    again = program.post(f"/api/photos/{photo}/correction", json={"label": "Newcastle"})

    assert taught.json() == {"id": photo, "accepted": "Newcastle", "changed": True}
    assert again.json()["changed"] is False
    assert place.house.rings == [("train.learn", 1)]
    told = program.get(f"/api/photos/{photo}").json()
    assert (told["label"], told["voice"], told["confidence"]) == ("Newcastle", "told", 1.0)


def test_an_unknown_label_is_not_made_by_accident(program: httpx.Client) -> None:
    photo = program.post("/api/photos", content=picture(GREY, 6)).json()["id"]

    unknown = program.post(f"/api/photos/{photo}/correction", json={"label": "Wigan"})
    made = program.post(f"/api/photos/{photo}/correction", json={"label": "Wigan", "new": True})
    impossible = program.post(f"/api/photos/{photo}/correction", json={"label": "!!"})

    assert unknown.status_code == 404
    assert set(unknown.json()["labels"]) >= {"Botafogo", "Juventus", "Newcastle"}
    assert "Wigan" in unknown.json()["error"]
    assert made.json()["accepted"] == "Wigan"
    assert (impossible.status_code, "letter" in impossible.json()["error"]) == (422, True)
    assert "Wigan" in [row["name"] for row in program.get("/api/labels").json()]


def test_a_near_label_is_offered(program: httpx.Client) -> None:
    photo = program.post("/api/photos", content=picture(GREY, 7)).json()["id"]

    response = program.post(f"/api/photos/{photo}/correction", json={"label": "Newcast"})

    assert (response.status_code, response.json()["near"]) == (404, "Newcastle")
    assert "Did you mean Newcastle?" in response.json()["error"]


def test_the_model_shows_its_exam_to_programs_and_members(place: Served, program: httpx.Client) -> None:
    with place.member() as member:
        for client in (program, member):
            found = client.get("/api/model").json()

            assert (found["version"], found["exam"]["error"], found["exam"]["photos"]) == (0, 0.06, 60)
            assert found["labels"] == ["Juventus", "Newcastle", "Botafogo"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/photos"),
        ("GET", "/photos/x"),
        ("POST", "/photos/x/correction"),
        ("GET", "/model"),
        ("GET", "/labels"),
    ],
)
def test_without_the_token_nothing_is_told(place: Served, method: str, path: str) -> None:
    with place.guest() as stranger:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic wrong"}):
            response = stranger.request(method, f"/api{path}", headers=header, content=b"{}")

            assert response.status_code == 401
            assert response.json()["error"]


def test_a_wrong_token_and_none_are_told_apart(place: Served) -> None:
    with place.guest() as stranger:
        none = stranger.post("/api/photos", content=b"{}")
        wrong = stranger.post("/api/photos", headers={"Authorization": "Bearer wrong"}, content=b"{}")

    assert none.json()["error"].startswith("Send the admin token")
    assert wrong.json()["error"].startswith("This is not the admin token")


def test_a_cookie_is_no_token(place: Served) -> None:
    with place.admin() as admin:
        assert admin.post("/api/photos", content=picture()).status_code == 401


def test_anybody_may_ask_whether_it_is_well(place: Served) -> None:
    with place.guest() as stranger:
        assert stranger.get("/api/health").json() == {"ok": True, "database": "ok"}


def test_what_is_not_there_is_said_in_a_sentence(program: httpx.Client) -> None:
    for path in ("/api/photos/nobody", "/api/nothing", "/docs", "/redoc"):
        response = program.get(path)

        assert response.status_code == 404
        assert response.json()["error"].startswith("There is no")
    assert program.get("/api/photos/x", params={"wait_s": "long"}).status_code == 422
    assert program.delete("/api/model").json() == {"error": "That can't be done here."}


def test_a_photo_that_takes_long_is_found_later(place: Served, program: httpx.Client) -> None:
    place.house.looks_for_s, usual = 1.0, place.house.looks_for_s
    try:
        response = program.post("/api/photos", params={"wait_s": 0.3}, content=picture(RED, 9))
    finally:
        place.house.looks_for_s = usual

    photo = response.json()["id"]
    assert (response.status_code, response.json()) == (202, {"id": photo, "state": "waiting"})
    found = eventually(lambda: (r := program.get(f"/api/photos/{photo}")).status_code == 200 and r.json())
    assert found["label"] == "Juventus"


def test_the_document_describes_every_answer(program: httpx.Client) -> None:
    document = program.get("/api/openapi.json").json()

    assert set(document["paths"]) == {
        "/api/photos",
        "/api/photos/{id}",
        "/api/photos/{id}/correction",
        "/api/model",
        "/api/labels",
        "/api/models",
        "/api/models/{version}/report",
        "/api/review",
        "/api/review/undo",
        "/api/review/{photo_id}",
        "/api/health",
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            for status, answer in operation["responses"].items():
                schema = answer["content"]["application/json"]["schema"]
                assert "HTTPValidationError" not in str(schema), (method, path, status)
                assert schema, (method, path, status)
    assert set(document["paths"]["/api/photos"]["post"]["responses"]) == {
        "200", "202", "400", "401", "408", "413", "415", "422", "429", "500", "503",
    }  # fmt: skip
    body = document["paths"]["/api/photos"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "image/*"}
    assert "bearer" in str(document["components"]["securitySchemes"])
