"""Reads a snapshot, as `rsq_agent.collections.snapshot_index` describes it, from a stream.

Every header follows from the index alone, so headers are compared instead of interpreted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from rsq.digest import digest_bytes
from rsq.durable import disk_failures, make_folder, sync_file, sync_folder
from rsq.errors import BadInput, IntegrityError
from rsq.output_file import require_space
from rsq.tar_header import BLOCK_BYTES, TRAILER, decode_size, encode_header, padding_bytes
from rsq_agent.collections.snapshot_index import (
    DIGEST_CHARACTERS,
    DIGEST_NAME,
    INDEX_NAME,
    MAX_INDEX_BYTES,
    SnapshotFile,
    SnapshotIndex,
    data_name,
    decode_index,
)

_PIECE_BYTES = 256 << 10


class SnapshotReader:
    """Raises BadInput for what is no snapshot, EnvironmentFault for one of a newer release and
    IntegrityError for one that is cut off or was changed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Reads the index."""
        self._stream = _Stream(pieces)
        header = self._stream.read(BLOCK_BYTES)
        index_bytes = decode_size(header)
        if index_bytes is None or header != encode_header(INDEX_NAME, index_bytes):
            raise BadInput("This is not what `rsq-agent index snapshot` writes.")
        if index_bytes > MAX_INDEX_BYTES:
            raise BadInput(f"The index of the snapshot is over {MAX_INDEX_BYTES} bytes.")
        encoded = self._stream.read(index_bytes)
        self._skip_padding(index_bytes)
        self._expect_header(DIGEST_NAME, DIGEST_CHARACTERS)
        if self._stream.read(DIGEST_CHARACTERS) != digest_bytes(encoded).encode():
            raise _damaged(INDEX_NAME)
        self._skip_padding(DIGEST_CHARACTERS)
        self.index: SnapshotIndex = decode_index(encoded)

    def write_files(self, folder: Path) -> None:
        """Makes `folder` and writes all files below it, durably. Raises Exhausted for a disk that
        is full or would be."""
        with disk_failures("The snapshot can't be restored"):
            make_folder(folder)
            require_space(folder, self.index.data_bytes)
            for number, file in enumerate(self.index.files):
                self._expect_header(data_name(number), file.data_bytes)
                self._write_file(folder / file.path, file)
                self._skip_padding(file.data_bytes)
            if self._stream.read(len(TRAILER)) != TRAILER or not self._stream.is_at_end():
                raise _damaged("its end")
            # Only now, so that a damaged snapshot is refused soon.
            for parent, _, names in os.walk(folder):
                for name in names:
                    sync_file(Path(parent, name))
                sync_folder(Path(parent))

    def _write_file(self, path: Path, file: SnapshotFile) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as writer:
            writer.truncate(file.size_bytes)
            for offset, length in file.parts:
                writer.seek(offset)
                for piece in self._stream.pieces(length):
                    digest.update(piece)
                    writer.write(piece)
        if digest.hexdigest() != file.sha256:
            raise _damaged(file.path)

    def _expect_header(self, name: str, size_bytes: int) -> None:
        if self._stream.read(BLOCK_BYTES) != encode_header(name, size_bytes):
            raise _damaged(name)

    def _skip_padding(self, size_bytes: int) -> None:
        if any(self._stream.read(padding_bytes(size_bytes))):
            raise _damaged("its padding")


class _Stream:
    """Exact numbers of bytes out of pieces of any length."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = memoryview(b"")

    def read(self, count: int) -> bytes:
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[memoryview]:
        while count:
            if not self._held and not self._fill():
                raise IntegrityError("The snapshot is cut off. Copy it anew.")
            piece = self._held[: min(count, _PIECE_BYTES)]
            self._held = self._held[len(piece) :]
            count -= len(piece)
            yield piece

    def is_at_end(self) -> bool:
        return not self._held and not self._fill()

    def _fill(self) -> bool:
        for piece in self._pieces:
            if piece:
                self._held = memoryview(piece)
                return True
        return False


def _damaged(where: str) -> IntegrityError:
    return IntegrityError(f"The snapshot is damaged at {where}. Copy it anew.")
