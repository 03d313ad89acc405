"""A file that is being transferred: sparse, beside a bitmap of the chunks that are verified and
written.

A killed process loses at most the chunks in flight. A power cut may keep the bitmap and lose the
data, so `recheck` hashes what the bitmap claims before anything builds on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rsq.chunks import Bitmap, chunk_range
from rsq.digest import digest_bytes
from rsq.durable import make_folder
from rsq.manifest import FileEntry

_BITMAP_LIMIT_BYTES = 1 << 26
POLL_SECONDS = 0.1  # how soon a waiting thread sees that it should stop


class PartialFile:
    """The sparse file at `path` and its bitmap at `path`.chunks, made where they are missing.
    `write` may be called from several threads. Raises OSError."""

    def __init__(self, path: Path, entry: FileEntry) -> None:
        make_folder(path.parent)
        self.path = path
        self.entry = entry
        self._changed = threading.Condition()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, entry.size_bytes)
        self._bitmap_file = os.open(bitmap_path(path), os.O_RDWR | os.O_CREAT, 0o644)
        self._bitmap = Bitmap(
            len(entry.chunks), os.pread(self._bitmap_file, _BITMAP_LIMIT_BYTES, 0)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
        os.close(self._bitmap_file)

    def missing(self) -> list[int]:
        """The chunks that are not here, in the file's order."""
        return self._bitmap.missing()

    def recheck(self) -> None:
        """Forgets chunks that are not what the bitmap claims."""
        for index in range(self._bitmap.count):
            if index not in self._bitmap:
                continue
            if digest_bytes(self.read(index)) != self.entry.chunks[index]:
                self._bitmap.discard(index)
        self._save_bitmap()

    def write(self, index: int, parts: Sequence[bytes]) -> bool:
        """Keeps the verified bytes of chunk `index`; False where another thread was first."""
        offset, length = chunk_range(self.entry, index)
        with self._changed:
            if index in self._bitmap:
                return False
            if os.pwritev(self._file, parts, offset) < length:
                # A disk that fills up, or a signal; writing the rest says which.
                os.pwrite(self._file, b"".join(parts), offset)
            self._bitmap.add(index)
            self._save_bitmap()
            self._changed.notify_all()
        return True

    def wait_for(self, index: int, stop: threading.Event) -> bool:
        """Whether chunk `index` is here, waiting for it until `stop`."""
        with self._changed:
            while index not in self._bitmap:
                if stop.is_set():
                    return False
                self._changed.wait(POLL_SECONDS)
        return True

    def read(self, index: int) -> bytes:
        offset, length = chunk_range(self.entry, index)
        return os.pread(self._file, length, offset)

    def sync(self) -> None:
        """Makes what was written durable."""
        os.fdatasync(self._file)

    def _save_bitmap(self) -> None:
        os.pwrite(self._bitmap_file, self._bitmap.to_bytes(), 0)


def bitmap_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.chunks")


def read_bitmap(path: Path, entry: FileEntry) -> Bitmap:
    """What a transfer that was cut off claims to hold; nothing where there was none."""
    count = len(entry.chunks)
    if not path.is_file():
        return Bitmap(count)
    try:
        return Bitmap(count, bitmap_path(path).read_bytes()[:_BITMAP_LIMIT_BYTES])
    except FileNotFoundError:
        return Bitmap(count)


def allocated_bytes(path: Path) -> int:
    """What a transfer that was cut off takes on the disk already."""
    try:
        # POSIX counts st_blocks in units of 512 bytes, whatever the file system's block.
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0
