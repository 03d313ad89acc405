"""Opening the registry's database: SQLite in WAL mode by default, PostgreSQL by URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    create_engine,
    event,
    exc,
    make_url,
    text,
)

from rsq.errors import BadInput, EnvironmentFault, Exhausted
from rsq_registry.schema import upgrade_schema
from rsq_registry.transactions import WRITES, translated_failures

BUSY_TIMEOUT_S = 30.0  # how long a writer waits for another
MIGRATION_TIMEOUT_S = 120.0  # how long a starting process waits for another's migration
CONNECT_TIMEOUT_S = 10
MIGRATION_LOCK = 0x7273715F  # any number that no other program on the database is likely to take


def open_database(location: str | Path) -> Engine:
    """An engine on an up-to-date database. `location` is the path of an SQLite file, made where
    there is none, or a SQLAlchemy URL. Dispose of the engine after use.

    1. Lock: two processes starting at once don't both migrate. For SQLite a file beside the
       database, for PostgreSQL an advisory lock that ends with the migration.
    2. Migrate in one transaction, without foreign keys: with them, rebuilding a table would refuse
       or empty its children.
    3. Hand out an engine with foreign keys on.

    Raises EnvironmentFault for a file that is no database, can't be written, is another program's
    or has a newer schema; BadInput for a malformed URL; Exhausted when another process migrates for
    too long.
    """
    url = _parse_location(location)
    with translated_failures():
        # 1. lock
        with _locked(url):
            # 2. migrate
            engine = _make_engine(url, migrating=True)
            try:
                _use_write_ahead_log(engine)
                with engine.execution_options(**{WRITES: True}).begin() as connection:
                    _wait_for_other_migrations(connection)
                    upgrade_schema(connection)
            finally:
                engine.dispose()
        # 3. hand out
        return _make_engine(url, migrating=False)


def _parse_location(location: str | Path) -> URL:
    if isinstance(location, Path) or "://" not in location:
        return URL.create("sqlite", database=str(Path(location).absolute()))
    try:
        url = make_url(location)
    except (exc.ArgumentError, ValueError):
        # Without its cause, which may quote a part of the password.
        raise BadInput("The registry's database URL is malformed.") from None
    if "@" in (url.host or ""):  # the rest of a password, which drivers would print
        raise BadInput("The registry's database URL is malformed; write @ in a password as %40.")
    return url


@contextmanager
def _locked(url: URL) -> Iterator[None]:
    if not _is_sqlite_file(url):
        yield
        return
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"), timeout=MIGRATION_TIMEOUT_S)
        with lock:
            yield
    except Timeout as e:
        raise Exhausted(f"Another process has been migrating {path} for too long.") from e
    except OSError as e:
        raise EnvironmentFault(f"The registry database {path} can't be opened: {e}.") from e


def _make_engine(url: URL, *, migrating: bool) -> Engine:
    options: dict[str, Any] = {"poolclass": NullPool} if migrating else {}
    if url.get_backend_name() == "postgresql":
        timeout_s = MIGRATION_TIMEOUT_S if migrating else BUSY_TIMEOUT_S
        options["pool_pre_ping"] = not migrating  # the server may have been restarted meanwhile
        own = " ".join(url.normalized_query.get("options", ()))
        options["connect_args"] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"{own} -c lock_timeout={int(timeout_s * 1000)}".strip(),
        }
    try:
        engine = create_engine(url, **options)
    except (exc.NoSuchModuleError, ImportError) as e:
        raise EnvironmentFault(
            f"The registry has no driver for {url.drivername} databases: {e}. PostgreSQL's comes "
            "with pip install 'rsq-server[postgresql]', and its URL begins with "
            "postgresql+psycopg://."
        ) from e
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_migration if migrating else _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _wait_for_other_migrations(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})


def _is_sqlite_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def _use_write_ahead_log(engine: Engine) -> None:
    """Readers then never wait for a writer. The mode stays with the file."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # the mode can't change inside a transaction
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")


def _prepare_migration(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 begins nothing by itself; _begin does
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    connection.execute("PRAGMA synchronous = FULL")  # a published version survives a power cut


def _prepare(connection: sqlite3.Connection, record: Any) -> None:
    _prepare_migration(connection, record)
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
