"""What a walk leaves behind for whoever runs the house: a log that follows a photo, and a `/healthz` that means it."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

from tests.walks.house import House, wait_for


def healthz(house: House) -> tuple[int, dict[str, Any]]:
    """Status and JSON of `/healthz`; status 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{house.port}/healthz", timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (urllib.error.URLError, OSError):
        return 0, {}


def wait_until_well(house: House) -> dict[str, Any]:
    """Each part of a house that works, as soon as everybody gave a sign of life."""
    wait_for(lambda: healthz(house)[0] == 200, f"a house that is well: {healthz(house)}")
    found: dict[str, Any] = healthz(house)[1]["parts"]
    return found


def steps_of_a_photo(log: str) -> list[str]:
    """Service and words of each line about the first photo that was classified, found by its ids alone."""
    looked_at = re.search(r"classified in .* photo=(\d+)", log)
    assert looked_at, "no photo was classified"
    photo = looked_at[1]
    taken_in = re.search(rf"taken in message=(\d+) photo={photo}(?: |$)", log, re.MULTILINE)
    assert taken_in, "that photo was never taken in"
    message = taken_in[1]
    about = re.compile(rf"(?: message={message}| photo={photo})(?: |$)")
    found = []
    for line in log.splitlines():
        if about.search(line):
            _, _, service, _, words = line.split(maxsplit=4)
            found.append(f"{service}: {re.split(' (?:message|photo|answer)=', words)[0]}")
    return found


def expect_followed(log: str, *unsaid: str) -> None:
    """The photo is followed through all rooms in order, and none of these names and secrets is in the log."""
    steps = "\n".join(steps_of_a_photo(log))
    rooms = r"bot: written down\n(.*\n)*bot: taken in\n(.*\n)*worker: classified in \d+ ms by v\d+: \w+\n(.*\n)*"
    assert re.match(rooms + r"bot: answered after \d+\.\d s", steps), steps
    assert [word for word in unsaid if word in log] == []
