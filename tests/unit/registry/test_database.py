from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from rsq.errors import BadInput, EnvironmentFault, InternalError
from rsq_registry.database import open_database


def pragma(engine: object, name: str) -> object:
    with engine.connect() as connection:  # type: ignore[attr-defined]
        return connection.scalar(text(f"PRAGMA {name}"))


@pytest.mark.parametrize("as_url", [False, True])
def test_makes_a_durable_database_with_foreign_keys(tmp_path: Path, as_url: bool) -> None:
    path = tmp_path / "new 100%folder" / "registry.db"
    engine = open_database(f"sqlite:///{path}" if as_url else path)
    assert pragma(engine, "journal_mode") == "wal"
    assert pragma(engine, "foreign_keys") == 1
    assert pragma(engine, "synchronous") == 2
    assert int(str(pragma(engine, "busy_timeout"))) > 0
    engine.dispose()
    assert path.is_file()


def test_opens_again_what_it_made(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    first = open_database(str(path))
    with first.begin() as connection:
        connection.execute(text("INSERT INTO models (name, last_number) VALUES ('demo', 0)"))
    first.dispose()
    second = open_database(path)
    with second.connect() as connection:
        assert connection.scalar(text("SELECT name FROM models")) == "demo"
    second.dispose()


def test_many_starting_at_once_migrate_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(open_database, [tmp_path / "registry.db"] * 6))
    for engine in engines:
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM models")) == 0
            assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
        engine.dispose()


def test_refuses_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    engine = open_database(path)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(EnvironmentFault, match=r"schema '9999'.*newer release.*Upgrade"):
        open_database(path)


def test_a_failed_migration_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    file = sqlite3.connect(path)
    file.execute("CREATE VIEW pair_metrics AS SELECT 1")  # takes a name that comes late
    with pytest.raises(InternalError, match="pair_metrics already exists"):
        open_database(path)
    assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("pair_metrics",)]
    file.close()


def test_another_programs_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE models (photo TEXT)")
    with pytest.raises(EnvironmentFault, match="tables that rsq didn't make"):
        open_database(path)
    assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("models",)]
    file.close()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"a holiday photograph" * 200)
    with pytest.raises(EnvironmentFault, match="not a database"):
        open_database(path)
    assert path.read_bytes() == b"a holiday photograph" * 200


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="can't be opened"):
        open_database(tmp_path / "file" / "registry.db")
    with pytest.raises(EnvironmentFault, match="can't be"):
        open_database(tmp_path)


def test_malformed_and_unsupported_urls_are_refused() -> None:
    with pytest.raises(BadInput, match="malformed"):
        open_database("://nowhere")
    with pytest.raises(EnvironmentFault, match="driver"):
        open_database("nosuchdatabase://host/name")
