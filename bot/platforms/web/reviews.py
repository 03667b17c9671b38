"""The review on the page and in the API: what to look at first, and every decision with its way back; for admins."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response, Security
from fastapi.security import HTTPBearer

from bot.platforms.web import door, doubts
from bot.platforms.web.door import Refused
from bot.platforms.web.doubts import LARGEST_ID, Decision, Doubts, Outcome, Reviewer, Undo, Undone
from bot.platforms.web.lookups import NO_PHOTO
from bot.platforms.web.pages import NOT_FROM_HERE, PRIVATE
from bot.platforms.web.room import API, ROOM
from bot.platforms.web.shapes import Trouble, UnknownLabel
from snaplabel.errors import ImageError, LabelError, NotStored, ReviewError

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

T = TypeVar("T")
ADMINS_ONLY = "Only admins may review. Send the admin token, or open the page by the admin's link."


def routes(web: "Web") -> APIRouter:
    """Everything below /api/review."""
    bearer = HTTPBearer(auto_error=False, description="The admin token of the web chat (SNAPLABEL_WEB_TOKEN).")
    common: dict[int | str, dict[str, Any]] = {
        401: {"model": Trouble, "description": "Neither the token nor an invited person."},
        403: {"model": Trouble, "description": "No admin, or a post that did not come from the page."},
        422: {"model": Trouble, "description": "The request can't be understood."},
        503: {"model": Trouble, "description": "Nothing could be written down. Try again."},
    }
    missing: dict[int | str, dict[str, Any]] = {404: {"model": Trouble, "description": "There is no photo like this."}}
    unknown: dict[int | str, dict[str, Any]] = {
        404: {"model": UnknownLabel | Trouble, "description": "No such photo, or no such label."}
    }
    too_late: dict[int | str, dict[str, Any]] = {
        409: {"model": Trouble, "description": "Somebody decided otherwise meanwhile; ask for the list again."},
        429: {"model": Trouble, "description": "Too much within a minute."},
    }
    review = APIRouter(responses=common)

    def admin(request: Request, _documented: Annotated[object, Security(bearer)]) -> Reviewer:
        if web.door.is_bearer(request.headers.get("authorization", "")):
            return Reviewer(API, API, "API")
        visitor = web.door.open(request.cookies.get(door.COOKIE))
        if visitor is None:
            raise Refused(401, door.NOT_INVITED)
        if not visitor.is_admin:
            raise Refused(403, ADMINS_ONLY)
        return Reviewer(ROOM, visitor.person, visitor.name)

    def poster(request: Request, who: Annotated[Reviewer, Depends(admin)]) -> Reviewer:
        """An admin who may change something: by the token, or from the page itself."""
        if who.chat == ROOM:
            if not door.is_same_origin(request.headers):
                raise Refused(403, NOT_FROM_HERE)
            if not web.posts_allowed.allows(who.person):
                raise Refused(429, door.SLOW_DOWN)
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
    @review.post("/review/undo", responses={**missing, **too_late})
    async def undo(wanted: Undo, who: Poster) -> Undone:
        """Take a decision back: the photo is as it was before."""
        return await write(doubts.undo, who, wanted.act)

    @review.post("/review/{photo_id}", responses={**unknown, **too_late})
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
