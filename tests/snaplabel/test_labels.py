"""What may be a label, and which one a person meant."""

import pytest

from snaplabel import labels, people
from snaplabel.database import Database
from snaplabel.errors import LabelError


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
