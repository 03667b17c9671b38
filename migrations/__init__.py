"""The database's shape over time, with Alembic; `migrations.run` is the only door."""
