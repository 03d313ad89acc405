"""The schema's revision, and moving a database to it. The migrations travel inside the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from rsq.errors import EnvironmentFault

_MIGRATIONS = Path(__file__).with_name("migrations")
_OWN_TABLE = "alembic_version"  # stays, empty, after a downgrade to nothing


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for this package's migrations, run on `connection` inside its
    transaction."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade_schema(connection: Connection) -> None:
    """Brings the schema to the newest revision; nothing happens where it is there already.

    Raises EnvironmentFault for a revision that this release doesn't know, since a newer one wrote
    it, and for a database that something else made.
    """
    config = migration_config(connection)
    scripts = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == scripts.get_current_head():
        return
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise EnvironmentFault(
            f"The registry database has schema {current!r}, which this rsq-registry doesn't know; "
            "a newer release wrote it. Upgrade rsq-registry."
        )
    if current is None and set(inspect(connection).get_table_names()) - {_OWN_TABLE}:
        raise EnvironmentFault("The database holds tables that rsq didn't make; choose another.")
    command.upgrade(config, "head")
