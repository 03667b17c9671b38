"""The commands, the same on every platform: their menu, and what each does."""

from sqlalchemy import select

from bot import admins, labelling, leaving, looks, reporting, reviewing, words
from bot.conversation import Known, Press, Talk, command_of, replace, waiting
from bot.messages import Choice, Command, Reply
from snaplabel import labels, people, photos, registry, standing, trainings, voices
from snaplabel.errors import AlreadyTraining, LabelError, ModelError
from snaplabel.registry import Card
from snaplabel.store import Store
from snaplabel.tables import Classifier, TrainingRun

# What may follow /retrain, and the kind of training that it asks for.
TRAININGS = {"": "refit", **dict.fromkeys(("full", "all", "everything"), "fine_tune")}


def run(talk: Talk) -> None:
    """Do what a text beginning with "/" asks for."""
    name, _, argument = talk.post.text[1:].strip().partition(" ")
    known = KNOWN.get(name.lower().split("@")[0])
    if known is None:
        if talk.post.is_private:
            talk.say(Reply(text=words.UNKNOWN_COMMAND))
    elif known.command.who == "everyone" or talk.may(f"/{known.command.name}", as_owner=known.command.who == "owners"):
        known.run(talk, argument.strip())


def _help(talk: Talk, _argument: str) -> None:
    allowed = ("everyone", *(("admins",) if talk.is_admin else ()), *(("owners",) if talk.is_owner else ()))
    lines = [
        f"/{known.command.name:<9} {known.command.sentence}"
        for known in KNOWN.values()
        if known.command.who in allowed and known.command.name != "start"
    ]
    who = f"\n\n{words.you_are(talk.post.platform, talk.post.person)}" if talk.post.is_private else ""
    talk.say(Reply("I learn what your photos show", words.HELP + who, table="\n".join(lines)))


def _labels(talk: Talk, _argument: str) -> None:
    rows = labels.counts(talk.session, talk.classifier_id)
    if not rows:
        how = "An admin makes one by replying to a photo with its name, or with #name as caption."
        talk.say(Reply("No labels yet", how))
        return
    most = max(row.photos for row in rows) or 1
    width = max(len(row.label.name) for row in rows)
    lines = [f"{row.label.name:<{width}} {row.photos:>4} {words.block(row.photos / most)}" for row in rows]
    few = [row.label.name for row in rows if row.photos < 5]
    text = f"I'd like a few more photos of {voices.either(few[:3]).replace(' or ', ' and ')}." if few else ""
    offered, buttons = labelling.offers(talk, rows) if talk.is_admin else ("", ())
    talk.say(Reply(words.number(len(rows), "label"), f"{text}\n{offered}".strip(), "\n".join(lines), buttons))


def _stats(talk: Talk, _argument: str) -> None:
    there = photos.totals(talk.session, talk.classifier_id)
    best = standing.best(talk.session, talk.classifier_id)
    text = f"{words.number(there.photos, 'photo')}, {there.labelled} with a label."
    if any(name for name, _ in best):
        text += "\nBest teachers: " + ", ".join(f"{name or 'somebody'} {count}" for name, count in best) + "."
    talk.say(Reply("What I've seen", text))


def _status(talk: Talk, _argument: str) -> None:
    session, classifier_id = talk.session, talk.classifier_id
    model = registry.current(session, classifier_id)
    lines = []
    title = "Getting ready"
    if model is not None:
        card = Card.from_json(model.card)
        exam = card.exam
        title = f"v{model.version}, {words.number(len(card.labels), 'label')}" if card.labels else "Nothing learnt yet"
        if card.labels:
            lines.append("Exam: " + words.score(exam.error, exam.low, exam.high, exam.photos, exam.by) + ".")
            is_proven = card.sure_at <= 1
            on = f"from {voices.percent(card.sure_at)} on" if is_proven else "of nothing yet: too little is proven"
            lines.append(f"I say “quite sure” {on}.")
    queue = waiting(session, classifier_id)
    lines.append(words.queue(queue))
    running = trainings.active(session, classifier_id)
    kinds = (trainings.latest(session, classifier_id, kind) for kind in ("refit", "fine_tune"))
    over = [(run.finished_at, run) for run in kinds if run is not None and run.finished_at is not None]
    if running is not None:
        lines.append(looks.training(running.state, running.kind, running.progress, None, None).plain())
    elif over:
        # A full training may take hours, and refits that were asked for later end before it.
        when, last = max(over, key=lambda pair: pair[0])
        lines.append(f"Last training: {when.astimezone():%d %b %H:%M}, {last.progress.get('verdict') or 'done'}")
    candidate = reporting.waiting(session, classifier_id)
    if candidate is not None:
        lines.append(words.waits(candidate.version, may_decide=talk.is_admin))
    more = trainings.until_fine_tune(session, classifier_id, talk.settings.fine_tune_after)
    if more:
        lines.append(f"{words.number(more, 'more label')} and I retrain from the ground up.")
    talk.say(Reply(title, "\n".join(lines)))


def _retrain(talk: Talk, argument: str) -> None:
    kind = TRAININGS.get(argument.lower())
    if kind is None:
        talk.say(Reply(text=words.WHICH_TRAINING, mood="error"))
        return
    try:
        run = trainings.ask(talk.session, talk.classifier_id, kind, "command", person_id=talk.person.id)
    except AlreadyTraining:
        talk.say(Reply(text=words.ALREADY_TRAINING))
        return
    run.answer_id = talk.say(looks.training("queued", kind, {}, None, None)).id
    talk.note("retrain", run_id=run.id, kind=kind)
    talk.rings.append(("train.run", run.id))


