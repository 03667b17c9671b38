"""Posts in: what is written down, and what is left of it."""

import time
from pathlib import Path

from bot import reception
from bot.messages import Attachment, Incoming
from snaplabel.database import Database, now
from snaplabel.store import Store
from snaplabel.tables import Message


def test_bytes_that_no_post_claimed_are_deleted_after_an_hour(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    fresh, old = reception.inbox_key(), f"inbox/{int(time.time()) - 4000}-abc"
    for key in (fresh, old):
        store.put(key, b"photo")

    reception.empty_inbox(store)

    assert store.keys("inbox") == [fresh]


def test_two_uploads_of_the_same_bytes_have_keys_of_their_own() -> None:
    assert reception.inbox_key() != reception.inbox_key()


def _write_down(database: Database) -> int:
    post = Incoming("test", "room", "1", "2", "photo", attachment=Attachment({"id": "1"}))
    (message_id,) = reception.write_down(database, [post])
    return message_id


def _state(database: Database, message_id: int) -> tuple[str, int, str | None]:
    with database.read() as session:
        message = session.get_one(Message, message_id)
        return message.state, message.attempts, message.failure


def test_a_post_that_comes_twice_is_written_down_once(database: Database) -> None:
    post = Incoming("test", "room", "1", "2", "photo", attachment=Attachment({"id": "1"}))

    first = reception.write_down(database, [post, post])
    again = reception.write_down(database, [post])

    assert (len(first), again) == (1, [])


def test_an_outage_of_something_else_costs_a_post_none_of_its_tries(database: Database) -> None:
    message_id = _write_down(database)

    ends = [reception.failed(database, message_id, passes=True) for _ in range(20)]

    assert not any(ends)
    assert _state(database, message_id) == ("received", 0, None)


def test_an_outage_without_end_is_told_to_the_sender(database: Database) -> None:
    message_id = _write_down(database)
    with database.begin() as session:
        session.get_one(Message, message_id).received_at = now() - reception.PATIENCE

    ends = [reception.failed(database, message_id, passes=True) for _ in range(reception.MAX_ATTEMPTS)]

    assert ends == [False, False, True]
    assert _state(database, message_id) == ("classified", 3, "trouble")


def test_a_post_that_fails_by_itself_is_given_up_after_three_tries(database: Database) -> None:
    message_id = _write_down(database)

    ends = [reception.failed(database, message_id) for _ in range(reception.MAX_ATTEMPTS)]

    assert ends == [False, False, True]
    assert _state(database, message_id) == ("classified", 3, "trouble")
