"""Every sentence a person reads in a chat, in one place: plain functions that return text."""

from collections.abc import Sequence

from snaplabel.voices import REFUSALS, guess, percent

UNUSABLE = {
    "video": "I can't watch videos. Send me a photo or a screenshot instead.",
    "voice": "I can't listen. Send me a photo instead.",
    "audio": "I can't listen. Send me a photo instead.",
    "sticker": "A nice sticker! I only learn from photos, though: send me one of those.",
    "animation": "I can't watch animations. Send me a photo or a screenshot instead.",
    "document": REFUSALS["no-photo"],
    "too-heavy": REFUSALS["too-heavy"],
}

ADMINS_ONLY = "Only the admins of this bot can do that. Ask one of them, and keep teaching me in the meantime!"
OLD_BUTTON = "That button is from another time. Reply to the photo with its label instead."
NOT_YOURS = "Only the person who asked can press that."
NOT_SAID_BY_YOU = "Only those who said it can take it back. You can still say what it is instead."
UNKNOWN_COMMAND = "I don't know that command. /help lists what I can do."
HINT = "Send me a photo and I'll tell you what it shows. If I'm wrong, reply with the right label. /help says more."
NOTHING_TO_CANCEL = "No training is running."
ALREADY_TRAINING = "A training is running already. /status shows how far it is, /cancel stops it."
GETTING_READY = "I'm still getting ready. Your photo is safe, and I'll answer right here."
SOMETHING_ELSE = "Something else…"
ERASED = "Erased, as its sender wished."
KEPT = "All right, nothing was erased."


def line(voice: str, top: Sequence[tuple[str, float]], shortlist: int) -> str:
    """The same in a few words, for one photo of an album."""
    title, _ = guess(voice, top, shortlist)
    return f"{title} ({percent(top[0][1])})" if top and voice in ("sure", "maybe") else title


def said(name: str, label: str) -> str:
    return f"{name or 'Somebody'} said: {label}."


def thanks(until_fine_tune: int | None) -> str:
    if until_fine_tune:
        return f"Thanks, I'm learning it now. {until_fine_tune} more and I retrain from the ground up."
    return "Thanks, I'm learning it now."


def waits_for_votes() -> str:
    return "Noted. It counts as soon as somebody else says the same."


def now_says(version: int, title: str, before: str | None) -> str:
    was = f" (before: {before})" if before else ""
    return f"v{version} now says: {title}{was}."


def more_of_it(label: str) -> str:
    return f"I've learnt it, but more photos of {label} would help me to be sure."


def told(name: str) -> str:
    return "You told me" if not name else f"{name} told me"


def did_you_mean(text: str, label: str) -> str:
    return f"You wrote “{text}”. Did you mean {label}?"


def make_new(text: str) -> str:
    return f"I have no label “{text}” yet. Make a new label?"


def no_such_label(text: str) -> str:
    return f"I have no label “{text}”; an admin can make it. Is it one of these?"


def which_one() -> str:
    return "Which one is it? Press its button, or reply with its name."


def you_are(platform: str, person: str) -> str:
    return f"You are {platform}:{person} to me; SNAPLABEL_ADMINS takes it so."


def number(count: int, thing: str) -> str:
    """1 photo, 2 photos."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def mine(photos: int, corrections: int) -> str:
    return f"{number(photos, 'photo')} and {number(corrections, 'correction')}"


def queue(waiting: int) -> str:
    if not waiting:
        return "No photo is waiting."
    return f"{number(waiting, 'photo')} {'is' if waiting == 1 else 'are'} waiting for me."


def block(share: float, width: int = 10) -> str:
    """A solid bar for a list: nothing for 0, and at least a sliver for anything more."""
    return "▇" * max(1, round(share * width)) if share > 0 else ""


def bar(done: float, width: int = 12) -> str:
    """A bar of text: ▰▰▰▱▱▱ 50 %."""
    full = round(max(0.0, min(1.0, done)) * width)
    return "▰" * full + "▱" * (width - full) + f" {percent(max(0.0, min(1.0, done)))}"


def score(error: float | None, low: float | None, high: float | None, photos: int, by: str) -> str:
    """An exam score in words."""
    if error is None or not photos:
        return "no exam yet"
    spread = f" (between {percent(1 - (high or 0))} and {percent(1 - (low or 0))})" if low is not None else ""
    where = f"{photos} exam photos" if by == "exam" else f"{photos} photos, cross-validated"
    return f"{percent(1 - error)} right{spread} on {where}"


HELP = """Send me a photo, or an album, and I say what it shows.

If I'm wrong: press the right button, or reply to my answer (or to the photo) with the right label. I learn it within \
seconds. You can change your mind or take it back.

Send a photo with the caption #label to teach me at once."""
