"""Everything that is asked of the database, by the product's own functions: what people wait for, and what nobody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from scale_house import PLATFORMS, House
from sqlalchemy.orm import Session

from bot import conversation, delivery, measuring, reception, rights
from bot.platforms.discord import adapter as discord
from bot.platforms.telegram import traces
from snaplabel import trainings
from snaplabel.tables import Chat, Message
from worker import classify

SOME = 200
FEW = 10


@dataclass(frozen=True)
class Question:
    """One thing that is asked. who waits for it: "chat", "page", "worker", or "" nobody.

    prepare: makes what `ask` needs, and is not measured. times: how often it is asked.
    """

    name: str
    who: str
    prepare: Callable[[House], Any]
    ask: Callable[[House, Any], Any]
    times: int = SOME


def reading(query: Callable[..., Any], *args: Any) -> Callable[[House, Any], Any]:
    """A query on a session, with what was prepared as its arguments."""

    def ask(house: House, prepared: Any) -> Any:
        with house.database.read() as session:
            return query(session, *args, *(prepared if isinstance(prepared, tuple) else (prepared,)))

    return ask


def writing(change: Callable[[Session, House, Any], Any]) -> Callable[[House, Any], Any]:
    def ask(house: House, prepared: Any) -> Any:
        with house.database.begin() as session:
            return change(session, house, prepared)

    return ask


def nothing(_: House) -> tuple[()]:
    return ()


def _command(name: str, words: str, *, times: int = SOME, **where: Any) -> Question:
    return Question(name, "chat", lambda house: house.command(words, **where), House.handle, times)


def _reply(house: House, name: str, *, by: str, taught: bool | None = None) -> int:
    """Somebody replies to a photo's answer with a label of its classifier."""
    post = house.pick(taught=taught)
    number = house.random.randrange(40)
    words = f"label {post.classifier_id} {number}" if name == "any" else name
    return house.written(house.says(post, "text", by=by, text=words, reply_to=post.answer))


def _same(house: House) -> int:
    """Somebody else says what the label already is."""
    post = house.pick(taught=True)
    place = ((post.label_id or 1) - 1) % 60
    words = f"label {post.classifier_id} {place}"
    return house.written(house.says(post, "text", by="other", text=words, reply_to=post.answer))


def _press(verb: str, *, by: str = "other", taught: bool | None = None) -> Callable[[House], int]:
    def prepare(house: House) -> int:
        post = house.pick(taught=taught)
        label = (post.classifier_id - 1) * 60 + 1 + house.random.randrange(40)
        data = {"as": f"as:{post.id}:{label}", "else": f"else:{post.id}:1"}.get(verb, f"{verb}:{post.id}")
        return house.written(house.says(post, "press", by=by, data=data, reply_to=post.answer))

    return prepare


def _classified(house: House) -> int:
    """A photo that the worker has just looked at."""
    photo_id = house.coming()
    classify.classify(house.context, photo_id)
    return photo_id


def _vote(session: Session, house: House, post: Any) -> Any:
    about = session.get_one(Message, post.id)
    return conversation.announce(session, house.settings, about)


def _outgoing(house: House) -> delivery.Outgoing:
    _said(house)
    return delivery.claim(house.database, PLATFORMS)[0]


def _said(house: House) -> None:
    """One answer that a chat should show."""
    house.delivered()
    house.handle(house.command("/help"))


def _doubtful(house: House) -> tuple[str, int]:
    """An answer on Telegram that was being sent when the bot died."""
    number = house.command("/help", platform="telegram")
    house.handle(number)
    with house.database.read() as session:
        message = session.get_one(Message, number)
        return session.get_one(Chat, message.chat_id).platform_id, message.answer_id or 0


def _in_a_minute(house: House) -> list[Any]:
    """Sixteen photos that a worker may look at."""
    return house.turns.take_some(16)


