"""What is in the node's cache, and what may go: everything but what serves and what a rollback
needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from rsq.digest import is_digest
from rsq.durable import disk_failures, sync_folder
from rsq.errors import BadInput, Exhausted, NotFound, RsqError
from rsq.manifest import Manifest, Tower
from rsq_agent.cache import Cache
from rsq_agent.pulling.partial_file import allocated_bytes, bitmap_path
from rsq_agent.state import load_state

LEFTOVER_SECONDS = 3600.0
State = Literal["active", "previous", "unused"]


@dataclass(frozen=True)
class CachedArtifact:
    """`size_bytes` counts all its files; `complete` says whether they are all here."""

    id: str
    tower: Tower
    variant: str
    size_bytes: int
    state: State
    complete: bool


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be: artifact ids, blobs that no other artifact needs, cut-off
    transfers, and the bytes that frees."""

    artifact_ids: tuple[str, ...]
    blobs: tuple[str, ...]
    partials: tuple[str, ...]
    freed_bytes: int


def list_artifacts(cache: Cache) -> list[CachedArtifact]:
    """By state, then id. Artifacts whose manifest is damaged are left out; prune removes them."""
    states = _states(cache)
    found = [
        CachedArtifact(
            id=identity,
            tower=manifest.tower,
            variant=manifest.variant,
            size_bytes=sum(entry.size_bytes for entry in manifest.files),
            state=states.get(identity, "unused"),
            complete=all(cache.has_blob(entry) for entry in manifest.files),
        )
        for identity, manifest in _manifests(cache).items()
    ]
    order: list[State] = ["active", "previous", "unused"]
    return sorted(found, key=lambda artifact: (order.index(artifact.state), artifact.id))


def remove_artifact(cache: Cache, prefix: str) -> Removal:
    """Removes the one artifact whose id begins with `prefix`. Raises NotFound, and BadInput where
    several begin so or where it serves or is kept for a rollback."""
    ids = [identity for identity in cache.artifact_ids() if identity.startswith(prefix)]
    if not ids:
        raise NotFound(f"No artifact on this node has an id that begins with {prefix[:64]!r}.")
    if len(ids) > 1 or not prefix:
        raise BadInput(f"{len(ids)} artifacts begin with {prefix[:64]!r}; give more of the id.")
    state = _states(cache).get(ids[0], "unused")
    if state != "unused":
        why = "serves" if state == "active" else "is kept for a rollback"
        raise BadInput(f"Artifact {ids[0][:12]} {why}; pull another version first.")
    with _pull_lock(cache):
        return _remove(cache, ids, partials=(), dry_run=False)


def prune(cache: Cache, *, dry_run: bool) -> Removal:
    """Removes all that neither serves nor is kept for a rollback, and cut-off transfers."""
    with _pull_lock(cache):
        states = _states(cache)
        unused = [identity for identity in cache.artifact_ids() if identity not in states]
        if not dry_run:
            with disk_failures(f"{cache.home} can't be pruned"):
                _clear_leftovers(cache)
        return _remove(cache, unused, partials=_list_partials(cache), dry_run=dry_run)


def _remove(
    cache: Cache, ids: Collection[str], *, partials: Collection[str], dry_run: bool
) -> Removal:
    kept = {
        entry.sha256
        for identity, manifest in _manifests(cache).items()
        if identity not in ids
        for entry in manifest.files
    }
    blobs = [digest for digest in _list_blobs(cache) if digest not in kept]
    paths = [cache.blob_path(digest) for digest in blobs]
    paths += [cache.partial_path(digest) for digest in partials]
    removal = Removal(
        tuple(ids), tuple(blobs), tuple(partials), sum(allocated_bytes(path) for path in paths)
    )
    if dry_run:
        return removal
    with disk_failures(f"{cache.home} can't be pruned"):
        # The names of files go first, then the manifest: what is left of a crash is pruned next
        # time.
        for identity in ids:
            shutil.rmtree(cache.home / "artifacts" / identity, ignore_errors=True)
            shutil.rmtree(cache.compiled_folder(identity), ignore_errors=True)
            cache.manifest_path(identity).unlink(missing_ok=True)
        for path in paths:
            path.unlink(missing_ok=True)
            bitmap_path(path).unlink(missing_ok=True)
            path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            sync_folder(folder)
    return removal


def _clear_leftovers(cache: Cache) -> None:
    """What killed processes were writing, and the locks and forgotten bitmaps of transfers: under
    the pull lock nobody waits for those."""
    before = time.time() - LEFTOVER_SECONDS
    for folder in (cache.home, cache.home / "manifests", cache.home / "artifacts"):
        for path in folder.glob(".*"):
            if path.stat().st_mtime > before:
                continue  # an agent that serves may be writing it
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    partials = cache.home / "partial"
    for path in partials.glob("*.lock"):
        path.unlink(missing_ok=True)
    for path in partials.glob("*.chunks"):
        if not path.with_suffix("").exists():
            path.unlink(missing_ok=True)


def _manifests(cache: Cache) -> dict[str, Manifest]:
    found = {}
    for identity in cache.artifact_ids():
        try:
            found[identity] = cache.manifest(identity)
        except RsqError:
            continue
    return found


def _states(cache: Cache) -> dict[str, State]:
    states: dict[str, State] = {}
    for model in load_state(cache).models.values():
        if model.previous is not None:
            states |= dict.fromkeys(model.previous.artifacts, "previous")
    for model in load_state(cache).models.values():
        states |= dict.fromkeys(model.active.artifacts, "active")
    return states


def _list_blobs(cache: Cache) -> list[str]:
    return _digests(cache.home / "blobs" / "sha256", "*/*")


def _list_partials(cache: Cache) -> list[str]:
    return _digests(cache.home / "partial", "*")


def _digests(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern) if is_digest(path.name))


@contextmanager
def _pull_lock(cache: Cache) -> Iterator[None]:
    lock = FileLock(cache.home / "pull.lock")
    with disk_failures(f"{cache.home} can't be used"):
        cache.home.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as e:  # an OSError too
            raise Exhausted("A pull is running on this node; try again when it has ended.") from e
    try:
        yield
    finally:
        lock.release()
