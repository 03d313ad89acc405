"""Copies of folders that keep the holes of sparse files.

Qdrant Edge maps files of 32 MiB that are mostly holes; a plain copy would write the zeros out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# Of the next file of Qdrant Edge's log, which is made beside everything else and then renamed.
_UNFINISHED = "tmp-"


def copy_folder(source: Path, target: Path) -> None:
    """Copies the folder `source` to `target`, which must not exist; raises OSError. Log files that
    nothing was written to yet may be left out."""
    shutil.copytree(source, target, copy_function=_copy_file)


def allocated_bytes(folder: Path) -> int:
    """What the files below `folder` take on disk, in bytes; holes take nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                # POSIX counts st_blocks in units of 512 bytes, whatever the file system's block.
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a temporary file of a write that finished meanwhile
    return total


def data_parts(path: Path) -> Iterator[tuple[int, int]]:
    """(offset, bytes) of what is no hole in the file, in their order; raises OSError."""
    with path.open("rb") as file:
        yield from _data_parts(file.fileno())


def _copy_file(source: str, target: str) -> str:
    try:
        _copy_parts(source, target)
    except FileNotFoundError:
        if not os.path.basename(source).startswith(_UNFINISHED):
            raise
    return target


def _copy_parts(source: str, target: str) -> None:
    with open(source, "rb") as reader, open(target, "wb") as writer:
        writer.truncate(os.fstat(reader.fileno()).st_size)
        for start, count in _data_parts(reader.fileno()):
            writer.seek(start)
            _copy_range(reader.fileno(), writer.fileno(), start, count)


def _data_parts(descriptor: int) -> Iterator[tuple[int, int]]:
    offset = 0
    while (start := _next_data(descriptor, offset)) is not None:
        offset = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, offset - start


def _next_data(descriptor: int, offset: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole up to the end
        return None


def _copy_range(reader: int, writer: int, offset: int, count: int) -> None:
    while count > 0:
        sent = os.sendfile(writer, reader, offset, count)
        if sent == 0:
            return
        offset += sent
        count -= sent
