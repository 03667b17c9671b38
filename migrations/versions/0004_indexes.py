"""Indexes for a million photos: what a chat said last, what is on its way, lessons counted, unreadable photos.

Revision: 0004, after 0003.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ON_THE_WAY = sa.text("state IN ('received', 'waiting', 'classified')")
LESSONS = sa.text("label_id IS NOT NULL AND unreadable IS NULL AND removed_at IS NULL")
UNREADABLE = sa.text("unreadable IS NOT NULL")
BY_ADMIN = sa.text("by_admin AND taken_back_at IS NULL")
TAKEN_BACK = sa.text("taken_back_at IS NOT NULL")
# Name, table, columns, and of which rows where it is not all of them.
INDEXES: tuple[tuple[str, str, list[str], sa.TextClause | None], ...] = (
    ("ix_photo_lessons", "photo", ["classifier_id", "label_id", "split"], LESSONS),
    ("ix_photo_unreadable", "photo", ["classifier_id"], UNREADABLE),
    ("ix_answer_chat", "answer", ["chat_id", "created_at"], None),
    ("ix_message_chat", "message", ["chat_id", "received_at"], None),
    ("ix_message_on_the_way", "message", ["state", "received_at"], ON_THE_WAY),
    ("ix_correction_changed", "correction", ["changed_at"], None),
    ("ix_correction_admins", "correction", ["photo_id", "changed_at"], BY_ADMIN),
    ("ix_correction_taken_back", "correction", ["taken_back_at"], TAKEN_BACK),
    ("ix_training_run_model_id", "training_run", ["model_id"], None),
)


def upgrade() -> None:
    """On PostgreSQL whoever writes to a table waits while its indexes are made: a second or two for a million rows."""
    for name, table, columns, only in INDEXES:
        op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)


def downgrade() -> None:
    """Nothing is forgotten."""
    for name, table, _, _ in reversed(INDEXES):
        op.drop_index(name, table)
