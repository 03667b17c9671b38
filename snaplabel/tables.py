"""The tables. Rooms meet here: the bot writes messages, the worker predictions, the trainer models."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TextClause,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from snaplabel.database import Base, now

# Message: received (written down, nothing done yet) → waiting (photo stored, in the queue) → classified (the worker has
# looked) → answered. What is no photo goes received → answered. failed: its sender was told why. gone: erased.
MessageState = Literal["received", "waiting", "classified", "answered", "failed", "gone"]
# Answer: open while its content may change, gone when the platform says for good that it can't be shown.
AnswerState = Literal["open", "gone"]
RunState = Literal["queued", "running", "done", "failed", "cancelled"]
ModelState = Literal["candidate", "current", "retired", "discarded"]
Split = Literal["lesson", "exam"]
RunKind = Literal["refit", "fine_tune"]

Id = BigInteger().with_variant(Integer, "sqlite")
ACTIVE = text("state IN ('queued', 'running')")
ON_THE_WAY = text("state IN ('received', 'waiting', 'classified')")
CURRENT = text("state = 'current'")
# Photos of a label that can be learnt from, and photos that can't be read.
LESSONS = text("label_id IS NOT NULL AND unreadable IS NULL AND removed_at IS NULL")
UNREADABLE = text("unreadable IS NOT NULL")


def _where(name: str, *columns: str, only: TextClause) -> Index:
    """An index of some rows only: small, and cheap for all the others."""
    return Index(name, *columns, sqlite_where=only, postgresql_where=only)


class Classifier(Base):
    """One thing that is learnt: its labels, photos, models and exam belong to it alone."""

    __tablename__ = "classifier"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Label(Base):
    """One possible answer. `key` is what two spellings of it share (`labels.key`).

    merged_into_id: where its photos went; such a label is archived, and votes for it count for the other one.
    """

    __tablename__ = "label"
    __table_args__ = (UniqueConstraint("classifier_id", "key"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    name: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    archived_at: Mapped[datetime | None]
    merged_into_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))


class Alias(Base):
    """Another name by which people call a label. No label of the classifier in use has the same `key`."""

    __tablename__ = "alias"
    __table_args__ = (UniqueConstraint("classifier_id", "key"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"), index=True)
    name: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Person(Base):
    """Somebody on one platform. The name is what the platform shows; it thanks people and is gone with `forget`."""

    __tablename__ = "person"
    __table_args__ = (UniqueConstraint("platform", "platform_id"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    platform: Mapped[str] = mapped_column(String(32))
    platform_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class Chat(Base):
    """A place where people talk, bound to one classifier."""

    __tablename__ = "chat"
    __table_args__ = (UniqueConstraint("platform", "platform_id"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    platform: Mapped[str] = mapped_column(String(32))
    platform_id: Mapped[str] = mapped_column(String(64))
    is_private: Mapped[bool] = mapped_column(default=False)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    created_at: Mapped[datetime] = mapped_column(default=now)
    # The platform's own admins of this chat are admins here too; only a listed admin switches that on.
    trusts_roles: Mapped[bool] = mapped_column(default=False, server_default=false())
    # Where a platform is read by history (Discord): the newest message that was written down.
    seen_message_id: Mapped[str | None] = mapped_column(String(64))


class Photo(Base):
    """One picture of one classifier, addressed by the sha256 of the bytes in the store.

    group_id: the first photo of its group (near-duplicates, album, burst); a group shares one split. What is a lesson
    stays one; an exam photo becomes one when its label has none.
    phash: 64-bit perceptual hash, signed; band0..3 are its four 16-bit parts, indexed, to find near ones.
    label_id: the label accepted so far; None until somebody said it. labelled_at: when that, or `removed_at`, last
    changed.
    """

    __tablename__ = "photo"
    __table_args__ = (
        UniqueConstraint("classifier_id", "sha256"),
        Index("ix_photo_label", "classifier_id", "label_id"),
        # Counted per label and side, hundreds of thousands of them, from the index alone.
        _where("ix_photo_lessons", "classifier_id", "label_id", "split", only=LESSONS),
        _where("ix_photo_unreadable", "classifier_id", only=UNREADABLE),
        *(Index(f"ix_photo_band{n}", "classifier_id", f"band{n}") for n in range(4)),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    phash: Mapped[int] = mapped_column(BigInteger)
    band0: Mapped[int]
    band1: Mapped[int]
    band2: Mapped[int]
    band3: Mapped[int]
    colours: Mapped[bytes] = mapped_column(LargeBinary(48))
    width: Mapped[int]
    height: Mapped[int]
    group_id: Mapped[int | None] = mapped_column(Id, index=True)
    split: Mapped[str] = mapped_column(String(8))
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    labelled_at: Mapped[datetime | None] = mapped_column(index=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    unreadable: Mapped[str | None] = mapped_column(String(200))
    # A reviewer took it out of lessons and exam; it and its label stay, so that this can be undone.
    removed_at: Mapped[datetime | None]
    # Its picture was erased because it had been kept for as long as the settings allow.
    expired_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Answer(Base):
    """What a chat should show: the bot makes it so, and edits it whenever `revision` moves past `shown`.

    One row is one visible message for ever. Writing here is how anything is said: a crash between writing and
    sending loses nothing, and a second revision written before the first left replaces it.
    content: a `Reply` as JSON. platform_id: the message's id once it was sent.
    """

    __tablename__ = "answer"
    __table_args__ = (
        Index(
            "ix_answer_unshown",
            "platform",
            "not_before",
            sqlite_where=text("shown < revision AND state = 'open'"),
            postgresql_where=text("shown < revision AND state = 'open'"),
        ),
        Index("ix_answer_message", "chat_id", "platform_id"),
        Index("ix_answer_chat", "chat_id", "created_at"),
        UniqueConstraint("chat_id", "album"),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    platform: Mapped[str] = mapped_column(String(32))
    chat_id: Mapped[int] = mapped_column(ForeignKey("chat.id"))
    reply_to: Mapped[str | None] = mapped_column(String(300))
    album: Mapped[str | None] = mapped_column(String(64))
    content: Mapped[dict[str, Any]] = mapped_column(default=dict)
    revision: Mapped[int] = mapped_column(default=0)
    shown: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(8), default="open")
    platform_id: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime] = mapped_column(default=now)
    claimed_until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Message(Base):
    """One incoming post (a photo of an album is one), written down before the platform hears that we have it.

    payload: the `Incoming` as JSON, emptied once it is handled.
    draft: a label that was named and awaits a yes ("make a new label?").
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("platform", "chat_id", "platform_id", "position"),
        Index("ix_message_state", "platform", "state"),
        Index("ix_message_album", "chat_id", "album"),
        # What a chat said last; and the few of all posts that are on their way, whatever their platform.
        Index("ix_message_chat", "chat_id", "received_at"),
        _where("ix_message_on_the_way", "state", "received_at", only=ON_THE_WAY),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    platform: Mapped[str] = mapped_column(String(32))
    chat_id: Mapped[int] = mapped_column(ForeignKey("chat.id"))
    platform_id: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(default=0)
    album: Mapped[str | None] = mapped_column(String(64))
    person_id: Mapped[int] = mapped_column(ForeignKey("person.id"), index=True)
    payload: Mapped[dict[str, Any] | None]
    state: Mapped[str] = mapped_column(String(12), default="received")
    attempts: Mapped[int] = mapped_column(default=0)
    failure: Mapped[str | None] = mapped_column(String(200))
    draft: Mapped[str | None] = mapped_column(String(64))
    photo_id: Mapped[int | None] = mapped_column(ForeignKey("photo.id"), index=True)
    answer_id: Mapped[int | None] = mapped_column(ForeignKey("answer.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(default=now)
    queued_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]


class Embedding(Base):
    """A photo as the backbone sees it: float16 bytes. `backbone` is the backbone's version."""

    __tablename__ = "embedding"
    photo_id: Mapped[int] = mapped_column(ForeignKey("photo.id", ondelete="CASCADE"), primary_key=True)
    backbone: Mapped[str] = mapped_column(String(80), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class Model(Base):
    """A version of a classifier's model. Its head lies in the store beside its card; exactly one version is current.

    published_at: when it last became the current one, or another was published in its place; a rollback goes back in
    this order. None: never, or a rollback left it behind.
    """

    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("classifier_id", "version"),
        Index("uq_model_current", "classifier_id", unique=True, sqlite_where=CURRENT, postgresql_where=CURRENT),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    version: Mapped[int]
    kind: Mapped[str] = mapped_column(String(12))
    backbone: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(12), default="candidate")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"))
    key: Mapped[str] = mapped_column(String(200))
    card: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    published_at: Mapped[datetime | None]


class Prediction(Base):
    """What one model said about one photo. top: [[label_id, probability], …], most probable first."""

    __tablename__ = "prediction"
    __table_args__ = (UniqueConstraint("photo_id", "model_id"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photo.id"))
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    top: Mapped[list[Any]]
    voice: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Correction(Base):
    """One person's vote on one photo's label; a changed mind changes the row, taking it back sets taken_back_at."""

    __tablename__ = "correction"
    __table_args__ = (
        UniqueConstraint("photo_id", "person_id"),
        Index("ix_correction_changed", "changed_at"),
        # Whose words others are measured by.
        _where("ix_correction_admins", "photo_id", "changed_at", only=text("by_admin AND taken_back_at IS NULL")),
        _where("ix_correction_taken_back", "taken_back_at", only=text("taken_back_at IS NOT NULL")),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    photo_id: Mapped[int] = mapped_column(ForeignKey("photo.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"))
    by_admin: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    taken_back_at: Mapped[datetime | None]


class Suspect(Base):
    """A photo that somebody should look at, as the newest training saw it; each training replaces its classifier's.

    kind: "mislabelled" (other photos say another label), "unlike" (far from its own label), "twins" (a near-duplicate
    has another label) or "empty" (nearly one colour). score: 0 to 1, the higher the sooner it should be looked at.
    suggested_id: the label it looks like. other_photo_id: its twin.
    """

    __tablename__ = "suspect"
    __table_args__ = (UniqueConstraint("photo_id"), Index("ix_suspect_score", "classifier_id", "score"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    photo_id: Mapped[int] = mapped_column(ForeignKey("photo.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(12))
    score: Mapped[float]
    suggested_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    other_photo_id: Mapped[int | None] = mapped_column(ForeignKey("photo.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Act(Base):
    """Something that an admin did, never changed afterwards but for undone_at.

    person_id None: from the command line. verb: one of `acts.VERBS`. facts: what it was before and after, as ids and
    plain numbers, enough to undo it; no names of people and no texts of theirs.
    """

    __tablename__ = "act"
    __table_args__ = (Index("ix_act_photo", "photo_id"), Index("ix_act_classifier", "classifier_id", "id"))
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int | None] = mapped_column(ForeignKey("classifier.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"), index=True)
    verb: Mapped[str] = mapped_column(String(16))
    photo_id: Mapped[int | None] = mapped_column(ForeignKey("photo.id", ondelete="CASCADE"))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    undone_at: Mapped[datetime | None]


class Alert(Base):
    """Something that admins should know of: from its beginning to its end; one of a kind at a time.

    told_at: when it was said in their chats. facts: plain numbers and names of parts, never of people.
    """

    __tablename__ = "alert"
    __table_args__ = (
        Index(
            "uq_alert_kind",
            "kind",
            unique=True,
            sqlite_where=text("over_at IS NULL"),
            postgresql_where=text("over_at IS NULL"),
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    since: Mapped[datetime] = mapped_column(default=now)
    told_at: Mapped[datetime | None]
    over_at: Mapped[datetime | None]


class TrainingRun(Base):
    """One training, asked for or by itself. At most one of a kind per classifier is queued or running."""

    __tablename__ = "training_run"
    __table_args__ = (
        Index(
            "uq_training_run_active", "classifier_id", "kind", unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE
        ),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classifier_id: Mapped[int] = mapped_column(ForeignKey("classifier.id"))
    kind: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(12), default="queued")
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    answer_id: Mapped[int | None] = mapped_column(ForeignKey("answer.id"))
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cancel_asked: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    model_id: Mapped[int | None] = mapped_column(ForeignKey("model.id"), index=True)
    failure: Mapped[str | None] = mapped_column(Text)
    picture: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    beat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TrainingPhoto(Base):
    """A photo was in the training data, with this label, from one model version to another.

    last_version None: it still is. A refit writes only what changed since the version before, so that refitting after
    every correction costs a few rows and not one per photo.
    """

    __tablename__ = "training_photo"
    photo_id: Mapped[int] = mapped_column(ForeignKey("photo.id"), primary_key=True)
    first_version: Mapped[int] = mapped_column(primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"))
    last_version: Mapped[int | None] = mapped_column(index=True)
