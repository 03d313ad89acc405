"""The node's files. This module alone makes paths:

home/
├── blobs/sha256/ab/abcd...   complete, verified files
├── partial/<digest>          sparse file of a transfer; <digest>.chunks its bitmap, .lock its lock
├── manifests/<id>.json       verified manifests
├── artifacts/<id>/           hard links to blobs under the manifest's names
├── compiled/<id>/            what TensorRT and OpenVINO compiled of an artifact, made when missing
├── collections/<name>/       search collections
├── active.json               what serves now and what served before
├── paces.json                how each tower runs fastest here
└── node.json                 the node id, made once

`artifacts/` exists because ONNX Runtime finds external weights by name beside the graph; its links
cost no space.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from rsq.digest import digest_bytes, digest_file, is_digest, require_digest
from rsq.durable import disk_failures, make_folder, publish_file, sync_folder, write_durably
from rsq.errors import IntegrityError, NotFound
from rsq.manifest import FileEntry, Manifest, decode_manifest


class Cache:
    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def collections_folder(self) -> Path:
        return self.home / "collections"

    @property
    def state_path(self) -> Path:
        return self.home / "active.json"

    @property
    def node_path(self) -> Path:
        return self.home / "node.json"

    @property
    def paces_path(self) -> Path:
        return self.home / "paces.json"

    @property
    def sharing_path(self) -> Path:
        return self.home / "sharing.json"

    def blob_path(self, digest: str) -> Path:
        require_digest(digest)
        return self.home / "blobs" / "sha256" / digest[:2] / digest

    def partial_path(self, digest: str) -> Path:
        return self.home / "partial" / require_digest(digest)

    def compiled_folder(self, artifact_id: str) -> Path:
        return self.home / "compiled" / require_digest(artifact_id)

    def manifest_path(self, artifact_id: str) -> Path:
        return self.home / "manifests" / f"{require_digest(artifact_id)}.json"

    def has_blob(self, entry: FileEntry) -> bool:
        path = self.blob_path(entry.sha256)
        return path.is_file() and path.stat().st_size == entry.size_bytes

    def is_intact(self, entry: FileEntry) -> bool:
        """Whether the blob is here and its bytes are right; reads all of it."""
        return self.has_blob(entry) and digest_file(self.blob_path(entry.sha256)) == entry.sha256

    def artifact_ids(self) -> list[str]:
        """Of every manifest on the node, sorted."""
        folder = self.home / "manifests"
        if not folder.is_dir():
            return []
        return sorted(path.stem for path in folder.glob("*.json") if is_digest(path.stem))

    def add_manifest(self, artifact_id: str, data: bytes) -> Manifest:
        """Raises IntegrityError when `data` is not what `artifact_id` names, Exhausted or
        EnvironmentFault where it can't be written."""
        if digest_bytes(data) != artifact_id:
            raise IntegrityError(f"The manifest sent for {artifact_id[:12]} is another one.")
        manifest = decode_manifest(data)
        path = self.manifest_path(artifact_id)
        if not path.exists():
            with disk_failures(f"{path} can't be written"):
                write_durably(path, data)
        return manifest

    def manifest(self, artifact_id: str) -> Manifest:
        """Raises NotFound, or IntegrityError when the file was changed on disk."""
        path = self.manifest_path(artifact_id)
        try:
            data = path.read_bytes()
        except FileNotFoundError as e:
            raise NotFound(f"Artifact {artifact_id[:12]} is not on this node; pull it.") from e
        if digest_bytes(data) != artifact_id:
            raise IntegrityError(f"The stored manifest of {artifact_id[:12]} was changed.")
        return decode_manifest(data)

    def add_blob(self, source: Path, entry: FileEntry, *, digest: str | None = None) -> None:
        """Moves the complete file `source` in. Raises IntegrityError, leaving it, on a mismatch.

        `digest` is that of the file's bytes where the caller has just read them all.
        """
        if source.stat().st_size != entry.size_bytes or entry.sha256 != (
            digest or digest_file(source)
        ):
            raise IntegrityError(f"{entry.name} does not match its digest.")
        publish_file(source, self.blob_path(entry.sha256))

    def verify_artifact(self, artifact_id: str) -> Manifest:
        """Re-hashes every file of the artifact. Raises NotFound or IntegrityError."""
        manifest = self.manifest(artifact_id)
        for entry in manifest.files:
            path = self.blob_path(entry.sha256)
            if not path.is_file():
                raise NotFound(f"{entry.name} of artifact {artifact_id[:12]} is not here; pull it.")
            if digest_file(path) != entry.sha256:
                raise IntegrityError(
                    f"{entry.name} of artifact {artifact_id[:12]} was changed on disk; pull it "
                    "again."
                )
        return manifest

    def artifact_folder(self, artifact_id: str) -> Path:
        """The folder with the artifact's files under their names, made if need be. Raises NotFound,
        IntegrityError, and Exhausted or EnvironmentFault where it can't be made."""
        manifest = self.manifest(artifact_id)
        folder = self.home / "artifacts" / artifact_id
        if folder.is_dir() and all(
            _same_file(folder / entry.name, self.blob_path(entry.sha256))
            for entry in manifest.files
        ):
            return folder
        with disk_failures(f"{folder} can't be made"):
            self._link_files(manifest, folder)
        return folder

    def _link_files(self, manifest: Manifest, folder: Path) -> None:
        make_folder(folder.parent)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:12]}."))
        try:
            for entry in manifest.files:
                _link(self.blob_path(entry.sha256), building / entry.name)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(building, folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        sync_folder(folder.parent)


def _same_file(linked: Path, blob: Path) -> bool:
    """Whether `linked` is the blob's file, or its copy where there are no hard links."""
    try:
        left, right = linked.stat(), blob.stat()
    except FileNotFoundError:
        return False
    if os.path.samestat(left, right):
        return True
    # Times alone cannot tell a copy from the link to a blob that was replaced in the same tick.
    return (
        left.st_size == right.st_size
        and left.st_mtime_ns > right.st_mtime_ns
        and not _can_link(blob, linked.parent.parent)
    )


def _can_link(source: Path, folder: Path) -> bool:
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".link.") as trial:
            os.link(source, Path(trial) / source.name)
    except OSError:
        return False
    return True


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        if not source.is_file():
            raise
        shutil.copyfile(source, target)  # a file system without hard links
