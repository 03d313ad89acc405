"""The first file of a snapshot: which collection it is, and what its files are.

Qdrant Edge maps files of 32 MiB that are mostly holes, so a snapshot holds only the parts of a file
that hold data. A snapshot is an uncompressed tar file in one fixed form:

    rsq-snapshot.json      this index
    rsq-snapshot.sha256    its SHA-256, as text
    data/<n>               the parts of the index's file number n, one after the other
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from rsq.digest import is_digest
from rsq.errors import BadInput, BadManifest, EnvironmentFault
from rsq.json_fields import read_integer, read_string
from rsq.manifest import canonical_json
from rsq.tar_header import BLOCK_BYTES, TRAILER, padding_bytes
from rsq_agent.collections.collection_record import MAX_DIMENSION
from rsq_agent.collections.stored_place import Extents, read_extents

SCHEMA = 2
INDEX_NAME = "rsq-snapshot.json"
DIGEST_NAME = "rsq-snapshot.sha256"
DIGEST_CHARACTERS = 64
MAX_INDEX_BYTES = 16 << 20
MAX_FILES = 100_000
_MAX_FILE_BYTES = 1 << 40
_MAX_PARTS = 10  # of a path, folders included
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class SnapshotFile:
    """`parts` are (offset, bytes) of what holds data, in their order; the rest is zeros. `sha256`
    is that of the parts alone."""

    path: str
    size_bytes: int
    parts: tuple[tuple[int, int], ...]
    sha256: str

    @property
    def data_bytes(self) -> int:
        return sum(length for _, length in self.parts)


@dataclass(frozen=True)
class SnapshotIndex:
    """`engine` is what wrote the files, with its version."""

    collection: str
    space_id: str
    dimension: int
    created_at: str  # of the collection; RFC 3339, UTC
    points: int
    extents: Extents
    engine: str
    files: tuple[SnapshotFile, ...]

    @property
    def data_bytes(self) -> int:
        return sum(file.data_bytes for file in self.files)


def data_name(number: int) -> str:
    return f"data/{number}"


def encode_index(index: SnapshotIndex) -> bytes:
    """Raises EnvironmentFault for a collection of too many files."""
    encoded = canonical_json({"schema": SCHEMA, **asdict(index)})
    if len(index.files) > MAX_FILES or len(encoded) > MAX_INDEX_BYTES:
        raise EnvironmentFault(
            f"The collection {index.collection!r} has too many files for a snapshot; compact it, "
            "or export it instead."
        )
    return encoded


def decode_index(data: bytes) -> SnapshotIndex:
    """Raises EnvironmentFault for a newer schema and BadInput for what is malformed: a path that
    leads out of the folder, files that overlap themselves."""
    try:
        fields = json.loads(data)
        schema = read_integer(fields, "schema", 1, 1 << 31)
        if schema != SCHEMA:
            what_to_do = "Upgrade rsq." if schema > SCHEMA else "Make it anew."
            raise EnvironmentFault(
                f"The snapshot has schema {schema}; this rsq reads {SCHEMA}. {what_to_do}"
            )
        index = SnapshotIndex(
            collection=read_string(fields, "collection"),
            space_id=read_string(fields, "space_id"),
            dimension=read_integer(fields, "dimension", 1, MAX_DIMENSION),
            created_at=read_string(fields, "created_at"),
            points=read_integer(fields, "points", 0, 1 << 40),
            extents=read_extents(fields["extents"]),
            engine=read_string(fields, "engine"),
            files=tuple(map(_read_file, fields["files"])),
        )
    except (BadManifest, KeyError, TypeError, ValueError, OverflowError, RecursionError) as e:
        raise BadInput("The snapshot's index is malformed.") from e
    paths = [file.path for file in index.files]
    if len(paths) > MAX_FILES or len(set(paths)) != len(paths) or not is_digest(index.space_id):
        raise BadInput("The snapshot's index does not describe a collection.")
    return index


def snapshot_bytes(index: SnapshotIndex, *, index_bytes: int) -> int:
    """The size of the whole file."""
    sizes = [index_bytes, DIGEST_CHARACTERS, *(file.data_bytes for file in index.files)]
    return sum(BLOCK_BYTES + size + padding_bytes(size) for size in sizes) + len(TRAILER)


def _read_file(fields: dict[str, Any]) -> SnapshotFile:
    path = read_string(fields, "path")
    names = path.split("/")
    if len(names) > _MAX_PARTS or not all(_PART.fullmatch(name) for name in names):
        raise ValueError("path")
    if str(PurePosixPath(path)) != path:
        raise ValueError("path")
    size_bytes = read_integer(fields, "size_bytes", 0, _MAX_FILE_BYTES)
    parts = []
    end = 0
    for offset, length in fields["parts"]:
        if type(offset) is not int or type(length) is not int:
            raise TypeError("parts")
        if not end <= offset < offset + length <= size_bytes:
            raise ValueError("parts")
        end = offset + length
        parts.append((offset, length))
    sha256 = read_string(fields, "sha256")
    if not is_digest(sha256):
        raise ValueError("sha256")
    return SnapshotFile(path, size_bytes, tuple(parts), sha256)
