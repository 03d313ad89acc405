from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, insert, inspect, select, text

from rsq.errors import EnvironmentFault
from rsq_registry import tables
from rsq_registry.columns import utc_now
from rsq_registry.schema import migration_config, upgrade_schema


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'registry.db'}")
    yield engine
    engine.dispose()


def test_tables_and_migrations_describe_the_same_schema(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade_schema(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.Model.metadata) == []


def test_the_drift_check_sees_a_missing_column(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade_schema(connection)
        connection.execute(text("ALTER TABLE nodes DROP COLUMN device"))
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.Model.metadata) != []


def test_constraints_are_the_same_whether_migrated_or_made_from_the_tables(engine: Engine) -> None:
    other = create_engine("sqlite://")
    with engine.begin() as migrated, other.begin() as declared:
        upgrade_schema(migrated)
        tables.Model.metadata.create_all(declared)
        one, two = inspect(migrated), inspect(declared)
        for table in tables.Model.metadata.tables:
            for read in ("get_pk_constraint", "get_foreign_keys", "get_unique_constraints"):
                found = getattr(one, read)(table)
                wanted = getattr(two, read)(table)
                key = repr if isinstance(found, dict) else (lambda rows: sorted(map(repr, rows)))
                assert key(found) == key(wanted), (table, read)
    other.dispose()


def test_goes_down_to_nothing_with_data_and_up_again(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade_schema(connection)
        connection.execute(insert(tables.Model).values(name="demo", last_number=1))
        connection.execute(
            insert(tables.Version).values(
                model_id=1,
                number=1,
                created_at=utc_now(),
                space_id="a" * 64,
                dimension=2,
                licence="",
                source="",
                source_digest="b" * 64,
            )
        )
    with engine.begin() as connection:
        connection.execute(text("PRAGMA foreign_keys = ON"))
        command.downgrade(migration_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    with engine.begin() as connection:
        upgrade_schema(connection)
        assert connection.execute(select(tables.Model)).all() == []


def test_an_upgrade_at_the_newest_revision_keeps_the_data(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade_schema(connection)
        connection.execute(insert(tables.Model).values(name="demo", last_number=0))
    with engine.begin() as connection:
        upgrade_schema(connection)
        assert connection.scalars(select(tables.Model.name)).all() == ["demo"]


def test_refuses_a_schema_of_a_newer_release_and_leaves_it_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade_schema(connection)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with engine.begin() as connection, pytest.raises(EnvironmentFault, match=r"'9999'.*Upgrade"):
        upgrade_schema(connection)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
