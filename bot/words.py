"""Every sentence a person reads in a chat, in one place: plain functions that return text."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from snaplabel.voices import REFUSALS, bounds, guess, percent

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
WHICH_TRAINING = "There are two: /retrain learns the corrections in seconds, /retrain full teaches the whole network."
ALREADY_TRAINING = "A training is running already. /status shows how far it is, /cancel stops it."
GETTING_READY = "I'm still getting ready. Your photo is safe, and I'll answer right here."
SOMETHING_ELSE = "Something else…"
ERASED = "Erased, as its sender wished."
KEPT = "All right, nothing was erased."


def line(voice: str, top: Sequence[tuple[str, float]], shortlist: int) -> str:
    """The same in a few words, for one photo of an album."""
    title, _ = guess(voice, top, shortlist)
    return f"{title} ({percent(top[0][1])})" if top and voice == "maybe" else title


def said(name: str, label: str, *, is_sender: bool = False) -> str:
    """is_sender: whoever said it also posted the photo, and so is spoken to; it matters where no name is known."""
    return f"{name or ('You' if is_sender else 'Somebody')} said: {label}."


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


def no_such_label(text: str, *, has_buttons: bool = True) -> str:
    """has_buttons: labels to choose from stand below."""
    return f"I have no label “{text}”; an admin can make it." + (" Is it one of these?" if has_buttons else "")


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
    """A solid bar for a list: nothing for 0, at least a sliver for anything more, and full for nothing but all."""
    most = width if share >= 1 else width - 1
    return "▇" * min(most, max(1, round(share * width))) if share > 0 else ""


def cut(name: str, letters: int) -> str:
    """At most so many letters of a name."""
    return name if len(name) <= letters else name[: letters - 1].rstrip() + "…"


def bar(done: float, width: int = 12) -> str:
    """A bar of text: ▰▰▰▱▱▱ 50 %."""
    full = round(max(0.0, min(1.0, done)) * width)
    return "▰" * full + "▱" * (width - full) + f" {percent(max(0.0, min(1.0, done)))}"


def score(error: float | None, low: float | None, high: float | None, photos: int, by: str) -> str:
    """An exam score in words."""
    if error is None or not photos:
        return "no exam yet"
    spread = f" ({between(low, high)})" if low is not None else ""
    where = f"{photos} exam photos" if by == "exam" else f"{photos} photos, cross-validated"
    return f"{percent(1 - error)} right{spread} on {where}"


HELP = """Send me a photo, or an album, and I say what it shows.

If I'm wrong: press the right button, or reply to my answer (or to the photo) with the right label. I learn it within \
seconds. You can change your mind or take it back.

Send a photo with the caption #label to teach me at once."""


# The review.

NOTHING_TO_REVIEW = "Nothing to look at: every label seems right to me. I look again after each training."
REVIEW_GOES_ON = "This review goes on further down."
SEEN_IT_ALL = "You have seen them all."
DECIDED_MEANWHILE = "Somebody decided on that photo meanwhile."
LABEL_CHANGED_MEANWHILE = "That photo got another label meanwhile."
PHOTO_IS_GONE = "That photo is not here any more."
UNDONE_MEANWHILE = "That was undone already."
UNDONE = "Undone."
WHICH_IS_IT = "Which one is it?"


def question(kind: str, label: str | None, suggested: str | None) -> str:
    """What is asked about a photo of a review, as a title."""
    if kind == "unreadable":
        return "I can't read this photo"
    if label is None or suggested is None:
        return f"Is this {label or suggested}?" if label or suggested else "What is this?"
    return f"{label} or {suggested}?"


def why(kind: str, label: str | None, suggested: str | None, votes: Sequence[tuple[str, int]] = ()) -> str:
    """Why a photo is shown in a review. votes: of a conflict, how many people say what."""
    labelled = f"Labelled {label}" if label else "No label counts yet"
    if kind == "conflict":
        told = ", ".join(f"{n} {'says' if n == 1 else 'say'} {name}" for name, n in votes)
        return f"People disagree: {told}." + (f" For now {label} counts." if label else " Nothing counts yet.")
    if kind == "mislabelled":
        return f"{labelled}, but going by all other photos it is {suggested or 'something else'}."
    if kind == "twins":
        return f"{labelled}, but nearly the same photo is labelled {suggested or 'something else'}."
    if kind == "unlike":
        like = f", and more like {suggested}" if suggested and suggested != label else ""
        return f"{labelled}, but it looks unlike the other photos of {label or 'that label'}{like}."
    if kind == "empty":
        return f"{labelled}, but there is hardly anything on it but one colour."
    return f"{labelled}, but its file is damaged or lost, so I can't learn from it."


def decided(decision: str, label: str | None) -> str:
    """What a reviewer decided. label: as the photo is labelled now."""
    if decision == "remove":
        return "Taken out; I learn nothing from it."
    return f"Kept “{label}”." if decision == "keep" else f"Relabelled as “{label}”."


