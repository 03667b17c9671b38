"""What pages and programs wait for, and what is asked of the database while nobody waits."""

from typing import Any

from scale_house import PLATFORMS, House
from scale_questions import FEW, Question, nothing, reading, writing
from sqlalchemy.orm import Session

from bot import alerting, conversation, delivery, reception, reporting
from bot.platforms.web import doubts, lookups, reports, room
from bot.platforms.web.shapes import Lesson
from snaplabel import alerts, expiry, forgetting, health, metrics, reviews, trainings
from snaplabel.tables import Classifier
from trainer import clock, dataset
from worker import sweep


def _in_room(house: House) -> tuple[str, int]:
    post = house.pick(platform="web")
    return post.number, post.position


def _by_api(house: House) -> str:
    """The id of a photo that came by the API."""
    for _ in range(10_000):
        post = house.pick(platform="web")
        if post.chat == room.API:
            return post.number
        house.is_hot = not house.is_hot
    raise SystemExit("No photo came by the API.")


def _reviewer(house: House) -> doubts.Reviewer:
    return doubts.Reviewer(room.ROOM, house.random.choice(["1", "2", "3"]), "Anna")


def _suspect(house: House) -> tuple[doubts.Reviewer, int]:
    with house.database.read() as session:
        found = [item for item in reviews.queue(session, 1, limit=500) if item.label is not None]
    return _reviewer(house), house.random.choice(found).photo_id


def _decide(session: Session, house: House, asked: tuple[doubts.Reviewer, int]) -> Any:
    decision = doubts.Decision(decision="keep")
    return doubts.decide(session, asked[0], asked[1], decision, house.settings.votes_needed)


def _tolerant(house: House, asked: tuple[doubts.Reviewer, int]) -> None:
    """A photo of another classifier is refused, after the same look-up."""
    with house.database.read() as session:
        try:
            doubts.sha256(session, *asked)
        except lookups.Refused:
            return


def _all(house: House) -> int:
    with house.database.read() as session:
        return len(list(metrics.read(session)))


PAGES = (
    Question("the feed, newest", "page", nothing, reading(room.feed)),
    Question("the feed, older", "page", lambda house: house.earlier(house.random.uniform(0, 360)), reading(room.feed)),
    Question("who is known here", "page", lambda house: house.earlier(0.5), reading(room.people_here)),
    Question("a photo of the room", "page", _in_room, reading(room.photo_sha256)),
    Question("an answer of the room", "page", lambda house: house.pick(platform="web").answer, reading(room.reply_of)),
    Question("the API: a photo's result", "page", _by_api, reading(lookups.look)),
    Question(
        "the API: a correction",
        "page",
        _by_api,
        lambda house, number: lookups.correct(
            house.database, number, Lesson(label=f"label 1 {house.random.randrange(40)}"), 0.5
        ),
    ),
    Question("the API: the model", "page", nothing, reading(lookups.model_now)),
    Question("the API: labels", "page", nothing, reading(lookups.label_rows)),
    Question("is it alive?", "page", nothing, lambda house, _: lookups.is_alive(house.database)),
    Question("doubts, first page", "page", lambda house: (_reviewer(house), 20, 0), reading(doubts.doubts)),
    Question(
        "doubts, far down",
        "page",
        lambda house: (_reviewer(house), 20, house.random.randrange(400)),
        reading(doubts.doubts),
    ),
    Question("a doubt is decided", "page", _suspect, writing(_decide)),
    Question(
        "a doubtful photo",
        "page",
        lambda house: (_reviewer(house), house.random.randrange(1, 1000)),
        lambda house, asked: _tolerant(house, asked),
    ),
    Question("versions, a page of 100", "page", nothing, reading(reports.versions, room.ROOM, 100)),
    Question(
        "a version's report",
        "page",
        lambda house: (room.ROOM, house.store, house.random.randrange(1, house.size.versions(1))),
        reading(reports.whole),
    ),
    Question("healthz", "page", nothing, reading(health.read)),
    Question("metrics", "page", nothing, lambda house, _: _all(house)),
)
NOBODY_WAITS = (
    Question(
        "the sweeper looks for lost photos",
        "",
        nothing,
        lambda house, _: sweep.sweep(house.database, lambda *_: None, lambda: 10**6),
    ),
    Question("is a sweep due?", "", nothing, lambda house, _: sweep.is_due(house.database)),
    Question("posts that a crash left", "", nothing, lambda house, _: reception.unhandled(house.database, PLATFORMS)),
    Question(
        "who waits for long",
        "",
        nothing,
        lambda house, _: delivery.reassure(house.database, house.settings, PLATFORMS),
    ),
    Question(
        "trainings that are watched",
        "",
        nothing,
        lambda house, _: delivery.follow_trainings(house.database, PLATFORMS),
    ),
    Question("pictures of reports", "", nothing, lambda house, _: reporting.follow(house.database, PLATFORMS)),
    Question(
        "has a model changed?",
        "",
        nothing,
        lambda house, _: delivery.follow_models(house.database, house.settings, PLATFORMS, {}),
    ),
    Question("alerts of the tables", "", nothing, reading(alerts.look, PLATFORMS)),
    Question("alerts shown", "", nothing, lambda house, _: alerting._show(house.database)),
    Question(
        "receipts after a refit",
        "",
        nothing,
        writing(
            lambda session, house, _: conversation.receipts(session, house.settings, PLATFORMS, house.size.versions(1))
        ),
        FEW,
    ),
    Question(
        "what is old (nothing is due)", "", nothing, writing(lambda session, house, _: expiry.expire(session, 400)), FEW
    ),
    Question("who is leaving", "", nothing, reading(forgetting.is_anybody_leaving), FEW),
    Question("forgotten drafts", "", nothing, writing(lambda session, house, _: expiry.drop_drafts(session)), FEW),
    Question(
        "is a full training due?",
        "",
        lambda house: (),
        reading(lambda session: trainings.due(session, session.get_one(Classifier, 1), every_h=24, after_labels=100)),
        FEW,
    ),
    Question("did labels change?", "", lambda house: 1, reading(clock._changed), FEW),
    Question("all labelled photos, for a training", "", lambda house: 1, reading(dataset.read), 3),
)
