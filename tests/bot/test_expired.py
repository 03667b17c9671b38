"""Photos that had their time: picture and sender go, what was learnt stays, and nothing trips over the rest."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import select

from snaplabel import backbones, expiry, photos, reports, reviews
from snaplabel.errors import StoreError
from snaplabel.images import prepare
from snaplabel.store import Store, photo_key
from snaplabel.tables import (
    Answer,
    Chat,
    Correction,
    Embedding,
    Message,
    Person,
    Photo,
    Prediction,
    Suspect,
    TrainingRun,
)
from tests.bot.room import ADMIN, MEMBER, OTHER, Room, picture

DAYS = 30


def age(room: Room, days: float) -> None:
    """Everything here happened so long ago."""
    with room.database.begin() as session:
        for table in (Photo, Answer, Chat, Person):
            for row in session.scalars(select(table)):
                row.created_at -= timedelta(days=days)
        for message in session.scalars(select(Message)):
            message.received_at -= timedelta(days=days)


def embed(room: Room) -> None:
    """The worker keeps what it saw."""
    with room.database.begin() as session:
        for photo in session.scalars(select(Photo)):
            vector = backbones.to_bytes(np.ones(4, np.float32))
            session.add(Embedding(photo_id=photo.id, backbone="tiny-1", vector=vector))


def tick(room: Room, days: int = DAYS) -> None:
    expiry.Sweeper(room.database, room.store, days).tick()


def found(room: Room) -> list[Photo]:
    with room.database.read() as session:
        return list(session.scalars(select(Photo).order_by(Photo.id)))


@pytest.fixture
def old(room: Room) -> Room:
    """A room with one photo that was taught and one that nobody named, both of long ago, looked at and answered."""
    room.photo(1, MEMBER, "#Newcastle")
    room.photo(2, OTHER)
    room.work("sure", Juventus=0.93)
    embed(room)
    age(room, DAYS + 1)
    return room


def test_without_the_setting_nothing_expires(old: Room) -> None:
    tick(old, days=0)

    assert [photo.expired_at for photo in found(old)] == [None, None]


def test_a_photo_without_a_label_leaves_nothing(old: Room) -> None:
    keys = [photo_key(photo.sha256) for photo in found(old)]

    tick(old)

    assert [photo.label_id is not None for photo in found(old)] == [True]
    assert [old.store.has(key) for key in keys] == [False, False]


def test_a_taught_photo_leaves_its_label_votes_and_embedding(old: Room) -> None:
    tick(old)

    with old.database.read() as session:
        left = session.scalars(select(Photo)).one()
        assert (left.person_id, left.expired_at is not None, left.label_id is not None) == (None, True, True)
        assert session.scalars(select(Embedding.photo_id)).all() == [left.id]
        assert session.scalars(select(Correction.photo_id)).all() == [left.id]
        for table in (Prediction, Message, Answer):
            assert session.scalars(select(table)).all() == []


def test_people_of_whom_nothing_is_left_are_forgotten_and_teachers_are_not(old: Room) -> None:
    tick(old)

    with old.database.read() as session:
        assert session.scalars(select(Person.platform_id)).all() == [MEMBER]


def test_a_photo_that_is_not_old_enough_stays(room: Room) -> None:
    room.photo(1)
    room.work("sure", Juventus=0.93)
    age(room, DAYS - 1)

    tick(room)

    assert [photo.expired_at for photo in found(room)] == [None]
    assert len(room.answers()) == 1


def test_a_photo_that_somebody_posted_again_lately_stays(old: Room) -> None:
    old.photo(2, MEMBER)

    tick(old)

    assert [photo.expired_at is None for photo in found(old)] == [False, True]


def test_a_photo_that_still_waits_for_its_answer_stays(room: Room) -> None:
    room.photo(1)
    age(room, DAYS + 1)

    tick(room)

    assert len(found(room)) == 1


def test_what_was_imported_is_the_owners_and_stays(room: Room) -> None:
    room.photo(1)
    room.work("sure", Juventus=0.93)
    with room.database.begin() as session:
        session.scalars(select(Person)).one().platform = "local"
    age(room, DAYS + 1)

    tick(room)

    assert [photo.expired_at for photo in found(room)] == [None]


def test_a_photo_that_a_reviewer_took_out_leaves_nothing(old: Room) -> None:
    with old.database.begin() as session:
        reviews.remove(session, session.get_one(Photo, 1), person_id=None)

    tick(old)

    assert found(old) == []


def test_an_expired_photo_is_taken_in_again_when_it_is_posted_again(old: Room) -> None:
    tick(old)

    posted = old.photo(1, OTHER)
    old.work("sure", Juventus=0.93)

    (photo,) = found(old)
    assert (photo.expired_at, photo.person_id is not None) == (None, True)
    assert old.store.has(photo_key(photo.sha256))
    assert old.label_of(posted) == "Newcastle"
    assert old.shown().title == "Newcastle"


def test_an_expired_photo_is_asked_about_no_more(old: Room) -> None:
    with old.database.begin() as session:
        session.add(Suspect(classifier_id=1, photo_id=1, kind="empty", score=0.9))
    tick(old)
    with old.database.begin() as session:
        session.add(Suspect(classifier_id=1, photo_id=1, kind="empty", score=0.9))
        session.get_one(Photo, 1).unreadable = "gone"

    with old.database.read() as session:
        assert reviews.count(session, 1) == 0
        assert reports.visible(session, 1, [1]) == {}


def test_buttons_and_replies_of_long_ago_do_no_harm(old: Room) -> None:
    old.deliver()
    before = old.answers()[0]
    tick(old)

    old.post(OTHER, kind="press", data="as:1:1", reply_to=before.platform_id)
    pressed = old.shown().text
    old.say("Botafogo", OTHER, reply_to=before.platform_id, is_private=True)

    assert "another time" in pressed
    assert "Send me a photo" in old.shown().text


def test_pictures_of_reports_go_with_the_photos_on_them(old: Room) -> None:
    old.store.put("reports/1.png", b"a picture with photos on it")
    with old.database.begin() as session:
        run = TrainingRun(
            classifier_id=1, kind="refit", reason="command", state="done", picture="reports/1.png", progress={}
        )
        session.add(run)
    old.say("/stats", ADMIN)
    old.deliver()
    with old.database.begin() as session:
        shown = session.scalars(select(Answer).order_by(Answer.id.desc())).first()
        assert shown is not None
        shown.content = {**shown.content, "picture": "reports/1.png"}

    tick(old)

    assert not old.store.has("reports/1.png")
    assert [out.reply.picture for out in old.deliver()] == [""]
    with old.database.read() as session:
        assert session.scalars(select(TrainingRun.picture)).one() is None


def test_old_talk_goes_too_and_new_talk_stays(room: Room) -> None:
    room.say("/stats", OTHER)
    room.deliver()
    age(room, DAYS + 1)
    room.say("/help", ADMIN)
    room.deliver()

    tick(room)

    with room.database.read() as session:
        assert session.scalars(select(Person.platform_id)).all() == [ADMIN]
        assert len(session.scalars(select(Message)).all()) == len(session.scalars(select(Answer)).all()) == 1


def test_a_crash_between_commit_and_deletion_is_made_good(old: Room) -> None:
    # Given rows that are gone while their bytes are still there
    with old.database.begin() as session:
        keys = expiry.expire(session, DAYS).store_keys
    assert [old.store.has(key) for key in keys] == [True, True]

    # When the sweeper has seen them for an hour
    sweeper = expiry.Sweeper(old.database, old.store, DAYS)
    folders = sorted({key.rpartition("/")[0] for key in keys})
    first = sum(sweeper.sweep(folder, 0.0) for folder in folders)
    early = sum(sweeper.sweep(folder, 1000.0) for folder in folders)
    late = sum(sweeper.sweep(folder, 4000.0) for folder in folders)

    # Then they are deleted, and not before
    assert (first, early, late) == (0, 0, 2)
    assert [old.store.has(key) for key in keys] == [False, False]


def test_a_reports_picture_that_no_training_knows_is_deleted(old: Room) -> None:
    for name in ("1.png", "2.png", "2.json"):
        old.store.put(f"reports/{name}", b"photos may be on it")
    with old.database.begin() as session:
        run = {"classifier_id": 1, "kind": "refit", "reason": "command", "state": "done", "progress": {}}
        session.add(TrainingRun(**run, picture="reports/1.png"))
    sweeper = expiry.Sweeper(old.database, old.store, 0)

    swept = [sweeper.sweep("reports", moment) for moment in (0.0, 4000.0)]

    assert swept == [0, 1]
    assert sorted(old.store.keys("reports")) == ["reports/1.png", "reports/2.json"]


def test_bytes_that_a_row_needs_are_no_orphans(room: Room) -> None:
    room.photo(1)
    key = photo_key(found(room)[0].sha256)
    sweeper = expiry.Sweeper(room.database, room.store, 0)

    swept = [sweeper.sweep(key.rpartition("/")[0], moment) for moment in (0.0, 9999.0)]

    assert swept == [0, 0]
    assert room.store.has(key)


def test_bytes_that_are_posted_anew_before_they_are_deleted_stay(old: Room) -> None:
    with old.database.begin() as session:
        keys = expiry.expire(session, DAYS).store_keys
    old.photo(2, MEMBER)

    wiped = expiry.wipe(old.database, old.store, keys)

    assert wiped == 1
    assert sum(old.store.has(key) for key in keys) == 1


def test_bytes_that_are_posted_anew_while_they_are_deleted_are_put_back(old: Room) -> None:
    with old.database.begin() as session:
        keys = expiry.expire(session, DAYS).store_keys

    class Racing:
        """A store in which somebody posts the photo just when it is deleted."""

        get, put = old.store.get, old.store.put

        @staticmethod
        def delete(key: str) -> None:
            with old.database.begin() as session:
                for seed in (1, 2):
                    found_now = prepare(picture(seed))
                    if photo_key(found_now.sha256) == key:
                        photos.add(session, 1, found_now, person_id=1)
            old.store.delete(key)

    expiry.wipe(old.database, Racing(), keys)  # type: ignore[arg-type]

    assert [old.store.has(key) for key in keys] == [True, True]


class ReadOnly(Store):
    """A store in which nothing can be deleted."""

    def delete(self, key: str) -> None:
        raise StoreError("The store is read-only.")


def test_a_store_that_refuses_to_delete_holds_nothing_else_up(old: Room, caplog: pytest.LogCaptureFixture) -> None:
    key = photo_key(found(old)[1].sha256)

    expiry.Sweeper(old.database, ReadOnly(old.store.url), DAYS).tick()

    assert "sweeper: The store is read-only." in caplog.text
    assert [photo.expired_at is not None for photo in found(old)] == [True]
    assert old.store.has(key)


def test_many_photos_go_in_batches(room: Room) -> None:
    for seed in range(1, 8):
        room.photo(seed, OTHER)
    room.work("sure", Juventus=0.93)
    age(room, DAYS + 1)

    counts = []
    for _ in range(4):
        with room.database.begin() as session:
            counts.append(expiry.expire(session, DAYS, most=3).photos)

    assert counts == [3, 3, 1, 0]
