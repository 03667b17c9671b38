"""Versions and reports over HTTP: for everybody who is in, and no photo that a report does not show."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from snaplabel import backbones
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.tables import Photo
from tests.bot.reported import Planted, plant
from tests.bot.webhouse import Served

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def planted(place: Served) -> Planted:
    return plant(place.house)


@pytest.fixture
def member(place: Served, planted: Planted) -> Iterator[httpx.Client]:
    with place.member() as client:
        yield client


def test_the_versions_are_listed_newest_first(member: httpx.Client) -> None:
    found = member.get("/api/models").json()

    assert [(one["version"], one["state"]) for one in found] == [
        (3, "candidate"),
        (2, "current"),
        (1, "retired"),
        (0, "retired"),
    ]
    assert found[1]["exam"] == {"error": 0.0625, "low": 0.03125, "high": 0.09375, "photos": 96, "by": "exam"}
    assert (found[1]["ece"], found[1]["labels"], found[1]["parent"]) == (0.03, 3, 1)
    assert [one["version"] for one in member.get("/api/models", params={"limit": 2}).json()] == [3, 2]


def test_a_report_says_everything_that_the_page_draws(member: httpx.Client, planted: Planted) -> None:
    found = member.get("/api/models/3/report").json()

    assert found["version"]["verdict"] == "The judge's word on v3."
    assert found["report"]["change"]["fixed"] == [[planted.fixed, 1, 2]]
    assert [label["right"] for label in found["report"]["labels"]] == [30, 25, 20]
    assert len(found["report"]["new"]["calibration"]["bins"]) == 3
    assert [point["version"] for point in found["curve"]] == [0, 1, 2, 3]
    assert found["shown"] == sorted([planted.fixed, planted.broken])
    assert found["card"]["labels"][0][1] == "Juventus"


def test_how_photos_are_prepared_is_in_the_report(place: Served, member: httpx.Client) -> None:
    assert member.get("/api/models/2/report").json()["preparation"] is None
    card = BackboneCard("tiny-1", "tiny", 16, Preparation(256, 224), True, "planted")
    backbones.save_card(place.house.store, card)

    found = member.get("/api/models/2/report").json()

    assert (found["preparation"]["resize"], found["preparation"]["crop"]) == (256, 224)


def test_a_version_without_a_report_is_told_by_its_card(member: httpx.Client) -> None:
    found = member.get("/api/models/0/report").json()

    assert found["report"]["new"]["error"] == 0.06
    assert found["report"]["change"] is None


def test_a_thumbnail_is_small_and_its_photo_larger(member: httpx.Client, planted: Planted) -> None:
    small = member.get(f"/api/models/3/photos/{planted.fixed}")
    large = member.get(f"/api/models/3/photos/{planted.fixed}", params={"large": True})

    assert small.headers["content-type"] == large.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(small.content)).size) <= 240
    assert Image.open(io.BytesIO(large.content)).size == (120, 120)
    assert "private" in small.headers["cache-control"]


def test_no_photo_can_be_seen_that_a_report_does_not_show(member: httpx.Client, planted: Planted) -> None:
    for number in (planted.private, planted.unnamed, 0, 10**30):
        response = member.get(f"/api/models/3/photos/{number}")

        assert response.status_code == 404, number


def test_a_photo_that_was_erased_is_gone_from_reports(place: Served, member: httpx.Client, planted: Planted) -> None:
    with place.house.database.begin() as session:
        session.get_one(Photo, planted.broken).unreadable = "gone"

    response = member.get(f"/api/models/3/photos/{planted.broken}")
    shown = member.get("/api/models/3/report").json()["shown"]

    assert response.status_code == 404
    assert shown == [planted.fixed]
    with place.house.database.begin() as session:
        session.get_one(Photo, planted.broken).unreadable = None


@pytest.mark.parametrize("version", ["99", "-1", str(10**30)])
def test_a_version_that_is_not_there_is_said(member: httpx.Client, version: str) -> None:
    response = member.get(f"/api/models/{version}/report")

    assert response.status_code == 404
    assert response.json()["error"].startswith("There is no v")


def test_a_program_may_ask_with_the_token_and_a_stranger_may_not(place: Served, planted: Planted) -> None:
    with place.program() as program, place.guest() as stranger:
        assert program.get("/api/models/2/report").json()["version"]["state"] == "current"
        for path in ("/api/models", "/api/models/2/report", f"/api/models/3/photos/{planted.fixed}"):
            assert stranger.get(path).status_code == 401
