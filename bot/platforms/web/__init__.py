"""The chat in the browser, and the HTTP API beside it: one room for everybody with a link.

FastAPI and uvicorn are imported in this folder and nowhere else, and only once `connect` is called: the front door asks
`door` for the address to print.
"""

from bot.messages import Host, Platform
from snaplabel.settings import Settings


def connect(settings: Settings, host: Host) -> Platform:
    """The web chat. Raises SettingsError when its token can't be made or is too short."""
    from bot.platforms.web.adapter import Web

    return Web(settings, host)
