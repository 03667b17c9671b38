"""Takes the README's picture of the chat from the project's own demo: `make screenshots` writes docs/chat.png."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo import shirts
from tests.bot.browser import browser, program

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".demo"


def main() -> int:
    """Run the demo, let Anna talk to it, and photograph the page."""
    port = "8099"
    environment = {**os.environ, "SNAPLABEL_HOME": str(HOME), "SNAPLABEL_WEB_PORT": port}
    command = [sys.executable, "-u", "-m", "snaplabel", "demo"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            address = next(found[1] for line in demo.stdout if (found := re.search(r"The chat: (\S+)", line)))
            _photograph(address)
        finally:
            demo.send_signal(signal.SIGINT)
    return 0


def _photograph(address: str) -> None:
    """A shirt that is known, and one of its look-alike that is corrected."""
    path = program()
    assert path is not None, "no Chromium is installed here"
    with tempfile.TemporaryDirectory() as folder, browser(path) as chromium:
        page = chromium.page()
        page.looks_like(1100, 900, phone=False, dark=False)
        page.open(address)
        page.wait_for("!document.querySelector('#naming').hidden")
        page.run("document.querySelector('#name').focus()")
        page.write("Anna")
        page.press("Enter")
        page.wait_for("document.querySelector('#naming').hidden")
        for n, club in enumerate(shirts.CLUBS[3:5]):
            photo = Path(folder) / f"{n}.jpg"
            photo.write_bytes(shirts.draw(club, int(time.time())))
            page.choose_files("#files", photo)
            page.wait_for("document.querySelectorAll('#tray li').length === 1")
            page.press("Enter")
            page.wait_for(f"document.querySelectorAll('.card h3').length > {n}", 30)
        page.run("[...document.querySelectorAll('.card:last-of-type button')].at(-1).focus()")
        page.run("[...document.querySelectorAll('.card')].at(-1).querySelector('button.good').click()")
        page.wait_for("[...document.querySelectorAll('.card')].at(-1).textContent.includes('now says')", 30)
        page.run("document.activeElement.blur()")
        time.sleep(2.5)
        page.screenshot(ROOT / "docs" / "chat.png")


if __name__ == "__main__":
    sys.exit(main())
