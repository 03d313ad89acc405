"""Reads the versions of an OCI image layout, whoever wrote or copied it.

Files are opened by digest alone: no name that a layout gives becomes a path. Whatever is parsed was
hashed before, and is bounded.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rsq.digest import READ_BYTES, digest_bytes, is_digest
from rsq.errors import BadInput, BadManifest, EnvironmentFault, IntegrityError, NotFound
from rsq.json_fields import read_integer, read_string
from rsq.manifest import MAX_FILE_BYTES, MAX_MANIFEST_BYTES
from rsq.records import VersionRow
from rsq.version_record import MAX_RECORD_BYTES, decode_version
from rsq_server.oci import MANIFEST_TYPE, MODEL_TYPE, ROLE, VERSION_ROLE

LAYOUT_NAME, INDEX_NAME = "oci-layout", "index.json"
LAYOUT_VERSION = "1.0.0"
MAX_JSON_BYTES = 4 << 20  # of an index or an image's manifest: what OCI registries take
_PREFIX = "sha256:"


@dataclass(frozen=True)
class Descriptor:
    """A blob as JSON of the layout names it."""

    media_type: str
    digest: str
    size_bytes: int
    annotations: dict[str, Any]


class LayoutVersion:
    """One version in the layout `target`; `layers` are its image's.

    Raises BadManifest for a malformed record or one of a newer schema, NotFound and IntegrityError
    for one that is missing or damaged.
    """

    def __init__(self, folder: Path, layers: list[Descriptor], record: Descriptor) -> None:
        self.target = str(folder)
        self._folder = folder
        self._sizes = {layer.digest: layer.size_bytes for layer in layers}
        self._version = decode_version(_read_blob(folder, record, MAX_RECORD_BYTES))

    def version(self) -> VersionRow:
        return self._version

    def manifest(self, artifact_id: str) -> bytes:
        """The manifest's verified bytes. Raises NotFound, BadManifest, IntegrityError."""
        descriptor = Descriptor("", artifact_id, self.size(artifact_id), {})
        return _read_blob(self._folder, descriptor, MAX_MANIFEST_BYTES)

    def size(self, digest: str) -> int:
        """The blob's bytes. Raises NotFound."""
        if digest not in self._sizes:
            raise _lacking(self._folder, digest)
        return self._sizes[digest]

    def read_blob(self, digest: str, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `offset`, or fewer where the blob ends, not yet verified. Raises
        NotFound, IntegrityError."""
        remaining = min(length, self.size(digest) - offset)
        with _open(self._folder, digest) as file:
            file.seek(offset)
            while remaining > 0:
                piece = _read_some(file, min(READ_BYTES, remaining))
                if not piece:
                    raise IntegrityError(f"{self.target} is cut off in blob {digest}.")
                yield piece
                remaining -= len(piece)


def is_layout(path: Path) -> bool:
    return (path / LAYOUT_NAME).is_file()


def blob_path(folder: Path, digest: str) -> Path:
    return folder / "blobs" / "sha256" / digest


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The index's descriptors as they are. Raises BadManifest, EnvironmentFault."""
    try:
        with (folder / LAYOUT_NAME).open("rb") as file:
            layout = _parse(file.read(MAX_JSON_BYTES + 1), LAYOUT_NAME)
        with (folder / INDEX_NAME).open("rb") as file:
            index = _parse(file.read(MAX_JSON_BYTES + 1), INDEX_NAME)
    except OSError as e:
        raise EnvironmentFault(f"{folder} can't be read: {e.strerror or e}.") from e
    if layout.get("imageLayoutVersion") != LAYOUT_VERSION:
        raise BadManifest(f"{folder} is not an OCI image layout of version {LAYOUT_VERSION}.")
    manifests = index.get("manifests")
    if not isinstance(manifests, list) or not all(isinstance(one, dict) for one in manifests):
        raise BadManifest(f"{folder / INDEX_NAME} lists no manifests.")
    return manifests


def read_layout(folder: Path) -> list[LayoutVersion]:
    """The versions in the layout, in its order; other images are passed over.

    Raises BadInput where there is none, BadManifest for malformed JSON or a newer schema, NotFound
    and IntegrityError for blobs that are missing or damaged, EnvironmentFault.
    """
    versions = []
    for fields in read_index(folder):
        image = _descriptor(fields)
        if image.media_type != MANIFEST_TYPE:
            continue
        manifest = _parse(_read_blob(folder, image, MAX_JSON_BYTES), image.digest)
        if manifest.get("artifactType") != MODEL_TYPE:
            continue
        layers = [_descriptor(layer) for layer in _list(manifest, "layers")]
        records = [layer for layer in layers if layer.annotations.get(ROLE) == VERSION_ROLE]
        if records:
            versions.append(LayoutVersion(folder, layers, records[0]))
    if not versions:
        raise BadInput(f"{folder} holds no version that `rsq-server export --oci` wrote.")
    return versions


def _descriptor(fields: dict[str, Any]) -> Descriptor:
    try:
        digest = read_string(fields, "digest")
        if not digest.startswith(_PREFIX) or not is_digest(digest.removeprefix(_PREFIX)):
            raise BadManifest(f"The layout names a blob by {digest[:80]!r}, not by its SHA-256.")
        annotations = fields.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise TypeError("annotations")
        return Descriptor(
            read_string(fields, "mediaType"),
            digest.removeprefix(_PREFIX),
            read_integer(fields, "size", 0, MAX_FILE_BYTES),
            annotations,
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise BadManifest("The layout has a malformed descriptor.") from e


def _list(fields: dict[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise BadManifest(f"The layout has an image without {key}.")
    return value


def _parse(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MAX_JSON_BYTES:
        raise BadManifest(f"The layout's {name} is over {MAX_JSON_BYTES} bytes.")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise BadManifest(f"The layout's {name} is not JSON.") from e
    if not isinstance(fields, dict):
        raise BadManifest(f"The layout's {name} is not a JSON object.")
    return fields


def _read_blob(folder: Path, descriptor: Descriptor, limit: int) -> bytes:
    """The whole blob, verified."""
    digest = descriptor.digest
    if descriptor.size_bytes > limit:
        raise BadManifest(f"The blob {digest} has {descriptor.size_bytes} bytes, over {limit}.")
    with _open(folder, digest) as file:
        data = _read_some(file, descriptor.size_bytes + 1)
    if len(data) != descriptor.size_bytes or digest_bytes(data) != digest:
        raise IntegrityError(f"{folder} is damaged in blob {digest}. Copy it anew.")
    return data


def _open(folder: Path, digest: str) -> BinaryIO:
    path = blob_path(folder, digest)
    try:
        # A pipe in a blob's place must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as e:
        raise _lacking(folder, digest) from e
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be read: {e.strerror or e}.") from e
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadManifest(f"{path} is not a file.")
    return os.fdopen(descriptor, "rb")


def _read_some(file: BinaryIO, length: int) -> bytes:
    try:
        return file.read(length)
    except OSError as e:
        raise EnvironmentFault(f"{file.name} can't be read: {e.strerror or e}.") from e


def _lacking(folder: Path, digest: str) -> NotFound:
    return NotFound(f"{folder} lacks the blob {digest}. Copy it anew.")
