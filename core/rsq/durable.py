"""Files that survive a power cut: nothing is visible under its name before it is complete and on
disk."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rsq.errors import EnvironmentFault, Exhausted

# What an OSError's number is where a write found no room.
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def disk_failures(what: str, remedy: str = "Free some space and try again.") -> Iterator[None]:
    """Turns an OSError inside the block into Exhausted for a full disk, EnvironmentFault otherwise.
    `what` could not be done, as in "active.json can't be written"."""
    try:
        yield
    except OSError as e:
        if e.errno in DISK_FULL:
            raise Exhausted(f"{what}: the disk is full. {remedy}") from e
        raise EnvironmentFault(f"{what}: {e.strerror or e}.") from e


def sync_folder(folder: Path) -> None:
    """Makes renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Makes the bytes of the file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Creates `folder` with its parents, each entry on disk."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` at once: a reader sees the old bytes or the new, never a part."""
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def publish_file(source: Path, target: Path) -> None:
    """Moves the complete file `source` to `target` on the same file system, durably."""
    make_folder(target.parent)
    sync_file(source)
    os.replace(source, target)
    sync_folder(target.parent)
