"""Storing a version, killed at every single operation on files and database.

Each crash is a forked process that ends at once, without any cleaning up, so nothing is as polite
as an exception. What it leaves is then judged.
"""

from __future__ import annotations

import builtins
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from tiny_artifacts import DIMENSION, SOURCE_DIGEST, SPACE_ID, TinyArtifact, build_artifact

from rsq.digest import digest_bytes
from rsq_registry.blobs import BlobStore
from rsq_registry.catalogue import Catalogue
from rsq_registry.database import open_database
from rsq_registry.drafts import VersionDraft
from rsq_registry.garbage import UNFINISHED_SECONDS, collect
from rsq_registry.verification import verify

REPORT = b"what the report shows"
CRASHED = 77  # exit status of a process that was made to end
LATER = timedelta(days=3)  # after every lease


def crash_everywhere() -> list[dict[str, str]]:
    """One entry a crash: the operation that it came before, and what was wrong then, or nothing."""
    with tempfile.TemporaryDirectory(prefix="crashes-") as name:
        folder = Path(name)
        artifacts = [
            build_artifact(folder / "vision", "vision"),
            build_artifact(folder / "text", "text"),
        ]
        found = []
        while True:
            home = folder / f"home-{len(found)}"
            operation = _store_and_crash(home, artifacts, before=len(found))
            if operation is None:
                return found
            found.append({"operation": operation, "fault": _judge(home, artifacts)})


def _store_and_crash(home: Path, artifacts: list[TinyArtifact], *, before: int) -> str | None:
    """The operation that the crash came before; None where storing had fewer operations."""
    home.mkdir()
    # An earlier version is there, and has to survive.
    engine = open_database(home / "registry.db")
    blobs = BlobStore(home / "blobs")
    _store(Catalogue(engine, blobs), blobs, artifacts[:1])
    engine.dispose()
    note = home / "operation"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _run_child(home, artifacts, before=before, note=note)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    if code != CRASHED:
        raise RuntimeError(f"the child ended with {code}")
    return note.read_text()


def _run_child(home: Path, artifacts: list[TinyArtifact], *, before: int, note: Path) -> None:
    left = before
    write_note, leave = note.write_text, os._exit

    def count(operation: str) -> None:
        nonlocal left
        if left == 0:
            left = -1
            write_note(operation)
            leave(CRASHED)
        left -= 1

    engine = open_database(home / "registry.db")
    blobs = BlobStore(home / "blobs")
    _count_operations(count, engine)
    _store(Catalogue(engine, blobs), blobs, artifacts)


def _count_operations(count: Callable[[str], None], engine: Engine) -> None:
    for module, name in (
        (os, "fsync"),
        (os, "replace"),
        (os, "open"),
        (os, "mkdir"),
        (os, "unlink"),
        (builtins, "open"),
    ):
        _wrap(module, name, count)
    event.listen(
        engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: count(f"sql {statement.split()[0]}"),
    )
    event.listen(engine, "commit", lambda connection: count("commit"))


def _wrap(module: Any, name: str, count: Callable[[str], None]) -> None:
    original = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        count(name)
        return original(*arguments, **options)

    setattr(module, name, wrapped)


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


def _judge(home: Path, artifacts: list[TinyArtifact]) -> str:
    """What is wrong with the registry after garbage collection, or nothing."""
    engine = open_database(home / "registry.db")
    try:
        blobs = BlobStore(home / "blobs")
        later = Catalogue(engine, blobs, now=lambda: datetime.now(UTC) + LATER)
        for path in (home / "blobs" / "incoming").iterdir():
            os.utime(path, (0, 0))  # as if a day had passed
        collected = collect(later, blobs, dry_run=False)
        if not verify(later, blobs).is_clean:
            return "a version lacks a file"
        if set(blobs.digests()) != later.referenced_digests():
            return "files that nothing needs are left"
        if any((home / "blobs" / "incoming").iterdir()):
            return f"unfinished files are left after {UNFINISHED_SECONDS} s"
        [model] = later.models()
        if model.versions not in (1, 2) or model.aliases != {"production": model.versions}:
            return f"half a version: {model}"
        if model.versions == 2 and collected.removed:
            return "a whole version lost files"
        # And it can be published now.
        _store(later, blobs, artifacts)
        return "" if verify(later, blobs).is_clean else "the next version lacks a file"
    finally:
        engine.dispose()
