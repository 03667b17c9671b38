"""What Alembic runs for every command: on the open connection that `migrations.run` hands it, in its transaction."""

from typing import Any, Literal

from alembic import context

from snaplabel import tables
from snaplabel.database import UtcDateTime


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """A migration must still run when UtcDateTime is long gone, so it names the plain type."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


given = context.config.attributes
context.configure(
    connection=given["connection"],
    target_metadata=tables.Classifier.metadata,
    # SQLite can't alter a column; Alembic then copies the table.
    render_as_batch=True,
    render_item=_render,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
