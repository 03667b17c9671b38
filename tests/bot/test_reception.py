"""Posts in: what is written down, and what is left of it."""

import time
from pathlib import Path

from bot import reception
from snaplabel.store import Store


def test_bytes_that_no_post_claimed_are_deleted_after_an_hour(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    fresh, old = reception.inbox_key(), f"inbox/{int(time.time()) - 4000}-abc"
    for key in (fresh, old):
        store.put(key, b"photo")

    reception.empty_inbox(store)

    assert store.keys("inbox") == [fresh]


def test_two_uploads_of_the_same_bytes_have_keys_of_their_own() -> None:
    assert reception.inbox_key() != reception.inbox_key()
