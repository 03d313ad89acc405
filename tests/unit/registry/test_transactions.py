from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, exc, select, text
from sqlalchemy.orm import Session

from rsq.errors import EnvironmentFault, Exhausted, InternalError
from rsq_registry import tables
from rsq_registry.database import open_database
from rsq_registry.transactions import ATTEMPTS, read, write


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "registry.db")
    yield engine
    engine.dispose()


def names(session: Session) -> list[str]:
    return list(session.scalars(select(tables.Model.name).order_by(tables.Model.name)))


def test_a_failing_transaction_leaves_no_trace(engine: Engine) -> None:
    def work(session: Session) -> None:
        session.add(tables.Model(name="demo", last_number=0))
        session.flush()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(engine, work)
    assert read(engine, names) == []


def test_a_refused_constraint_is_tried_again_from_the_start(engine: Engine) -> None:
    seen: list[list[str]] = []

    def work(session: Session) -> str:
        seen.append(names(session))
        session.add(tables.Model(name="new", last_number=0))
        session.flush()
        if len(seen) == 1:
            session.add(tables.Model(name="new", last_number=0))
            session.flush()
        return "done"

    assert write(engine, work) == "done"
    assert seen == [[], []]  # the second attempt saw nothing of the first
    assert read(engine, names) == ["new"]


def test_a_constraint_that_refuses_every_attempt_is_a_bug(engine: Engine) -> None:
    attempts = []

    def work(session: Session) -> None:
        attempts.append(1)
        session.execute(text("INSERT INTO versions (model_id, number) VALUES (1, 1)"))

    with pytest.raises(InternalError, match="NOT NULL") as failed:
        write(engine, work)
    assert isinstance(failed.value.__cause__, exc.IntegrityError)
    assert len(attempts) == ATTEMPTS


def test_foreign_keys_are_enforced(engine: Engine) -> None:
    with pytest.raises(InternalError, match="FOREIGN KEY"):
        write(
            engine,
            lambda session: session.execute(
                text("INSERT INTO artifact_providers VALUES ('x', 0, 'y')")
            ),
        )


def test_what_a_writer_reads_stays_true_until_it_commits(engine: Engine, tmp_path: Path) -> None:
    def work(session: Session) -> None:
        names(session)
        rival = sqlite3.connect(tmp_path / "registry.db", timeout=0)
        try:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                rival.execute("INSERT INTO models (name, last_number) VALUES ('rival', 0)")
        finally:
            rival.close()

    write(engine, work)


def test_readers_do_not_wait_for_a_writer(engine: Engine) -> None:
    def work(session: Session) -> None:
        session.add(tables.Model(name="demo", last_number=0))
        session.flush()
        assert read(engine, names) == []

    write(engine, work)
    assert read(engine, names) == ["demo"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (sqlite3.SQLITE_BUSY, Exhausted),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Exhausted),
        (sqlite3.SQLITE_FULL, Exhausted),
        (sqlite3.SQLITE_READONLY_DIRECTORY, EnvironmentFault),
        (sqlite3.SQLITE_CORRUPT, EnvironmentFault),
        (sqlite3.SQLITE_CANTOPEN, EnvironmentFault),
        (sqlite3.SQLITE_MISMATCH, InternalError),
    ],
)
def test_database_failures_become_errors_of_ours(
    engine: Engine, code: int, error: type[Exception]
) -> None:
    failure = sqlite3.OperationalError("as SQLite says it")
    failure.sqlite_errorcode = code

    def work(session: Session) -> None:
        raise exc.OperationalError("SELECT 1", {}, failure)

    with pytest.raises(error):
        read(engine, work)


def test_a_lost_connection_to_another_database_is_the_environments_fault() -> None:
    engine = create_engine("sqlite://")

    def work(session: Session) -> None:
        raise exc.OperationalError("SELECT 1", {}, ConnectionError("the server went away"))

    with pytest.raises(EnvironmentFault, match="went away"):
        read(engine, work)
    engine.dispose()
