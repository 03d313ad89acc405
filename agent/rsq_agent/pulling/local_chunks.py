"""Chunks that are on the node already, in the files of other artifacts.

A new version of a model shares most tensors with the one before, at the same offsets, so most of
its chunks need not cross the network again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rsq.chunks import chunk_range
from rsq.digest import digest_bytes
from rsq.errors import RsqError
from rsq.manifest import FileEntry
from rsq_agent.cache import Cache


@dataclass(frozen=True)
class _Place:
    path: Path
    offset: int
    length: int


class LocalChunks:
    """Chunk digests by place. Nothing here is trusted: `read` hashes what it finds."""

    def __init__(self, cache: Cache, wanted: Iterable[FileEntry]) -> None:
        """Looks through the node's manifests for the chunks of `wanted`."""
        needed = {digest for entry in wanted for digest in entry.chunks}
        self._places: dict[str, _Place] = {}
        for artifact_id in cache.artifact_ids():
            try:
                manifest = cache.manifest(artifact_id)
            except RsqError:
                continue  # a damaged manifest helps nobody
            for entry in manifest.files:
                self._add(cache, entry, needed)

    def _add(self, cache: Cache, entry: FileEntry, needed: set[str]) -> None:
        path = cache.blob_path(entry.sha256)
        if not needed.intersection(entry.chunks) or not path.is_file():
            return
        for index, digest in enumerate(entry.chunks):
            if digest in needed:
                self._places.setdefault(digest, _Place(path, *chunk_range(entry, index)))

    def __contains__(self, digest: str) -> bool:
        return digest in self._places

    def read(self, digest: str) -> bytes | None:
        """The chunk, or None where it is not here, or no longer, or damaged."""
        place = self._places.get(digest)
        if place is None:
            return None
        try:
            with place.path.open("rb") as file:
                file.seek(place.offset)
                data = file.read(place.length)
        except OSError:
            return None
        return data if digest_bytes(data) == digest else None
