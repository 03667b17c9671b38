"""The three voices in words, and why a file is no photo: what chat, page and command line say alike."""

from collections.abc import Sequence

REFUSALS = {
    "empty": "That file is empty. Please send the photo again.",
    "too-heavy": "That file is larger than 20 MB. Please send it as a photo, or smaller.",
    "no-photo": "I can't read that kind of file. Please send a photo as JPEG, PNG, WebP, AVIF, GIF or BMP.",
    "broken": "That photo arrived damaged. Please send it again.",
    "too-large": "That picture has more than 50 million pixels. Please send a smaller one.",
    "too-small": "That picture is tiny: I need at least 16 pixels a side. Please send a larger one.",
    "lost": "I could not fetch that photo any more. Please send it again.",
    "trouble": "Something went wrong on my side with this photo. Please send it again.",
}


def percent(share: float) -> str:
    """0.934 → "93 %"; never 100 % for what is not certain."""
    if 0.995 <= share < 1:
        return "99 %"
    return f"{share * 100:.0f} %"


def either(names: Sequence[str]) -> str:
    """["a", "b", "c"] → "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def guess(voice: str, top: Sequence[tuple[str, float]], shortlist: int) -> tuple[str, str]:
    """Title and text of an answer; top: (label name, probability), most probable first."""
    if voice == "untaught" or not top:
        return "I haven't learnt anything yet", "Reply with what this photo shows, and I start learning."
    if voice == "sure":
        return f"{top[0][0]}, quite sure", percent(top[0][1])
    chances = ", ".join(f"{name} {percent(chance)}" for name, chance in top[: max(2, shortlist)])
    if voice == "maybe" and len(top) > 1:
        return either([name for name, _ in top[:shortlist]]), chances
    if voice == "maybe":
        return f"{top[0][0]}, I think", percent(top[0][1])
    return "I don't know this one", f"Nearest: {chances}. What is it? Press a button, or reply with its label."


def shortlist(top: Sequence[tuple[str, float]]) -> int:
    """How many of the first labels "one of these" names: two, or three where two hold less than 90 % together."""
    return 3 if len(top) > 2 and top[0][1] + top[1][1] < 0.9 else min(2, len(top))
