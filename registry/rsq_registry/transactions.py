"""Transactions: the one place where database failures become rsq's errors.

On SQLite a writing transaction takes the write lock when it begins, so writers queue and what one
reads stays true until it commits. On other databases writers lock the rows they depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Engine, exc
from sqlalchemy.orm import Session

from rsq.errors import EnvironmentFault, Exhausted, InternalError, RsqError

WRITES = "rsq_writes"  # execution option: the transaction is going to write
ATTEMPTS = 5
_BUSY = frozenset({5, 6})  # SQLITE_BUSY, SQLITE_LOCKED of https://sqlite.org/rescode.html
_FULL = 13  # SQLITE_FULL
# https://www.postgresql.org/docs/15/errcodes-appendix.html
_AGAIN = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_WAITED = "55P03"  # lock_not_available
_REFUSED = frozenset({"42501", "25006"})  # insufficient_privilege, read_only_sql_transaction
_DISK_FULL = "53100"
_BROKEN = frozenset({8, 10, 11, 14, 26})  # READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB

Result = TypeVar("Result")


def read(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """`work`'s result, from one snapshot of the database. Errors as for `write`."""
    if engine.dialect.name == "postgresql":
        # Its default gives each statement a snapshot of its own.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with translated_failures(), Session(engine) as session, session.begin():
        return work(session)


def write(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """Runs `work` and commits, or leaves no trace.

    `work` is run again, in a new transaction, when a constraint refuses it or another writer gets
    in its way: two writers that add the same name at once then both succeed, since the second sees
    the first's row.

    Raises Exhausted when the database stays locked or the disk is full, EnvironmentFault when it
    can't be used, InternalError when a constraint refuses every attempt.
    """
    writing = engine.execution_options(**{WRITES: True})
    with translated_failures():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with Session(writing) as session, session.begin():
                    return work(session)
            except exc.DBAPIError as e:
                if attempt == ATTEMPTS or not _may_succeed_again(e):
                    raise
    raise AssertionError("the loop returns or raises")


@contextmanager
def translated_failures() -> Iterator[None]:
    """Turns SQLAlchemy's errors into rsq's."""
    try:
        yield
    except exc.DBAPIError as e:
        raise _translate(e) from e


def _may_succeed_again(error: exc.DBAPIError) -> bool:
    return isinstance(error, exc.IntegrityError) or _sql_state(error) in _AGAIN


def _sql_state(error: exc.DBAPIError) -> str:
    """PostgreSQL's code; empty elsewhere, and where the connection itself failed."""
    return getattr(error.orig, "sqlstate", None) or ""


def _translate(error: exc.DBAPIError) -> RsqError:
    # The primary result code is the low byte; sqlite3 sets it from Python 3.11 on.
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    state = _sql_state(error)
    if code in _BUSY or state == _WAITED or state in _AGAIN:
        return Exhausted("The registry database is busy with other writers; try again.")
    if code == _FULL or state == _DISK_FULL:
        return Exhausted("The disk that holds the registry database is full.")
    lost = code == 0 and isinstance(error, exc.OperationalError)
    if code in _BROKEN or state in _REFUSED or lost:
        return EnvironmentFault(f"The registry database can't be used: {_reason(error)}.")
    return InternalError(f"The registry database refused a statement: {_reason(error)}.")


def _reason(error: exc.DBAPIError) -> str:
    """What the database says, in one line."""
    diagnosis = getattr(error.orig, "diag", None)  # PostgreSQL's, without the statement's text
    said = getattr(diagnosis, "message_primary", None) or str(error.orig)
    return " ".join(said.split()).rstrip(".?")
