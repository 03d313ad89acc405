"""Writes OCI image layouts: folders that OCI tools copy to registries and back.

FOLDER/oci-layout               the layout's version
       index.json               the images, one a version, tagged NAME-3
       blobs/sha256/DIGEST      manifests, configurations and layers
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsq.digest import digest_bytes, digest_file
from rsq.durable import make_folder
from rsq.errors import BadInput, EnvironmentFault
from rsq.manifest import canonical_json, decode_manifest
from rsq.output_file import require_space, write_output
from rsq.records import VersionRow
from rsq.version_files import StoredBlobs, read_manifest, read_verified
from rsq_server.oci import MANIFEST_TYPE, MODEL_TYPE, Image, describe_image
from rsq_server.oci_reader import (
    INDEX_NAME,
    LAYOUT_NAME,
    LAYOUT_VERSION,
    blob_path,
    is_layout,
    read_index,
)

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
TAG = "org.opencontainers.image.ref.name"


def write_layout(
    folder: Path,
    version: VersionRow,
    blobs: StoredBlobs,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Adds the version to the layout in `folder`, made where there is none, and returns the bytes
    of its blobs. An image with its tag is replaced. `advance` hears of bytes done and in all.

    1. Blobs, except those that are there; they are copies, since whoever gets the folder may write
    to it. 2. The index, which therefore never names what isn't there.

    Raises BadInput for a folder with something else in it, NotFound for a blob that isn't in
    `blobs`, IntegrityError for a damaged one, Exhausted for a full disk, EnvironmentFault.
    """
    tag = f"{version.model}-{version.version}"
    others = [image for image in _read_images(folder) if _tag(image) != tag]
    manifests = {row.id: decode_manifest(read_manifest(blobs, row.id)) for row in version.artifacts}
    image = describe_image(version, manifests, blobs.size)
    try:
        # 1. blobs
        make_folder(folder / "blobs" / "sha256")
        total = _write_blobs(folder, image, blobs, advance)
        # 2. index
        write_output(folder / LAYOUT_NAME, [canonical_json({"imageLayoutVersion": LAYOUT_VERSION})])
        index = {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [*others, _describe(image, tag)],
        }
        write_output(folder / INDEX_NAME, [canonical_json(index)])
    except OSError as e:
        raise EnvironmentFault(f"{folder} can't be written: {e.strerror or e}.") from e
    return total


def _write_blobs(
    folder: Path, image: Image, blobs: StoredBlobs, advance: Callable[[int, int], None]
) -> int:
    sizes = {layer.digest: layer.size_bytes for layer in image.layers}
    sizes |= {digest: len(data) for digest, data in image.made.items()}
    missing = [digest for digest in sizes if not _is_intact(folder, digest)]
    require_space(folder, sum(sizes[digest] for digest in missing))
    total = sum(sizes.values())
    done = total - sum(sizes[digest] for digest in missing)
    for digest in missing:
        made = image.made.get(digest)
        pieces = read_verified(blobs, digest) if made is None else [made]
        write_output(blob_path(folder, digest), pieces)
        done += sizes[digest]
        advance(done, total)
    return total


def _is_intact(folder: Path, digest: str) -> bool:
    path = blob_path(folder, digest)
    return path.is_file() and digest_file(path) == digest


def _read_images(folder: Path) -> list[dict[str, Any]]:
    if is_layout(folder):
        return read_index(folder)
    try:
        # Blobs alone are what an interrupted export leaves.
        if folder.exists() and {path.name for path in folder.iterdir()} - {"blobs"}:
            raise BadInput(f"{folder} holds something else. Name a new folder or an OCI layout.")
    except OSError as e:
        raise EnvironmentFault(f"{folder} can't be used: {e.strerror or e}.") from e
    return []


def _tag(image: dict[str, Any]) -> object:
    annotations = image.get("annotations")
    return annotations.get(TAG) if isinstance(annotations, dict) else None


def _describe(image: Image, tag: str) -> dict[str, Any]:
    return {
        "mediaType": MANIFEST_TYPE,
        "artifactType": MODEL_TYPE,
        "digest": f"sha256:{digest_bytes(image.manifest)}",
        "size": len(image.manifest),
        "annotations": {TAG: tag},
    }
