"""A version as an OCI image manifest, which any OCI registry stores and hands out.

The manifest follows CNCF's ModelPack specification (github.com/modelpack/model-spec): every file is
a raw layer that says its path, TOWER/VARIANT/NAME. A file that several artifacts share is one blob
and a layer for each. Our own part is the layer with the version's record, and the annotations that
begin with `vnd.rsq.`. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rsq.digest import digest_bytes
from rsq.manifest import Manifest, canonical_json
from rsq.records import VersionRow
from rsq.version_record import encode_version

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
MODEL_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_TYPE = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"
DATASET_TYPE = "application/vnd.cncf.model.dataset.v1.raw"
DOC_TYPE = "application/vnd.cncf.model.doc.v1.raw"
FILE_PATH = "org.cncf.model.filepath"

ROLE = "vnd.rsq.role"  # of a layer: a file's role, or one of the three below
MANIFEST_ROLE, VERSION_ROLE, REPORT_ROLE = "manifest", "version", "report"
ARTIFACT = "vnd.rsq.artifact"  # of a layer: the id of the artifact that it belongs to
SPACE = "vnd.rsq.space"  # of a manifest: the version's space id

# By a file's role. A probe is inputs with the outputs that they must give.
_TYPES = {
    "graph": WEIGHT_TYPE,
    "weights": WEIGHT_TYPE,
    "tokenizer": WEIGHT_CONFIG_TYPE,
    "probe": DATASET_TYPE,
}


@dataclass(frozen=True)
class Layer:
    media_type: str
    digest: str
    size_bytes: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def descriptor(self) -> dict[str, Any]:
        return {
            "mediaType": self.media_type,
            "digest": f"sha256:{self.digest}",
            "size": self.size_bytes,
            "annotations": dict(self.annotations),
        }


@dataclass(frozen=True)
class Image:
    """What a layout holds of one version. `made` are the blobs that no registry of ours has, the
    record, the configuration and the manifest, by digest."""

    manifest: bytes
    layers: tuple[Layer, ...]
    made: Mapping[str, bytes]


def describe_image(
    version: VersionRow, manifests: Mapping[str, Manifest], size: Callable[[str], int]
) -> Image:
    """`manifests` by artifact id; `size` gives a blob's bytes. The same version gives the same
    bytes."""
    record = encode_version(version)
    layers = [
        layer for row in version.artifacts for layer in _layers(row.id, manifests[row.id], size)
    ]
    if version.details_digest is not None:
        digest = version.details_digest
        layers.append(_document(digest, size(digest), REPORT_ROLE, "rsq-report.json"))
    layers.append(_document(digest_bytes(record), len(record), VERSION_ROLE, "rsq-version.json"))
    config = canonical_json(_config(version, manifests, layers))
    manifest = canonical_json(_manifest(version, layers, config))
    return Image(
        manifest=manifest,
        layers=tuple(layers),
        made={digest_bytes(data): data for data in (record, config, manifest)},
    )


def _layers(identity: str, manifest: Manifest, size: Callable[[str], int]) -> Iterator[Layer]:
    def describe(role: str, media_type: str, digest: str, size_bytes: int, name: str) -> Layer:
        path = f"{manifest.tower}/{manifest.variant}/{name}"
        annotations = {FILE_PATH: path, ROLE: role, ARTIFACT: identity}
        return Layer(media_type, digest, size_bytes, annotations)

    yield describe(MANIFEST_ROLE, WEIGHT_CONFIG_TYPE, identity, size(identity), "rsq-manifest.json")
    for entry in manifest.files:
        media_type = _TYPES.get(entry.role, WEIGHT_CONFIG_TYPE)
        yield describe(entry.role, media_type, entry.sha256, entry.size_bytes, entry.name)


def _document(digest: str, size_bytes: int, role: str, name: str) -> Layer:
    return Layer(DOC_TYPE, digest, size_bytes, {FILE_PATH: name, ROLE: role})


def _config(
    version: VersionRow, manifests: Mapping[str, Manifest], layers: list[Layer]
) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "createdAt": version.created_at,
        "name": version.model,
        "version": str(version.version),
    }
    if version.licence:
        descriptor["licenses"] = [version.licence]
    towers = {manifest.tower for manifest in manifests.values()}
    technical: dict[str, Any] = {
        "capabilities": {
            "inputTypes": [
                kind for tower, kind in (("vision", "image"), ("text", "text")) if tower in towers
            ],
            "outputTypes": ["embedding"],
        }
    }
    # The specification has one word for each; a version may hold several.
    for key, values in (
        ("format", {manifest.format for manifest in manifests.values()}),
        ("precision", {manifest.variant for manifest in manifests.values()}),
    ):
        if len(values) == 1:
            technical[key] = values.pop()
    return {
        "descriptor": descriptor,
        "config": technical,
        "modelfs": {
            "type": "layers",
            "diffIds": [f"sha256:{layer.digest}" for layer in layers],
        },
    }


def _manifest(version: VersionRow, layers: list[Layer], config: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": MODEL_TYPE,
        "config": {
            "mediaType": CONFIG_TYPE,
            "digest": f"sha256:{digest_bytes(config)}",
            "size": len(config),
        },
        "layers": [layer.descriptor() for layer in layers],
        "annotations": {
            "org.opencontainers.image.title": version.model,
            "org.opencontainers.image.version": str(version.version),
            "org.opencontainers.image.created": version.created_at,
            SPACE: version.space_id,
        },
    }
