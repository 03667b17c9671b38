"""A house with three versions and a report: v1 was published, v2 is current, v3 was refused."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from snaplabel import images, labels, people, photos, registry, reports
from snaplabel.registry import Card, Exam
from snaplabel.reports import Bin, Calibration, Change, LabelScore, Report, Score
from snaplabel.store import photo_key
from snaplabel.tables import Chat, Message, Model, TrainingRun
from tests.bot.webhouse import CLUBS, House, picture

SCORES = {1: 0.2, 2: 0.0625, 3: 0.3}


@dataclass(frozen=True)
class Planted:
    """Ids of photos: fixed and broken are in the report of v3, private too, but it was posted in a private chat."""

    fixed: int
    broken: int
    private: int
    unnamed: int


def plant(house: House) -> Planted:
    """Write versions, reports and photos, as trainings would have left them."""
    ids = [_photo(house, seed) for seed in range(4)]
    fixed, broken, private, unnamed = ids
    with house.database.begin() as session:
        classifier = people.make_classifier(session)
        chat = Chat(platform="test", platform_id="private", is_private=True, classifier_id=classifier.id)
        session.add(chat)
        session.flush()
        anna = people.person(session, "test", "1")
        sent = Message(platform="test", chat_id=chat.id, platform_id="1", person_id=anna.id, photo_id=private)
        sent.state = "answered"
        session.add(sent)
        for version, error in SCORES.items():
            _version(session, house, classifier.id, version, error, (fixed, broken, private))
    return Planted(fixed, broken, private, unnamed)


def _photo(house: House, seed: int) -> int:
    prepared = images.prepare(picture((40 * seed, 200 - 40 * seed, 90), seed + 50))
    house.store.put(photo_key(prepared.sha256), prepared.data)
    with house.database.begin() as session:
        return photos.add(session, people.make_classifier(session).id, prepared).photo.id


def _version(
    session: Session, house: House, classifier_id: int, version: int, error: float, turned: tuple[int, int, int]
) -> None:
    known = tuple((labels.make(session, classifier_id, name).id, name) for name in CLUBS)
    before = registry.current(session, classifier_id)
    assert before is not None
    exam = Exam(error, error / 2, error * 1.5, 96, "exam", dict.fromkeys(CLUBS, (30, 32)), (), 0.03, 0.04)
    verdict = f"The judge's word on v{version}."
    card = Card("default", version, "refit", "tiny-1", known, exam=exam, parent=before.version, verdict=verdict)
    made = Model(
        classifier_id=classifier_id,
        version=version,
        kind="refit",
        backbone="tiny-1",
        key="none",
        parent_id=before.id,
        card=card.to_json(),
    )
    session.add(made)
    session.flush()
    if version != 3:
        registry.publish(session, made)
    run = TrainingRun(classifier_id=classifier_id, kind="refit", reason="corrections", state="done", model_id=made.id)
    run.progress = {"version": version, "new_error": error}
    session.add(run)
    session.flush()
    fixed, broken, private = turned
    bins = tuple(Bin(sure, sure - 0.05, sure - 0.2, min(1.0, sure + 0.1), 32) for sure in (0.6, 0.8, 0.95))
    score = Score(error, error / 2, error * 1.5, 96, Calibration(0.05, 0.04, 0.07, bins))
    reports.save(
        house.store,
        Report(
            run=run.id,
            kind="refit",
            by="exam",
            new=score,
            old=score,
            parent=before.version,
            labels=tuple(LabelScore(n, name, 32, 30 - 5 * row, 29, 100) for row, (n, name) in enumerate(known)),
            wrong=((broken, 0, 1, 0.9), (private, 0, 1, 0.8), (0, 2, 0, 0.6)),
            change=Change(-0.1, -0.2, 0.01, 0.3, ((fixed, 1, 2),), ((broken, 0, 1), (private, 0, 1))),
            publish=version != 3,
            verdict=verdict,
        ),
    )
