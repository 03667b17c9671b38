"""Text from strangers → one line that shows what it says: names of labels and of people, on every platform."""

import re
import unicodedata

# Control, format (among them those that turn the direction of writing), half characters, private use, unassigned.
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# Letters and marks by their category, and blank all the same.
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
JOINER = "\u200d"
# What emoji are made of besides symbols: the joiner, and the tags of a flag.
EMOJI_PARTS = frozenset({JOINER, *map(chr, range(0xE0020, 0xE0080))})
# A black flag and tags are England, Scotland, Wales; anywhere else tags hide text.
FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
# Marks piled on one letter climb over the lines above; no language needs more.
MOST_MARKS = 4


def line(text: str) -> str:
    """One line, NFC, single spaces, and nothing that can't be seen or that moves what stands beside it."""
    text = unicodedata.normalize("NFC", text)
    flags = {at for found in FLAG.finditer(text) for at in range(*found.span())}
    kept: list[str] = []
    marks = 0
    for at, ch in enumerate(text):
        category = unicodedata.category(ch)
        if ch.isspace():
            kept.append(" ")
        elif ch == JOINER:
            # It joins emoji; between letters it would make two names that look the same.
            after = text[at + 1 : at + 2]
            if kept and _is_picture(kept[-1]) and after and _is_picture(after):
                kept.append(ch)
        elif at in flags or (category not in UNSEEN and ch not in BLANK):
            marks = marks + 1 if category in ("Mn", "Me") else 0
            if marks <= MOST_MARKS:
                kept.append(ch)
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def storable(text: str) -> str:
    """The text without what a database refuses."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def look(text: str) -> str:
    """The text with Cyrillic and Greek letters that look like Latin ones replaced by these."""
    return text.translate(LOOKS_LIKE)


LOOKS_LIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХЗЬаеѕіјкорстухһԁԛԝӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορτυχι",
    "ABESIJKMHOPCTYX3baesijkopctyxhdqwlABEZHIKMNOPTYXavoptuxi",
)


def _is_picture(ch: str) -> bool:
    """An emoji, a skin tone, or the mark that makes an emoji of a sign."""
    return unicodedata.category(ch) in ("So", "Sk") or ch in "\ufe0f♀♂"
