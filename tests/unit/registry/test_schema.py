from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, insert, inspect, select, text, update

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


def test_versions_of_the_first_schema_are_kept_and_have_no_report_data(engine: Engine) -> None:
    with engine.begin() as connection:
        command.upgrade(migration_config(connection), "0001")
        connection.execute(insert(tables.Model).values(name="demo", last_number=1))
        connection.execute(
            text(
                "INSERT INTO versions (model_id, number, created_at, space_id, dimension, licence,"
                " source, source_digest)"
                " VALUES (1, 1, '2026-03-01 12:00:00', 'a', 2, 'Apache-2.0', 'demo', 'b')"
            )
        )
        connection.execute(
            text(
                'INSERT INTO alias_events (model_id, alias, number, at, "by")'
                " VALUES (1, 'production', 1, '2026-03-01 12:00:00', 'ops')"
            )
        )
    columns = select(tables.Version.number, tables.Version.licence, tables.Version.details_digest)
    with engine.begin() as connection:
        connection.execute(text("PRAGMA foreign_keys = ON"))
        upgrade_schema(connection)
        assert connection.execute(columns).all() == [(1, "Apache-2.0", None)]
        connection.execute(update(tables.Version).values(details_digest="c" * 64))
        assert connection.execute(columns).all() == [(1, "Apache-2.0", "c" * 64)]
    with engine.begin() as connection:
        command.downgrade(migration_config(connection), "0001")
        assert connection.scalars(select(tables.Version.number)).all() == [1]
        assert connection.scalars(select(tables.AliasEvent.alias)).all() == ["production"]
        names = {column["name"] for column in inspect(connection).get_columns("versions")}
        assert "details_digest" not in names


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
