"""The index of a snapshot: what it refuses, and that it says what it was told."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from rsq.errors import BadInput, EnvironmentFault
from rsq_agent.collections.snapshot_index import (
    SnapshotFile,
    SnapshotIndex,
    decode_index,
    encode_index,
)
from rsq_agent.collections.stored_place import Extents, Size

FILE = SnapshotFile("segments/a-1/page_0.dat", 32 << 20, ((0, 4096), (8192, 100)), "a" * 64)
INDEX = SnapshotIndex(
    collection="scenes",
    space_id="b" * 64,
    dimension=16,
    created_at="2026-01-01T00:00:00+00:00",
    points=3,
    extents=Extents(Size(0.5, 0.25)),
    engine="qdrant-edge-py 0.9.0",
    files=(FILE,),
)


def test_it_reads_what_it_wrote() -> None:
    assert decode_index(encode_index(INDEX)) == INDEX
    with_large = replace(INDEX, extents=Extents(Size(), Size(2, 200)))
    assert decode_index(encode_index(with_large)) == with_large
    assert INDEX.data_bytes == 4196


@pytest.mark.parametrize(("schema", "advice"), [(3, "Upgrade rsq"), (1, "Make it anew")])
def test_what_another_release_wrote_is_named(schema: int, advice: str) -> None:
    fields = {**json.loads(encode_index(INDEX)), "schema": schema}
    with pytest.raises(EnvironmentFault, match=advice):
        decode_index(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "path", ["../up", "/etc/x", "a/../../b", "a//b", "", ".", "a/.", "a\\b", "a\0", "x" * 200]
)
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(BadInput):
        decode_index(encode_index(replace(INDEX, files=(replace(FILE, path=path),))))


@pytest.mark.parametrize(
    "change",
    [
        {"parts": ((0, 10), (5, 10))},
        {"parts": ((0, 0),)},
        {"parts": ((-1, 5),)},
        {"parts": ((FILE.size_bytes, 1),)},
        {"parts": ((0, True),)},
        {"sha256": "zz"},
        {"size_bytes": 1 << 50},
    ],
)
def test_parts_lie_in_the_file_one_after_the_other(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        decode_index(encode_index(replace(INDEX, files=(replace(FILE, **change),))))


@pytest.mark.parametrize("name", sorted(asdict(INDEX)))
def test_every_field_is_needed(name: str) -> None:
    fields = json.loads(encode_index(INDEX))
    del fields[name]
    with pytest.raises(BadInput):
        decode_index(json.dumps(fields).encode())


def test_a_file_is_listed_once() -> None:
    with pytest.raises(BadInput):
        decode_index(encode_index(replace(INDEX, files=(FILE, FILE))))
