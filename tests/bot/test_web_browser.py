"""The page in a real Chromium: what people see and press. Screenshots lie in each test's tmp_path."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from snaplabel import registry
from snaplabel.settings import read
from tests.bot.browser import Browser, Page
from tests.bot.webhouse import GREEN, GREY, RED, TOKEN, Served, picture, served

pytestmark = pytest.mark.real

PHONE, DESK = (390, 844), (1280, 800)
LAST = "[...document.querySelectorAll('.item')].at(-1)"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Served]:
    with served(read({"SNAPLABEL_HOME": str(tmp_path / "home")}, dotenv=tmp_path / "no.env")) as found:
        yield found


def enter(
    chromium: Browser, place: Served, size: tuple[int, int] = DESK, *, dark: bool = False, name: str = ""
) -> Page:
    """A page whose visitor followed the admin link and was asked for a name."""
    page = chromium.page()
    page.looks_like(*size, phone=size == PHONE, dark=dark)
    page.open(f"{place.url}/door#{TOKEN}")
    page.wait_for("!document.querySelector('#empty').hidden || document.querySelector('.item')")
    page.wait_for("!document.querySelector('#naming').hidden")
    if name:
        page.run("document.querySelector('#name').focus()")
        page.write(name)
        page.press("Enter")
    else:
        page.run("document.querySelector('#nameless').click()")
    page.wait_for("document.querySelector('#naming').hidden")
    return page


def photo(tmp_path: Path, colour: tuple[int, int, int] = RED, seed: int = 0, side: int = 480) -> Path:
    path = tmp_path / f"photo-{seed}.jpg"
    path.write_bytes(picture(colour, seed, side=side))
    return path


def send_photo(page: Page, *paths: Path) -> None:
    page.choose_files("#files", *paths)
    page.wait_for(f"document.querySelectorAll('#tray li').length === {len(paths)}")
    page.press("Enter")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_photo_is_answered_corrected_and_still_there_after_a_reload(
    chromium: Browser, place: Served, tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    place.house.looks_for_s = 1.0
    page = enter(chromium, place, size, dark=dark, name="Ada")
    page.screenshot(tmp_path / "1-empty.png")

    send_photo(page, photo(tmp_path))
    page.wait_for("document.querySelector('.looking')")
    page.screenshot(tmp_path / "2-looking.png")
    page.wait_for("document.querySelector('.card.sure h3')?.textContent === 'Juventus, quite sure'")
    page.screenshot(tmp_path / "3-answered.png")
    assert page.run("document.querySelector('#said').textContent").startswith("Juventus, quite sure")

    # By keyboard: back from the field over the chips to the card's buttons.
    for _ in range(40):
        if page.run("document.activeElement.textContent") == "Newcastle":
            break
        page.press("Tab", shift=True)
    assert page.run("document.activeElement.matches(':focus-visible')")
    page.screenshot(tmp_path / "4-focus.png")
    page.press("Enter")
    page.wait_for("document.querySelector('.card.taught h3')?.textContent === 'Newcastle'")
    assert page.run("document.activeElement.closest('.card') !== null"), "the focus was lost when the card changed"

    page.run("document.querySelector('.card .reply').click()")
    page.write("Botafogo")
    page.press("Enter")
    page.wait_for("document.querySelector('.card.taught h3').textContent === 'Botafogo'")
    page.wait_for(f"{LAST}.querySelector('.quote')")
    page.screenshot(tmp_path / "5-corrected.png")

    page.open(place.url)
    page.wait_for("document.querySelector('.card.taught h3')?.textContent === 'Botafogo'")
    page.wait_for("document.querySelector('.shot img.ready').naturalWidth === 480")
    assert page.run("location.search") == ""
    assert page.run("document.querySelectorAll('.item.photos').length") == 1
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "something is wider than the screen"
    page.screenshot(tmp_path / "6-reloaded.png")
    assert page.troubles == []


def test_others_see_it_while_it_happens(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)

    with place.member("<b>Max</b>") as max_:
        max_.post(
            "/photos", files=[("photos", ("a.jpg", photo(tmp_path, GREEN).read_bytes()))], data={"caption": "<i>!"}
        )
        max_.post("/messages", json={"text": "/labels"})

    page.wait_for("document.querySelector('.card.maybe h3')?.textContent === 'Newcastle, Juventus or Botafogo'")
    page.wait_for("document.querySelector('.shot img.ready')")
    page.wait_for("document.querySelector('.item.answer pre')?.textContent.includes('Juventus')")
    assert page.run("document.querySelector('.item.photos .who b').textContent") == "<b>Max</b>"
    assert page.run("document.querySelector('.words').textContent") == "<i>!"
    page.screenshot(tmp_path / "others.png")
    assert page.troubles == []


def test_an_album_is_dropped_or_pasted(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)
    page.run(f"""
        globalThis.carried = async (seeds) => {{
            const carrier = new DataTransfer();
            for (const seed of seeds) {{
                const canvas = new OffscreenCanvas(64, 64);
                const paper = canvas.getContext("2d");
                paper.fillStyle = `rgb({RED[0]} ${{seed * 9}} 0)`;
                paper.fillRect(0, 0, 64, 64 - seed);
                carrier.items.add(new File([await canvas.convertToBlob()], "a.png", {{ type: "image/png" }}));
            }}
            return carrier;
        }}; true
    """)

    page.run(
        "carried([1, 2]).then((dataTransfer) => document.body.dispatchEvent("
        "new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true })) && true)"
    )
    page.run(
        "carried([3]).then((clipboardData) => document.querySelector('#text').dispatchEvent("
        "new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true })) && true)"
    )
    page.wait_for("document.querySelectorAll('#tray li').length === 3")
    page.press("Enter")

    page.wait_for("document.querySelector('.card h3')?.textContent === '3 photos'")
    page.wait_for("document.querySelectorAll('.shot img.ready').length === 3")
    page.screenshot(tmp_path / "album.png")
    assert page.troubles == []


def test_more_photos_than_an_album_holds_keep_their_order(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)

    send_photo(page, *(photo(tmp_path, RED, seed, 480 if seed > 9 else 1600) for seed in range(12)))

    page.wait_for("document.querySelectorAll('.card h3').length === 2", within_s=30)
    page.open(place.url)
    page.wait_for("document.querySelectorAll('.card h3').length === 2")
    titles = page.run("[...document.querySelectorAll('.item.photos .card h3')].map((title) => title.textContent)")
    assert titles == ["10 photos", "2 photos"]


def test_a_number_under_an_album_is_pressed_and_the_label_typed(
    chromium: Browser, place: Served, tmp_path: Path
) -> None:
    page = enter(chromium, place)
    send_photo(page, *(photo(tmp_path, RED, seed) for seed in range(3)))
    page.wait_for("document.querySelector('.card h3')?.textContent === '3 photos'")

    page.run("[...document.querySelectorAll('.choices button')].find((one) => one.textContent === '3').click()")
    page.wait_for("!document.querySelector('#replying').hidden && document.querySelector('#text').value === '3: '")
    page.write("Botafogo")
    page.press("Enter")

    page.wait_for("document.querySelector('.card p').textContent.includes('3. Botafogo ✓')")


def test_the_header_says_what_its_score_was_measured_on(chromium: Browser, place: Served) -> None:
    page = enter(chromium, place)
    on_exam = page.run("document.querySelector('#model').title")

    with place.house.database.begin() as session:
        model = registry.find(session, 1, 0)
        model.card = {**model.card, "exam": {**model.card["exam"], "by": "cross-validation"}}
    page.open(place.url)
    page.wait_for("document.querySelector('#model').title")

    assert on_exam == "On an exam of 60 photos that it never learnt from"
    assert page.run("document.querySelector('#model').title") == "Cross-validated on 60 photos"


def test_what_is_no_photo_is_said_in_a_sentence(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place, PHONE)
    heic = tmp_path / "photo.heic"
    heic.write_bytes(b"\x00\x00\x00\x18ftypheic" + b"\x00" * 300)

    send_photo(page, heic)

    page.wait_for("document.querySelector('.card.error')?.textContent.includes('a HEIC file')")
    page.screenshot(tmp_path / "no-photo.png")
    assert page.run("document.querySelector('.shot').textContent") == "No picture"
    page.open(place.url)
    page.wait_for("document.querySelector('.shot.none')")
    assert page.run("document.querySelector('.shot').textContent") == "No picture"


def test_a_large_photo_is_made_smaller_before_it_is_sent(chromium: Browser, place: Served, tmp_path: Path) -> None:
    import os

    from PIL import Image

    large = tmp_path / "large.png"
    Image.frombytes("RGB", (2600, 2000), os.urandom(2600 * 2000 * 3)).save(large)
    assert large.stat().st_size > 15_000_000
    page = enter(chromium, place)

    send_photo(page, large)
    page.wait_for("document.querySelector('.card h3')", within_s=30)

    stored = list((place.house.settings.home / "store" / "photos").rglob("*.jpg"))
    assert len(stored) == 1
    with Image.open(stored[0]) as image:
        assert max(image.size) <= 2048


def test_a_lost_connection_is_said_and_made_good(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)

    place.web.live.close()
    with place.member("Max") as max_:
        max_.post("/photos", files=[("photos", ("a.jpg", picture(RED, 9)))])

    page.wait_for("document.querySelector('#notice').textContent.includes('connection is gone')")
    page.screenshot(tmp_path / "lost.png")
    page.wait_for("document.querySelector('.card.sure')")
    page.wait_for("document.querySelector('#notice').hidden")


def test_what_the_server_could_not_take_can_be_sent_again(chromium: Browser, place: Served, tmp_path: Path) -> None:
    from snaplabel.errors import DatabaseError

    page = enter(chromium, place)
    place.house.trouble = DatabaseError()

    page.write("hello")
    page.press("Enter")
    page.wait_for("document.querySelector('.card.error button')", within_s=20)
    page.screenshot(tmp_path / "again.png")
    place.house.trouble = None
    page.run("document.querySelector('.card.error button').click()")

    page.wait_for("!document.querySelector('.card.error')")
    assert page.run("document.querySelectorAll('.item.text').length") == 1


def test_escape_gives_up_one_thing_at_a_time(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)
    send_photo(page, photo(tmp_path, GREY))
    page.wait_for("document.querySelector('.card.unknown')")
    page.run("document.querySelector('.card .reply').click()")
    page.choose_files("#files", photo(tmp_path, RED, 2))
    page.wait_for("document.querySelectorAll('#tray li').length === 1")
    page.write("/st")
    page.wait_for("document.querySelector('#chips.list .chip')?.textContent.startsWith('/status')")
    page.screenshot(tmp_path / "commands.png")

    seen = []
    for _ in range(3):
        page.press("Escape")
        seen.append(
            page.run(
                "[document.querySelector('#text').value, document.querySelector('#replying').hidden,"
                " document.querySelector('#tray').hidden]"
            )
        )

    assert seen == [["", False, False], ["", True, False], ["", True, True]]


def test_a_photo_is_enlarged_and_closed_by_keyboard(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)
    send_photo(page, photo(tmp_path))
    page.wait_for("document.querySelector('.shot img.ready')")

    page.run("document.querySelector('.shot').focus()")
    page.press("Enter")
    page.wait_for("document.querySelector('#large').open")
    page.screenshot(tmp_path / "large.png")
    page.press("Escape")

    page.wait_for("!document.querySelector('#large').open")
    assert page.run("document.activeElement.className").startswith("shot")


def test_a_stranger_finds_a_friendly_door(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = chromium.page()
    page.looks_like(*PHONE, phone=True)
    page.open(place.url)

    assert "invite link" in page.run("document.body.textContent")
    page.screenshot(tmp_path / "door.png")


@pytest.mark.parametrize("link", ["/door#{0}", "/door#{1}", "/?token={0}", "/join/{1}"])
def test_a_link_opens_the_page_and_its_key_is_gone_from_address_and_history(
    chromium: Browser, place: Served, link: str
) -> None:
    page = chromium.page()
    page.open(place.url + link.format(TOKEN, place.web.door.invite))
    page.wait_for("document.querySelector('#naming')?.hidden === false")

    assert page.run("location.href") == f"{place.url}/"
    past = page.send("Page.getNavigationHistory")["entries"]
    assert not [entry["url"] for entry in past if TOKEN in entry["url"] or place.web.door.invite in entry["url"]]


def test_a_key_can_be_typed_in_and_a_wrong_one_is_told(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = chromium.page()
    page.looks_like(*PHONE, phone=True, dark=False)
    page.open(f"{place.url}/door#wrong")
    page.wait_for("document.querySelector('#said').textContent.startsWith('This key')")
    page.screenshot(tmp_path / "door.png")

    page.run("document.querySelector('#key input').focus()")
    page.write(TOKEN)
    page.press("Enter")

    page.wait_for("document.querySelector('#invite')?.hidden === false")


def test_a_file_that_is_no_photo_does_not_get_into_the_tray(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place)
    notes = tmp_path / "notes.md"
    notes.write_text("# Notes")

    page.choose_files("#files", notes, photo(tmp_path))

    page.wait_for("document.querySelectorAll('#tray li').length === 1")
    assert page.run("document.querySelector('#notice p').textContent").startswith("notes.md is no photo.")
    page.write("/labels")
    page.press("Enter")
    page.wait_for("document.querySelector('#notice p').textContent.includes('no commands in captions')")
    assert page.run("document.querySelectorAll('#tray li').length") == 1
    page.run("document.querySelector('#notice button').click()")
    assert page.run("document.querySelector('#notice').hidden")


def test_on_a_phone_nothing_in_fixed_width_is_cut_off(chromium: Browser, place: Served, tmp_path: Path) -> None:
    page = enter(chromium, place, PHONE)

    page.write("/help")
    page.press("Enter")

    page.wait_for("document.querySelector('.card pre')")
    page.screenshot(tmp_path / "help.png")
    assert page.run(
        "document.querySelector('.card pre').scrollWidth <= document.querySelector('.card pre').clientWidth"
    )
    assert page.run("document.querySelector('.card pre').textContent.split('\\n').length") > 5
    assert page.run("/^\\d\\d:\\d\\d$/.test(document.querySelector('.who time').textContent)")
    assert page.run("getComputedStyle(document.querySelector('#review-keys')).display") == "none"
    # A sentence goes on below itself, and not below its command.
    sentence = page.run("document.querySelector('.card pre span').textContent.search(/(?<=\\s)\\S/)")
    assert page.run("document.querySelector('.card pre span').style.paddingLeft") == f"{sentence}ch"
    fits = "document.querySelector('#model').scrollWidth <= document.querySelector('#model').clientWidth"
    page.wait_for(f"document.querySelector('#model').textContent.includes('3 labels') && {fits}")


def test_on_a_phone_a_bar_of_a_report_stands_beside_its_label(chromium: Browser, place: Served, tmp_path: Path) -> None:
    with place.house.database.begin() as session:
        model = registry.find(session, 1, 0)
        recall = {"Great spotted woodpecker": (100, 100), "Magpie Vale": (10, 100)}
        model.card = {**model.card, "exam": {**model.card["exam"], "recall": recall}}
    page = enter(chromium, place, PHONE)

    page.write("/report")
    page.press("Enter")

    page.wait_for("document.querySelector('.card pre')")
    page.screenshot(tmp_path / "report.png")
    heights = page.run("[...document.querySelectorAll('.card pre span')].map((row) => row.offsetHeight)")
    assert heights[0] == heights[1] < 30


def test_the_invite_link_is_copied_where_the_clipboard_is_closed(
    chromium: Browser, place: Served, tmp_path: Path
) -> None:
    page = enter(chromium, place)
    page.run("Object.defineProperty(navigator, 'clipboard', { value: undefined }); true")

    page.run("document.querySelector('#invite').focus()")
    page.press("Enter")

    page.wait_for("document.querySelector('#notice p').textContent.startsWith('The invite link is copied')")
    page.wait_for("document.querySelector('#notice').hidden")
