"""Chats whose own admins count, photos that expired, alerts.

Revision: 0003, after 0002.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OVER = sa.text("over_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index("uq_alert_kind", "alert", ["kind"], unique=True, sqlite_where=OVER, postgresql_where=OVER)
    # Not in batches: SQLite adds a column in place, where a batch would copy every row.
    op.add_column("chat", sa.Column("trusts_roles", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("photo", sa.Column("expired_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Expired photos keep the empty place that they left; chats' own admins lose their rights."""
    op.drop_column("photo", "expired_at")
    op.drop_column("chat", "trusts_roles")
    op.drop_index("uq_alert_kind", "alert")
    op.drop_table("alert")
