"""What a pressed button does: those under a photo here, the others in `commands`."""

from bot import commands, looks, words
from bot.conversation import Talk, album, announce, draft_mark, ids_of, show_under, vote
from bot.messages import Choice, Reply
from snaplabel import corrections, naming
from snaplabel.tables import Label, Message, Photo


def run(talk: Talk) -> None:
    """A button was pressed. Its data comes from outside: every id in it is checked to belong to this chat."""
    verb, *numbers = talk.post.data.split(":")
    if verb in commands.PRESSES:
        return commands.PRESSES[verb](talk, numbers)
    ids = ids_of(numbers)
    about = talk.session.get(Message, ids[0]) if ids and len(ids) == len(numbers) else None
    picture = talk.session.get(Photo, about.photo_id) if about is not None and about.photo_id else None
    if about is None or about.chat_id != talk.chat.id or picture is None:
        talk.say(Reply(text=words.OLD_BUTTON))
        return None
    if verb == "as" and len(ids) == 2:
        label = talk.session.get(Label, ids[1])
        if label is None or label.classifier_id != picture.classifier_id or label.archived_at is not None:
            return show_under(talk, about, looks.label_list(talk.session, about, picture.classifier_id, 0))
        vote(talk, picture, label)
        about.draft = None
    elif verb == "new" and about.draft and ids[1:] == [draft_mark(about.draft)]:
        if not talk.may("make a label", of=picture.classifier_id):
            return None
        vote(talk, picture, naming.make(talk.session, picture.classifier_id, about.draft, person_id=talk.person.id))
        about.draft = None
    elif verb == "undo":
        done = corrections.take_back(talk.session, picture, talk.person, votes_needed=talk.settings.votes_needed)
        if done is not None and done.changed:
            talk.rings.append(("train.learn", picture.classifier_id))
        elif done is None:
            talk.say(Reply(text=words.NOT_SAID_BY_YOU))
    elif verb == "else" and len(ids) == 2:
        return show_under(talk, about, looks.label_list(talk.session, about, picture.classifier_id, ids[1]))
    elif verb == "pick" and about.album is not None:
        one = looks.photo(talk.session, talk.settings, about)
        number = [post.id for post in album(talk.session, about)].index(about.id) + 1
        back = (Choice("← Back to the album", f"back:{about.id}"),)
        return show_under(talk, about, Reply(f"Photo {number}: {one.title}", one.text, "", (*one.choices, back)))
    elif verb == "back":
        about.draft = None
    else:
        talk.say(Reply(text=words.OLD_BUTTON))
        return None
    return announce(talk.session, talk.settings, about)
