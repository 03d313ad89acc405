"""rsq_server.oci: the image of a version, as the ModelPack and OCI specifications have it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from version_samples import MemoryBlobs, make_stored_version

from rsq.digest import digest_bytes
from rsq.manifest import decode_manifest
from rsq.records import VersionRow
from rsq.version_record import decode_version
from rsq_server.bundles import prepare_export
from rsq_server.oci import Image, describe_image

BLOBS = MemoryBlobs()
VERSION = make_stored_version(BLOBS)


def describe(version: VersionRow) -> Image:
    manifests = {row.id: decode_manifest(BLOBS.contents[row.id]) for row in version.artifacts}
    return describe_image(version, manifests, BLOBS.size)


def test_the_manifest_has_the_media_types_of_the_specifications() -> None:
    image = describe(VERSION)
    manifest = json.loads(image.manifest)
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    types = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"].split(".model.")[1]
        for layer in manifest["layers"]
    }
    assert len(types) == len(manifest["layers"])  # no path twice
    assert {
        path: kind for path, kind in types.items() if "text/int8" in path or "/" not in path
    } == {
        "text/int8/rsq-manifest.json": "weight.config.v1.raw",
        "text/int8/model.onnx": "weight.v1.raw",
        "text/int8/model.onnx.data": "weight.v1.raw",
        "text/int8/probe.json": "dataset.v1.raw",
        "text/int8/tokenizer.json": "weight.config.v1.raw",
        "rsq-report.json": "doc.v1.raw",
        "rsq-version.json": "doc.v1.raw",
    }


def test_every_blob_is_a_layer_with_its_size() -> None:
    image = describe(VERSION)
    sizes = {digest: len(data) for digest, data in (BLOBS.contents | image.made).items()}
    layers = json.loads(image.manifest)["layers"]
    assert all(layer["size"] == sizes[layer["digest"].removeprefix("sha256:")] for layer in layers)
    assert {layer["digest"].removeprefix("sha256:") for layer in layers} >= set(BLOBS.contents)


def test_the_configuration_lists_the_layers_in_their_order() -> None:
    image = describe(VERSION)
    manifest = json.loads(image.manifest)
    data = image.made[manifest["config"]["digest"].removeprefix("sha256:")]
    config = json.loads(data)
    assert len(data) == manifest["config"]["size"]
    assert config["modelfs"] == {
        "type": "layers",
        "diffIds": [layer["digest"] for layer in manifest["layers"]],
    }
    assert config["descriptor"] == {
        "createdAt": VERSION.created_at,
        "name": "tiny",
        "version": "3",
        "licenses": ["Apache-2.0"],
    }
    assert config["config"] == {
        "format": "onnx",
        "capabilities": {"inputTypes": ["image", "text"], "outputTypes": ["embedding"]},
    }


def test_a_part_of_one_precision_says_so_and_an_unknown_licence_is_left_out() -> None:
    part = replace(prepare_export(VERSION, variants=["int8"], tower="vision"), licence="")
    config = next(
        fields for data in describe(part).made.values() if "modelfs" in (fields := json.loads(data))
    )
    assert config["config"]["precision"] == "int8"
    assert config["config"]["capabilities"]["inputTypes"] == ["image"]
    assert "licenses" not in config["descriptor"]


def test_the_last_layer_is_the_record() -> None:
    image = describe(VERSION)
    last = image.layers[-1]
    assert last.annotations["vnd.rsq.role"] == "version"
    assert decode_version(image.made[last.digest]) == replace(VERSION, aliases=())


def test_the_same_version_gives_the_same_image() -> None:
    assert describe(VERSION) == describe(replace(VERSION, aliases=()))
    assert digest_bytes(describe(VERSION).manifest) in describe(VERSION).made


@pytest.mark.parametrize("tower", ["vision", "text"])
def test_every_layer_of_a_file_names_its_artifact(tower: str) -> None:
    ids = {row.id for row in VERSION.artifacts if row.tower == tower}
    layers = [
        layer
        for layer in describe(VERSION).layers
        if layer.annotations["org.cncf.model.filepath"].startswith(f"{tower}/")
    ]
    assert {layer.annotations["vnd.rsq.artifact"] for layer in layers} == ids
