"""A version together with the bytes of its files, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Protocol

from rsq.digest import READ_BYTES, digest_bytes
from rsq.errors import BadManifest, IntegrityError
from rsq.manifest import MAX_MANIFEST_BYTES, decode_manifest
from rsq.records import VersionRow


class StoredBlobs(Protocol):
    """Blobs that can be read in any order; the registry's store is one."""

    def size(self, digest: str) -> int:
        """The blob's bytes. Raises NotFound."""
        ...

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, or fewer where the blob ends. Raises NotFound."""
        ...


class VersionSource(Protocol):
    """Exactly one version with all its blobs; a bundle is one."""

    @property
    def target(self) -> str:
        """Its name in messages."""
        ...

    def version(self) -> VersionRow: ...

    def manifest(self, artifact_id: str) -> bytes:
        """The manifest's verified bytes. Raises NotFound, IntegrityError."""
        ...

    def size(self, digest: str) -> int:
        """The blob's bytes. Raises NotFound."""
        ...

    def read_blob(self, digest: str, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `offset`, or fewer where the blob ends, not yet verified. Raises
        NotFound, IntegrityError."""
        ...


def needed_digests(version: VersionRow, manifest: Callable[[str], bytes]) -> list[str]:
    """All blobs of the version, each once: manifests, which `manifest` gives by artifact id, then
    files, then what the report shows. Raises what `manifest` raises, and BadManifest."""
    files = []
    for row in version.artifacts:
        # One at a time, since the chunk lists of a large version take megabytes.
        files += [entry.sha256 for entry in decode_manifest(manifest(row.id)).files]
    details = [] if version.details_digest is None else [version.details_digest]
    return list(dict.fromkeys([*(row.id for row in version.artifacts), *files, *details]))


def read_manifest(blobs: StoredBlobs, artifact_id: str) -> bytes:
    """The manifest's verified bytes. Raises NotFound, IntegrityError, BadManifest."""
    if blobs.size(artifact_id) > MAX_MANIFEST_BYTES:
        raise BadManifest(f"The manifest {artifact_id} is over {MAX_MANIFEST_BYTES} bytes.")
    data = blobs.read(artifact_id, 0, MAX_MANIFEST_BYTES)
    if digest_bytes(data) != artifact_id:
        raise IntegrityError(f"The blob {artifact_id} is damaged.")
    return data


def read_verified(blobs: StoredBlobs, digest: str) -> Iterator[bytes]:
    """The blob's bytes in pieces of at most 1 MiB. Raises NotFound, and IntegrityError after the
    last piece where they don't have the digest."""
    running = hashlib.sha256()
    offset = 0
    while piece := blobs.read(digest, offset, READ_BYTES):
        running.update(piece)
        yield piece
        offset += len(piece)
    if running.hexdigest() != digest:
        raise IntegrityError(f"The blob {digest} is damaged.")
