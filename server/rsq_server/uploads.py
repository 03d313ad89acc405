"""Blobs that publishers on other machines are sending:

    HOME/uploads/<digest>        what has arrived
                 <digest>.lock   one writer a blob, across processes

A blob gets into the store when it is whole and has its digest, not before.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rsq.chunks import MAX_CALL_BYTES
from rsq.digest import is_digest, require_digest
from rsq.durable import disk_failures, make_folder
from rsq.errors import BadInput, Exhausted, IntegrityError
from rsq.manifest import MAX_FILE_BYTES
from rsq.units import format_size
from rsq_registry.blobs import Blobs

HEADROOM_BYTES = 64 << 20  # kept free on the disk
LOCK_SUFFIX = ".lock"


@dataclass(frozen=True)
class Progress:
    held_bytes: int
    complete: bool


class Uploads:
    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    def held_bytes(self, digest: str) -> int:
        """What has arrived of the blob. Raises BadInput for text that is no digest."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def append(
        self, digest: str, size_bytes: int, offset: int, pieces: Iterable[bytes]
    ) -> Progress:
        """Appends `pieces` at `offset`, which is what is held, and stores the blob once it has all
        `size_bytes`.

        What arrived before a failure is kept. Raises BadInput for another offset, for more than was
        announced or than one call may bring; IntegrityError, forgetting all, when the whole has
        another digest or more was held than it has; Exhausted while somebody else sends the blob
        and for a full disk.
        """
        path = self._path(digest)
        if not 0 <= size_bytes <= MAX_FILE_BYTES:
            raise BadInput(f"A blob has up to {MAX_FILE_BYTES} bytes, not {size_bytes}.")
        with disk_failures("The upload can't be kept"), self._locked(path):
            if self._blobs.has(digest):
                path.unlink(missing_ok=True)
                return Progress(size_bytes, complete=True)
            held = self.held_bytes(digest)
            if offset != held:
                raise BadInput(f"{held} bytes of {digest[:12]} are here, so go on from there.")
            if held > size_bytes:
                path.unlink()
                raise IntegrityError(
                    f"More was here of {digest[:12]} than its {size_bytes} bytes; send it anew."
                )
            # What is missing, and the store's copy of the whole.
            self._check_disk(size_bytes - held + size_bytes)
            held = _append(path, held, size_bytes, pieces)
            if held < size_bytes:
                return Progress(held, complete=False)
            try:
                self._blobs.put_file(path, expected=digest)
            except IntegrityError:
                path.unlink()
                raise
            path.unlink()
        return Progress(size_bytes, complete=True)

    def discard_unfinished(self, *, older_than_s: float) -> int:
        """Removes uploads that nobody has gone on with for so long; returns how many."""
        if not self._folder.is_dir():
            return 0
        count = 0
        names = {path.name.removesuffix(LOCK_SUFFIX) for path in self._folder.iterdir()}
        for path in map(self._path, filter(is_digest, names)):
            try:
                # A lock may only be removed by whoever holds it.
                with self._locked(path):
                    if path.exists():
                        if time.time() - path.stat().st_mtime < older_than_s:
                            continue
                        path.unlink()
                        count += 1
                    _lock_path(path).unlink()
            except Exhausted:
                continue  # it is being sent
        return count

    def _path(self, digest: str) -> Path:
        return self._folder / require_digest(digest)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        make_folder(self._folder)
        try:
            with FileLock(_lock_path(path), timeout=0):
                yield
        except Timeout as e:
            raise Exhausted(f"Somebody else is sending {path.name[:12]}; try again later.") from e

    def _check_disk(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < needed_bytes + HEADROOM_BYTES:
            raise Exhausted(
                f"The server's disk has {format_size(free)} free, too little for "
                f"{format_size(needed_bytes)} more."
            )


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + LOCK_SUFFIX)


def _append(path: Path, held: int, size_bytes: int, pieces: Iterable[bytes]) -> int:
    limit = min(size_bytes, held + MAX_CALL_BYTES)
    with path.open("ab") as file:
        for piece in pieces:
            if held + len(piece) > limit:
                raise BadInput(
                    f"More arrived than the {size_bytes} bytes announced, or than the "
                    f"{MAX_CALL_BYTES} of one call."
                )
            file.write(piece)
            held += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return held
