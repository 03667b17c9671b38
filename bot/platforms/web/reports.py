"""Versions and their reports for the page and for programs: whoever is in the room may see how well the model does."""

import asyncio
import io
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from PIL import Image
from pydantic import BaseModel
from sqlalchemy.orm import Session

from bot.platforms.web.door import Refused
from bot.platforms.web.lookups import NO_PHOTO, classifier_of
from bot.platforms.web.pages import PRIVATE
from bot.platforms.web.shapes import Score, Trouble, troubles
from snaplabel import backbones, images, registry, reports
from snaplabel.errors import ImageError, ModelError, NotStored
from snaplabel.registry import Card
from snaplabel.reports import Point, Report
from snaplabel.store import Store, photo_key
from snaplabel.tables import Model

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

SMALL_SIDE = 240  # pixels
LARGEST_VERSION = 10**9


class Version(BaseModel):
    """One version of the model. state: "current", "candidate" (waits for an admin), "retired" or "discarded".

    kind: "refit" (its head), "fine_tune" (all of it) or "backbone" (knows no labels). photos: it was taught with.
    ece: how far its probabilities are from how often it is right; by_chance: what chance alone makes of that.
    """

    version: int
    state: str
    kind: str
    made_at: str
    published_at: str | None
    parent: int | None
    labels: int
    photos: int
    exam: Score
    ece: float | None
    ece_by_chance: float | None
    verdict: str


class VersionReport(BaseModel):
    """Everything known of a version. curve: the published versions up to it. shown: ids of photos that may be seen."""

    version: Version
    card: dict[str, Any]
    preparation: dict[str, Any] | None
    report: Report
    curve: list[Point]
    shown: list[int]


def versions(session: Session, chat: str, limit: int) -> list[Version]:
    """The versions of a chat's classifier, newest first."""
    return [row(model) for model in registry.versions(session, classifier_of(session, chat), limit)]


def row(model: Model) -> Version:
    card = Card.from_json(model.card)
    exam = card.exam
    return Version(
        version=model.version,
        state=model.state,
        kind=model.kind,
        made_at=model.created_at.isoformat(),
        published_at=model.published_at.isoformat() if model.published_at else None,
        parent=card.parent,
        labels=len(card.labels),
        photos=card.photos,
        exam=Score(error=exam.error, low=exam.low, high=exam.high, photos=exam.photos, by=exam.by),
        ece=exam.ece,
        ece_by_chance=exam.ece_by_chance,
        verdict=card.verdict,
    )


def whole(session: Session, chat: str, store: Store, version: int) -> VersionReport:
    """One version with its report. Raises Refused, StoreError."""
    model = _find(session, chat, version)
    report = reports.of(session, store, model)
    try:
        preparation = backbones.load_card(store, model.backbone).to_json()["preparation"]
    except ModelError:
        preparation = None
    return VersionReport(
        version=row(model),
        card=model.card,
        preparation=preparation,
        report=report,
        curve=reports.curve(session, model.classifier_id, version),
        shown=sorted(reports.visible(session, model.classifier_id, report.photo_ids())),
    )


def _find(session: Session, chat: str, version: int) -> Model:
    try:
        return registry.find(session, classifier_of(session, chat), version)
    except ModelError as error:
        raise Refused(404, str(error)) from error


def small(stored: bytes) -> bytes:
    """A stored photo as a thumbnail, coded anew. Raises ImageError."""
    image = images.load(stored, at_least=SMALL_SIDE)
    image.thumbnail((2 * SMALL_SIDE, SMALL_SIDE), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def routes(web: "Web") -> APIRouter:
    """Everything below /api/models."""
    missing: dict[int | str, dict[str, Any]] = {404: {"model": Trouble, "description": "There is no such version."}}
    models = APIRouter(responses=troubles(401, 422, 429, 503))
    store = Store(web.settings.store)

    @lru_cache(maxsize=32)
    def named(run_id: int) -> frozenset[int]:
        """Ids of the photos that a run's report names; a report never changes."""
        found = reports.load(store, run_id)
        return frozenset(found.photo_ids() if found is not None else ())

    def sha256(session: Session, chat: str, version: int, photo_id: int) -> str | None:
        """Only what the report shows can be seen through it."""
        model = _find(session, chat, version)
        run = reports.run_of(session, model)
        if run is None or photo_id not in named(run.id):
            return None
        return reports.visible(session, model.classifier_id, [photo_id]).get(photo_id)

    Guest = Annotated[str, Depends(web.guard.guest)]  # noqa: N806
    Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]  # noqa: N806

    @models.get("/models")
    async def listed(chat: Guest, limit: Limit = 100) -> list[Version]:
        """The versions, newest first."""
        return await web.ask(versions, chat, limit)

    @models.get("/models/{version}/report", responses=missing)
    async def report(version: int, chat: Guest) -> VersionReport:
        """How well a version does: scores, labels, calibration, mistakes, and what changed since the one before."""
        if not 0 <= version <= LARGEST_VERSION:
            raise Refused(404, f"There is no v{version}.")
        return await web.ask(whole, chat, store, version)

    @models.get("/models/{version}/photos/{photo_id}", include_in_schema=False)
    async def photo(version: int, photo_id: int, chat: Guest, large: bool = False) -> Response:
        if not 0 <= version <= LARGEST_VERSION:
            raise Refused(404, NO_PHOTO)
        found = await web.ask(sha256, chat, version, photo_id)
        try:
            if found is None:
                raise Refused(404, NO_PHOTO)
            if large:
                data = await web.picture(found)
            else:
                data = await asyncio.to_thread(small, await web.host.read(photo_key(found)))
        except (NotStored, ImageError) as error:
            raise Refused(404, NO_PHOTO) from error
        return Response(data, media_type="image/jpeg", headers=PRIVATE)

    return models
