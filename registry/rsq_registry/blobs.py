"""Content-addressed blobs: files named by the SHA-256 of their bytes.

    ROOT/sha256/ab/abcd...      complete blobs; the folder is the digest's first two characters
         incoming/RANDOM        unfinished ones, invisible until they are whole

Nothing appears under `sha256` before its bytes are hashed and on disk, so whatever has a name there
is complete. This module alone makes the paths.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from rsq.digest import READ_BYTES, digest_file, is_digest, require_digest
from rsq.durable import disk_failures, make_folder, sync_folder
from rsq.errors import BadInput, EnvironmentFault, IntegrityError, NotFound


class Blobs(Protocol):
    """What a blob store does, wherever it keeps the bytes.

    Every method that takes a digest raises BadInput for text that is none. Methods that need the
    blob raise NotFound where it isn't there. A store that can't be read or written raises
    EnvironmentFault.
    """

    def put_pieces(self, pieces: Iterable[bytes], *, expected: str | None = None) -> str:
        """Stores the concatenation of `pieces` and returns its digest.

        On return the blob survives a power cut. Until then `has` is false for it, unless it was
        there already; storing it again then replaces it by the same bytes, which heals a damaged
        copy. Any number of callers may store the same blob at once. After a failure, one that
        `pieces` raises included, nothing is left behind.

        Raises IntegrityError when the bytes don't have the `expected` digest, Exhausted when the
        disk is full.
        """
        ...

    def put_file(self, path: Path, *, expected: str | None = None) -> str:
        """`put_pieces` of the file at `path`, which is only read. Raises EnvironmentFault when it
        can't be."""
        ...

    def put_bytes(self, data: bytes, *, expected: str | None = None) -> str:
        """`put_pieces` of `data`."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """A reader of the whole blob, for the caller to close. It keeps reading the blob's bytes
        even when the blob is deleted meanwhile."""
        ...

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, or fewer where the blob ends; empty at its end.

        Raises BadInput for an offset below zero or beyond the end, or a length below zero.
        """
        ...

    def size(self, digest: str) -> int:
        """The blob's length in bytes."""
        ...

    def has(self, digest: str) -> bool:
        """Whether the complete blob is here."""
        ...

    def digests(self) -> Iterator[str]:
        """The digests of all complete blobs, in no order. Blobs that come or go during the walk may
        or may not be among them."""
        ...

    def delete(self, digest: str) -> None:
        """Removes the blob."""
        ...

    def verify(self, digest: str) -> None:
        """Reads the blob and hashes it; raises IntegrityError when its bytes aren't those that its
        name promises."""
        ...

    def discard_unfinished(self, *, older_than_s: float) -> int:
        """Removes what killed writers left and nobody touched for `older_than_s` seconds; returns
        how many. Writers at work touch theirs with every piece."""
        ...


class BlobStore:
    """Blobs in a local folder, which is made where it is missing."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "sha256"
        self._incoming = root / "incoming"
        with disk_failures(f"The blob folder {root} can't be made"):
            for folder in (self._blobs, self._incoming):
                make_folder(folder)

    def put_pieces(self, pieces: Iterable[bytes], *, expected: str | None = None) -> str:
        if expected is not None:
            require_digest(expected)
        unfinished = self._incoming / secrets.token_hex(16)
        try:
            with disk_failures("A blob can't be stored"):
                digest = _write_new(unfinished, pieces)
                if expected is not None and digest != expected:
                    raise IntegrityError(
                        f"The bytes have the digest {digest}, not {expected} as announced."
                    )
                path = self._path(digest)
                make_folder(path.parent)
                os.replace(unfinished, path)
                sync_folder(path.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return digest

    def put_file(self, path: Path, *, expected: str | None = None) -> str:
        # Copied, never linked: whoever wrote the file may still change it in place.
        return self.put_pieces(read_pieces(path), expected=expected)

    def put_bytes(self, data: bytes, *, expected: str | None = None) -> str:
        return self.put_pieces([data], expected=expected)

    def open(self, digest: str) -> BinaryIO:
        with self._needing(digest) as path:
            return path.open("rb")

    def read(self, digest: str, offset: int, length: int) -> bytes:
        with self._needing(digest) as path, path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if not 0 <= offset <= size_bytes or length < 0:
                raise BadInput(
                    f"{length} bytes from {offset} are outside the blob of {size_bytes} bytes."
                )
            file.seek(offset)
            return file.read(min(length, size_bytes - offset))

    def size(self, digest: str) -> int:
        with self._needing(digest) as path:
            return path.stat().st_size

    def has(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def digests(self) -> Iterator[str]:
        with disk_failures("The blob folder can't be listed"):
            for folder in filter(Path.is_dir, self._blobs.iterdir()):
                for path in folder.iterdir():
                    if is_digest(path.name) and folder.name == path.name[:2]:
                        yield path.name

    def delete(self, digest: str) -> None:
        with self._needing(digest) as path:
            path.unlink()
            sync_folder(path.parent)

    def verify(self, digest: str) -> None:
        with self._needing(digest) as path:
            found = digest_file(path)
        if found != digest:
            raise IntegrityError(f"The blob {digest} is damaged: its bytes have digest {found}.")

    def discard_unfinished(self, *, older_than_s: float) -> int:
        count = 0
        with disk_failures("The blob folder can't be cleaned"):
            for path in self._incoming.iterdir():
                try:
                    if time.time() - path.stat().st_mtime >= older_than_s:
                        path.unlink()
                        count += 1
                except FileNotFoundError:
                    continue  # its writer has just finished it
        return count

    def _path(self, digest: str) -> Path:
        require_digest(digest)
        return self._blobs / digest[:2] / digest

    @contextmanager
    def _needing(self, digest: str) -> Iterator[Path]:
        path = self._path(digest)
        with disk_failures(f"The blob {digest} can't be used"):
            try:
                yield path
            except FileNotFoundError as e:
                raise NotFound(f"There is no blob {digest}.") from e


def _write_new(path: Path, pieces: Iterable[bytes]) -> str:
    running = hashlib.sha256()
    # Read-only from the start: a blob is never written to once it has its name.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
    with open(descriptor, "wb") as file:
        for piece in pieces:
            running.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return running.hexdigest()


def read_pieces(path: Path) -> Iterator[bytes]:
    """The file's bytes in pieces. Raises EnvironmentFault when it can't be read."""
    try:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                yield piece
    except OSError as e:
        raise EnvironmentFault(f"{path} can't be read: {e.strerror}.") from e
