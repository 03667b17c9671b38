"""The page, and what it asks and posts: for people with a cookie, posts only from the page itself."""

import asyncio
import re
import secrets
import time
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from bot import words
from bot.messages import Incoming, Kind
from bot.platforms.web import door
from bot.platforms.web import room as seen
from bot.platforms.web.door import Refused, Visitor
from bot.platforms.web.guard import Key
from bot.platforms.web.room import PLATFORM, ROOM
from bot.platforms.web.shapes import OWN_ID, Named, Press, Said
from snaplabel.errors import ImageError, LabelError, NotStored
from snaplabel.store import photo_key, sha256_of

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web

STATIC = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PRIVATE = {"cache-control": "private, max-age=600"}
# Pages learn of a post before its photo is in the store; their pictures wait for it this long.
ARRIVAL_S = 5.0
NOTHING_HERE = "There is nothing here."
LAST_POSITION = 99


def page(web: "Web") -> APIRouter:
    """The page itself, and how one gets in."""
    pages = APIRouter()
    folder = files("bot.platforms.web")
    static = {
        file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and not file.name.endswith(".py")
    }

    def html(name: str, status: int = 200) -> Response:
        return HTMLResponse(static[name], status)

    @pages.get("/")
    async def front(request: Request, token: str | None = None) -> Response:
        visitor = web.door.open(request.cookies.get(door.COOKIE))
        return html("page.html") if visitor is not None and token is None else html("door.html", 401)

    # Links of earlier versions had their key in the address: the door's script still finds it there.
    @pages.get("/join/{_invite}")
    @pages.get(door.DOOR)
    async def at_the_door() -> Response:
        return html("door.html")

    @pages.post(door.DOOR)
    async def knock(request: Request, shown: Key) -> Response:
        """Let somebody in. A key only ever comes in a body, which nobody logs."""
        visitor = web.guard.welcome(request, shown.key.strip())
        return _with_cookie(web, request, visitor, JSONResponse({"is_admin": visitor.is_admin}))

    @pages.get("/static/{name}")
    async def file(request: Request, name: str) -> Response:
        kind = STATIC.get(name[name.rfind(".") :])
        if kind is None or name not in static:
            raise Refused(404, NOTHING_HERE)
        etag = f'"{sha256_of(static[name])[:16]}"'
        headers = {"etag": etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(static[name], media_type=kind, headers=headers)

    return pages


def _with_cookie(web: "Web", request: Request, visitor: Visitor, response: Response) -> Response:
    response.set_cookie(
        door.COOKIE,
        web.door.seal(visitor),
        max_age=door.COOKIE_AGE_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _invite(web: "Web", request: Request) -> str:
    place = door.public_place(web.settings, web.port or 0, asked=str(request.base_url))
    return f"{place}{door.DOOR}#{web.door.invite}"


def room(web: "Web") -> APIRouter:
    """What the page asks and posts: for people with a cookie; posts only from the page itself."""
    routes = APIRouter()

    Member = Annotated[Visitor, Depends(web.guard.member)]  # noqa: N806
    Poster = Annotated[Visitor, Depends(web.guard.poster)]  # noqa: N806
    Position = Annotated[int, Path(ge=0, le=LAST_POSITION)]  # noqa: N806

    def me(request: Request, visitor: Visitor) -> dict[str, Any]:
        commands = [
            {
                "name": one.name,
                "sentence": one.sentence,
                "argument": one.argument,
                "allowed": visitor.is_admin or one.who == "everyone",
            }
            for one in web.host.commands
        ]
        return {
            "id": visitor.public,
            "name": visitor.name,
            "is_admin": visitor.is_admin,
            "invite": _invite(web, request) if visitor.is_admin else None,
            "commands": commands,
        }

    def post(visitor: Visitor, kind: Kind, own_id: str | None, **more: Any) -> Incoming:
        """What somebody did in the room. own_id: the page's id for it, so that a second try counts once."""
        message = visitor.public + (own_id or secrets.token_hex(8))
        return Incoming(
            *(PLATFORM, ROOM, message, visitor.person, kind),
            name=visitor.name,
            is_admin=visitor.is_admin,
            is_signed=True,
            **more,
        )

    @routes.get("/me")
    async def who_am_i(request: Request, visitor: Member) -> dict[str, Any]:
        return me(request, visitor)

    @routes.post("/name")
    async def rename(request: Request, named: Named, visitor: Poster) -> Response:
        try:
            renamed = visitor.called(named.name)
        except LabelError as error:
            raise Refused(422, str(error)) from error
        return _with_cookie(web, request, renamed, JSONResponse(me(request, renamed)))

    @routes.get("/feed")
    async def feed(_visitor: Member, before: str = "") -> dict[str, Any]:
        try:
            items = await web.ask(seen.feed, before)
        except (ValueError, OverflowError) as error:
            raise Refused(422, "That is no moment.") from error
        if oldest := web.live.oldest():
            web.live.only(await web.ask(seen.people_here, oldest))
        since = items[0].at if len(items) == seen.PAGE else ""
        return seen.with_texts(items, web.live.texts(since, before))

    @routes.get("/events")
    async def events(visitor: Member) -> Response:
        if web.live.is_full(visitor.person):
            raise Refused(503, "The chat is full at the moment. Please try again in a while.")
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(web.live.events(visitor.person), media_type="text/event-stream", headers=headers)

    @routes.get("/photo/{message}/{position}")
    async def photo(message: str, position: Position, _visitor: Member) -> Response:
        until = time.monotonic() + ARRIVAL_S
        sha256 = await web.ask(seen.photo_sha256, message, position)
        while sha256 == "" and time.monotonic() < until:
            await asyncio.sleep(0.05)
            sha256 = await web.ask(seen.photo_sha256, message, position)
        if not sha256:
            raise Refused(404, NOTHING_HERE)
        try:
            data = await web.picture(sha256)
        except NotStored as error:
            raise Refused(404, NOTHING_HERE) from error
        return Response(data, media_type="image/jpeg", headers=PRIVATE)

    @routes.get("/picture/{answer}")
    async def picture(answer: str, _visitor: Member) -> Response:
        reply = web.live.shown(answer) or await web.ask(seen.reply_of, answer)
        if reply is None or not reply.picture:
            raise Refused(404, NOTHING_HERE)
        sha256 = reply.picture.rpartition("/")[2].removesuffix(".jpg")
        is_photo = reply.picture == photo_key(sha256)
        try:
            data = await (web.picture(sha256) if is_photo else web.host.read(reply.picture))
        except (NotStored, ImageError) as error:
            raise Refused(404, NOTHING_HERE) from error
        return Response(data, media_type="image/jpeg" if is_photo else "image/png", headers=PRIVATE)

    @routes.post("/photos", status_code=202)
    async def photos(request: Request, visitor: Poster) -> dict[str, Any]:
        attachments, fields = await web.upload(request, visitor.person)
        caption, reply_to = fields.get("caption", "").strip()[:1000], fields.get("reply_to", "")[:64] or None
        own_id = fields.get("id", "")
        first = post(visitor, "photo", own_id if re.fullmatch(OWN_ID, own_id) else None, reply_to=reply_to)
        album = first.message if len(attachments) > 1 else None
        posts = [
            replace(
                first,
                attachment=attachment,
                text=caption if position == 0 else "",
                position=position,
                album=album,
            )
            for position, attachment in enumerate(attachments)
        ]
        return (await web.post(visitor, posts, caption, reply_to)).to_json()

    @routes.post("/messages", status_code=202)
    async def messages(said: Said, visitor: Poster) -> dict[str, Any]:
        text = said.text.strip()
        if not text:
            raise Refused(422, "Nothing was written.")
        posted = post(visitor, "text", said.id, text=text, reply_to=said.reply_to)
        return (await web.post(visitor, [posted], text, said.reply_to)).to_json()

    @routes.post("/press", status_code=202)
    async def press(pressed: Press, visitor: Poster) -> dict[str, Any]:
        now_shown, noted = web.live.shown(pressed.answer), await web.ask(seen.reply_of, pressed.answer)
        if pressed.data not in seen.choices((now_shown, noted)):
            raise Refused(409, words.OLD_BUTTON)
        posted = post(visitor, "press", pressed.id, data=pressed.data, reply_to=pressed.answer)
        await web.host.receive([posted])
        return {"id": posted.message}

    return routes
