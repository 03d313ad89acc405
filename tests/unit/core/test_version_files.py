"""rsq.version_files: which blobs a version needs, and that damaged ones are noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from version_samples import DETAILS, TOKENIZER, MemoryBlobs, make_stored_version

from rsq.digest import digest_bytes
from rsq.errors import BadManifest, IntegrityError, NotFound
from rsq.version_files import needed_digests, read_manifest, read_verified


def test_a_version_needs_each_of_its_blobs_once_manifests_first() -> None:
    blobs = MemoryBlobs()
    version = make_stored_version(blobs)
    blobs.add(b"of somebody else")
    needed = needed_digests(version, lambda identity: read_manifest(blobs, identity))
    assert needed[:4] == [row.id for row in version.artifacts]
    assert needed[-1] == digest_bytes(DETAILS)
    assert needed.count(digest_bytes(TOKENIZER)) == 1
    assert sorted([*needed, digest_bytes(b"of somebody else")]) == sorted(blobs.contents)
    bare = replace(version, details_digest=None)
    assert needed_digests(bare, lambda identity: read_manifest(blobs, identity)) == needed[:-1]


def test_a_blob_is_read_in_bounded_pieces() -> None:
    blobs = MemoryBlobs()
    data = bytes(range(256)) * 10_000
    pieces = list(read_verified(blobs, blobs.add(data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == 1 << 20


def test_a_damaged_blob_is_noticed_at_its_end() -> None:
    blobs = MemoryBlobs()
    digest = blobs.add(b"as it was")
    blobs.contents[digest] = b"as it wAs"
    with pytest.raises(IntegrityError, match=digest):
        list(read_verified(blobs, digest))
    with pytest.raises(IntegrityError, match=digest):
        read_manifest(blobs, digest)


def test_a_blob_that_isnt_there_and_a_manifest_beyond_its_limit() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(NotFound):
        read_manifest(blobs, "a" * 64)
    with pytest.raises(BadManifest):
        read_manifest(blobs, blobs.add(bytes((16 << 20) + 1)))
