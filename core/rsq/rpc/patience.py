"""How long to go on with calls that fail for reasons that may pass."""

from __future__ import annotations

import random
import time

from rsq.errors import DeadlineExceeded, Exhausted, RsqError, Unreachable

BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 5.0  # doubled each time, with jitter
PASSING = (Unreachable, DeadlineExceeded, Exhausted)


class Patience:
    """Ends `seconds` after the first failure since anything got through. The failed call's own time
    doesn't count, however long it took to fail."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failures = 0
        self._first_at = 0.0

    def renew(self) -> None:
        """Something got through."""
        self._failures = 0

    def wait(self, error: RsqError) -> None:
        """Waits a while after `error`, longer each time. Raises it once patience is at its end."""
        now = time.monotonic()
        if self._failures == 0:
            self._first_at = now
        elif now - self._first_at > self._seconds:
            raise error
        seconds = backoff_seconds(self._failures)
        self._failures += 1
        time.sleep(seconds)


def backoff_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    longest = min(MAX_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** min(failures, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
