"""Metadata files of a repository, in a folder, on the way in a bundle, or at a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from rsq.durable import disk_failures, write_durably
from rsq.errors import BadInput, NotFound, Untrusted
from rsq.manifest import canonical_json
from rsq.updates.names import MetadataName, parse_name

SCHEMA = 1
MAX_ROOT_BYTES = 512 << 10
MAX_TIMESTAMP_BYTES = 16 << 10
MAX_SNAPSHOT_BYTES = 2 << 20
MAX_TARGETS_BYTES = 16 << 20
MAX_DOCUMENT_BYTES = 48 << 20
MAX_FILES = 512
MESSAGE_BYTES = 64 << 10


class MetadataSource(Protocol):
    """Whoever has metadata; nothing that it sends is trusted."""

    @property
    def target(self) -> str:
        """Its name in messages."""
        ...

    def metadata(self, name: MetadataName) -> Iterator[bytes]:
        """The file in pieces. Raises NotFound, Unreachable, DeadlineExceeded."""
        ...


class MetadataFolder:
    """The files of one repository, each under its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = str(folder)

    def names(self) -> list[MetadataName]:
        """Every file, ordered by role and version."""
        if not self.folder.is_dir():
            return []
        found = [parse_name(path.name) for path in self.folder.glob("[!.]*.json")]
        return sorted(found, key=lambda name: (name.role, name.version or 0))

    def newest(self, role: str) -> MetadataName | None:
        """The file of `role` with the highest version."""
        found = [name for name in self.names() if name.role == role]
        return found[-1] if found else None

    def read(self, name: MetadataName) -> bytes:
        """Raises NotFound, EnvironmentFault."""
        path = self.folder / str(name)
        with disk_failures(f"{path} can't be read"):
            try:
                return path.read_bytes()
            except FileNotFoundError as e:
                raise NotFound(f"There is no metadata {name} in {self.folder}.") from e

    def metadata(self, name: MetadataName) -> Iterator[bytes]:
        data = self.read(name)
        for start in range(0, len(data), MESSAGE_BYTES):
            yield data[start : start + MESSAGE_BYTES]

    def write(self, name: MetadataName, data: bytes) -> None:
        """Replaces the file at once. Raises Exhausted, EnvironmentFault."""
        path = self.folder / str(name)
        with disk_failures(f"{path} can't be written"):
            write_durably(path, data)


class CarriedMetadata:
    """A repository's files in memory, as a bundle carries them."""

    def __init__(self, files: Mapping[MetadataName, bytes], *, target: str) -> None:
        self.target = target
        self.files = dict(files)

    def metadata(self, name: MetadataName) -> Iterator[bytes]:
        if name not in self.files:
            raise NotFound(f"{self.target} carries no metadata {name}.")
        yield self.files[name]


def encode_document(files: Mapping[MetadataName, bytes]) -> bytes:
    """All files as one canonical JSON document."""
    texts = {str(name): data.decode() for name, data in files.items()}
    return canonical_json({"schema": SCHEMA, "files": texts})


def decode_document(data: bytes, *, target: str) -> CarriedMetadata:
    """Raises Untrusted for what is oversized, malformed or of a newer release."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise Untrusted(f"The metadata in {target} is over {MAX_DOCUMENT_BYTES} bytes.")
    try:
        fields = json.loads(data)
        if fields["schema"] != SCHEMA:
            raise Untrusted(f"The metadata in {target} is of another release of rsq; upgrade rsq.")
        if len(fields["files"]) > MAX_FILES:
            raise Untrusted(f"{target} carries over {MAX_FILES} metadata files.")
        files = {parse_name(name): text.encode() for name, text in fields["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInput) as e:
        raise Untrusted(f"The metadata in {target} is malformed. Export the bundle anew.") from e
    return CarriedMetadata(files, target=target)


def collect(folder: MetadataFolder) -> dict[MetadataName, bytes]:
    """What a node needs of the repository: every root, and the newest of the rest. Empty where
    nothing was signed yet."""
    names = folder.names()
    if MetadataName("timestamp") not in names:
        return {}
    newest = {name.role: name for name in names}
    wanted = [name for name in names if name.role == "root" or newest[name.role] == name]
    return {name: folder.read(name) for name in wanted}
