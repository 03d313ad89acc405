"""A version with all its files as one `.rsq` file, for nodes and registries without a network.

It is an uncompressed tar file, so that any tar reads it, in one fixed form:

    rsq-bundle.json          the index: digest and size of everything below
    version.json             the version's record
    blobs/sha256/<digest>    each once: manifests, files, the report's data, signed metadata

Every header follows from the index alone, so the reader compares headers instead of interpreting
them, and no name in the file ever becomes a path. The same version gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from rsq.bundle_index import (
    INDEX_NAME,
    MAX_INDEX_BYTES,
    Place,
    bundle_bytes,
    decode_index,
    lay_out,
)
from rsq.digest import digest_bytes, digest_parts, require_digest
from rsq.errors import BadInput, BadManifest, EnvironmentFault, IntegrityError, NotFound
from rsq.manifest import MAX_MANIFEST_BYTES
from rsq.records import VersionRow
from rsq.reference import parse_reference, require_model_name
from rsq.tar_header import BLOCK_BYTES, TRAILER, decode_size, encode_header, padding_bytes
from rsq.updates.metadata_files import MAX_DOCUMENT_BYTES
from rsq.version_files import needed_digests
from rsq.version_record import decode_version

PIECE_BYTES = 256 << 10


class BundleReader:
    """An open bundle. It offers what a registry's client does, so that a pull can read from it.
    Threads may share one.

    Opening reads the index, the record and all headers. Raises BadInput for a file that is no
    bundle, BadManifest for one of a newer release, IntegrityError for one that is cut off or was
    changed, EnvironmentFault when it can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.target = str(path)
        try:
            # A pipe must not hold us up; the first read refuses it.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as e:
            raise EnvironmentFault(f"{path} can't be read: {e.strerror or e}.") from e
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def version(self, reference: str = "") -> VersionRow:
        """The version inside, which NAME and NAME:3 may name. Raises BadInput, NotFound where the
        reference means another one."""
        held = self._version
        if reference:
            wanted = parse_reference(reference)
            if wanted.alias is not None:
                raise NotFound(f"Bundles have no aliases; name {held.model}:{held.version}.")
            if wanted.name != held.model or wanted.number not in (None, held.version):
                raise NotFound(f"{self.target} holds {held.model}:{held.version}, not {reference}.")
        return held

    def manifest(self, artifact_id: str) -> bytes:
        """The manifest's verified bytes. Raises BadInput, NotFound, BadManifest, IntegrityError."""
        place = self._place(artifact_id)
        if place.entry.size_bytes > MAX_MANIFEST_BYTES:
            raise BadManifest(f"The manifest {artifact_id} is over {MAX_MANIFEST_BYTES} bytes.")
        return self._read_entry(place)

    def trust(self) -> bytes | None:
        """The signed metadata that came along, not yet verified. Raises IntegrityError."""
        if self._trust is None:
            return None
        place = self._place(self._trust)
        if place.entry.size_bytes > MAX_DOCUMENT_BYTES:
            raise IntegrityError(
                f"The metadata in {self.target} is over {MAX_DOCUMENT_BYTES} bytes."
            )
        return self._read_entry(place)

    def digests(self) -> list[str]:
        """All blobs, in the file's order."""
        return list(self._places)

    def size(self, digest: str) -> int:
        """The blob's bytes. Raises BadInput, NotFound."""
        return self._place(digest).entry.size_bytes

    def read_blob(
        self, digest: str, offset: int, length: int, *, timeout_seconds: float = 0.0
    ) -> Iterator[bytes]:
        """The bytes in pieces, fewer than `length` where the blob ends, not yet verified; a file
        needs no timeout. Raises BadInput, NotFound, IntegrityError."""
        place = self._place(digest)
        size_bytes = place.entry.size_bytes
        if not 0 <= offset <= size_bytes or length < 0:
            raise BadInput(f"{length} bytes from {offset} are outside {digest}.")
        end = min(offset + length, size_bytes)
        while offset < end:
            piece = self._read(place.offset + offset, min(PIECE_BYTES, end - offset))
            yield piece
            offset += len(piece)

    def cancel_reads(self) -> None:
        """Nothing waits here."""

    def verify(self, advance: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Reads all of it: every blob has its digest, and none that the version needs is missing.
        `advance` hears of bytes done and in all. Raises IntegrityError, NotFound, BadManifest."""
        for digest in needed_digests(self._version, self.manifest):
            self._place(digest)
        total = sum(place.entry.size_bytes for place in self._places.values())
        done = 0
        for digest in self.digests():
            size_bytes = self.size(digest)
            if digest_parts(self.read_blob(digest, 0, size_bytes)) != digest:
                raise IntegrityError(f"{self.target} is damaged in blob {digest}. Copy it anew.")
            done += size_bytes
            advance(done, total)

    def _open(self) -> None:
        header = self._read_some(0, BLOCK_BYTES)
        index_bytes = decode_size(header)
        if index_bytes is None or header != encode_header(INDEX_NAME, index_bytes):
            raise BadInput(f"{self.target} is not what `rsq-server export` writes.")
        if index_bytes > MAX_INDEX_BYTES:
            raise BadManifest(f"The index of {self.target} is over {MAX_INDEX_BYTES} bytes.")
        index = decode_index(self._read(BLOCK_BYTES, index_bytes))
        record, *blobs = lay_out(index, index_bytes=index_bytes)
        self._check_size(bundle_bytes(index, index_bytes=index_bytes))
        self._check_gaps(BLOCK_BYTES + index_bytes, [record, *blobs])
        self._places = {place.entry.sha256: place for place in blobs}
        self._trust = index.trust
        self._version = decode_version(self._read_entry(record))
        require_model_name(self._version.model)

    def _check_size(self, wanted: int) -> None:
        found = os.fstat(self._descriptor).st_size
        if found < wanted:
            raise self._cut_off(found, wanted)
        if found > wanted:
            raise IntegrityError(
                f"{self.target} goes on for {found - wanted} bytes after its end. Copy it anew."
            )

    def _check_gaps(self, end: int, places: list[Place]) -> None:
        """All that is no file's content: padding, headers and the archive's end."""
        for place in places:
            gap = self._read(end, place.offset - end)
            header = encode_header(place.name, place.entry.size_bytes)
            if gap != bytes(len(gap) - BLOCK_BYTES) + header:
                raise IntegrityError(f"{self.target} is damaged before {place.name}. Copy it anew.")
            end = place.offset + place.entry.size_bytes
        rest = padding_bytes(places[-1].entry.size_bytes) + len(TRAILER)
        if any(self._read(end, rest)):
            raise IntegrityError(f"{self.target} is damaged at its end. Copy it anew.")

    def _place(self, digest: str) -> Place:
        require_digest(digest)
        if digest not in self._places:
            raise NotFound(f"{self.target} lacks the blob {digest}.")
        return self._places[digest]

    def _read_entry(self, place: Place) -> bytes:
        data = self._read(place.offset, place.entry.size_bytes)
        if digest_bytes(data) != place.entry.sha256:
            raise IntegrityError(f"{self.target} is damaged in {place.name}. Copy it anew.")
        return data

    def _read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        data = self._read_some(offset, length)
        if len(data) < length:
            raise self._cut_off(offset + len(data), offset + length)
        return data

    def _read_some(self, offset: int, length: int) -> bytes:
        parts = []
        try:
            # Some file systems give fewer bytes at once than they were asked for.
            while length and (part := os.pread(self._descriptor, length, offset)):
                parts.append(part)
                offset += len(part)
                length -= len(part)
        except OSError as e:
            raise EnvironmentFault(f"{self.target} can't be read: {e.strerror or e}.") from e
        return b"".join(parts)

    def _cut_off(self, found: int, wanted: int) -> IntegrityError:
        return IntegrityError(
            f"{self.target} is cut off: it has {found} of {wanted} bytes. Copy it anew."
        )
