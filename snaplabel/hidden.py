"""What nobody may read in a log, an error or on a terminal: secrets and passwords, and blotting them out."""

import os
import re
from dataclasses import fields
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

from snaplabel.settings import Settings

# Shorter ones would blot out half of what there is to read, and protect nothing.
LEAST = 4
BLOT = "•••"
# The store's library reads these by itself; they are no settings of ours.
FOREIGN = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SECRET_PARAMETER = re.compile("pass|secret|token|key", re.IGNORECASE)


def words(settings: Settings) -> tuple[str, ...]:
    """Every secret of these settings as it may be met: whole, as a URL's password, quoted and not; longest first."""
    found = {*settings.secrets().values(), *(os.environ.get(name, "") for name in FOREIGN)}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, str) and "://" in value:
            found.update(_in_address(value))
    found |= {spelt for word in found for spelt in (quote(word, safe=""), quote_plus(word))}
    return tuple(sorted((word for word in found if len(word) >= LEAST), key=len, reverse=True))


def blotted(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets, which stand longest first."""
    for secret in secrets:
        text = text.replace(secret, BLOT)
    return text


def _in_address(address: str) -> set[str]:
    """The passwords of a URL, or of several with semicolons between them (Redis sentinels), as written and as meant."""
    found = set()
    for one in address.split(";"):
        # By hand: a password with a # or a / in it is no valid URL, and still nobody's business.
        before = one.partition("://")[2].rpartition("@")[0]
        found.add(before.partition(":")[2])
        try:
            parameters = parse_qsl(urlsplit(one).query)
        except ValueError:  # "http://[": whoever uses the address says so.
            continue
        found.update(value for name, value in parameters if SECRET_PARAMETER.search(name))
    return found | {unquote(word) for word in found} | {unquote_plus(word) for word in found}
