"""The API for programs: with the admin token as a bearer; its photos are in a chat of their own."""

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from bot.messages import Incoming
from bot.platforms.web import lookups, upload
from bot.platforms.web.door import Refused
from bot.platforms.web.room import API, PLATFORM
from bot.platforms.web.shapes import (
    Health,
    LabelRow,
    Lesson,
    ModelNow,
    Pending,
    Result,
    Taught,
    Trouble,
    UnknownLabel,
    troubles,
)
from snaplabel.voices import REFUSALS

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

LONGEST_WAIT_S = 120.0


def routes(web: "Web") -> APIRouter:
    """Everything below /api."""
    api = APIRouter(responses=troubles(422, 503))
    owner, guest, asked = web.guard.owner, web.guard.guest, troubles(401, 429)

    no_such: dict[int | str, dict[str, Any]] = {
        404: {"model": Trouble, "description": "There is no photo with this id."}
    }
    no_photo: dict[int | str, dict[str, Any]] = {
        **troubles(400, 413, 415, 500),
        202: {"model": Pending, "description": "Written down; ask for it again."},
    }
    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": {"type": "object", "properties": {"file": binary["schema"]}, "required": ["file"]}}
    body = {"required": True, "content": {"multipart/form-data": form, "image/*": binary}}

    async def answer(message: str, wait_s: float) -> Result | JSONResponse:
        until, pause_s = time.monotonic() + wait_s, 0.02
        found = await web.ask(lookups.look, message)
        while isinstance(found, Pending) and time.monotonic() < until:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.05, 0.25)
            found = await web.ask(lookups.look, message)
        return JSONResponse(found.model_dump(), 202) if isinstance(found, Pending) else found

    Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for the answer.")]  # noqa: N806

    @api.post(
        "/photos",
        response_model=Result,
        responses={**asked, **no_photo, **troubles(408)},
        dependencies=[Depends(owner)],
        openapi_extra={"requestBody": body},
    )
    async def classify(request: Request, wait_s: Wait = 30.0) -> Result | JSONResponse:
        """Ask what a photo shows: one file of a form, or the image itself as the body."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            attachment = (await web.upload(request, None))[0][0]
        else:
            async with web.uploading(None):
                data = await upload.whole(request.stream())
            if not data:
                raise Refused(400, REFUSALS["empty"])
            attachment = await web.keep(data)
        message = secrets.token_hex(12)
        posted = Incoming(PLATFORM, API, message, API, "photo", name="API", attachment=attachment, is_admin=True)
        await web.host.receive([posted])
        return await answer(message, wait_s)

    @api.get(
        "/photos/{id}",
        response_model=Result,
        responses={**asked, **no_photo, **no_such},
        dependencies=[Depends(owner)],
    )
    async def result(id: str, wait_s: Wait = 0.0) -> Result | JSONResponse:
        """What a photo shows, as far as it is known now."""
        return await answer(id, wait_s)

    @api.post(
        "/photos/{id}/correction",
        responses={
            **asked,
            **troubles(408, 413),
            404: {"model": UnknownLabel | Trouble, "description": "No such photo, or no such label."},
            409: {"model": Trouble, "description": "The photo is not taken in yet, or it was none."},
        },
        dependencies=[Depends(owner)],
    )
    async def correction(id: str, lesson: Lesson) -> Taught:
        """Say what a photo shows; it counts at once, and the model learns it within seconds."""
        votes_needed = web.settings.votes_needed
        taught, classifier_id = await asyncio.to_thread(lookups.correct, web.host.database, id, lesson, votes_needed)
        if taught.changed:
            await web.host.ring("train.learn", classifier_id)
        return taught

    @api.get("/model", responses=asked)
    async def model(chat: Annotated[str, Depends(guest)]) -> ModelNow:
        """The model that answers now, and its exam."""
        return await web.ask(lookups.model_now, chat)

    @api.get("/labels", responses=asked)
    async def labels(chat: Annotated[str, Depends(guest)]) -> list[LabelRow]:
        """All labels, most photos first."""
        return await web.ask(lookups.label_rows, chat)

    @api.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether this process can do its work; for a watchdog, without a token."""
        is_alive = await asyncio.to_thread(lookups.is_alive, web.host.database)
        response.status_code = 200 if is_alive else 503
        return Health(ok=is_alive, database="ok" if is_alive else "unreachable")

    return api
