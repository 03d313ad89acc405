"""Run by Alembic for every command. The connection and its transaction belong to the caller."""

from __future__ import annotations

from alembic import context

from rsq_registry import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.Model.metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite alters a table only by rebuilding it
)
context.run_migrations()
