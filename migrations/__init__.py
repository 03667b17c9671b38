"""Alembic's migrations: `migrations.run.upgrade(url)` brings a database up to date."""
