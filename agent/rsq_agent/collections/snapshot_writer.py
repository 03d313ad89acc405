"""Writes a snapshot, as `rsq_agent.collections.snapshot_index` describes it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rsq.digest import digest_bytes, digest_parts
from rsq.errors import IntegrityError
from rsq.tar_header import TRAILER, encode_header, padding_bytes
from rsq_agent.collections.collection_record import CollectionRecord
from rsq_agent.collections.snapshot_index import (
    DIGEST_NAME,
    INDEX_NAME,
    SnapshotFile,
    SnapshotIndex,
    data_name,
    encode_index,
    snapshot_bytes,
)
from rsq_agent.collections.sparse_copy import data_parts

PIECE_BYTES = 256 << 10


@dataclass(frozen=True)
class SnapshotStream:
    total_bytes: int
    pieces: Iterator[bytes]  # of at most PIECE_BYTES, but for the index


def write_snapshot(record: CollectionRecord, points: int, shard: Path) -> SnapshotStream:
    """The collection `record`, under its name there, with the `points` points of the closed shard
    in the folder `shard`, which must not change meanwhile. Raises OSError where it can't be read,
    EnvironmentFault for too many files; the pieces raise IntegrityError where a file changed."""
    paths = sorted(path for path in shard.rglob("*") if path.is_file())
    index = SnapshotIndex(
        collection=record.name,
        space_id=record.space_id,
        dimension=record.dimension,
        created_at=record.created_at,
        points=points,
        extents=record.extents,
        engine=engine(),
        files=tuple(_describe(shard, path) for path in paths),
    )
    encoded = encode_index(index)
    return SnapshotStream(
        total_bytes=snapshot_bytes(index, index_bytes=len(encoded)),
        pieces=_pieces(shard, index, encoded),
    )


def engine() -> str:
    """What writes and reads shards here."""
    return f"qdrant-edge-py {importlib.metadata.version('qdrant-edge-py')}"


def _describe(shard: Path, path: Path) -> SnapshotFile:
    parts = tuple(data_parts(path))
    return SnapshotFile(
        path=path.relative_to(shard).as_posix(),
        size_bytes=path.stat().st_size,
        parts=parts,
        sha256=digest_parts(_read(path, parts)),
    )


def _pieces(shard: Path, index: SnapshotIndex, encoded: bytes) -> Iterator[bytes]:
    yield from _member(INDEX_NAME, len(encoded), [encoded])
    digest = digest_bytes(encoded).encode()
    yield from _member(DIGEST_NAME, len(digest), [digest])
    for number, file in enumerate(index.files):
        data = _read(shard / file.path, file.parts)
        yield from _member(data_name(number), file.data_bytes, data)
    yield TRAILER


def _member(name: str, size_bytes: int, content: Iterable[bytes]) -> Iterator[bytes]:
    yield encode_header(name, size_bytes)
    yield from content
    yield bytes(padding_bytes(size_bytes))


def _read(path: Path, parts: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    with path.open("rb") as file:
        for offset, length in parts:
            file.seek(offset)
            while length:
                piece = file.read(min(PIECE_BYTES, length))
                if not piece:
                    raise IntegrityError(f"{path} changed while it was read.")
                length -= len(piece)
                yield piece
