"""Alerting: tells the admins in private what does not work, once as it begins; that message says when it is over."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from bot import answers, words
from bot.messages import PRIVATE, Platform, Reply
from snaplabel import alerts, people
from snaplabel.database import Database, now
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Chat, Message, Person

log = logging.getLogger(__name__)

# What comes back so soon after its end is told in the message that is there, so that nothing ever storms.
AGAIN = timedelta(minutes=30)
# An end is shown in its message if it is found within this time.
SHOWN_FOR = timedelta(hours=1)
# A platform out of reach is worth an alert only when it stays so; a restart of a bot is a moment with two of them.
TROUBLE_S = 60.0
WELL_AFTER_S = 30.0
EVERY_S = 5.0


class Watch:
    """What one bot process sees of its platforms, its disk and its errors; it looks, and tells the admins.

    since: when it began to look; before SILENT_S have passed it calls nobody silent.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        since: datetime | None = None,
        trouble_s: float = TROUBLE_S,
        well_after_s: float = WELL_AFTER_S,
    ) -> None:
        self._trouble_s, self._well_after_s = trouble_s, well_after_s
        self._database = database
        self._settings = settings
        self._pulse = alerts.Pulse(database, settings, "bot")
        self._since = since or now()
        # Platform → what is the matter with its connection ("away", "off"), and since when anything is.
        self._failing: dict[str, str] = {}
        self._trouble_since: dict[str, float] = {}

    def fails(self, platform: str, trouble: str) -> None:
        """A platform's `run` has ended. trouble: a key of words.TROUBLE."""
        self._failing[platform] = trouble

    @contextlib.contextmanager
    def running(self, platform: str) -> Iterator[None]:
        """While a platform's `run` lasts, which is well once it has lasted for a while."""
        well = asyncio.get_running_loop().call_later(self._well_after_s, self._failing.pop, platform, None)
        try:
            yield
        finally:
            well.cancel()

    def look(self, platforms: Mapping[str, Platform]) -> None:
        """Look for what does not work, begin and end alerts, and tell the admins."""
        self._pulse.beat()
        with self._database.read() as session:
            found = alerts.look(session, tuple(platforms))
        alerts.settle(self._database, {**found, **self._troubles(platforms)})
        _tell(self._database, self._settings, self._since)
        _show(self._database)

    def _troubles(self, platforms: Mapping[str, Platform]) -> dict[str, dict[str, Any] | None]:
        found: dict[str, dict[str, Any] | None] = {}
        for name, platform in platforms.items():
            said = getattr(platform, "trouble", "") or self._failing.get(name, "")
            if not said:
                self._trouble_since.pop(name, None)
            since = self._trouble_since.setdefault(name, time.monotonic()) if said else math.inf
            lasts = time.monotonic() - since >= self._trouble_s
            found[f"platform:{name}"] = {"platform": name, "trouble": said} if lasts else None
        return found


def _tell(database: Database, settings: Settings, since: datetime) -> None:
    """Tell of what was not told of yet; of several bots the one that marks the row does."""
    with database.read() as session:
        untold = session.scalars(select(Alert).where(Alert.over_at.is_(None), Alert.told_at.is_(None))).all()
        news = [row.id for row in untold if not _is_alive(session, row, since)]
    for alert_id in news:
        with database.begin() as session:
            won = session.execute(
                update(Alert)
                .where(Alert.id == alert_id, Alert.told_at.is_(None), Alert.over_at.is_(None))
                .values(told_at=now())
                .execution_options(synchronize_session=False)
            )
            if getattr(won, "rowcount", 0):
                alert = session.get_one(Alert, alert_id, populate_existing=True)
                told = _taken_over(session, alert)
                if told is None:
                    reply = _reply(alert)
                    told = [answers.say(session, chat, reply).id for chat in _chats(session, settings.admins)]
                alert.facts = {**alert.facts, "answers": told}
                log.warning("alert %s: %s", alert.kind, words.alert(alert.kind, alert.facts)[1])


def _is_alive(session: Session, alert: Alert, since: datetime) -> bool:
    """Whether this is the dead man's switch of a service that works."""
    if not alert.kind.startswith("silent:"):
        return False
    seen = alerts.last_seen(session, alert.kind.partition(":")[2])
    return now() - max(since, seen or since) < timedelta(seconds=alerts.SILENT_S)


def _taken_over(session: Session, alert: Alert) -> list[int] | None:
    """The messages in which the same was told a short while ago; they are this alert's from now on."""
    query = select(Alert).where(Alert.kind == alert.kind, Alert.over_at > now() - AGAIN, Alert.told_at.is_not(None))
    before = session.scalar(query.order_by(Alert.id.desc()).limit(1))
    if before is None or "answers" not in before.facts:
        return None
    told: list[int] = before.facts["answers"]
    before.facts = {name: value for name, value in before.facts.items() if name != "answers"}
    return told


def _show(database: Database) -> None:
    """Bring the messages of alerts up to date: they change when one is over, or comes back."""
    recent = or_(Alert.over_at.is_(None), Alert.over_at > now() - SHOWN_FOR)
    with database.read() as session:
        rows = session.scalars(select(Alert).where(Alert.told_at.is_not(None), recent).order_by(Alert.id)).all()
        wanted = [(alert, number, _reply(alert)) for alert in rows for number in alert.facts.get("answers", ())]
        stale = [each for each in wanted if _is_stale(session.get(Answer, each[1]), each[0], each[2])]
    if not stale:
        return
    for kind in {alert.kind for alert, _, _ in stale if alert.over_at is not None}:
        log.info("alert %s is over", kind)
    with database.begin() as session:
        for _, answer_id, reply in stale:
            if (answer := session.get(Answer, answer_id)) is not None:
                answers.show(session, answer, reply)


def _is_stale(answer: Answer | None, alert: Alert, reply: Reply) -> bool:
    """Whether an alert's message must change. SQLite gives an erased one's number to the next, which is not ours."""
    title, _ = words.alert(alert.kind, alert.facts)
    is_ours = answer is not None and answer.content.get("title") in (title, words.is_over(title))
    return is_ours and answers.differs(answer, reply)


def _reply(alert: Alert) -> Reply:
    title, text = words.alert(alert.kind, alert.facts)
    if alert.over_at is not None:
        return Reply(words.is_over(title), words.it_took((alert.over_at - alert.since).total_seconds()), mood="sure")
    return Reply(title, text, mood="error")


def _chats(session: Session, admins: Sequence[str]) -> list[Chat]:
    """Where each admin is told: in the private chat in which they wrote to us, else in one that the platform opens."""
    found = {}
    for admin in admins:
        platform, _, number = admin.partition(":")
        wrote = (
            select(Message.id)
            .join(Person, Person.id == Message.person_id)
            .where(Message.chat_id == Chat.id, Person.platform == platform, Person.platform_id == number)
        )
        chat = session.scalar(select(Chat).where(Chat.is_private, wrote.exists()).order_by(Chat.id.desc()).limit(1))
        chat = chat or people.chat(session, platform, PRIVATE + number, is_private=True)
        found[chat.id] = chat
    return list(found.values())
