"""Leases: blobs that somebody is about to need, so that garbage collection leaves them alone.

A publisher leases a version's blobs before it asks which of them are here. Garbage collection
deletes inside a transaction that excludes leasing and reads the leases there. So a lease comes
either before the collection, which then keeps the blob, or after it, and then the publisher sees
that the blob is gone and stores it again. There is no moment in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from rsq_registry import tables

PUBLISHING_SECONDS = 24 * 3600.0  # what storing and naming the blobs of one version may take
_BATCH = 500  # parameters of one query


def take_leases(session: Session, digests: Iterable[str], *, until: datetime) -> None:
    """Keeps the digests until then at least; a longer lease stays."""
    wanted = sorted(set(digests))
    for start in range(0, len(wanted), _BATCH):
        batch = wanted[start : start + _BATCH]
        held = session.scalars(select(tables.Lease).where(tables.Lease.digest.in_(batch))).all()
        for lease in held:
            lease.expires_at = max(lease.expires_at, until)
        known = {lease.digest for lease in held}
        session.add_all(
            tables.Lease(digest=digest, expires_at=until) for digest in batch if digest not in known
        )
    session.flush()


def exclude_leasing(session: Session) -> None:
    """Nobody takes a lease until this transaction ends. On SQLite every writing transaction has the
    whole database to itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE leases IN EXCLUSIVE MODE"))


def leased_digests(session: Session, *, at: datetime) -> dict[str, datetime]:
    """The digests that are leased then, and until when."""
    rows = session.scalars(select(tables.Lease).where(tables.Lease.expires_at > at))
    return {lease.digest: lease.expires_at for lease in rows}


def drop_expired(session: Session, *, at: datetime) -> None:
    session.execute(delete(tables.Lease).where(tables.Lease.expires_at <= at))
