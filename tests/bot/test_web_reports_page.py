"""The versions and their reports in a real Chromium: what everybody sees, and what an admin's press does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from snaplabel import registry
from snaplabel.settings import read
from tests.bot.browser import Browser, Page
from tests.bot.reported import plant
from tests.bot.webhouse import TOKEN, Served, served

pytestmark = pytest.mark.real

PHONE, DESK = (390, 844), (1280, 800)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Served]:
    with served(read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")) as found:
        plant(found.house)
        yield found


def _enter(
    chromium: Browser, place: Served, address: str = "", size: tuple[int, int] = DESK, *, dark: bool = False
) -> Page:
    """A page whose visitor came by this address, the admin link where there is none."""
    page = chromium.page()
    page.looks_like(*size, phone=size == PHONE, dark=dark)
    page.open(place.url + (address or f"/door#{TOKEN}"))
    page.wait_for("!document.querySelector('#naming').hidden")
    page.run("document.querySelector('#nameless').click()")
    return page


def test_everybody_sees_versions_and_a_report_and_nobody_else_may_publish(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place, f"/door#{place.web.door.invite}")

    page.run("document.querySelector('#models-way').click()")
    page.wait_for("document.querySelectorAll('#versions li').length === 4")
    page.wait_for("document.querySelector('#version .big')")

    assert page.run("document.querySelector('#version h3').textContent") == "v2"
    assert page.run("document.querySelector('#version .big').textContent").replace("\u00a0", " ") == "94 % right"
    assert page.run("document.querySelectorAll('#version svg').length") == 3
    assert page.run("document.querySelectorAll('#version .bars li').length") == 3
    assert page.run("document.querySelectorAll('#version .choices button').length") == 0
    assert page.run("document.querySelector('#feed').inert")
    assert page.troubles == []


def test_a_report_shows_the_photos_that_turned_and_enlarges_them(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)

    page.run("location.hash = 'models/3'")
    page.wait_for("document.querySelectorAll('#version .turned .thumb img').length === 2")
    page.wait_for("[...document.querySelectorAll('#version .turned img')].every((image) => image.naturalWidth > 0)")
    page.run("document.querySelector('#version .turned .thumb').click()")

    assert "and 1 more" in page.run("[...document.querySelectorAll('#version .turned')].at(-1).textContent")
    assert page.wait_for("document.querySelector('#large').open")
    assert page.troubles == []


@pytest.mark.parametrize("is_admin", [True, False])
def test_only_an_admin_is_called_to_the_version_that_waits(chromium: Browser, place: Served, is_admin: bool) -> None:
    page = _enter(chromium, place, "" if is_admin else f"/door#{place.web.door.invite}")

    page.wait_for("document.querySelector('#model').textContent.startsWith('v2')")

    way = page.run("document.querySelector('#models-way').getAttribute('aria-label')")
    assert way == ("Models: v3 waits for you" if is_admin else "Models")
    assert page.run("document.querySelector('#models-way b').hidden") is not is_admin


def test_an_admin_publishes_a_refused_version_and_the_page_says_so(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)
    page.run("location.hash = 'models/3'")
    page.wait_for("document.querySelector('#version .choices button')")

    page.run("document.querySelector('#version .choices button').click()")

    page.wait_for("document.querySelector('#notice').textContent.startsWith('v3 is live')")
    page.wait_for("document.querySelector('#version .pill.current')")
    with place.house.database.read() as session:
        current = registry.current(session, 1)
    assert current is not None
    assert current.version == 3


def test_an_admin_goes_back_to_the_version_before(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)
    page.run("location.hash = 'models'")
    page.wait_for("document.querySelector('#version .choices button')?.textContent === 'Go back to v1'")

    page.run("document.querySelector('#version .choices button').click()")

    page.wait_for("document.querySelector('#notice').textContent.startsWith('Back to v1')")
    page.wait_for("document.querySelector('#versions a[aria-current] b').textContent === 'v1'")


def test_the_button_names_the_one_that_answered_before(chromium: Browser, place: Served) -> None:
    with place.house.database.begin() as session:
        registry.promote(session, 1, 3)
        registry.rollback(session, 1, 1)
        registry.promote(session, 1, 3)
    page = _enter(chromium, place)

    page.run("location.hash = 'models'")

    page.wait_for("document.querySelector('#version .choices button')?.textContent === 'Go back to v1'")


def test_hollow_dots_are_explained_where_there_are_any(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)
    page.run("location.hash = 'models/2'")
    page.wait_for("document.querySelector('#version .pair')")
    without = page.run("document.querySelector('#version .pair').textContent")
    with place.house.database.begin() as session:
        first = registry.find(session, 1, 1)
        first.card = {**first.card, "exam": {**first.card["exam"], "by": "cross-validation"}}

    page.run("location.hash = 'models/3'")

    page.wait_for("document.querySelector('#version .pair').textContent.includes('hollow dots: cross-validated')")
    assert "hollow" not in without


def test_a_version_says_what_made_it_and_how_far_chance_reaches(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)

    page.run("location.hash = 'models/2'")
    page.wait_for("document.querySelector('#version .headline')")

    said = page.run("document.querySelector('#version .headline').textContent").replace("\u00a0", " ")
    assert "learnt corrections" in said
    # Of errors between 3.1 and 9.4 %.
    assert "90 % to 97 % with 95 % certainty" in said


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_the_list_comes_first_and_nothing_is_wider_than_the_screen(
    chromium: Browser, place: Served, tmp_path: Path, dark: bool
) -> None:
    page = _enter(chromium, place, size=PHONE, dark=dark)

    page.run("document.querySelector('#models-way').click()")
    page.wait_for("document.querySelectorAll('#versions li').length === 4")
    listed = page.run("document.querySelector('#version').offsetWidth")
    page.run("document.querySelector('#versions li:nth-child(1) a').click()")
    page.wait_for("document.querySelector('#version .turned')")
    page.screenshot(tmp_path / "report.png")

    assert listed == 0
    assert page.run("document.querySelector('#versions').offsetWidth") == 0
    assert page.run("document.querySelector('#models').scrollWidth") <= PHONE[0]
    assert page.troubles == []


def test_escape_leads_back_to_the_chat(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)
    page.run("location.hash = 'models'")
    page.wait_for("document.querySelector('#version .big')")

    page.press("Escape")

    page.wait_for("document.querySelector('#models').hidden && !document.querySelector('#feed').inert")


def test_from_the_models_to_the_review_the_chat_stays_covered(chromium: Browser, place: Served) -> None:
    page = _enter(chromium, place)
    page.run("location.hash = 'models'")
    page.wait_for("document.querySelector('#version .big')")

    page.run("location.hash = 'review'")
    page.wait_for("!document.querySelector('#review').hidden && document.querySelector('#models').hidden")
    to_review = page.wait_for("document.querySelector('#feed').inert")
    page.run("location.hash = 'models'")
    page.wait_for("document.querySelector('#review').hidden && !document.querySelector('#models').hidden")

    assert to_review
    assert page.wait_for("document.querySelector('#feed').inert")
