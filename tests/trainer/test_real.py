"""Real photos and real weights: is the model as good, and as quickly there, as the design says?"""

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from snaplabel import backbones, heads, images, registry
from snaplabel.cli import main
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store
from trainer.command import train
from worker.embed import fill
from worker.engine import Engine

DATA = Path(os.environ.get("SNAPLABEL_TEST_DATA", "../shared/data")).resolve()
GIVEN = os.environ.get("SNAPLABEL_WEIGHTS", "../shared/weights/mobilenet_v2-imagenet.fp16.safetensors")
WEIGHTS = Path(GIVEN).resolve()

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real photos: SNAPLABEL_TEST_DATA"),
    pytest.mark.skipif(not WEIGHTS.is_file(), reason="no real weights: SNAPLABEL_WEIGHTS"),
]


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNAPLABEL_WEIGHTS", str(WEIGHTS))
    return Settings(home=tmp_path / "home", weights=WEIGHTS)


def _error(settings: Settings, folder: Path) -> float:
    """Share of the photos in class-per-folder `folder` that the current model gets wrong."""
    database, store = Database(settings.database), Store(settings.store)
    with database.read() as session:
        model = registry.current(session, 1)
    assert model is not None
    card = Card.from_json(model.card)
    engine = Engine(database, store, settings.home)
    files = sorted(folder.glob("*/*"))

    def embed(file: Path) -> np.ndarray:
        return np.asarray(engine.embed(model.backbone, images.prepare(file.read_bytes()).data))

    assert backbones.load_card(store, model.backbone).is_pretrained
    with ThreadPoolExecutor(4) as pool:
        vectors = np.stack(list(pool.map(embed, files)))
    engine.close()
    database.close()
    said = heads.judge(heads.load(store, model.key, card), card, vectors.astype(np.float32))
    names = dict(card.labels)
    return float(np.mean([names[one.top[0][0]] != file.parent.name for one, file in zip(said, files, strict=True)]))


def test_ants_and_bees_are_told_apart(real: Settings) -> None:
    main(["import", str(DATA / "ants-bees" / "train")])

    code = train(real, "default", False, fill, Console(file=io.StringIO()))

    assert code == 0
    assert _error(real, DATA / "ants-bees" / "test") <= 0.06


def test_a_refit_of_a_thousand_embeddings_takes_no_second() -> None:
    from trainer import fit
    from trainer.recipe import Refit

    rng = np.random.default_rng(0)
    truth = np.arange(1000) % 10
    middles = rng.normal(size=(10, 1280))
    vectors = np.maximum(0.13 * middles[truth] + rng.normal(size=(1000, 1280)), 0).astype(np.float32)
    started = time.monotonic()

    fit.fit(vectors, truth, np.arange(1000), Refit())

    assert time.monotonic() - started < 1.0
