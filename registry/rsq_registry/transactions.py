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
_BROKEN = frozenset({8, 10, 11, 14, 26})  # READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB

Result = TypeVar("Result")


def read(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """`work`'s result, from one snapshot of the database. Errors as for `write`."""
    with translated_failures(), Session(engine) as session, session.begin():
        return work(session)


def write(engine: Engine, work: Callable[[Session], Result]) -> Result:
    """Runs `work` and commits, or leaves no trace.

    `work` is run again, in a new transaction, when a constraint refuses it: two writers that add
    the same name at once then both succeed, since the second sees the first's row.

    Raises Exhausted when the database stays locked or the disk is full, EnvironmentFault when it
    can't be used, InternalError when a constraint refuses every attempt.
    """
    writing = engine.execution_options(**{WRITES: True})
    with translated_failures():
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with Session(writing) as session, session.begin():
                    return work(session)
            except exc.IntegrityError:
                if attempt == ATTEMPTS:
                    raise
    raise AssertionError("the loop returns or raises")


@contextmanager
def translated_failures() -> Iterator[None]:
    """Turns SQLAlchemy's errors into rsq's."""
    try:
        yield
    except exc.DBAPIError as e:
        raise _translate(e) from e


def _translate(error: exc.DBAPIError) -> RsqError:
    # The primary result code is the low byte; sqlite3 sets it from Python 3.11 on.
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return Exhausted("The registry database is busy with other writers; try again.")
    if code == _FULL:
        return Exhausted("The disk that holds the registry database is full.")
    if code in _BROKEN or (code == 0 and isinstance(error, exc.OperationalError)):
        return EnvironmentFault(f"The registry database can't be used: {error.orig}.")
    return InternalError(f"The registry database refused a statement: {error.orig}.")
