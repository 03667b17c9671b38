"""Reviews, acts, aliases; a refit beside a fine-tune.

Revision: 0002, after 0001.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ACTIVE = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    op.create_table(
        "alias",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("label_id", ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_alias_classifier_id_classifier")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_alias_label_id_label")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alias")),
        sa.UniqueConstraint("classifier_id", "key", name=op.f("uq_alias_classifier_id_key")),
    )
    op.create_index("ix_alias_label_id", "alias", ["label_id"])
    op.create_table(
        "act",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=True),
        sa.Column("person_id", ID, nullable=True),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("photo_id", ID, nullable=True),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_act_classifier_id_classifier")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_act_person_id_person")),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_act_photo_id_photo"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_act")),
    )
    op.create_index("ix_act_classifier", "act", ["classifier_id", "id"])
    op.create_index("ix_act_person_id", "act", ["person_id"])
    op.create_index("ix_act_photo", "act", ["photo_id"])
    op.create_table(
        "suspect",
        sa.Column("id", ID, nullable=False),
        sa.Column("classifier_id", ID, nullable=False),
        sa.Column("photo_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("suggested_id", ID, nullable=True),
        sa.Column("other_photo_id", ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["classifier_id"], ["classifier.id"], name=op.f("fk_suspect_classifier_id_classifier")),
        sa.ForeignKeyConstraint(
            ["other_photo_id"], ["photo.id"], name=op.f("fk_suspect_other_photo_id_photo"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], name=op.f("fk_suspect_photo_id_photo"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["suggested_id"], ["label.id"], name=op.f("fk_suspect_suggested_id_label")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspect")),
        sa.UniqueConstraint("photo_id", name=op.f("uq_suspect_photo_id")),
    )
    op.create_index("ix_suspect_other_photo_id", "suspect", ["other_photo_id"])
    op.create_index("ix_suspect_score", "suspect", ["classifier_id", "score"])
    with op.batch_alter_table("label") as label:
        label.add_column(sa.Column("merged_into_id", ID, nullable=True))
        label.create_foreign_key("fk_label_merged_into_id_label", "label", ["merged_into_id"], ["id"])
    # Not in a batch: SQLite adds an empty column in place, where a batch would copy every photo.
    op.add_column("photo", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    _active(["classifier_id", "kind"])


def downgrade() -> None:
    """What a review had removed is a lesson again, merged labels stay archived; a running refit beside a fine-tune is
    called off, since the tables of before know one training at a time."""
    op.execute(
        "UPDATE training_run SET state = 'cancelled' WHERE state IN ('queued', 'running') AND kind = 'refit' "
        "AND classifier_id IN (SELECT classifier_id FROM training_run WHERE kind = 'fine_tune' "
        "AND state IN ('queued', 'running'))"
    )
    _active(["classifier_id"])
    op.drop_column("photo", "removed_at")
    with op.batch_alter_table("label") as label:
        label.drop_constraint("fk_label_merged_into_id_label", type_="foreignkey")
        label.drop_column("merged_into_id")
    for table in ("suspect", "act", "alias"):
        op.drop_table(table)


def _active(columns: list[str]) -> None:
    """One queued or running training per these columns."""
    op.drop_index("uq_training_run_active", "training_run")
    op.create_index(
        "uq_training_run_active",
        "training_run",
        columns,
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )
