"""What is much to count is told again for a while; what is little is counted each time."""

from pathlib import Path

from sqlalchemy import delete, insert

from snaplabel import labels, people, photos, remembered, standing
from snaplabel.database import Database
from snaplabel.tables import Correction, Photo


class Count:
    """Something to be counted, and how often that was done."""

    def __init__(self, rows: int) -> None:
        self.rows, self.asked = rows, 0

    def __call__(self) -> int:
        self.asked += 1
        return self.rows


def _is_much(rows: int) -> bool:
    return rows > remembered.MANY


def test_little_is_counted_at_each_asking(database: Database) -> None:
    count = Count(rows=3)

    with database.read() as session:
        found = [remembered.lately(session, "rows", count, _is_much) for _ in range(2)]

    assert (found, count.asked) == ([3, 3], 2)


def test_much_is_counted_once(database: Database) -> None:
    count = Count(rows=10**6)

    with database.read() as session:
        remembered.lately(session, "rows", count, _is_much)
    with database.begin() as session:
        remembered.lately(session, "rows", count, _is_much)

    assert count.asked == 1


def test_another_database_is_counted_by_itself(database: Database, tmp_path: Path) -> None:
    count, other = Count(rows=10**6), Database(f"sqlite:///{tmp_path / 'other.db'}")

    for one in (database, other):
        with one.read() as session:
            remembered.lately(session, "rows", count, _is_much)
    other.close()

    assert count.asked == 2


def test_a_large_house_tells_its_totals_once_for_many(database: Database) -> None:
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        session.execute(insert(Photo), [_photo(classifier_id, n) for n in range(remembered.MANY + 1)])
    with database.read() as session:
        before = photos.totals(session, classifier_id)

    with database.begin() as session:
        session.execute(insert(Photo), [_photo(classifier_id, remembered.MANY + 2)])
        after = photos.totals(session, classifier_id)

    assert (before.photos, after) == (remembered.MANY + 1, before)


def test_whoever_was_forgotten_is_no_best_teacher_even_if_remembered(database: Database) -> None:
    with database.begin() as session:
        classifier_id = people.make_classifier(session).id
        label = labels.make(session, classifier_id, "cat")
        session.execute(insert(Photo), [_photo(classifier_id, 1)])
        person = people.person(session, "test", "max", "Max")
        about = {"photo_id": 1, "person_id": person.id, "label_id": label.id}
        session.execute(insert(Correction), [{"id": remembered.MANY + 1, **about}])
        assert standing.best(session, classifier_id) == [("Max", 1)]

        session.execute(delete(Correction))
        session.delete(person)
        session.flush()

        assert standing.best(session, classifier_id) == []


def _photo(classifier_id: int, n: int) -> dict[str, object]:
    about = {"phash": 0, "band0": n, "band1": 0, "band2": 0, "band3": 0, "colours": b"", "width": 1, "height": 1}
    return {"classifier_id": classifier_id, "sha256": f"{n:064x}", "split": "lesson", **about}