def _models(talk: Talk, _argument: str) -> None:
    versions = registry.versions(talk.session, talk.classifier_id, 15)
    if not versions:
        talk.say(Reply("No models yet", "The first one comes with the first two labels."))
        return
    table = "\n".join(map(looks.model_line, versions))
    talk.say(Reply("Models, newest first", "● answers now   ○ waits for an admin", table))


def _rollback(talk: Talk, argument: str) -> None:
    wanted = argument.lower().removeprefix("v")
    if wanted and not wanted.isdecimal():
        talk.say(Reply(text="Write /rollback, or /rollback 3 for a certain version.", mood="error"))
        return
    try:
        model = registry.rollback(
            talk.session, talk.classifier_id, int(wanted[:9]) if wanted else None, Store(talk.settings.store)
        )
    except ModelError as error:
        talk.say(Reply(text=str(error), mood="error"))
        return
    talk.note("rollback", version=model.version)
    talk.say(Reply(f"Back to v{model.version}", words.ROLLED_BACK, mood="sure"))


def _cancel(talk: Talk, _argument: str) -> None:
    run = trainings.cancel(talk.session, talk.classifier_id)
    if run is not None:
        talk.note("cancel", run_id=run.id)
    talk.say(Reply(text="Stopping the training…" if run is not None else words.NOTHING_TO_CANCEL))


def _use(talk: Talk, argument: str) -> None:
    session = talk.session
    if not argument:
        names = [one.name for one in session.scalars(select(Classifier).order_by(Classifier.name))]
        here = session.get(Classifier, talk.classifier_id)
        text = f"There are: {', '.join(names)}. /use NAME switches, and makes a new one when I don't know the name."
        talk.say(Reply(f"This chat uses “{here.name if here else '?'}”", text))
        return
    try:
        name = labels.clean(argument)
    except LabelError:
        talk.say(Reply(text="A classifier's name needs at least one letter and at most 40.", mood="error"))
        return
    found = people.classifier(session, name)
    if found is None:
        talk.message.draft = name
        yes = Choice(f"Make the classifier “{name}”", f"classifier:{talk.message.id}", "good")
        talk.say(Reply(text=f"I have no classifier “{name}” yet. Make a new one?", choices=((yes,),)))
        return
    talk.chat.classifier_id = found.id
    talk.note("use", chat_id=talk.chat.id)
    text = "Its labels, photos and models are its own." + words.rebound(talk.chat.trusts_roles)
    talk.say(Reply(f"This chat now uses “{found.name}”", text))


def _make_classifier(talk: Talk, numbers: list[str]) -> None:
    asked = command_of(talk, numbers)
    if asked is None or not asked.draft or not talk.may("make a classifier", as_owner=True):
        return
    made = people.make_classifier(talk.session, asked.draft)
    talk.chat.classifier_id = made.id
    asked.draft = None
    talk.note("new classifier", chat_id=talk.chat.id)
    talk.rings.append(("train.prepare", made.id))
    how = "Send photos and reply with their labels to teach it." + words.rebound(talk.chat.trusts_roles)
    replace(talk, asked, Reply(f"This chat now uses “{made.name}”", how))


def _promote(talk: Talk, argument: str) -> None:
    _decide(talk, argument, publish=True)


def _discard(talk: Talk, argument: str) -> None:
    _decide(talk, argument, publish=False)


def _decide(talk: Talk, argument: str, *, publish: bool) -> None:
    number = argument.lower().removeprefix("v")
    if not talk.may("publish" if publish else "discard"):
        return
    try:
        if not number.isdecimal():
            raise ModelError("Say which version: /models lists them.")
        here, version = talk.classifier_id, int(number[:9])
        if publish:
            model = registry.promote(talk.session, here, version, Store(talk.settings.store))
            talk.note("promote", version=model.version)
            talk.say(Reply(f"v{model.version} is live", "An admin published it.", mood="sure"))
        else:
            model = registry.discard(talk.session, here, version)
            talk.note("discard", version=model.version)
            talk.say(Reply(f"v{model.version} is put aside", "/models still lists it.", mood="unknown"))
    except ModelError as error:
        talk.say(Reply(text=str(error), mood="error"))


def training_reply(run: TrainingRun) -> Reply:
    """What the chat that asked for this training sees of it now."""
    return looks.training(run.state, run.kind, run.progress, run.failure, run.picture)


PRESSES: dict[str, Press] = {
    **labelling.PRESSES,
    **leaving.PRESSES,
    **reviewing.PRESSES,
    "classifier": _make_classifier,
    "promote": lambda talk, numbers: _promote(talk, "".join(numbers)),
    "discard": lambda talk, numbers: _discard(talk, "".join(numbers)),
}

KNOWN: dict[str, Known] = {
    known.command.name: known
    for known in (
        Known(Command("start", "what this is"), _help),
        Known(Command("help", "what I can do"), _help),
        Known(Command("labels", "all labels and their photos"), _labels),
        Known(Command("stats", "photos and teachers"), _stats),
        Known(Command("status", "model, exam score, queue, training"), _status),
        Known(Command("models", "all versions"), _models),
        *reporting.COMMANDS,
        *leaving.COMMANDS,
        Known(Command("retrain", "train now; “full” for the whole network", "admins", "full"), _retrain),
        Known(Command("cancel", "stop the training", "admins"), _cancel),
        Known(Command("rollback", "back to an earlier version", "admins", "version"), _rollback),
        Known(Command("promote", "publish a waiting version", "admins", "version"), _promote),
        Known(Command("discard", "put a waiting version aside", "admins", "version"), _discard),
        Known(Command("use", "bind this chat to a classifier", "owners", "name"), _use),
        *admins.COMMANDS,
        *reviewing.COMMANDS,
        *labelling.COMMANDS,
    )
}

MENU: tuple[Command, ...] = tuple(known.command for known in KNOWN.values())
