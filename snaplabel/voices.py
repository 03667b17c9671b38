"""The three voices in words, and why a file is no photo: what chat, page and command line say alike."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Named = TypeVar("Named", bound=Hashable)

REFUSALS = {
    "empty": "That file is empty. Please send the photo again.",
    "too-heavy": "That file is larger than 20 MB. Please send it as a photo, or smaller.",
    "no-photo": "I can't read that kind of file. Please send a photo as JPEG, PNG, WebP, AVIF, GIF or BMP.",
    "heic": "That is a HEIC file, which I can't read. Please send it as a photo and not as a file, or as JPEG.",
    "broken": "That photo arrived damaged. Please send it again.",
    "too-large": "I take at most 50 million pixels as JPEG or PNG, else 25 million. Please send a smaller one.",
    "too-small": "That picture is tiny: I need at least 16 pixels a side. Please send a larger one.",
    "too-thin": "That picture is a thin strip: I can look at one that is up to 80 times as long as wide.",
    "too-hard": "That file is too much for me. Please send a screenshot of it, or the photo as an ordinary JPEG.",
    "lost": "I could not fetch that photo any more. Please send it again.",
    "trouble": "Something went wrong on my side with this photo. Please send it again.",
}

# The same on the command line, of a file that lies there.
FAULTS = {
    "empty": "the file is empty",
    "too-heavy": "the file is over 20 MB",
    "no-photo": "not a photo that can be read (JPEG, PNG, WEBP, GIF, BMP and AVIF can)",
    "broken": "the file is damaged",
    "too-large": "the photo has too many pixels",
    "too-small": "the photo is smaller than 16 pixels",
    "too-thin": "the photo is a strip more than 80 times as long as wide",
    "too-hard": "the file has far too many parts for a photo",
    "heic": "a HEIC file; have it converted to JPEG first",
}

WHAT_IS_IT = "What is it? Press a button, or reply with its label."
# What a version was made by.
KINDS = {"refit": "learnt corrections", "fine_tune": "whole network", "backbone": "start"}
# "One of these" names two labels that hold at least so much together, else three.
TWO_HOLD = 0.95


def percent(share: float) -> str:
    """0.934 → "93 %"; never 100 % for what is not certain."""
    if 0.995 <= share < 1:
        return "99 %"
    return f"{share * 100:.0f} %"


def bounds(low: float, high: float) -> tuple[str, str]:
    """The interval of an error, as right answers; rounded outwards, and never to 100 % for what is less."""
    # To a millionth first, since 1 - 0.07 is a little less than 0.93.
    least, most = (round(100 * (1 - bound), 4) for bound in (high, low))
    upper = math.ceil(most) if most == 100 or most <= 99 else min(99.9, math.ceil(10 * most) / 10)
    return f"{math.floor(least)} %", f"{upper} %"


def either(names: Sequence[str]) -> str:
    """["a", "b", "c"] → "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def guess(voice: str, top: Sequence[tuple[str, float]], shortlist: int) -> tuple[str, str]:
    """Title and text of an answer; top: (label name, probability), most probable first."""
    if voice == "untaught" or not top:
        return "I haven't learnt anything yet", "Reply with what this photo shows, and I start learning."
    if voice == "sure":
        # No number: "quite sure" was proven to be right 95 times in 100, and the number only compares labels.
        return f"{top[0][0]}, quite sure", ""
    named = [name for name, _ in top[: max(2, shortlist)]]
    if voice == "maybe" and len(top) > 1:
        return either(named), ", ".join(f"{name} {percent(chance)}" for name, chance in top[: max(2, shortlist)])
    if voice == "maybe":
        return f"{top[0][0]}, I think", percent(top[0][1])
    # No percentages: they compare the labels with each other, and one may well hold 99 % of what none of them explains.
    return "I don't know this one", f"Nearest: {either(named)}. {WHAT_IS_IT}"


def as_now(
    voice: str, top: Sequence[tuple[int, float]], now: Mapping[int, Named | None]
) -> tuple[str, list[tuple[Named, float]]]:
    """An answer under the labels of now, most probable first: merged ones are one answer, archived ones none.

    Where the answer itself named an archived label, what is left of it was never meant: "unknown".

    voice, top: as a model said it. now: label id → what it goes by now; None: it is archived.
    """
    named = {"sure": 1, "maybe": shortlist(top)}.get(voice, 0)
    if any(now[label_id] is None for label_id, _ in top[:named]):
        voice = "unknown"
    chances: dict[Named, float] = {}
    for label_id, chance in top:
        if (name := now[label_id]) is not None:
            chances[name] = chances.get(name, 0.0) + chance
    return voice, sorted(chances.items(), key=lambda pair: -pair[1])


def shortlist(top: Sequence[tuple[object, float]]) -> int:
    """How many of the first labels "one of these" names: two, or three where two hold too little together."""
    return 3 if len(top) > 2 and top[0][1] + top[1][1] < TWO_HOLD else min(2, len(top))
