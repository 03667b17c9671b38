"""The demo's start: what it says when its port is taken, and how it names commands for another terminal."""

import sys
from pathlib import Path
from typing import Any

import pytest

from demo import run
from snaplabel import home, people, registry
from snaplabel.errors import SnaplabelError
from snaplabel.registry import Card
from snaplabel.settings import Settings, read
from snaplabel.tables import Model


def _has_learnt(folder: Path) -> None:
    given = read({"SNAPLABEL_HOME": str(folder)}, dotenv=folder / "no.env")
    with home.opened(given) as (database, _), database.begin() as session:
        classifier_id = people.make_classifier(session).id
        card = Card("default", 1, "refit", "tiny-1", ((1, "Magpie Vale"), (2, "Inkwell City"))).to_json()
        row = {"classifier_id": classifier_id, "version": 1, "kind": "refit", "backbone": "tiny-1", "key": "none"}
        session.add(model := Model(**row, card=card))
        session.flush()
        registry.publish(session, model)


def test_a_taken_port_is_named_before_another_one_is_taken(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    _has_learnt(settings.home / "demo")
    ports: list[int | None] = []

    def up(_: Settings, *, port: int | None = None, **_more: Any) -> int:
        ports.append(port)
        if port is None:
            raise SnaplabelError("Port 8080 is taken by another program.")
        return 0

    assert run.main(settings, up) == 0

    assert ports == [None, 0]
    assert "Port 8080 is taken by another program, so the chat takes a free one." in capsys.readouterr().out


def test_commands_are_named_so_that_they_work_in_another_terminal() -> None:
    folder = Path("/home/me/my photos/demo")

    by_path = run._typed(".venv/bin/snaplabel", folder)
    as_a_module = run._typed("/here/snaplabel/__main__.py", folder)

    assert by_path == "SNAPLABEL_HOME='/home/me/my photos/demo' .venv/bin/snaplabel"
    assert as_a_module == f"SNAPLABEL_HOME='/home/me/my photos/demo' {sys.executable} -m snaplabel"
