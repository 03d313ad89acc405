"""A ceiling on bytes a second, shared by the readers of a pull."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MIN_PIECE_BYTES = 16 << 10
PIECE_SECONDS = 0.25  # what one read asks for at most: longer bursts would fill a slow link


class RateLimit:
    """Lets `bytes_per_second` through on average; None lets everything through. Thread-safe."""

    def __init__(
        self,
        bytes_per_second: int | None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = now()

    @property
    def piece_bytes(self) -> int:
        """How much to ask for at once."""
        if self._rate is None:
            return 1 << 62
        return max(MIN_PIECE_BYTES, int(self._rate * PIECE_SECONDS))

    def take(self, size_bytes: int) -> None:
        """Waits until `size_bytes` may be asked for."""
        if self._rate is None:
            return
        with self._lock:
            start = max(self._free_at, self._now())
            self._free_at = start + size_bytes / self._rate
        wait = start - self._now()
        if wait > 0:
            self._sleep(wait)
