"""Every table.

Revision: 0001, after nothing.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "classifier",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_classifier")),
        sa.UniqueConstraint("name", name=op.f("uq_classifier_name")),
    )
    op.create_table(
        "person",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform", sa.String(length=32), nullable=False),
        sa.Column("platform_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("platform", "platform_id", name=op.f("uq_person_platform_platform_id")),
    )
    op.create_table(
        "chat",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform", sa.String(length=32), nullable=False),
        sa.Column("platform_id", sa.String(length=64), nullable=False),
        sa.Column("is_private", sa.Boolean(), nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_message_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_chat_classifier_id_classifier")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chat")),
        sa.UniqueConstraint("platform", "platform_id", name=op.f("uq_chat_platform_platform_id")),
    )
    op.create_table(
        "label",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_label_classifier_id_classifier")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("classifier_id", "key", name=op.f("uq_label_classifier_id_key")),
    )
    op.create_table(
        "model",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("backbone", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("parent_id", ID, nullable=True),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_model_classifier_id_classifier")),
        sa.ForeignKeyConstraint(["parent_id"], ["model.id"], name=op.f("fk_model_parent_id_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("classifier_id", "version", name=op.f("uq_model_classifier_id_version")),
    )
    op.create_index(
        "uq_model_current",
        "model",
        ["classifier_id"],
        unique=True,
        sqlite_where=sa.text("state = 'current'"),
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "answer",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform", sa.String(length=32), nullable=False),
        sa.Column("chat_id", ID, nullable=False),
        sa.Column("reply_to", sa.String(length=300), nullable=True),
        sa.Column("album", sa.String(length=64), nullable=True),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("platform_id", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("fk_answer_chat_id_chat")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
        sa.UniqueConstraint("chat_id", "album", name=op.f("uq_answer_chat_id_album")),
    )
    op.create_index("ix_answer_message", "answer", ["chat_id", "platform_id"], unique=False)
    op.create_index(
        "ix_answer_unshown",
        "answer",
        ["platform", "not_before"],
        unique=False,
        sqlite_where=sa.text("shown < revision AND state = 'open'"),
        postgresql_where=sa.text("shown < revision AND state = 'open'"),
    )
    op.create_table(
        "photo",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("phash", sa.BigInteger(), nullable=False),
        sa.Column("band0", sa.Integer(), nullable=False),
        sa.Column("band1", sa.Integer(), nullable=False),
        sa.Column("band2", sa.Integer(), nullable=False),
        sa.Column("band3", sa.Integer(), nullable=False),
        sa.Column("colours", sa.LargeBinary(length=48), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("group_id", ID, nullable=True),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("label_id", ID, nullable=True),
        sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("person_id", ID, nullable=True),
        sa.Column("unreadable", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_photo_classifier_id_classifier")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_photo_label_id_label")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_photo_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_photo")),
        sa.UniqueConstraint("classifier_id", "sha256", name=op.f("uq_photo_classifier_id_sha256")),
    )
    op.create_index("ix_photo_band0", "photo", ["classifier_id", "band0"], unique=False)
    op.create_index("ix_photo_band1", "photo", ["classifier_id", "band1"], unique=False)
    op.create_index("ix_photo_band2", "photo", ["classifier_id", "band2"], unique=False)
    op.create_index("ix_photo_band3", "photo", ["classifier_id", "band3"], unique=False)
    op.create_index(op.f("ix_photo_group_id"), "photo", ["group_id"], unique=False)
    op.create_index("ix_photo_label", "photo", ["classifier_id", "label_id"], unique=False)
    op.create_index(op.f("ix_photo_labelled_at"), "photo", ["labelled_at"], unique=False)
    op.create_index(op.f("ix_photo_person_id"), "photo", ["person_id"], unique=False)
    op.create_table(
        "correction",
        sa.Column("id", ID, nullable=False),
        sa.Column("photo_id", ID, nullable=False),
        sa.Column("person_id", ID, nullable=True),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("by_admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_correction_label_id_label")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_correction_person_id_person")),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_correction_photo_id_photo")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
        sa.UniqueConstraint("photo_id", "person_id", name=op.f("uq_correction_photo_id_person_id")),
    )
    op.create_index(op.f("ix_correction_person_id"), "correction", ["person_id"], unique=False)
    op.create_table(
        "embedding",
        sa.Column("photo_id", ID, nullable=False),
        sa.Column("backbone", sa.String(length=80), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["photo_id"], ["photo.id"], name=op.f("fk_embedding_photo_id_photo"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("photo_id", "backbone", name=op.f("pk_embedding")),
    )
    op.create_table(
        "message",
        sa.Column("id", ID, nullable=False),
        sa.Column("platform", sa.String(length=32), nullable=False),
        sa.Column("chat_id", ID, nullable=False),
        sa.Column("platform_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("album", sa.String(length=64), nullable=True),
        sa.Column("person_id", ID, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure", sa.String(length=200), nullable=True),
        sa.Column("draft", sa.String(length=64), nullable=True),
        sa.Column("photo_id", ID, nullable=True),
        sa.Column("answer_id", ID, nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["answer_id"], ["answer.id"], name=op.f("fk_message_answer_id_answer")),
        sa.ForeignKeyConstraint(["chat_id"], ["chat.id"], name=op.f("fk_message_chat_id_chat")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_message_person_id_person")),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_message_photo_id_photo")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint(
            "platform",
            "chat_id",
            "platform_id",
            "position",
            name=op.f("uq_message_platform_chat_id_platform_id_position"),
        ),
    )
    op.create_index("ix_message_album", "message", ["chat_id", "album"], unique=False)
    op.create_index(op.f("ix_message_answer_id"), "message", ["answer_id"], unique=False)
    op.create_index(op.f("ix_message_person_id"), "message", ["person_id"], unique=False)
    op.create_index(op.f("ix_message_photo_id"), "message", ["photo_id"], unique=False)
    op.create_index("ix_message_state", "message", ["platform", "state"], unique=False)
    op.create_table(
        "prediction",
        sa.Column("id", ID, nullable=False),
        sa.Column("photo_id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("top", sa.JSON(), nullable=False),
        sa.Column("voice", sa.String(length=8), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_prediction_model_id_model")),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_prediction_photo_id_photo")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint("photo_id", "model_id", name=op.f("uq_prediction_photo_id_model_id")),
    )
    op.create_index(op.f("ix_prediction_model_id"), "prediction", ["model_id"], unique=False)
    op.create_table(
        "training_photo",
        sa.Column("photo_id", ID, nullable=False),
        sa.Column("first_version", sa.Integer(), nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_training_photo_label_id_label")),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_training_photo_photo_id_photo")),
        sa.PrimaryKeyConstraint("photo_id", "first_version", name=op.f("pk_training_photo")),
    )
    op.create_index(op.f("ix_training_photo_last_version"), "training_photo", ["last_version"], unique=False)
    op.create_table(
        "training_run",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("person_id", ID, nullable=True),
        sa.Column("answer_id", ID, nullable=True),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("model_id", ID, nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("picture", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["answer_id"], ["answer.id"], name=op.f("fk_training_run_answer_id_answer")),
        sa.ForeignKeyConstraint(
            ["classifier_id"], ["classifier.id"], name=op.f("fk_training_run_classifier_id_classifier")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_training_run_model_id_model")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_training_run_person_id_person")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_run")),
    )
    op.create_index(
        "uq_training_run_active",
        "training_run",
        ["classifier_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_training_run_active",
        table_name="training_run",
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.drop_table("training_run")
    op.drop_index(op.f("ix_training_photo_last_version"), table_name="training_photo")
    op.drop_table("training_photo")
    op.drop_index(op.f("ix_prediction_model_id"), table_name="prediction")
    op.drop_table("prediction")
    op.drop_index("ix_message_state", table_name="message")
    op.drop_index(op.f("ix_message_photo_id"), table_name="message")
    op.drop_index(op.f("ix_message_person_id"), table_name="message")
    op.drop_index(op.f("ix_message_answer_id"), table_name="message")
    op.drop_index("ix_message_album", table_name="message")
    op.drop_table("message")
    op.drop_table("embedding")
    op.drop_index(op.f("ix_correction_person_id"), table_name="correction")
    op.drop_table("correction")
    op.drop_index(op.f("ix_photo_person_id"), table_name="photo")
    op.drop_index(op.f("ix_photo_labelled_at"), table_name="photo")
    op.drop_index("ix_photo_label", table_name="photo")
    op.drop_index(op.f("ix_photo_group_id"), table_name="photo")
    op.drop_index("ix_photo_band3", table_name="photo")
    op.drop_index("ix_photo_band2", table_name="photo")
    op.drop_index("ix_photo_band1", table_name="photo")
    op.drop_index("ix_photo_band0", table_name="photo")
    op.drop_table("photo")
    op.drop_index(
        "ix_answer_unshown",
        table_name="answer",
        sqlite_where=sa.text("shown < revision AND state = 'open'"),
        postgresql_where=sa.text("shown < revision AND state = 'open'"),
    )
    op.drop_index("ix_answer_message", table_name="answer")
    op.drop_table("answer")
    op.drop_index(
        "uq_model_current",
        table_name="model",
        sqlite_where=sa.text("state = 'current'"),
        postgresql_where=sa.text("state = 'current'"),
    )
    op.drop_table("model")
    op.drop_table("label")
    op.drop_table("chat")
    op.drop_table("person")
    op.drop_table("classifier")
