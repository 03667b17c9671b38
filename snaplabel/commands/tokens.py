"""The doctor's questions to the chat platforms: is the token theirs, may the bot read, does the clock agree?"""

import email.utils
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from snaplabel.commands.doctor import Finding
from snaplabel.settings import Settings

TIMEOUT_S = 5.0
CLOCK_APART_S = 120.0
# Discord's application flags: message content, in any number of servers and in fewer than a hundred.
MAY_READ = 1 << 18 | 1 << 19
AGENT = "DiscordBot (snaplabel, 1)"


@dataclass(frozen=True)
class _Answer:
    """status 0: nobody answered, and `body` is empty."""

    status: int
    body: dict[str, Any]
    clock_apart_s: float = 0.0


def examine(settings: Settings) -> Iterator[Finding]:
    """A line for each platform that has a token; nothing is sent but the token, to the address in the settings."""
    if settings.telegram_token:
        yield from _telegram(settings)
    if settings.discord_token:
        yield from _discord(settings)


def _telegram(settings: Settings) -> Iterator[Finding]:
    answer = _ask(f"{settings.telegram_api_url.rstrip('/')}/bot{settings.telegram_token}/getMe")
    name = answer.body.get("result", {}).get("username", "?") if isinstance(answer.body.get("result"), dict) else "?"
    if answer.status == 200:
        yield Finding("telegram", f"the token is @{name}'s")
        yield from _clock("telegram", answer)
    else:
        yield _trouble("telegram", answer, (401, 403, 404), "Ask @BotFather for the token: SNAPLABEL_TELEGRAM_TOKEN.")


def _discord(settings: Settings) -> Iterator[Finding]:
    base, headers = settings.discord_api_url.rstrip("/"), {"Authorization": f"Bot {settings.discord_token}"}
    answer = _ask(f"{base}/users/@me", headers)
    if answer.status != 200:
        problem = "Copy the bot's token from Discord's developer portal: SNAPLABEL_DISCORD_TOKEN."
        yield _trouble("discord", answer, (401, 403), problem)
        return
    yield Finding("discord", f"the token is {answer.body.get('username', '?')}'s")
    yield from _clock("discord", answer)
    application = _ask(f"{base}/applications/@me", headers)
    flags = application.body.get("flags")
    if application.status == 200 and isinstance(flags, int) and not flags & MAY_READ:
        problem = "Switch on “Message Content Intent” for the bot in Discord's developer portal."
        yield Finding("discord", "the bot may not see photos and texts", problem)


def _trouble(platform: str, answer: _Answer, refusals: tuple[int, ...], problem: str) -> Finding:
    if answer.status in refusals:
        return Finding(platform, "the token is refused", problem)
    if answer.status:
        return Finding(platform, f"it answered with status {answer.status}", "Try again in a while.")
    away = "Is this machine online? Everything else works meanwhile, and the bot goes on as soon as it can."
    return Finding(platform, "could not be reached just now", away)


def _clock(platform: str, answer: _Answer) -> Iterator[Finding]:
    if abs(answer.clock_apart_s) > CLOCK_APART_S:
        sentence = f"this machine's clock and {platform}'s are {abs(answer.clock_apart_s):.0f} s apart"
        yield Finding("clock", sentence, "Set this machine's clock.")


def _ask(url: str, headers: dict[str, str] | None = None) -> _Answer:
    if not url.startswith(("http://", "https://")):
        return _Answer(0, {})
    request = urllib.request.Request(url, headers={"User-Agent": AGENT, **(headers or {})})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            body = json.loads(response.read(100_000))
            sent = response.headers.get("Date")
            apart = email.utils.parsedate_to_datetime(sent).timestamp() - time.time() if sent else 0.0
            return _Answer(response.status, body if isinstance(body, dict) else {}, apart)
    except urllib.error.HTTPError as error:
        error.close()
        return _Answer(error.code, {})
    except (OSError, ValueError):  # No network, no such host, a proxy's page instead of JSON.
        return _Answer(0, {})
