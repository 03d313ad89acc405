"""Garbage collection: blobs that no version names and no lease keeps, and what killed writers left.

A blob is looked at twice: once to say why it may go, and again inside the transaction that removes
it, so that a version published meanwhile keeps its files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from rsq.errors import NotFound
from rsq_registry.blobs import Blobs
from rsq_registry.catalogue import Catalogue
from rsq_registry.columns import format_time

BATCH = 64  # blobs removed in one transaction: writers wait for no longer than that takes
UNFINISHED_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Removed:
    digest: str
    size_bytes: int
    reason: str


@dataclass(frozen=True)
class Leased:
    digest: str
    until: str  # RFC 3339, UTC


@dataclass(frozen=True)
class Collection:
    """What was removed, or would be, and what only a lease keeps."""

    removed: tuple[Removed, ...]
    leased: tuple[Leased, ...]
    unfinished: int  # uploads that killed writers left

    @property
    def freed_bytes(self) -> int:
        return sum(blob.size_bytes for blob in self.removed)


def collect(
    catalogue: Catalogue,
    blobs: Blobs,
    *,
    dry_run: bool,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Collection:
    """Removes what nothing needs, or only says what that is. Safe beside publishers and pulls."""
    needed = catalogue.referenced_digests()
    leases = catalogue.leased_digests()
    owners = catalogue.deleted_owners()
    idle = sorted(digest for digest in blobs.digests() if digest not in needed)
    leased = tuple(Leased(d, format_time(leases[d])) for d in idle if d in leases)
    found = [
        Removed(digest, _size(blobs, digest), _reason(owners.get(digest)))
        for digest in idle
        if digest not in leases
    ]
    if dry_run:
        return Collection(tuple(found), leased, 0)
    gone: set[str] = set()
    remaining = iter(found)
    while batch := [blob.digest for blob in islice(remaining, BATCH)]:
        gone.update(catalogue.collect(batch, lambda digest: _remove(blobs, digest)))
        advance(len(gone), len(found))
    unfinished = blobs.discard_unfinished(older_than_s=UNFINISHED_SECONDS)
    return Collection(tuple(blob for blob in found if blob.digest in gone), leased, unfinished)


def _reason(owner: str | None) -> str:
    return "no version names it" if owner is None else f"of {owner}, which was deleted"


def _size(blobs: Blobs, digest: str) -> int:
    try:
        return blobs.size(digest)
    except NotFound:
        return 0  # another collection was faster


def _remove(blobs: Blobs, digest: str) -> None:
    try:
        blobs.delete(digest)
    except NotFound:
        pass
