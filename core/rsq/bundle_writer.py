"""Writes a bundle, as rsq.bundle describes it, in one pass and within a few MiB of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rsq.bundle_index import (
    INDEX_NAME,
    BundleIndex,
    Entry,
    bundle_bytes,
    encode_index,
    lay_out,
)
from rsq.digest import digest_bytes
from rsq.errors import IntegrityError
from rsq.output_file import require_space, write_output
from rsq.records import VersionRow
from rsq.tar_header import TRAILER, encode_header, padding_bytes
from rsq.version_files import StoredBlobs, needed_digests, read_manifest, read_verified
from rsq.version_record import encode_version


def write_bundle(
    out: Path,
    version: VersionRow,
    blobs: StoredBlobs,
    advance: Callable[[int, int], None] = lambda done, total: None,
    *,
    trust: bytes | None = None,
) -> int:
    """Writes the version with all its blobs to `out`, which is replaced once it is complete, and
    returns the bundle's bytes. `advance` hears of bytes done and in all; `trust` is the signed
    metadata that goes along.

    Raises NotFound for a blob that isn't there, IntegrityError for a damaged one, Exhausted for a
    full disk, EnvironmentFault for a folder that can't be written.
    """
    digests = needed_digests(version, lambda identity: read_manifest(blobs, identity))
    record = encode_version(version)
    carried = None if trust is None else Entry(digest_bytes(trust), len(trust))
    index = BundleIndex(
        Entry(digest_bytes(record), len(record)),
        (
            *(Entry(digest, blobs.size(digest)) for digest in digests),
            *(() if carried is None else (carried,)),
        ),
        None if carried is None else carried.sha256,
    )
    encoded = encode_index(index)
    total = bundle_bytes(index, index_bytes=len(encoded))
    require_space(out.parent, total)
    places = lay_out(index, index_bytes=len(encoded))

    def pieces() -> Iterator[bytes]:
        yield from _member(INDEX_NAME, len(encoded), [encoded])
        yield from _member(next(places).name, len(record), [record])
        for place in places:
            content: Iterable[bytes] = read_verified(blobs, place.entry.sha256)
            if trust is not None and place.entry.sha256 == index.trust:
                content = [trust]
            yield from _member(place.name, place.entry.size_bytes, content)
        yield TRAILER

    write_output(out, _watched(pieces(), total, advance))
    return total


def _member(name: str, size_bytes: int, content: Iterable[bytes]) -> Iterator[bytes]:
    yield encode_header(name, size_bytes)
    yield from content
    yield bytes(padding_bytes(size_bytes))


def _watched(
    pieces: Iterable[bytes], total: int, advance: Callable[[int, int], None]
) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        advance(done, total)
    if done != total:
        raise IntegrityError("A blob changed while it was read. Export again.")
