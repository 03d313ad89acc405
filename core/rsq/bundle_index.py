"""The first file of a bundle: what else is in it, and how large each is.

The index gives every file its place, so a reader knows all headers and offsets of a bundle before
it looks at any of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rsq.digest import is_digest
from rsq.errors import BadManifest
from rsq.json_fields import read_integer, read_string
from rsq.manifest import MAX_FILE_BYTES, MAX_FILES, canonical_json
from rsq.tar_header import BLOCK_BYTES, TRAILER, padding_bytes
from rsq.version_record import MAX_ARTIFACTS, MAX_RECORD_BYTES

SCHEMA = 1
INDEX_NAME = "rsq-bundle.json"
VERSION_NAME = "version.json"
MAX_INDEX_BYTES = 1 << 20
# Files and manifests, what the report shows, and signed metadata.
MAX_BLOBS = MAX_ARTIFACTS * (MAX_FILES + 1) + 2


@dataclass(frozen=True)
class Entry:
    """A file of a bundle by its digest."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Place:
    """Where a file lies in a bundle: its header is the block before `offset`."""

    name: str
    entry: Entry
    offset: int


@dataclass(frozen=True)
class BundleIndex:
    """`version` is the version's record; `blobs` are named by their digests, in this order. `trust`
    is the digest of the blob with the signed metadata, where some goes along."""

    version: Entry
    blobs: tuple[Entry, ...]
    trust: str | None = None


def blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def encode_index(index: BundleIndex) -> bytes:
    fields = {name: value for name, value in asdict(index).items() if value is not None}
    return canonical_json({"schema": SCHEMA, **fields})


def decode_index(data: bytes) -> BundleIndex:
    """Raises BadManifest for what is malformed or of a newer schema."""
    try:
        fields = json.loads(data)
        schema = read_integer(fields, "schema", 1, 1 << 31)
        if schema > SCHEMA:
            raise BadManifest(
                f"The bundle has schema {schema}; this rsq reads up to {SCHEMA}. Upgrade rsq."
            )
        version, blobs = _entry(fields["version"]), tuple(map(_entry, fields["blobs"]))
        trust = read_string(fields, "trust") if "trust" in fields else None
    except KeyError as e:
        raise BadManifest(f"The bundle's index lacks the field {e.args[0]!r}.") from e
    except (TypeError, ValueError, RecursionError) as e:
        raise BadManifest("The bundle's index is malformed.") from e
    if version.size_bytes > MAX_RECORD_BYTES:
        raise BadManifest(f"The version's record is over {MAX_RECORD_BYTES} bytes.")
    if len(blobs) > MAX_BLOBS:
        raise BadManifest(f"The bundle's index lists {len(blobs)} files, over {MAX_BLOBS}.")
    if len({blob.sha256 for blob in blobs}) != len(blobs):
        raise BadManifest("The bundle's index lists a file twice.")
    if trust is not None and trust not in {blob.sha256 for blob in blobs}:
        raise BadManifest("The bundle's index names signed metadata that it does not list.")
    return BundleIndex(version, blobs, trust)


def lay_out(index: BundleIndex, *, index_bytes: int) -> Iterator[Place]:
    """The places of all files after the index, which has `index_bytes`, in their order."""
    offset = _end(BLOCK_BYTES, index_bytes)
    files = [(VERSION_NAME, index.version), *((blob_name(b.sha256), b) for b in index.blobs)]
    for name, entry in files:
        offset += BLOCK_BYTES
        yield Place(name, entry, offset)
        offset = _end(offset, entry.size_bytes)


def bundle_bytes(index: BundleIndex, *, index_bytes: int) -> int:
    """The size of the whole bundle."""
    *_, last = lay_out(index, index_bytes=index_bytes)
    return _end(last.offset, last.entry.size_bytes) + len(TRAILER)


def _end(offset: int, size_bytes: int) -> int:
    return offset + size_bytes + padding_bytes(size_bytes)


def _entry(fields: dict[str, Any]) -> Entry:
    digest = read_string(fields, "sha256")
    if not is_digest(digest):
        raise BadManifest("The bundle's index holds something else than a digest.")
    return Entry(digest, read_integer(fields, "size_bytes", 0, MAX_FILE_BYTES))