# A post comes in, and what becomes of it.
COMES_IN = (
    Question(
        "a post is written down", "chat", House.photo, lambda house, post: reception.write_down(house.database, [post])
    ),
    Question(
        "a written post is read",
        "chat",
        lambda house: house.written(house.photo()),
        lambda house, number: reception.post_of(house.database, number),
    ),
    Question(
        "may its author's role matter?",
        "chat",
        lambda house: house.says(post := house.pick(private=False), "text", by="other", text="x", reply_to=post.answer),
        lambda house, post: rights.is_role_needed(house.database, house.settings, post),
    ),
    Question(
        "a new photo is taken in",
        "chat",
        lambda house: (house.written(house.photo()), house.picture()),
        lambda house, asked: house.handle(*asked),
    ),
    Question(
        "a photo with a caption that teaches",
        "chat",
        lambda house: (
            house.written(house.says(post := house.pick(), "photo", by="other", text=f"#label {post.classifier_id} 7")),
            house.picture(),
        ),
        lambda house, asked: house.handle(*asked),
    ),
    Question("whose turn is it? 16 photos claimed", "worker", nothing, lambda house, _: _in_a_minute(house)),
    Question(
        "the current model, looked up", "worker", lambda house: house.pick().classifier_id, reading(trainings.active)
    ),
    Question(
        "a prediction is written",
        "worker",
        House.coming,
        lambda house, number: classify.classify(house.context, number),
    ),
    Question(
        "an answer is composed",
        "chat",
        _classified,
        lambda house, _: delivery.compose(house.database, house.settings, PLATFORMS),
    ),
    Question(
        "nothing to compose",
        "chat",
        lambda house: house.quiet(),
        lambda house, _: delivery.compose(house.database, house.settings, PLATFORMS),
    ),
    Question("an answer is claimed", "chat", _said, lambda house, _: delivery.claim(house.database, PLATFORMS)),
    Question(
        "nothing to claim",
        "chat",
        lambda house: house.delivered(),
        lambda house, _: delivery.claim(house.database, PLATFORMS),
    ),
    Question(
        "an answer's number is noted",
        "chat",
        _outgoing,
        lambda house, out: delivery.sent(house.database, out, f"y{out.id}"),
    ),
    Question(
        "its time is measured", "chat", _outgoing, lambda house, out: measuring.Measuring(house.database).shown(out)
    ),
    Question("an answer is drawn anew", "chat", House.pick, writing(_vote)),
    Question(
        "a doubtful send: where can it be?",
        "chat",
        _doubtful,
        lambda house, asked: traces.candidates(house.database, *asked),
    ),
    Question(
        "a doubtful send on Discord",
        "chat",
        lambda house: house.pick(platform="discord"),
        lambda house, post: discord._ours(house.database, post.chat),
    ),
    Question(
        "a chat's mark is read and moved",
        "chat",
        lambda house: house.pick(platform="discord"),
        lambda house, post: (
            reception.newest_seen(house.database, post.platform, post.chat),
            reception.mark_seen(house.database, post.platform, post.chat, str(house.random.randrange(10**6))),
        ),
    ),
)
# People say what photos show.
CORRECTS = (
    Question("an admin corrects", "chat", lambda house: _reply(house, "any", by="owner"), House.handle),
    Question(
        "somebody corrects an unlabelled photo",
        "chat",
        lambda house: _reply(house, "any", by="other", taught=False),
        House.handle,
    ),
    Question("somebody agrees", "chat", _same, House.handle),
    Question("somebody disagrees", "chat", lambda house: _reply(house, "any", by="other", taught=True), House.handle),
    Question(
        "a reply with an unknown name", "chat", lambda house: _reply(house, "something new", by="other"), House.handle
    ),
    Question("a press: this label", "chat", _press("as"), House.handle),
    Question("a press: take back", "chat", _press("undo", by="", taught=True), House.handle),
    Question("a press: all labels", "chat", _press("else"), House.handle),
    Question("a press: back", "chat", _press("back"), House.handle),
    Question(
        "small talk",
        "chat",
        lambda house: house.written(house.says(house.pick(), "text", by="other", text="nice", reply_to="1")),
        House.handle,
    ),
)
COMMANDS = (
    *(
        _command(f"/{name}", f"/{name}")
        for name in ("help", "labels", "stats", "status", "models", "report", "review", "acts")
    ),
    *(_command(f"/{name}", f"/{name}") for name in ("people", "label", "use", "rollback", "forget")),
    _command("/labels by somebody", "/labels", by="other"),
    _command("/report 40", "/report 40"),
    _command("/report of no version", "/report 999999"),
    _command("/label alias", "/label alias label 1 3 = third one"),
    _command("/label merge", "/label merge label 1 3 = label 1 4"),
    _command("/roles on", "/roles on", private=False),
    _command("/retrain full", "/retrain full"),
    _command("/cancel", "/cancel"),
    Question(
        "/revert somebody",
        "chat",
        lambda house: house.command(f"/revert {(post := house.pick(taught=True)).platform}:{post.person}"),
        House.handle,
    ),
)
