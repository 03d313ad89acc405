"""rsq.bundle_index: what an index says, and what is no index."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rsq.bundle_index import (
    MAX_BLOBS,
    BundleIndex,
    Entry,
    bundle_bytes,
    decode_index,
    encode_index,
    lay_out,
)
from rsq.errors import BadManifest

INDEX = BundleIndex(Entry("a" * 64, 700), (Entry("b" * 64, 512), Entry("c" * 64, 0)))


def change(**changes: Any) -> bytes:
    return json.dumps({**json.loads(encode_index(INDEX)), **changes}).encode()


def test_an_index_comes_back_and_unknown_fields_are_accepted() -> None:
    assert decode_index(encode_index(INDEX)) == INDEX
    assert decode_index(change(note="from a later release of this schema")) == INDEX


def test_every_file_has_its_place_behind_its_header() -> None:
    places = list(lay_out(INDEX, index_bytes=100))
    assert [place.offset for place in places] == [1536, 3072, 4096]
    assert [place.entry for place in places] == [INDEX.version, *INDEX.blobs]
    assert bundle_bytes(INDEX, index_bytes=100) == 4096 + 1024


def test_a_newer_schema_asks_for_an_upgrade() -> None:
    with pytest.raises(BadManifest, match=r"schema 2.*Upgrade rsq\."):
        decode_index(change(schema=2, blobs="moved elsewhere"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"[" * 100_000,
        b'{"schema":' + b"9" * 5000 + b"}",
        change(schema=0),
        change(schema=True),
        change(schema="1"),
        change(version=None),
        change(version={"sha256": "a" * 64, "size_bytes": 1 << 30}),
        change(blobs={"sha256": "b" * 64}),
        change(blobs=["b" * 64]),
        change(blobs=[{"sha256": "../../etc/passwd", "size_bytes": 1}]),
        change(blobs=[{"sha256": "B" * 64, "size_bytes": 1}]),
        change(blobs=[{"sha256": "b" * 64, "size_bytes": -1}]),
        change(blobs=[{"sha256": "b" * 64, "size_bytes": 1.5}]),
        change(blobs=[{"sha256": "b" * 64, "size_bytes": 1 << 50}]),
        change(blobs=[{"sha256": "b" * 64, "size_bytes": 1}] * 2),
        change(blobs=[{"sha256": f"{n:064x}", "size_bytes": 1} for n in range(MAX_BLOBS + 1)]),
        change(trust="d" * 64),
        change(trust=3),
        json.dumps({"schema": 1, "blobs": []}).encode(),
    ],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(BadManifest):
        decode_index(data)
