from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.digest import digest_bytes
from rsq.errors import BadManifest
from rsq.manifest import (
    FileEntry,
    ImageSpec,
    Lineage,
    Manifest,
    ProbeSpec,
    RecipeSpec,
    ScoringSpec,
    artifact_id,
    decode_manifest,
    encode_manifest,
)

MANIFEST = Manifest(
    tower="vision",
    variant="int8",
    format="onnx",
    space_id="a" * 64,
    dimension=256,
    batch_invariant=True,
    scoring=ScoringSpec("sigmoid", 22.983, -7.828),
    recipe=RecipeSpec("int8", ("CPUExecutionProvider",), {"scales": "per-token"}),
    lineage=Lineage("b" * 64, None, {"onnx": "1.23"}),
    licence="Apache-2.0",
    probe=ProbeSpec(0.999, 0.98),
    files=(FileEntry("graph", "model.onnx", 5000, "c" * 64, 4096, ("d" * 64, "e" * 64)),),
    image=ImageSpec(128, 128, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
)


def test_a_manifest_survives_encoding() -> None:
    data = encode_manifest(MANIFEST)
    assert decode_manifest(data) == MANIFEST
    assert encode_manifest(decode_manifest(data)) == data


def test_the_id_is_the_digest_of_the_canonical_bytes() -> None:
    data = encode_manifest(MANIFEST)
    assert artifact_id(data) == digest_bytes(data)
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()


def test_unknown_fields_of_the_own_schema_are_accepted() -> None:
    fields = json.loads(encode_manifest(MANIFEST)) | {"added_later": [1]}
    assert decode_manifest(json.dumps(fields).encode()) == MANIFEST


def test_a_newer_schema_is_refused_with_the_way_out() -> None:
    fields = json.loads(encode_manifest(MANIFEST)) | {"schema": 2}
    with pytest.raises(BadManifest, match="Upgrade rsq"):
        decode_manifest(json.dumps(fields).encode())


_IMAGE = json.loads(encode_manifest(MANIFEST))["image"]


def _change(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.update(changes)


def _change_file(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields["files"][0].update(changes)


@pytest.mark.parametrize(
    "spoil",
    [
        _change(schema="1"),
        _change(schema=0),
        _change(tower="audio"),
        _change(tower="text"),
        _change(space_id="a"),
        _change(dimension=0),
        _change(dimension=True),
        _change(files=[]),
        _change(scoring={"kind": "magic", "scale": 1, "bias": 0}),
        _change(image=None),
        _change(image={**_IMAGE, "std": [0.5, 0.0, 0.5]}),
        _change(image={**_IMAGE, "mean": [0.5]}),
        _change_file(name="../model.onnx"),
        _change_file(name="/etc/passwd"),
        _change_file(name=""),
        _change_file(size_bytes=-1),
        _change_file(size_bytes=50_000),
        _change_file(chunks=["d" * 64]),
        _change_file(chunks=["d" * 64, "E" * 64]),
        _change_file(chunk_bytes=0),
        lambda fields: fields["files"].append(fields["files"][0]),
        lambda fields: fields.pop("probe"),
        lambda fields: fields.pop("lineage"),
    ],
)
def test_what_later_code_relies_on_is_checked(spoil: Callable[[dict[str, Any]], None]) -> None:
    fields = json.loads(encode_manifest(MANIFEST))
    spoil(fields)
    with pytest.raises(BadManifest):
        decode_manifest(json.dumps(fields).encode())


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_decode_or_raise_bad_manifest(data: bytes) -> None:
    with pytest.raises(BadManifest):
        decode_manifest(data)


def test_size_counts_graph_and_weights_only() -> None:
    tokenizer = FileEntry("tokenizer", "tokenizer.json", 4000, "f" * 64, 4096, ("f" * 64,))
    weights = FileEntry("weights", "model.onnx.data", 4096, "9" * 64, 4096, ("9" * 64,))
    manifest = dataclasses.replace(MANIFEST, files=(*MANIFEST.files, weights, tokenizer))
    assert manifest.size_bytes == 5000 + 4096
    assert manifest.file("tokenizer") is tokenizer
    with pytest.raises(BadManifest):
        manifest.file("probe")