def left(photos: int, total: int, skipped: int) -> str:
    """How much of a review is left: 3 of 17 left, 1 skipped."""
    return f"{photos} of {total} left" + (f", {skipped} skipped." if skipped else ".")


def review_done(decisions: int) -> str:
    return f"{number(decisions, 'photo')} decided on, and nothing is left. Thank you!"


# Votes, and labels by command.

WAITS_FOR_AN_ADMIN = "You teach fast! This one is noted, and counts as soon as an admin has had a look."
LABEL_HELP = """Say what to do with which label:
/label rename juve = Juventus
/label merge ants = ant
/label archive blurred
/label restore blurred
/label alias red admiral = Vanessa atalanta
/label unalias red admiral
Merging and archiving ask once more first, and /label restore takes either back."""
PEOPLE_DISAGREE = "People disagree: an admin decides."
LABELS_CHANGED = "These labels changed meanwhile. /labels shows them as they are."
LEFT_AS_IT_IS = "All right, nothing was changed."
NO_TEACHERS = "Nobody has corrected anything yet."
WHOM_TO_REVERT = (
    "Whose corrections? Reply with /revert to a photo or a text of theirs, or write /revert platform:id, "
    "as /people lists them."
)


def says(names: Sequence[str], label: str) -> str:
    """Max says ant; Max and Olga say ant; Max and 3 others say ant."""
    first = names[0] or "Somebody"
    if len(names) == 1:
        return f"{first} says {label}"
    others = names[1] or "somebody" if len(names) == 2 else f"{len(names) - 1} others"
    return f"{first} and {others} say {label}"


def disagree(sides: Sequence[tuple[Sequence[str], str]]) -> str:
    """Who says what of a photo, as a question to an admin. sides: names, label."""
    return ", ".join(says(names, label) for names, label in sides) + ": an admin decides."


def await_your_word(photos: int, classifier: str | None) -> str:
    """What an admin is told in private. classifier: where this chat is bound to another one."""
    what = f"{number(photos, 'photo')} {'awaits' if photos == 1 else 'await'} your word"
    return f"{what}: /review" if classifier is None else f"{what} in “{classifier}”: /use {classifier}, then /review"


def may_be_same(fewer: str, more: str) -> str:
    return f"{fewer} and {more} may be the same."


def merge_question(label: str, into: str, photos: int) -> str:
    return (
        f"{number(photos, 'photo')} of {label} would become {into}, and people may go on writing {label}. "
        f"/label restore {label} would part them again."
    )


def archive_question(label: str, photos: int) -> str:
    return (
        f"{number(photos, 'photo')} would leave my lessons and my exam, and nobody could choose {label} any more. "
        f"/label restore {label} would bring them back."
    )


def teacher(person: str, name: str, corrections: int, record: str) -> str:
    return f"{person}  {name or 'somebody'}: {number(corrections, 'correction')}, {record}"


def record(agreed: int, counted: int, has_standing: bool, is_admin: bool) -> str:
    """What a person's corrections turned out to be worth."""
    if is_admin:
        return "admin"
    if not counted:
        return "not judged yet"
    return f"right {agreed} of {counted}" + (", trusted" if has_standing else "")


# Reports.

GETTING_READY_TO_LEARN = "There is no version yet. The first one comes with the first two labels."
DRAWING = "I'm drawing the picture; it comes right here."
NOT_DRAWN = "The picture is not drawn yet: the trainer is busy. Ask again in a while."


def between(low: float | None, high: float | None) -> str:
    """The 95 % interval of an error, as right answers."""
    return "between {} and {}".format(*bounds(low or 0.0, high or 0.0))


def waits(version: int, *, may_decide: bool) -> str:
    """A version that was kept aside. may_decide: this is said to an admin."""
    ways = f"/report {version}, /promote {version} or /discard {version}" if may_decide else f"/report {version}"
    return f"v{version} waits for an admin: {ways}."


def asked_by(by: str) -> str:
    return "in the exam" if by == "exam" else "in a cross-validation"


def turned(parent: int, old: float, new: float, fixed: int, broken: int) -> str:
    """A version beside the one before it: 3 points more than v11: 5 photos came right, 2 went wrong."""
    points = round(100 * (old - new))
    more = f"{number(abs(points), 'point')} {'more' if points > 0 else 'less'} than" if points else "As good as"
    return f"{more} v{parent}: {number(fixed, 'photo')} came right, {broken} went wrong."


def calibration(ece: float, by_chance: float) -> str:
    """How far the probabilities may be trusted, worded for everybody."""
    off = f"{max(ece, 0.001) * 100:.1f}".removesuffix(".0")
    if ece <= 1.5 * by_chance:
        return f"It is as sure as it is right, as far as the exam can tell (off by {off} %)."
    return f"It is off by {off} % when it says how sure it is; chance alone would make it {by_chance * 100:.1f} %."


# Alerts, told to admins in private; docs/running.md says of each what to do.

