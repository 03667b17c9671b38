"""/roles and /acts, for admins: whose word counts as one's own here, and who did what when."""

from bot import words
from bot.conversation import Known, Talk
from bot.messages import Command, Reply
from snaplabel import acts
from snaplabel.tables import Classifier

MOST_ACTS = 20
ON_OFF = {"on": True, "off": False}


def _roles(talk: Talk, argument: str) -> None:
    if talk.chat.is_private or talk.post.is_admin:
        talk.say(Reply(text=words.NO_ROLES_HERE))
        return
    wanted = ON_OFF.get(argument.lower())
    if wanted is None:
        talk.say(Reply(words.roles_are(talk.chat.trusts_roles), words.ROLES_HELP))
        return
    if wanted != talk.chat.trusts_roles:
        talk.chat.trusts_roles = wanted
        talk.note("roles", on=int(wanted), chat_id=talk.chat.id)
    classifier = talk.session.get_one(Classifier, talk.classifier_id).name
    talk.say(Reply(words.roles_are(wanted), words.roles_mean(classifier) if wanted else words.ROLES_OFF))


def _acts(talk: Talk, _argument: str) -> None:
    """The latest acts on this chat's classifier, and for the bot's own admins those that concern no classifier too."""
    found = acts.recent(talk.session, talk.classifier_id, MOST_ACTS, with_general=talk.is_owner)
    named = acts.named(talk.session, found)
    lines = [
        words.act(act.created_at, acts.who(talk.session, act), acts.what(talk.session, act), act.undone_at is not None)
        for act in found
    ]
    del named  # Held until now, so that the session asked once for all of them.
    talk.say(Reply("What admins did, newest first", "" if lines else words.NO_ACTS, table="\n".join(lines)))


COMMANDS: tuple[Known, ...] = (
    Known(Command("acts", "what admins did, and when", "admins"), _acts),
    Known(Command("roles", "trust this chat's own admins: on or off", "owners", "change"), _roles),
)
