"""The review in a real Chromium, by finger and by keyboard, and words that are typed after "Something else…"."""

from pathlib import Path

import pytest

from bot.platforms.web.door import Limiter
from tests.bot.browser import Browser, Page
from tests.bot.test_web_browser import DESK, PHONE, enter, photo, place, send_photo
from tests.bot.test_web_reviews import decide, doubt, is_now, labelled
from tests.bot.webhouse import GREY, RED, Served

__all__ = ["place"]
pytestmark = pytest.mark.real

CARDS = "[...document.querySelectorAll('.doubt:not(.going)')]"
CURRENT = "document.querySelector('.doubt.current h3')?.textContent"
LABEL_LIST = "[...document.querySelectorAll('.choices button')].some((one) => one.textContent === '← Back')"


def review(page: Page, cards: int) -> None:
    """Open the review by its button in the header."""
    page.wait_for("!document.querySelector('#review-way').hidden")
    page.run("document.querySelector('#review-way').click()")
    page.wait_for(f"{CARDS}.length === {cards} && document.querySelectorAll('.doubt img.ready').length >= {cards}")


def press(page: Page, button: str, card: int = 0) -> None:
    page.run(f"[...{CARDS}[{card}].querySelectorAll('button')].find((one) => one.textContent === '{button}').click()")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_photos_are_reviewed_with_a_press_each(
    chromium: Browser, place: Served, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    first, second, third = doubt(place, 1), doubt(place, 2, "Botafogo"), doubt(place, 3, None, kind="unlike")
    page = enter(chromium, place, size, dark=dark, name="Ada")
    page.wait_for("document.querySelector('#review-way b').textContent === '3'")
    review(page, 3)
    page.screenshot(tmp_path / "1-review.png")

    press(page, "It’s Newcastle")
    page.wait_for("document.querySelector('#review-said').textContent.startsWith('Relabelled as “Newcastle”.')")
    page.screenshot(tmp_path / "2-relabelled.png")
    press(page, "Keep Juventus")
    page.wait_for("document.querySelector('#review-said').textContent.startsWith('Kept “Juventus”')")
    press(page, "Remove")
    page.wait_for("!document.querySelector('#doubtless').hidden")
    page.screenshot(tmp_path / "3-nothing-left.png")

    assert [is_now(place, one) for one in (first, second, third)] == [
        ("Newcastle", False),
        ("Juventus", False),
        ("Juventus", True),
    ]
    assert page.run("document.querySelector('#review-way b').hidden")
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "something is wider than the screen"
    assert page.troubles == []


def test_the_review_is_done_by_keyboard_alone(chromium: Browser, place: Served, tmp_path: Path) -> None:
    first, second, third = doubt(place, 1), doubt(place, 2, "Botafogo"), doubt(place, 3)
    page = enter(chromium, place)
    review(page, 3)
    page.wait_for(f"{CURRENT} === 'Juventus or Newcastle?'")

    page.press("r")
    page.wait_for(f"{CURRENT} === 'Juventus or Botafogo?'")
    page.press("ArrowRight")
    page.wait_for(f"{CURRENT} === 'Juventus or Newcastle?'")
    page.press("x")
    page.wait_for(f"{CURRENT} === 'Juventus or Botafogo?'")
    page.press("k")
    page.wait_for("!document.querySelector('#doubtless').hidden")
    decided = [is_now(place, one) for one in (first, second, third)]
    for left in (1, 2, 3):
        page.press("u")
        page.wait_for(f"{CARDS}.length === {left}")
    page.screenshot(tmp_path / "undone.png")

    assert decided == [("Newcastle", False), ("Juventus", False), ("Juventus", True)]
    assert [is_now(place, one) for one in (first, second, third)] == [("Juventus", False)] * 3
    order = page.run("[...document.querySelectorAll('.doubt h3')].map((one) => one.textContent)")
    assert order == ["Juventus or Newcastle?", "Juventus or Botafogo?", "Juventus or Newcastle?"]
    page.press("Escape")
    page.wait_for("document.querySelector('#review').hidden")
    assert page.troubles == []


def test_another_label_is_found_by_typing_or_made(chromium: Browser, place: Served, tmp_path: Path) -> None:
    first, second = doubt(place, 1), doubt(place, 2)
    page = enter(chromium, place)
    review(page, 2)

    page.press("e")
    page.wait_for("document.querySelector('#pick').open")
    page.write("BOTA")
    page.screenshot(tmp_path / "pick.png")
    page.press("Enter")
    page.wait_for(f"{CARDS}.length === 1 && !document.querySelector('#pick').open")
    page.press("e")
    page.wait_for("document.querySelector('#pick').open")
    page.write("Wigan")
    page.press("Enter")
    page.wait_for("!document.querySelector('#doubtless').hidden")

    assert (is_now(place, first), is_now(place, second)) == (("Botafogo", False), ("Wigan", False))
    assert page.troubles == []


def test_an_escape_from_the_labels_decides_nothing(chromium: Browser, place: Served) -> None:
    photo_id = doubt(place, 1)
    page = enter(chromium, place)
    review(page, 1)

    page.press("e")
    page.wait_for("document.querySelector('#pick').open")
    page.press("Escape")
    page.wait_for("!document.querySelector('#pick').open")

    assert not page.run("document.querySelector('#review').hidden")
    assert page.run(f"{CARDS}.length") == 1
    assert is_now(place, photo_id) == ("Juventus", False)


def test_what_another_admin_decided_meanwhile_is_said(chromium: Browser, place: Served, tmp_path: Path) -> None:
    photo_id, _ = doubt(place, 1), doubt(place, 2)
    page = enter(chromium, place)
    review(page, 2)
    with place.admin() as other:
        decide(other, photo_id, "relabel", "Newcastle")

    press(page, "Remove")

    page.wait_for("document.querySelector('#notice').textContent.includes('decided on that photo meanwhile')")
    page.wait_for(f"{CARDS}.length === 1")
    page.screenshot(tmp_path / "meanwhile.png")
    assert is_now(place, photo_id) == ("Newcastle", False)


def test_what_others_decided_is_listed_and_can_be_undone(chromium: Browser, place: Served, tmp_path: Path) -> None:
    photo_id = doubt(place, 1)
    with place.admin() as other:
        other.post("/name", json={"name": "Olga"})
        decide(other, photo_id, "relabel", "Newcastle")
    page = enter(chromium, place)
    page.open(f"{place.url}/#review")
    page.wait_for("!document.querySelector('#doubtless').hidden")

    page.run("document.querySelector('#decided').open = true")
    page.wait_for("document.querySelector('#decided b')?.textContent === 'Newcastle, was Juventus'")
    page.screenshot(tmp_path / "decided.png")
    page.run("document.querySelector('#decided li button:last-child').click()")

    page.wait_for(f"{CARDS}.length === 1")
    page.wait_for("document.querySelector('#decided li').textContent === 'Nothing yet.'")
    assert is_now(place, photo_id) == ("Juventus", False)


def test_long_reviews_come_in_pages(chromium: Browser, place: Served) -> None:
    for seed in range(1, 56):
        doubt(place, seed)
    page = enter(chromium, place)
    page.open(f"{place.url}/#review")
    page.wait_for(f"{CARDS}.length === 40")

    page.run("document.querySelector('#more-doubts').click()")

    page.wait_for(f"{CARDS}.length === 55")
    assert page.run("document.querySelector('#more-doubts').hidden")


def test_members_see_nothing_of_it(chromium: Browser, place: Served) -> None:
    doubt(place, 1)
    page = chromium.page()
    page.looks_like(*DESK)
    page.open(f"{place.url}/door#{place.web.door.invite}")
    page.open(f"{place.url}/#review")
    page.wait_for("document.querySelector('#model').textContent.includes('right')")

    assert page.run("document.querySelector('#review-way').hidden && document.querySelector('#review').hidden")
    assert page.troubles == []


def test_a_decision_that_was_not_taken_comes_back(chromium: Browser, place: Served) -> None:
    first, second = doubt(place, 1), doubt(place, 2)
    page = enter(chromium, place)
    review(page, 2)
    before, place.web.posts_allowed = place.web.posts_allowed, Limiter(1)

    press(page, "Remove")
    press(page, "Remove")
    page.wait_for("document.querySelector('#notice').textContent.includes('a lot at once')")
    page.wait_for(f"{CARDS}.length === 1")
    place.web.posts_allowed = before
    press(page, "Keep Juventus")
    page.wait_for("!document.querySelector('#doubtless').hidden")

    assert [is_now(place, one)[1] for one in (first, second)] == [True, False]


def test_twins_are_shown_side_by_side(chromium: Browser, place: Served, tmp_path: Path) -> None:
    twin = labelled(place, 2, "Newcastle")
    doubt(place, 1, kind="twins", other_photo_id=twin)
    page = enter(chromium, place, PHONE)

    page.open(f"{place.url}/#review")

    page.wait_for("document.querySelectorAll('.pictures.two img.ready').length === 2")
    page.screenshot(tmp_path / "twins.png")


# Words after "Something else…".


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_label_typed_after_something_else_corrects_the_photo(
    chromium: Browser, place: Served, tmp_path: Path, size: tuple[int, int]
) -> None:
    page = enter(chromium, place, size)
    send_photo(page, photo(tmp_path, RED))
    page.wait_for("document.querySelector('.card.sure')")
    page.run("document.activeElement.blur()")

    page.run(
        "[...document.querySelectorAll('.card button')].find((b) => b.textContent.startsWith('Something')).click()"
    )
    page.wait_for(LABEL_LIST)
    page.wait_for("!document.querySelector('#replying').hidden")
    page.screenshot(tmp_path / "replying.png")
    takes_focus = page.run("document.activeElement.id === 'text'")
    page.run("document.querySelector('#text').focus()")
    page.write("Botafogo")
    page.press("Enter")

    page.wait_for("document.querySelector('.card.taught h3')?.textContent === 'Botafogo'")
    assert takes_focus == (size == DESK), "a phone's keyboard must not cover the labels"
    assert page.run("document.querySelector('#replying').hidden")


def test_a_pressed_label_ends_the_reply_that_was_offered(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)
    send_photo(page, photo(tmp_path, GREY))
    page.wait_for("document.querySelector('.card.unknown')")
    page.run(
        "[...document.querySelectorAll('.card button')].find((b) => b.textContent.startsWith('Something')).click()"
    )
    page.wait_for(LABEL_LIST)
    page.wait_for("!document.querySelector('#replying').hidden")

    page.run("[...document.querySelectorAll('.card button')].find((b) => b.textContent === 'Newcastle').click()")
    page.wait_for("document.querySelector('.card.taught h3')?.textContent === 'Newcastle'")

    page.wait_for("document.querySelector('#replying').hidden")
    assert page.run("document.querySelector('#text').value") == ""


def test_in_an_album_the_typed_label_is_for_the_photo_that_was_picked(
    chromium: Browser, place: Served, tmp_path: Path
) -> None:
    page = enter(chromium, place)
    send_photo(page, photo(tmp_path, RED, 1), photo(tmp_path, GREY, 2))
    page.wait_for("document.querySelector('.card h3')?.textContent === '2 photos'")
    page.run("[...document.querySelectorAll('.card button')].find((b) => b.textContent === '2').click()")
    page.wait_for("document.querySelector('.card h3')?.textContent.startsWith('Photo 2')")

    page.run(
        "[...document.querySelectorAll('.card button')].find((b) => b.textContent.startsWith('Something')).click()"
    )
    page.wait_for("document.querySelector('#text').value === '2: '")
    page.write("Botafogo")
    page.press("Enter")

    page.wait_for("document.querySelector('.card p')?.textContent.includes('2. Botafogo')")
    assert "1. Juventus" in page.run("document.querySelector('.card p').textContent")
