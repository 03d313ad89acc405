"""Chunk arithmetic shared by the publisher, the puller and a mirror."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rsq.manifest import CHUNK_BYTES, FileEntry

# Reads and writes of blobs over the wire: a slow peer holds a thread for no longer than one call.
MAX_CALL_BYTES = 16 << 20
MESSAGE_BYTES = 256 << 10  # large enough for full speed, well below grpc's default limit of 4 MiB


def describe_file(path: Path, *, role: str, name: str, chunk_bytes: int = CHUNK_BYTES) -> FileEntry:
    """The manifest entry of the file at `path`, read once."""
    whole = hashlib.sha256()
    chunks: list[str] = []
    size_bytes = 0
    with path.open("rb") as file:
        while piece := file.read(chunk_bytes):
            whole.update(piece)
            chunks.append(hashlib.sha256(piece).hexdigest())
            size_bytes += len(piece)
    return FileEntry(role, name, size_bytes, whole.hexdigest(), chunk_bytes, tuple(chunks))


def chunk_range(entry: FileEntry, index: int) -> tuple[int, int]:
    """(offset, length) of chunk `index`, in bytes."""
    offset = index * entry.chunk_bytes
    return offset, min(entry.chunk_bytes, entry.size_bytes - offset)


class Bitmap:
    """Which chunks of a file are verified and on disk. One bit a chunk, low bit first."""

    def __init__(self, count: int, data: bytes | None = None) -> None:
        size = -(-count // 8)
        if data is not None and len(data) != size:
            data = None  # a torn journal counts as empty: chunks are then fetched again
        self.count = count
        self._bits = bytearray(data if data is not None else bytes(size))

    def __contains__(self, index: int) -> bool:
        return bool(self._bits[index // 8] >> (index % 8) & 1)

    def add(self, index: int) -> None:
        self._bits[index // 8] |= 1 << (index % 8)

    def discard(self, index: int) -> None:
        self._bits[index // 8] &= ~(1 << (index % 8))

    def missing(self) -> list[int]:
        return [index for index in range(self.count) if index not in self]

    def to_bytes(self) -> bytes:
        return bytes(self._bits)
