"""A registry's work on its files and database, for `crash_scenarios`."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from file_faults import Tell
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError
from tiny_artifacts import DIMENSION, SOURCE_DIGEST, SPACE_ID, TinyArtifact, build_artifact

from rsq.digest import digest_bytes
from rsq.manifest import TOWERS, decode_manifest
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_registry.drafts import VersionDraft
from rsq_registry.garbage import UNFINISHED_SECONDS, collect
from rsq_registry.verification import verify

REPORT = b"what the report shows"
# What SQLite says where the system says so.
_SQLITE_REASONS = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EACCES: "unable to open database file",
}
_MANIFEST = "manifest.json"
LATER = timedelta(days=3)  # after every lease


def prepare_publish(folder: Path) -> None:
    """A version of the vision tower is there, and has to survive."""
    artifacts = _build(folder)
    with _registry(folder) as (_, catalogue, blobs):
        _store(catalogue, blobs, artifacts[:1])


def prepare_deleted(folder: Path) -> None:
    """Two versions, the newer in production and the older deleted."""
    artifacts = _build(folder)
    with _registry(folder) as (_, catalogue, blobs):
        _store(catalogue, blobs, artifacts[1:])
        _store(catalogue, blobs, artifacts[:1])
        catalogue.delete_version("tiny", 1)


def publish(folder: Path, tell: Tell) -> None:
    with _registry(folder) as (engine, catalogue, blobs):
        _tell_of_statements(engine, tell)
        _store(catalogue, blobs, _built(folder))


def collect_garbage(folder: Path, tell: Tell) -> None:
    with _registry(folder, later=True) as (engine, catalogue, blobs):
        _tell_of_statements(engine, tell)
        collect(catalogue, blobs, dry_run=False)


def judge_publish(folder: Path) -> str:
    with _registry(folder, later=True) as (_, catalogue, blobs):
        if fault := _judge(folder, catalogue, blobs, allowed=((1, 1), (2, 2))):
            return fault
        # And it can be published now.
        _store(catalogue, blobs, _built(folder))
        return "" if verify(catalogue, blobs).is_clean else "the next version lacks a file"


def judge_collection(folder: Path) -> str:
    with _registry(folder, later=True) as (_, catalogue, blobs):
        return _judge(folder, catalogue, blobs, allowed=((1, 2),))


def _build(folder: Path) -> list[TinyArtifact]:
    artifacts = [build_artifact(folder / "sources" / tower, tower) for tower in TOWERS]
    for artifact in artifacts:
        (artifact.folder / _MANIFEST).write_bytes(artifact.manifest_bytes)
    return artifacts


def _built(folder: Path) -> list[TinyArtifact]:
    found = []
    for tower in TOWERS:
        sources = folder / "sources" / tower
        data = (sources / _MANIFEST).read_bytes()
        found.append(TinyArtifact(digest_bytes(data), decode_manifest(data), data, sources))
    return found


@contextmanager
def _registry(
    folder: Path, *, later: bool = False
) -> Iterator[tuple[Engine, Catalogue, BlobStore]]:
    engine = open_database(folder / "home/registry.db")
    blobs = BlobStore(folder / "home/blobs")
    delay = LATER if later else timedelta()
    try:
        yield engine, Catalogue(engine, blobs, now=lambda: datetime.now(UTC) + delay), blobs
    finally:
        engine.dispose()


def _tell_of_statements(engine: Engine, tell: Tell) -> None:
    def tell_as_database(operation: str) -> None:
        try:
            tell(operation)
        except OSError as e:
            reason = sqlite3.OperationalError(_SQLITE_REASONS[e.errno or 0])
            raise OperationalError(operation, {}, reason) from e

    event.listen(
        engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: tell_as_database(
            f"sql {statement.split()[0]}"
        ),
    )
    event.listen(engine, "commit", lambda connection: tell_as_database("commit"))


def _store(catalogue: Catalogue, blobs: BlobStore, artifacts: list[TinyArtifact]) -> None:
    """As publishing does it: lease, store what is not there, name it in one transaction."""
    digests = {entry.sha256 for artifact in artifacts for entry in artifact.manifest.files}
    digests |= {artifact.id for artifact in artifacts} | {digest_bytes(REPORT)}
    catalogue.lease(digests, seconds=24 * 3600)
    for artifact in artifacts:
        for entry in artifact.manifest.files:
            if not blobs.has(entry.sha256):
                blobs.put_file(artifact.folder / entry.name, expected=entry.sha256)
    catalogue.add_version(
        VersionDraft(
            model="tiny",
            space_id=SPACE_ID,
            dimension=DIMENSION,
            licence="Apache-2.0",
            source="tests",
            source_digest=SOURCE_DIGEST,
            artifacts=tuple(artifact.manifest_bytes for artifact in artifacts),
            alias="production",
            details_digest=blobs.put_bytes(REPORT),
        )
    )


def _judge(
    folder: Path,
    catalogue: Catalogue,
    blobs: BlobStore,
    *,
    allowed: tuple[tuple[int, int], ...],
) -> str:
    """What is wrong with the registry after garbage collection, or nothing. `allowed` are (number
    of versions, version in production)."""
    for path in (folder / "home/blobs/incoming").iterdir():
        os.utime(path, (0, 0))  # as if a day had passed
    collect(catalogue, blobs, dry_run=False)
    if not verify(catalogue, blobs).is_clean:
        return "a version lacks a file"
    if set(blobs.digests()) != catalogue.referenced_digests():
        return "files that nothing needs are left"
    if any((folder / "home/blobs/incoming").iterdir()):
        return f"unfinished files are left after {UNFINISHED_SECONDS} s"
    [model] = catalogue.models()
    if (model.versions, model.aliases.get("production")) not in allowed:
        return f"half a version: {model}"
    return ""
