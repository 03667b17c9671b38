"""Real photos and real weights: does the model know what it does not know, and are a few photos enough to be useful?"""

import io
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from snaplabel import images
from snaplabel.cli import main
from snaplabel.database import Database
from snaplabel.heads import Verdict
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer.command import train
from worker.embed import fill
from worker.engine import Engine

pytestmark = pytest.mark.real
Said = list[tuple[str, Verdict]]
Teach = Callable[[Path], None]
Ask = Callable[[Sequence[Path]], Said]


@pytest.fixture
def home(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNAPLABEL_WEIGHTS", str(weights))
    return Settings(home=tmp_path / "home", weights=weights)


@pytest.fixture
def teach(home: Settings) -> Teach:
    """Import a folder and refit, as the command line does."""

    def now(folder: Path) -> None:
        assert main(["import", str(folder)]) == 0
        assert train(home, "default", False, fill, Console(file=io.StringIO())) == 0

    return now


@pytest.fixture
def ask(home: Settings) -> Ask:
    """What the current model says of files: the name of its first label, and the verdict."""

    def now(files: Sequence[Path]) -> Said:
        database = Database(home.database)
        engine = Engine(database, Store(home.store), home.home)
        model = engine.model(1)
        assert model is not None

        def one(file: Path) -> tuple[str, Verdict]:
            verdict = model.judge(engine.embed(model.card.backbone, images.prepare(file.read_bytes()).data))
            return dict(model.card.labels)[verdict.top[0][0]], verdict

        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(one, files))
        engine.close()
        database.close()
        return said

    return now


def _share(said: Said, *voices: str) -> float:
    return sum(verdict.voice in voices for _, verdict in said) / len(said)


def test_strangers_are_not_taken_for_ants_or_bees_and_ants_and_bees_are_not_turned_away(
    test_data: Path, teach: Teach, ask: Ask
) -> None:
    teach(test_data / "ants-bees" / "train")
    strangers = sorted((test_data / "scenes" / "test").glob("*/*"))[::3] + sorted(
        (test_data / "kits" / "test").glob("*/*")
    )
    own = sorted((test_data / "ants-bees" / "test").glob("*/*"))

    strange, known = ask(strangers), ask(own)

    sure = [
        name == file.parent.name for (name, verdict), file in zip(known, own, strict=True) if verdict.voice == "sure"
    ]
    assert _share(strange, "sure") <= 0.1
    assert _share(strange, "unknown") >= 0.9
    assert _share(known, "unknown") <= 0.1
    assert len(sure) > len(own) / 2
    assert sum(sure) / len(sure) >= 0.95


def test_three_labels_with_five_photos_each_already_answer_usefully(
    test_data: Path, teach: Teach, ask: Ask, tmp_path: Path
) -> None:
    labels = ("forest", "sea", "street")
    for label in labels:
        (tmp_path / "few" / label).mkdir(parents=True)
        for file in sorted((test_data / "scenes" / "train" / label).iterdir())[:5]:
            shutil.copy(file, tmp_path / "few" / label)
    files = [file for label in labels for file in sorted((test_data / "scenes" / "test" / label).iterdir())]

    teach(tmp_path / "few")
    said = ask(files)

    right = [name == file.parent.name for (name, _), file in zip(said, files, strict=True)]
    sure = [is_right for is_right, (_, verdict) in zip(right, said, strict=True) if verdict.voice == "sure"]
    assert sum(right) / len(right) >= 0.85
    assert _share(said, "sure", "maybe") >= 0.7
    assert sum(sure) / len(sure) >= 0.9
