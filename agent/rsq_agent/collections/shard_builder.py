"""Copies of a collection's points, and graphs that are built in such a copy by a process of its
own; only where the disk has room for it."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

from rsq.durable import sync_folder
from rsq.errors import EnvironmentFault, Exhausted
from rsq_agent.collections.sparse_copy import allocated_bytes, copy_folder

# A full disk under a mapped file kills the process (SIGBUS), so additions stop while there is room
# for a few of Qdrant Edge's files of 32 MiB.
_RESERVE_BYTES = 128 << 20
_OPENING_BYTES = 32 << 20


class ShardBuilder:
    """Of one collection, in `folder`; one build at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def build(self, source: Path, target: Path) -> None:
        """Copies the closed or flushed shard `source` to `target` and builds a graph there.

        Raises Exhausted for a full disk, and EnvironmentFault where the copy or the build fails or
        `stop` ended it. `target` is then unfinished.
        """
        self.copy(source, target, room_for=2)
        command = [sys.executable, "-m", "rsq_agent.collections.shard_optimizer", str(target)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            self._process = process
            if self._stopped:  # `stop` may have looked before there was a process to end
                process.terminate()
            _, errors = process.communicate()
            self._process = None
        if self._stopped:
            raise EnvironmentFault(f"The collection {self._name!r} is closed.")
        if process.returncode != 0:
            last = errors.decode(errors="replace").strip().rpartition("\n")[2]
            reason = last or f"it ended with status {process.returncode}"
            raise EnvironmentFault(f"The index of {self._name!r} could not be built: {reason}")
        sync_folder(self._folder)

    def stop(self) -> None:
        """Ends a build that runs, and every later one."""
        self._stopped = True
        process = self._process
        if process is not None:
            process.terminate()

    def copy(self, source: Path, target: Path, *, room_for: int = 1) -> None:
        """Copies the folder `source` to `target`, which must not exist, where the disk has room for
        `room_for` of them; raises Exhausted and EnvironmentFault."""
        self._require_room(room_for * allocated_bytes(source) + _RESERVE_BYTES, "add to it")
        try:
            copy_folder(source, target)
        except (OSError, shutil.Error) as e:
            kind = Exhausted if getattr(e, "errno", None) == errno.ENOSPC else EnvironmentFault
            raise kind(f"The points of {self._name!r} can't be copied: {e}.") from e

    def require_room_to_open(self) -> None:
        """Raises Exhausted. Qdrant Edge writes into mapped files when it opens them; on a full disk
        that ends the process."""
        self._require_room(_OPENING_BYTES, "open it")

    def require_room_to_add(self, size_bytes: int) -> None:
        """Raises Exhausted."""
        self._require_room(size_bytes + _RESERVE_BYTES, "add to it")

    def _require_room(self, size_bytes: int, purpose: str) -> None:
        free_bytes = shutil.disk_usage(self._folder).free
        if free_bytes < size_bytes:
            raise Exhausted(
                f"The disk of the collection {self._name!r} has {free_bytes >> 20} MiB left, too "
                f"little to {purpose}."
            )
