"""rsq.version_record: a version survives the way through its JSON, and nothing malformed does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from report_samples import make_version

from rsq.errors import BadManifest
from rsq.version_record import MAX_RECORD_BYTES, decode_version, encode_version

VERSION = replace(
    make_version(), source_digest="a" * 64, details_digest="b" * 64, aliases=("production",)
)


def test_a_version_comes_back_without_what_belongs_to_its_registry() -> None:
    assert decode_version(encode_version(VERSION)) == replace(VERSION, aliases=())


def test_the_bytes_are_the_same_for_the_same_version() -> None:
    assert encode_version(VERSION) == encode_version(replace(VERSION, aliases=()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("space_id",), "zz"),
        (("space_id",), 5),
        (("dimension",), -1),
        (("dimension",), True),
        (("details_digest",), "../../etc/passwd"),
        (("artifacts",), {}),
        (("artifacts", 0, "id"), "short"),
        (("artifacts", 0, "tower"), "audio"),
        (("artifacts", 0, "size_bytes"), -1),
        (("artifacts", 0, "providers"), "CPU"),
        (("artifacts", 0, "profiles", 0, "p50_ms"), "fast"),
        (("schema",), 2),
        (("schema",), 0),
    ],
)
def test_a_malformed_field_is_refused(path: tuple[str | int, ...], value: object) -> None:
    fields = json.loads(encode_version(VERSION))
    inner = fields
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(BadManifest):
        decode_version(json.dumps(fields).encode())


@pytest.mark.parametrize("name", ["model", "schema", "artifacts", "source_digest"])
def test_a_missing_field_is_refused(name: str) -> None:
    fields = json.loads(encode_version(VERSION))
    del fields[name]
    with pytest.raises(BadManifest, match=name):
        decode_version(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"[" * 100_000, b"\xff", b" " * (MAX_RECORD_BYTES + 1)]
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(BadManifest):
        decode_version(data)
