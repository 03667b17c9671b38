"""What may be a label, and which one a person meant."""

import pytest

from snaplabel import labels, naming, people
from snaplabel.database import Database
from snaplabel.errors import LabelError
from snaplabel.tables import Photo


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Harbour   Rovers\n", "Harbour Rovers"),
        ("#juventus", "juventus"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("a\x00b\x1b[31m", "ab[31m"),
        ("Cafe\u0301", "Café"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("<b>@everyone</b>", "<b>@everyone</b>"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("'; DROP TABLE label; --", "'; DROP TABLE label; --"),
    ],
)
def test_a_label_is_one_clean_line(text: str, name: str) -> None:
    assert labels.clean(text) == name


@pytest.mark.parametrize("text", ["", "   ", "\u200b\u202e", "...", "x" * 41, "y" * 10_000])
def test_what_can_be_no_label_is_refused(text: str) -> None:
    with pytest.raises(LabelError):
        labels.clean(text)


def test_spellings_of_one_label_share_a_key() -> None:
    spellings = ["São Paulo", "sao paulo", "SÃO-PAULO", "saopaulo", " São  Paulo! "]

    assert {labels.key(spelling) for spelling in spellings} == {"saopaulo"}


@pytest.mark.parametrize(
    ("text", "meant", "is_sure"),
    [
        ("Newcastle", "Newcastle", True),
        ("newcaslte", "Newcastle", True),
        ("newcstle", "Newcastle", True),
        ("juve", "Juventus", False),
        ("Team A", "Team A", True),
        ("Team C", "Team A", False),
        ("photosynthesis", None, False),
        ("日本", "日本", True),
    ],
)
def test_small_errors_are_forgiven_and_doubts_are_asked(
    database: Database, text: str, meant: str | None, is_sure: bool
) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        for name in ("Juventus", "Newcastle", "Team A", "Team B", "日本"):
            labels.make(session, classifier.id, name)

        found = labels.meant(session, classifier.id, text)

    assert (found.label.name if found.label else None, found.is_sure) == (meant, is_sure)


def test_making_a_label_twice_makes_it_once(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)

        first, again = (labels.make(session, classifier.id, name) for name in ("Juventus", "JUVENTUS "))

    assert first.id == again.id
    assert again.name == "Juventus"


def test_a_label_is_meant_by_its_other_names_too(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        butterfly = labels.make(session, classifier.id, "Vanessa atalanta")
        naming.add_alias(session, butterfly, "red admiral", person_id=None)

        exact, mistyped = (labels.meant(session, classifier.id, text) for text in ("Red Admiral", "red admirla"))

    assert (exact.label, exact.is_sure) == (butterfly, True)
    assert (mistyped.label, mistyped.is_sure) == (butterfly, True)


@pytest.mark.parametrize(
    ("one", "other", "may_be_same"),
    [
        ("ant", "ants", True),
        ("fox", "foxes", True),
        ("butterfly", "Butterflies", True),
        ("Juventus", "Juvntus", True),
        ("Newcastle", "Newcaslte", True),
        ("Schmetterling", "Schmetterlinge", True),
        ("Team A", "Team B", False),
        ("Team", "Team B", False),
        ("Boeing 737", "Boeing 747", False),
        ("shirt 2023", "shirt 2024", False),
        ("Rocky II", "Rocky III", False),
        ("mouse", "house", False),
        ("Parus major", "Parus minor", False),
        ("as", "ass", False),
        ("princes", "princess", True),
        ("cat", "dog", False),
    ],
)
def test_plurals_and_typing_errors_may_be_one_label(
    database: Database, one: str, other: str, may_be_same: bool
) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        for name in (one, other):
            labels.make(session, classifier.id, name)

        found = labels.duplicates(session, classifier.id)

    assert bool(found) is may_be_same


def test_of_two_that_may_be_the_same_the_one_with_fewer_photos_goes_into_the_other(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        ants, ant = (labels.make(session, classifier.id, name) for name in ("ants", "ant"))
        for number, label in enumerate((ants, ants, ant)):
            session.add(photo_of(classifier.id, number, label.id))
        session.flush()

        (found,) = labels.duplicates(session, classifier.id)

    assert (found.fewer.label, found.fewer.photos) == (ant, 1)
    assert (found.more.label, found.more.photos) == (ants, 2)


def photo_of(classifier_id: int, number: int, label_id: int) -> Photo:
    """A photo of which nothing but its label is known."""
    bands = {f"band{n}": 0 for n in range(4)}
    about = {"sha256": f"{number:064x}", "phash": 0, "colours": b"", "width": 1, "height": 1, "split": "lesson"}
    return Photo(classifier_id=classifier_id, label_id=label_id, **bands, **about)
