"""The review on the page and in the API: what to look at first, and every decision with its way back; for admins."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response

from bot.platforms.web import doubts
from bot.platforms.web.door import Refused
from bot.platforms.web.doubts import LARGEST_ID, Decision, Doubts, Outcome, Reviewer, Undo, Undone
from bot.platforms.web.guard import Session, Token
from bot.platforms.web.lookups import NO_PHOTO
from bot.platforms.web.pages import PRIVATE
from bot.platforms.web.room import API, ROOM
from bot.platforms.web.shapes import Trouble, UnknownLabel, troubles
from snaplabel.errors import ImageError, LabelError, NotStored, ReviewError

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

log = logging.getLogger(__name__)

T = TypeVar("T")
ADMINS_ONLY = "Only admins may review. Send the admin token, or open the page by the admin's link."


def routes(web: "Web") -> APIRouter:
    """Everything below /api/review."""
    missing: dict[int | str, dict[str, Any]] = {404: {"model": Trouble, "description": "There is no photo like this."}}
    unknown: dict[int | str, dict[str, Any]] = {
        404: {"model": UnknownLabel | Trouble, "description": "No such photo, or no such label."}
    }
    written = troubles(408, 409, 413)
    review = APIRouter(responses=troubles(401, 403, 422, 429, 503))

    def admin(request: Request, _token: Token, _session: Session) -> Reviewer:
        if web.guard.is_program(request):
            return Reviewer(API, API, "API")
        visitor = web.guard.member(request)
        if not visitor.is_admin:
            log.warning("web: somebody who is no admin may not review: refused")
            raise Refused(403, ADMINS_ONLY)
        return Reviewer(ROOM, visitor.person, visitor.name)

    def poster(request: Request, who: Annotated[Reviewer, Depends(admin)]) -> Reviewer:
        """An admin who may change something: by the token, or from the page itself."""
        if who.chat == ROOM:
            web.guard.posts(request, who.person)
        return who

    async def write(change: Callable[..., tuple[T, int | None]], *args: object) -> T:
        """Commit a change, then ring for the trainer of the classifier that it names."""

        def commit() -> tuple[T, int | None]:
            try:
                with web.host.database.begin() as session:
                    return change(session, *args, web.settings.votes_needed)
            except ReviewError as error:
                raise Refused(409, str(error)) from error
            except LabelError as error:
                raise Refused(422, str(error)) from error

        outcome, classifier_id = await asyncio.to_thread(commit)
        if classifier_id is not None:
            await web.host.ring("train.learn", classifier_id)
        return outcome

    Admin = Annotated[Reviewer, Depends(admin)]  # noqa: N806
    Poster = Annotated[Reviewer, Depends(poster)]  # noqa: N806
    Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]  # noqa: N806
    Offset = Annotated[int, Query(ge=0, le=LARGEST_ID, description="How many to leave out.")]  # noqa: N806

    @review.get("/review")
    async def listed(who: Admin, limit: Limit = 50, offset: Offset = 0) -> Doubts:
        """What should be looked at, most doubtful first."""
        return await web.ask(doubts.doubts, who, limit, offset)

    # Before the next one, whose address would else take it for a photo.
    @review.post("/review/undo", responses={**missing, **written})
    async def undo(wanted: Undo, who: Poster) -> Undone:
        """Take a decision back: the photo is as it was before."""
        return await write(doubts.undo, who, wanted.act)

    @review.post("/review/{photo_id}", responses={**unknown, **written})
    async def decide(photo_id: int, decision: Decision, who: Poster) -> Outcome:
        """Keep, relabel or remove a photo. Whoever decides first decides; sending it again counts once."""
        return await write(doubts.decide, who, photo_id, decision)

    @review.get("/review/{photo_id}/picture", include_in_schema=False)
    async def picture(photo_id: int, who: Admin) -> Response:
        sha256 = await web.ask(doubts.sha256, who, photo_id)
        try:
            data = await web.picture(sha256)
        except (NotStored, ImageError) as error:
            raise Refused(404, NO_PHOTO) from error
        return Response(data, media_type="image/jpeg", headers=PRIVATE)

    return review