WITHOUT = {
    "worker": "Photos wait until one works again.",
    "trainer": "Nothing is learnt until one works again.",
    "scheduler": "Trainings that are due don't begin, or the broker does not carry what it rings.",
}
TROUBLE = {
    "conflict": "Another program polls with the same token, and takes the photos away from me. Stop one of the two.",
    "away": "It can't be reached, or refuses me. The log says more.",
    "off": "It refuses what I was given, and stays off until the bot is started again. The log says what to mend.",
}


def alert(kind: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    """What does not work, and what that means, for an admin."""
    name = kind.partition(":")[0]
    place, service = str(facts.get("platform", "")).capitalize(), str(facts.get("service", ""))
    if name == "late":
        waiting = number(facts["photos"], "photo")
        return "Answers have stopped", f"{waiting} on {place} waited for more than two minutes. They are safe."
    if name == "unsent":
        return f"{place} does not take my answers", f"{number(facts['answers'], 'answer')} could not be sent so far."
    if name == "failing":
        return "Photos fail", f"{number(facts['photos'], 'photo')} on {place} could not be looked at in ten minutes."
    if name == "training":
        what = "A refit" if facts["training"] == "refit" else "A full training"
        return f"{what} failed", f"It was run {facts['run']}. The model of before goes on answering."
    if name == "silent":
        return f"No {service} works", WITHOUT.get(service, "")
    if name == "disk":
        return "The disk is nearly full", f"{facts['free_mb']} MB are free. With none left, no photo can be taken in."
    if name == "errors":
        return "Errors pile up", f"The {service} logged {number(facts['errors'], 'error')} in ten minutes."
    if name == "platform":
        return f"{place} does not work", TROUBLE.get(str(facts.get("trouble")), TROUBLE["away"])
    return "Something does not work", f"The log calls it {kind}."


def is_over(title: str) -> str:
    return f"Over: {title[:1].lower()}{title[1:]}"


def it_took(seconds: float) -> str:
    """How long something lasted, roughly."""
    if seconds < 90:
        return f"It lasted {number(max(1, round(seconds)), 'second')}."
    if seconds < 5400:
        return f"It lasted {number(round(seconds / 60), 'minute')}."
    return f"It lasted {number(round(seconds / 3600), 'hour')}."


# Admins.

OWNERS_ONLY = "Only those whom SNAPLABEL_ADMINS names can do that: this chat's admins have rights over its model alone."
NOT_OVER_ADMINS = "That is an admin too: only those whom SNAPLABEL_ADMINS names can take back what admins said."
NO_ROLES_HERE = "That is for groups whose platform knows who manages them. Here, I know my admins already."
NO_ACTS = "No admin has done anything yet that is written down."
ROLES_HELP = (
    "/roles on: whoever manages this chat on its platform may train, publish, review and name labels here, as long as "
    "they manage it. /roles off: only those whom SNAPLABEL_ADMINS names."
)
ROLES_OFF = "Only those whom SNAPLABEL_ADMINS names are admins here. What others decided so far stays; /acts lists it."


def roles_are(on: bool) -> str:
    return "This chat's own admins count" if on else "This chat's own admins don't count"


def roles_mean(classifier: str) -> str:
    """What it means that a chat's own admins count."""
    return (
        f"Whoever manages this chat may train, publish, review and name labels of “{classifier}”, and what they say of "
        "a photo counts at once. I ask the platform each time. They can't switch this chat to another classifier, "
        "trust other chats, or take back what an admin said."
    )


def rebound(trusts_roles: bool) -> str:
    """What else is new after a chat was switched to another classifier."""
    return " This chat's own admins are its admins now; /roles off ends that." if trusts_roles else ""


def act(when: datetime, who: str, what: str, is_undone: bool) -> str:
    return f"{when.astimezone():%d %b %H:%M}  {who}: {what}" + (", undone" if is_undone else "")


# Forgetting.


def forget_question(photos: int, corrections: int) -> str:
    if not photos and not corrections:
        return "I keep no photos and no corrections of yours, only that you wrote to me. Erase that for good?"
    return f"I have {mine(photos, corrections)} of yours. Erase them, and that you wrote to me, for good?"


def forgotten(photos: int, corrections: int, versions: Sequence[int]) -> str:
    """What was erased, and which versions of the model had learnt from it."""
    text = f"{mine(photos, corrections)} are erased, and your name and posts."
    if versions:
        text += (
            f" They had taught {', '.join(f'v{n}' for n in versions[-8:])}; I'm refitting without them, and the next "
            "full training will not know them. Backups are not in my reach."
        )
    return text


# What is easily done by mistake.

NOT_THE_IMPORT = (
    "These are the labels of everything that was imported, and no corrections. Only the command line takes them back: "
    "`snaplabel revert local:import --yes`."
)
ROLLED_BACK = (
    "It answers from now on, until the next training publishes a version that has learnt what was said since. "
    "/models lists all versions."
)


# Captions.


def command_in_caption(command: str) -> str:
    return f"Your photo is in, but I read no commands in captions: send {command} in a message of its own."
