"""Ten newcomers who mislabel everything, with real photos and real weights: what does the published model lose?"""

import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from snaplabel import corrections, heads, images, labels, people, photos, registry, standing
from snaplabel.cli import main
from snaplabel.database import Database
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.store import Store, photo_key
from snaplabel.tables import Correction, Embedding, Label, Photo
from trainer import dataset
from trainer.command import train
from worker.embed import fill

pytestmark = pytest.mark.real
OTHER = {"ants": "bees", "bees": "ants"}
NEWCOMERS = [f"newcomer {n}" for n in range(10)]


@pytest.fixture
def real(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNAPLABEL_WEIGHTS", str(weights))
    return Settings(home=tmp_path / "home", weights=weights)


def _train(settings: Settings) -> None:
    assert train(settings, "default", False, fill, Console(file=io.StringIO())) == 0


def _wrong(database: Database, store: Store, truth: dict[int, str]) -> int:
    """How many of these photos the published model gets wrong."""
    with database.read() as session:
        model = registry.current(session, 1)
        assert model is not None
        query = select(Embedding.photo_id, Embedding.vector).where(Embedding.photo_id.in_(truth))
        rows = session.execute(query.order_by(Embedding.photo_id)).all()
        names = {label.id: label.name for label in session.scalars(select(Label))}
    card = Card.from_json(model.card)
    vectors = np.stack([np.frombuffer(vector, np.float16) for _, vector in rows]).astype(np.float32)
    said = heads.judge(heads.load(store, model.key, card), card, vectors)
    assert len(rows) == len(truth)
    return sum(names[one.top[0][0]] != truth[row[0]] for one, row in zip(said, rows, strict=True))


def _vote(session: Session, photo: Photo, who: str, label: str) -> None:
    said = labels.make(session, photo.classifier_id, label)
    person = people.person(session, "test", who, who)
    corrections.vote(session, photo, person, said, is_admin=False, votes_needed=0.5)


def _post(session: Session, store: Store, file: Path) -> Photo:
    prepared = images.prepare(file.read_bytes())
    store.put(photo_key(prepared.sha256), prepared.data)
    return photos.add(session, 1, prepared).photo


def _mislabel(session: Session, truth: dict[int, str]) -> None:
    """Every newcomer says the wrong label of each photo, and takes their time."""
    for n, (photo_id, label) in enumerate(truth.items()):
        if n % standing.VOTES_AN_HOUR == 0:
            for vote in session.scalars(select(Correction)):
                vote.changed_at -= timedelta(hours=1)
        for name in NEWCOMERS:
            _vote(session, session.get_one(Photo, photo_id), name, OTHER[label])


def test_ten_newcomers_who_mislabel_everything_cost_not_one_exam_photo(real: Settings, test_data: Path) -> None:
    main(["import", str(test_data / "ants-bees" / "train")])
    _train(real)
    database, store = Database(real.database), Store(real.store)
    with database.read() as session:
        data = dataset.read(session, 1)
        truth = {n: data.labels[row][1] for n, row in zip(data.photo_ids.tolist(), data.truth.tolist(), strict=True)}
        exam = {n: truth[n] for n in data.photo_ids[data.is_exam].tolist()}
    unseen = sorted((test_data / "ants-bees" / "test").glob("*/*"))
    with database.begin() as session:
        asked = {_post(session, store, file).id: file.parent.name for file in unseen[1::2]}
        model = registry.current(session, 1)
    assert model is not None
    fill(database, store, real, list(asked), model.backbone)
    before = _wrong(database, store, exam), _wrong(database, store, asked)

    with database.begin() as session:
        # Every exam photo and every third lesson: each vote is a few queries, and ten on each photo would be minutes.
        _mislabel(session, {n: truth[n] for n in truth if n in exam or n % 3 == 0})
        for n, file in enumerate(unseen[::2]):
            photo = _post(session, store, file)
            for name in (NEWCOMERS[n % 10], NEWCOMERS[(n + 1) % 10]):
                _vote(session, photo, name, OTHER[file.parent.name])
    _train(real)

    with database.read() as session:
        after, last = dataset.read(session, 1), registry.current(session, 1)
    assert len(after) >= len(data) + 70, "what they posted is labelled as they said"
    assert last is not None
    assert last.version == model.version + 1, "a newer version than before answers"
    assert (_wrong(database, store, exam), _wrong(database, store, asked)) == before
    database.close()
