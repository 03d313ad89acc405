"""The digest of a whole file while it is still arriving, and its bytes on the disk soon after they
came: neither is left to be waited for at the end."""

from __future__ import annotations

import hashlib
import threading
from types import TracebackType
from typing import Self

from rsq_agent.pulling.partial_file import PartialFile

SYNC_BYTES = 64 << 20  # written back at a time


class WholeDigest:
    """Follows `partial` from its first chunk on, in a thread of its own."""

    def __init__(self, partial: PartialFile) -> None:
        self._partial = partial
        self._stop = threading.Event()
        self._running = hashlib.sha256()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._follow, name="whole-digest", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def result(self) -> str:
        """SHA-256 in hex of the complete file. Raises OSError where it can't be read or stored."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._running.hexdigest()

    def _follow(self) -> None:
        unsynced = 0
        try:
            for index in range(len(self._partial.entry.chunks)):
                if not self._partial.wait_for(index, self._stop):
                    return
                data = self._partial.read(index)
                self._running.update(data)
                unsynced += len(data)
                if unsynced >= SYNC_BYTES:
                    self._partial.sync()
                    unsynced = 0
            self._partial.sync()
        except OSError as e:
            self._failure = e
