"""Reports: how a candidate did beside the model before it, as JSON in the store; the trainer writes, all rooms read."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from snaplabel.errors import ModelError, NotStored
from snaplabel.registry import Card
from snaplabel.store import Store
from snaplabel.tables import Chat, Message, Model, Photo, TrainingRun

# A curve of more versions is a line in which none can be told from the next.
CURVE_VERSIONS = 100
UNKNOWN = -1


@dataclass(frozen=True)
class Bin:
    """Answers that sounded about as sure: mean probability, share of them that was right with its 95 % interval."""

    sure: float
    right: float
    low: float
    high: float
    photos: int


@dataclass(frozen=True)
class Calibration:
    """How far probabilities are from how often they are right.

    ece: expected calibration error, 0 to 1. by_chance, at_most: mean and 95th percentile of the ECE that a perfectly
    calibrated model would show on as many photos; below at_most nothing is proven.
    """

    ece: float
    by_chance: float
    at_most: float
    bins: tuple[Bin, ...] = ()


@dataclass(frozen=True)
class Score:
    """One model on some photos: share of wrong answers with its 95 % interval. calibration None: too few to tell."""

    error: float
    low: float
    high: float
    photos: int
    calibration: Calibration | None = None


@dataclass(frozen=True)
class Change:
    """Candidate and current model on the same exam photos.

    gain: how much more the candidate gets right, −1 to 1, with its 95 % interval. chance: probability that at least so
    many photos turn its way, for the better or the worse, if turning either way were equal (McNemar's exact test).
    fixed: (photo, truth, answer before) that only the candidate gets right; broken: (photo, truth, answer now) that
    only the current model does. Photos are ids; truth and answers rows of `Report.labels`, or UNKNOWN.
    """

    gain: float
    low: float
    high: float
    chance: float
    fixed: tuple[tuple[int, int, int], ...] = ()
    broken: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class LabelScore:
    """A label: how many of its asked photos the candidate got right, and the model before; lessons: learnt photos.

    was_right None: the model before was not asked the same.
    """

    id: int
    name: str
    asked: int
    right: int
    was_right: int | None
    lessons: int


@dataclass(frozen=True)
class Report:
    """A candidate's report.

    by: "exam", or "cross-validation" while the exam is too small. new: None when nothing could be asked. old: the
    model before (parent, its version) on the same photos; None where there is none, or by is not "exam".
    wrong: (photo, truth, answer, probability) of each wrong answer, the surest first; photo 0: not known which.
    """

    run: int
    kind: str
    by: str
    new: Score | None
    old: Score | None
    parent: int | None
    labels: tuple[LabelScore, ...]
    wrong: tuple[tuple[int, int, int, float], ...] = ()
    change: Change | None = None
    publish: bool = True
    verdict: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Report":
        change = found.get("change")
        if change is not None:
            turned = {side: tuple((p, t, a) for p, t, a in change[side]) for side in ("fixed", "broken")}
            change = Change(**{**change, **turned})
        return cls(
            **{
                **found,
                "new": _score(found.get("new")),
                "old": _score(found.get("old")),
                "labels": tuple(LabelScore(**label) for label in found["labels"]),
                "wrong": tuple((p, t, a, chance) for p, t, a, chance in found["wrong"]),
                "change": change,
            }
        )

    def pairs(self) -> list[tuple[int, int, list[int]]]:
        """Which labels are taken for which, most often first: (truth, answer, photo ids, the surest mistake first)."""
        found: dict[tuple[int, int], list[int]] = {}
        for photo, truth, answer, _ in self.wrong:
            if answer != UNKNOWN:
                found.setdefault((truth, answer), []).append(photo)
        return sorted(((t, a, ids) for (t, a), ids in found.items()), key=lambda pair: (-len(pair[2]), pair[:2]))

    def photo_ids(self) -> set[int]:
        """Every photo that is named here."""
        turned = (*self.change.fixed, *self.change.broken) if self.change else ()
        return {photo for photo, *_ in turned} | {photo for photo, *_ in self.wrong} - {0}


@dataclass(frozen=True)
class Point:
    """A published version on the learning curve; lessons: how many photos it was taught with."""

    version: int
    kind: str
    error: float
    low: float
    high: float
    photos: int
    by: str
    lessons: int


def _score(found: dict[str, Any] | None) -> Score | None:
    if found is None:
        return None
    sure = found.get("calibration")
    if sure is not None:
        sure = Calibration(**{**sure, "bins": tuple(Bin(**one) for one in sure["bins"])})
    return Score(**{**found, "calibration": sure})


def key(run_id: int) -> str:
    """Where a run's report lies in the store."""
    return f"reports/{run_id}.json"


def picture_key(run_id: int) -> str:
    """Where the picture of it lies, once somebody asked for it."""
    return f"reports/{run_id}.png"


def save(store: Store, report: Report) -> None:
    """Keep a report. Raises StoreError."""
    store.put(key(report.run), json.dumps(report.to_json(), separators=(",", ":")).encode())


def load(store: Store, run_id: int) -> Report | None:
    """The report of a run; None when there is none. Raises ModelError when it is damaged, StoreError."""
    try:
        return Report.from_json(json.loads(store.get(key(run_id))))
    except NotStored:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The report {key(run_id)} is damaged: {error}") from error


def run_of(session: Session, model: Model) -> TrainingRun | None:
    """The training that made this version; None for a backbone."""
    query = select(TrainingRun).where(TrainingRun.model_id == model.id, TrainingRun.state == "done")
    # A training that found nothing new names the version that stays, and compared nothing.
    made = (run for run in session.scalars(query.order_by(TrainingRun.id)) if "new_error" in run.progress)
    return next(made, None)


def of(session: Session, store: Store, model: Model) -> Report:
    """The report of a version; of one that has none, what its card says. Raises ModelError, StoreError."""
    run = run_of(session, model)
    found = load(store, run.id) if run is not None else None
    # The card has the last word: what happened between judging and publishing is said there only.
    return replace(found, verdict=model.card["verdict"]) if found is not None else _from_card(session, model)


def _from_card(session: Session, model: Model) -> Report:
    """What a card tells: no photos, no calibration, nothing of the model before."""
    card = Card.from_json(model.card)
    exam = card.exam
    place = {name: row for row, (_, name) in enumerate(card.labels)}
    counts = [(label_id, name, *exam.recall.get(name, (0, 0))) for label_id, name in card.labels]
    labels = tuple(LabelScore(label_id, name, asked, right, None, 0) for label_id, name, right, asked in counts)
    wrong = tuple(
        (0, place[truth], place[answer], 0.0)
        for truth, answer, times in exam.pairs
        for _ in range(times)
        if truth in place and answer in place
    )
    score = None
    if exam.error is not None and exam.low is not None and exam.high is not None:
        score = Score(exam.error, exam.low, exam.high, exam.photos)
    parent = session.get(Model, model.parent_id) if model.parent_id is not None else None
    version = parent.version if parent is not None else card.parent
    published = model.published_at is not None or model.state == "retired"
    return Report(0, model.kind, exam.by, score, None, version, labels, wrong, None, published, card.verdict)


def curve(session: Session, classifier_id: int, up_to: int) -> list[Point]:
    """The published versions that had an exam, oldest first, up to this one; the last CURVE_VERSIONS of them."""
    query = select(Model).where(Model.classifier_id == classifier_id, Model.version <= up_to)
    answered = or_(Model.published_at.is_not(None), Model.state == "retired")
    published = query.where(or_(answered, Model.version == up_to))
    found = []
    for model in session.scalars(published.order_by(Model.version.desc()).limit(CURVE_VERSIONS)):
        card = Card.from_json(model.card)
        exam = card.exam
        if exam.error is not None and exam.low is not None and exam.high is not None:
            score = exam.error, exam.low, exam.high, exam.photos, exam.by
            found.append(Point(model.version, model.kind, *score, lessons=card.photos))
    return found[::-1]


def visible(session: Session, classifier_id: int, photo_ids: Collection[int]) -> dict[int, str]:
    """sha256 by id of those photos that a report may show.

    Left out: what was erased, taken out or expired, and what was only ever posted in private chats; the report is for
    groups.
    """
    mine = Message.photo_id == Photo.id
    in_a_group = exists().where(mine, Chat.id == Message.chat_id, Chat.is_private.is_(False))
    wanted, found = sorted(photo_ids), dict[int, str]()
    for start in range(0, len(wanted), 500):
        query = select(Photo.id, Photo.sha256).where(
            Photo.id.in_(wanted[start : start + 500]),
            Photo.classifier_id == classifier_id,
            Photo.unreadable.is_(None),
            Photo.removed_at.is_(None),
            Photo.expired_at.is_(None),
            or_(~exists().where(mine), in_a_group),
        )
        found |= {photo_id: sha256 for photo_id, sha256 in session.execute(query)}  # noqa: C416
    return found


def drawn(session: Session, run_id: int, picture: str) -> None:
    """Write down that the picture of a run's report is in the store."""
    session.execute(update(TrainingRun).where(TrainingRun.id == run_id).values(picture=picture))


def undraw(session: Session, classifier_ids: Sequence[int]) -> list[str]:
    """Forget the pictures of these classifiers' reports, since they show photos; keys to delete after the commit.

    They are drawn anew, without the photos that are gone, when somebody asks. The messages in which these trainings
    were watched are not followed any more: whoever takes the pictures out of them has the last word.
    """
    mine = TrainingRun.classifier_id.in_(classifier_ids), TrainingRun.picture.is_not(None)
    keys = [picture for picture in session.scalars(select(TrainingRun.picture).where(*mine)) if picture]
    gone = {"picture": None, "answer_id": None}
    session.execute(update(TrainingRun).where(*mine).values(**gone).execution_options(synchronize_session=False))
    return keys
