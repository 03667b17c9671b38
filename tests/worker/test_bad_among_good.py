"""One bad photo never fails its batch."""

import threading

from sqlalchemy import select

from snaplabel.store import photo_key
from snaplabel.tables import Message, Photo, Prediction
from tests.worker.conftest import Workplace, coloured
from worker import classify


def test_one_damaged_photo_fails_alone_among_good_ones(workplace: Workplace) -> None:
    workplace.publish("red", "blue")
    good = [workplace.photo(coloured(250, 10 * n, 10, seed=n), person=str(n)) for n in range(6)]
    bad = workplace.photo(coloured(10, 250, 10, seed=40), person="9")
    with workplace.database.read() as session:
        row = session.get_one(Photo, bad)
        workplace.store.put(photo_key(row.sha256), b"\xff\xd8\xff not a photo any more")
    order = (*good[:3], bad, *good[3:])
    threads = [threading.Thread(target=classify.classify, args=(workplace.context, n), daemon=True) for n in order]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    with workplace.database.read() as session:
        said = [(row.photo_id, row.voice) for row in session.scalars(select(Prediction))]
        failures = {post.photo_id: post.failure for post in session.scalars(select(Message))}
    assert sorted(said) == [(n, "sure") for n in good]
    assert failures == {**dict.fromkeys(good, None), bad: "broken"}
