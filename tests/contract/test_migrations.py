"""Every revision goes up and down with data in it, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text
from unit.registry.samples import make_draft, make_report

from rsq_registry import tables
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_registry.schema import migration_config, upgrade_schema


@pytest.fixture
def filled(database: str, tmp_path: Path) -> Iterator[Engine]:
    """A registry with versions, aliases, nodes, a lease, a deleted and a deprecated version."""
    engine = open_database(database)
    blobs = BlobStore(tmp_path / "blobs")
    catalogue = Catalogue(engine, blobs)
    for number in (1, 2, 3):
        catalogue.add_version(make_draft(blobs, content=str(number)))
    catalogue.set_alias("demo", "production", 1, "ops")
    catalogue.record_node(make_report())
    catalogue.deprecate("demo", 2, "old")
    catalogue.delete_version("demo", 3)
    catalogue.lease(["a" * 64], seconds=60)
    yield engine
    engine.dispose()


def _revisions(connection: Connection) -> list[str]:
    """Newest first."""
    scripts = ScriptDirectory.from_config(migration_config(connection))
    return [script.revision for script in scripts.walk_revisions()]


def _counts(connection: Connection) -> dict[str, int]:
    names = set(inspect(connection).get_table_names()) - {"alembic_version"}
    return {
        name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
        for name in sorted(names)
    }


def test_no_row_is_lost_on_the_way_down_and_up(filled: Engine) -> None:
    with filled.begin() as connection:
        revisions = _revisions(connection)
        before = _counts(connection)
    assert before["versions"] == 3
    for revision in revisions[1:]:
        with filled.begin() as connection:
            command.downgrade(migration_config(connection), revision)
            left = _counts(connection)
            assert left == {name: before[name] for name in left}
    with filled.begin() as connection:
        upgrade_schema(connection)
        after = _counts(connection)
    assert after | {"leases": 1} == before  # leases are forgotten with their table


def test_the_way_down_ends_with_nothing(filled: Engine) -> None:
    with filled.begin() as connection:
        command.downgrade(migration_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    with filled.begin() as connection:
        upgrade_schema(connection)
        assert _counts(connection)["versions"] == 0


def test_the_tables_are_what_the_migrations_make(filled: Engine) -> None:
    with filled.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.Model.metadata) == []


def test_a_registry_works_after_having_been_down(
    filled: Engine, database: str, tmp_path: Path
) -> None:
    with filled.begin() as connection:
        command.downgrade(migration_config(connection), "0001")
    engine = open_database(database)
    try:
        blobs = BlobStore(tmp_path / "blobs")
        catalogue = Catalogue(engine, blobs)
        assert catalogue.version("demo", 1).aliases == ("production",)
        draft = replace(make_draft(blobs, content="new"), alias="staging")
        assert catalogue.add_version(draft).version == 4
    finally:
        engine.dispose()
