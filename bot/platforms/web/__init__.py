"""The chat in the browser, and the HTTP API beside it: one room for everybody with a link."""

from bot.messages import Host, Platform
from bot.platforms.web.adapter import Web
from snaplabel.settings import Settings


def connect(settings: Settings, host: Host) -> Platform:
    """The web chat. Raises SettingsError when its token can't be made or is too short."""
    return Web(settings, host)
