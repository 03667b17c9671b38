"""`/healthz`: whether the whole house works, for a watchdog; 503 where a part does not."""

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from snaplabel.health import Health

if TYPE_CHECKING:
    from bot.platforms.web.adapter import Web


def routes(web: "Web") -> APIRouter:
    """Anybody may ask, without a token: it tells numbers of photos and seconds, and nothing else."""
    found = APIRouter()
    health = Health(web.settings, web.host.database)

    @found.get("/healthz")
    async def healthz() -> JSONResponse:
        is_well, parts = await asyncio.to_thread(health.look)
        return JSONResponse({"ok": is_well, "parts": parts}, 200 if is_well else 503)

    return found
