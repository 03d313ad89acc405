"""Large files that are made for somebody else: complete under their name, or not there at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from rsq.durable import disk_failures, sync_folder
from rsq.errors import EnvironmentFault, Exhausted
from rsq.units import format_size


def require_space(folder: Path, size_bytes: int) -> None:
    """Raises Exhausted when the disk of `folder` has less than `size_bytes` free, EnvironmentFault
    for a folder that isn't there."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as e:
        raise EnvironmentFault(f"{folder} can't be written: {e.strerror or e}.") from e
    if free < size_bytes:
        raise Exhausted(
            f"The disk of {folder} has {format_size(free)} free; {format_size(size_bytes)} are "
            "needed. Free some space or name another folder."
        )


def write_output(path: Path, pieces: Iterable[bytes]) -> None:
    """Replaces `path` by the concatenation of `pieces`, durably and at once. What others may do
    with it is up to the umask.

    After a failure, one that `pieces` raises included, nothing is left behind. Raises Exhausted for
    a full disk, EnvironmentFault for a folder that can't be written.
    """
    unfinished = path.with_name(f".{secrets.token_hex(8)}.unfinished")
    remedy = "Free some space or name another place."
    try:
        with disk_failures(f"{path} can't be written", remedy):
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with open(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
            sync_folder(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
