"""rsq_server.oci_reader: layouts of any writer, and nothing damaged or hostile from them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from version_samples import DETAILS, MemoryBlobs, make_stored_version

from rsq.digest import digest_bytes
from rsq.errors import BadInput, BadManifest, EnvironmentFault, IntegrityError, NotFound, RsqError
from rsq.version_files import needed_digests
from rsq.version_record import decode_version, encode_version
from rsq_server.oci_layout import write_layout
from rsq_server.oci_reader import is_layout, read_layout

BLOBS = MemoryBlobs()
VERSION = make_stored_version(BLOBS)


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    write_layout(tmp_path / "layout", VERSION, BLOBS)
    return tmp_path / "layout"


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / "sha256" / digest.removeprefix("sha256:")


def rewrite(layout: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the image's manifest as somebody would who makes the digests fit."""
    index = json.loads((layout / "index.json").read_bytes())
    (image,) = index["manifests"]
    manifest = json.loads(blob(layout, image["digest"]).read_bytes())
    change(manifest)
    data = json.dumps(manifest).encode()
    image |= {"digest": f"sha256:{digest_bytes(data)}", "size": len(data)}
    blob(layout, image["digest"]).write_bytes(data)
    (layout / "index.json").write_text(json.dumps(index))


def read_all(layout: Path) -> None:
    for one in read_layout(layout):
        for digest in needed_digests(one.version(), one.manifest):
            data = b"".join(one.read_blob(digest, 0, one.size(digest)))
            if digest_bytes(data) != digest:  # as the blob store does
                raise IntegrityError(digest)


def test_a_layout_gives_back_the_version_and_every_blob(layout: Path) -> None:
    assert is_layout(layout)
    (one,) = read_layout(layout)
    assert one.version() == decode_version(encode_version(VERSION))
    assert {
        digest: b"".join(one.read_blob(digest, 0, one.size(digest))) for digest in BLOBS.contents
    } == BLOBS.contents
    assert b"".join(one.read_blob(digest_bytes(DETAILS), 3, 5)) == DETAILS[3:8]


def test_images_of_others_are_passed_over(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    image = {"schemaVersion": 2, "config": {}, "layers": []}
    data = json.dumps(image).encode()
    blob(layout, digest_bytes(data)).write_bytes(data)
    other = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{digest_bytes(data)}",
        "size": len(data),
    }
    nested = {**other, "mediaType": "application/vnd.oci.image.index.v1+json"}
    index["manifests"] = [nested, other, *index["manifests"]]
    (layout / "index.json").write_text(json.dumps(index))
    assert [one.version().model for one in read_layout(layout)] == ["tiny"]


def test_a_layout_without_a_version_says_what_writes_one(layout: Path) -> None:
    rewrite(layout, lambda manifest: manifest["layers"].pop())
    with pytest.raises(BadInput, match="rsq-server export --oci"):
        read_layout(layout)
    (layout / "index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    with pytest.raises(BadInput, match="rsq-server export --oci"):
        read_layout(layout)


def set_layer(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["layers"][-1].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        set_layer(digest="../../../etc/passwd"),
        set_layer(digest="sha256:../../../etc/passwd"),
        set_layer(digest="sha512:" + "a" * 128),
        set_layer(digest=5),
        set_layer(size=-1),
        set_layer(size="12"),
        set_layer(size=1 << 30),
        set_layer(annotations=["vnd.rsq.role"]),
        set_layer(mediaType=None),
        lambda manifest: manifest.update(layers={}),
        lambda manifest: manifest.update(layers=["layer"]),
    ],
)
def test_a_malformed_manifest_is_refused(
    layout: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(layout, change)
    with pytest.raises(BadManifest):
        read_layout(layout)


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"manifests": 5}', '{"manifests": [5]}']
)
def test_malformed_json_is_refused(layout: Path, name: str, text: str) -> None:
    (layout / name).write_text(text)
    with pytest.raises(BadManifest):
        read_layout(layout)


def test_json_beyond_its_bound_is_refused(layout: Path) -> None:
    (layout / "index.json").write_text("{" + " " * (4 << 20) + "}")
    with pytest.raises(BadManifest, match="over 4194304 bytes"):
        read_layout(layout)


def test_what_is_missing_is_named(layout: Path) -> None:
    blob(layout, digest_bytes(DETAILS)).unlink()
    (one,) = read_layout(layout)
    with pytest.raises(NotFound, match=digest_bytes(DETAILS)):
        next(one.read_blob(digest_bytes(DETAILS), 0, 1))
    with pytest.raises(NotFound, match="0" * 64):
        one.size("0" * 64)
    (layout / "index.json").unlink()
    with pytest.raises(EnvironmentFault, match="can't be read"):
        read_layout(layout)


def test_a_blob_that_is_cut_off_or_no_file_is_refused(layout: Path) -> None:
    path = blob(layout, digest_bytes(DETAILS))
    (one,) = read_layout(layout)
    path.write_bytes(DETAILS[:-1])
    with pytest.raises(IntegrityError, match="cut off"):
        list(one.read_blob(path.name, 0, len(DETAILS)))
    for make in (os.mkfifo, os.mkdir):
        path.unlink()
        make(path)
        with pytest.raises(BadManifest, match="not a file"):
            list(one.read_blob(path.name, 0, 1))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_flipped_bit_that_matters_is_never_accepted(layout: Path, data: st.DataObject) -> None:
    (image,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = json.loads(blob(layout, image["digest"]).read_bytes())
    # The configuration is for other tools, so nothing of ours depends on it.
    layers = [layer["digest"] for layer in manifest["layers"]]
    path = blob(layout, data.draw(st.sampled_from([image["digest"], *layers])))
    good = path.read_bytes()
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bad)
    with pytest.raises(RsqError):
        read_all(layout)
    path.write_bytes(good)
