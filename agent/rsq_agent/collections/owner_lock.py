"""The lock of a folder that one process uses at a time, and who that is."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from rsq.durable import make_folder
from rsq.errors import EnvironmentFault


class OwnerLock:
    """Held until `release`."""

    def __init__(self, folder: Path) -> None:
        """Takes `folder`, made if absent; raises EnvironmentFault, naming the owner, where another
        process has it, and where it can't be written."""
        # Beside the lock, since trying to take the lock may empty its file.
        self._owner = folder / "owner"
        try:
            make_folder(folder)
            # The lock belongs to the process and not to the thread that happens to take it.
            self._lock = FileLock(folder / "owner.lock", thread_local=False)
            self._lock.acquire(blocking=False)
            self._owner.write_text(
                f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8"
            )
        except Timeout as e:
            raise EnvironmentFault(
                f"The collections in {folder} belong to {self._read_owner()}; one process opens "
                "them at a time. Ask that agent, or stop it."
            ) from e
        except OSError as e:
            raise EnvironmentFault(
                f"The folder {folder} can't be used for collections: {e}."
            ) from e

    def release(self) -> None:
        with suppress(OSError):  # the next owner overwrites it
            self._owner.unlink()
        self._lock.release()

    def _read_owner(self) -> str:
        try:
            return self._owner.read_text(encoding="utf-8") or "another process"
        except OSError:
            return "another process"
