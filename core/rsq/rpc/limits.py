"""How much one caller may ask for: calls and bytes a second, each with room for a burst."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from rsq.errors import RETRY_AFTER, Exhausted

BURST_SECONDS = 2.0  # of its rate a caller may use at once
MAX_CALLERS = 4096  # remembered; the one that was away longest is forgotten, and begins afresh
MIN_RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """Of each caller by itself; None: as much as the machine can do."""

    calls_per_second: float | None = None
    bytes_per_second: float | None = None  # of requests

    @property
    def any(self) -> bool:
        return self.calls_per_second is not None or self.bytes_per_second is not None


NO_LIMITS = Limits()


@dataclass
class _Bucket:
    """What a caller may use now. Below zero it owes what a large message took at once."""

    calls: float
    bytes: float
    filled: float


class Allowances:
    """The buckets of all callers. Safe for threads."""

    def __init__(self, limits: Limits, *, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take_call(self, caller: str) -> None:
        """Raises Exhausted, with when to come again, for a caller who has used its share."""
        if not self._limits.any:
            return
        with self._lock:
            bucket = self._fill(caller)
            waits = []
            if self._limits.calls_per_second is not None and bucket.calls < 1:
                waits.append((1 - bucket.calls) / self._limits.calls_per_second)
            if self._limits.bytes_per_second is not None and bucket.bytes < 0:
                waits.append(-bucket.bytes / self._limits.bytes_per_second)
            if waits:
                raise _refuse(caller, max(waits))
            bucket.calls -= 1

    def take_bytes(self, caller: str, count: int) -> None:
        """Of a message that has arrived: it may be larger than what is left, the next may not come
        until that is paid back. Raises Exhausted for one that comes before."""
        rate = self._limits.bytes_per_second
        if rate is None:
            return
        with self._lock:
            bucket = self._fill(caller)
            if bucket.bytes < 0:
                raise _refuse(caller, -bucket.bytes / rate)
            bucket.bytes -= count

    def _fill(self, caller: str) -> _Bucket:
        now = self._now()
        calls, size = self._limits.calls_per_second or 0.0, self._limits.bytes_per_second or 0.0
        most_calls = max(calls * BURST_SECONDS, 1.0)
        most_bytes = size * BURST_SECONDS
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(most_calls, most_bytes, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        passed = now - bucket.filled
        bucket.calls = min(bucket.calls + passed * calls, most_calls)
        bucket.bytes = min(bucket.bytes + passed * size, most_bytes)
        bucket.filled = now
        return bucket


def _refuse(caller: str, seconds: float) -> Exhausted:
    seconds = max(seconds, MIN_RETRY_SECONDS)
    return Exhausted(
        f"{caller} has used its share of this service; try again in {seconds:.1f} s.",
        metadata={RETRY_AFTER: f"{seconds:.2f}"},
    )
