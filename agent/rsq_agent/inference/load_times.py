"""How long loading a model will take: as the last one took in this process, else from what was
measured when it was pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rsq_agent.cache import Cache
from rsq_agent.inference.footprint import file_bytes, load_seconds
from rsq_agent.inference.loading import pace_keys
from rsq_agent.inference.pace_file import PaceFile
from rsq_agent.state import Activation

# Of a tower on a node that never tried one like it; the base-size pair took 11 s together.
UNKNOWN_TRIAL_SECONDS = 5.0


class LoadTimes:
    """A load hashes the files, opens the session, replays the probe and, where none is known yet,
    finds a pace. All but the last grow with the files."""

    def __init__(self, cache: Cache, *, threads: int) -> None:
        """`threads` are those the agent serves with, which a pace is known for."""
        self._cache = cache
        self._threads = threads
        self._paces = PaceFile(cache.paces_path)
        self._seconds_per_byte = 0.0

    def expect(self, activation: Activation) -> float:
        """Seconds. Raises NotFound where a manifest is missing."""
        trials = [
            self._paces.expected_trial_seconds(key)
            for key in pace_keys(self._cache, activation, self._threads)
        ]
        return max(
            self._seconds_per_byte * file_bytes(self._cache, activation),
            load_seconds(self._cache, activation),
        ) + sum(UNKNOWN_TRIAL_SECONDS if seconds is None else seconds for seconds in trials)

    @contextmanager
    def timing(self, activation: Activation) -> Iterator[None]:
        """The block loads `activation`; what that took counts for the next one, unless it fails."""
        keys = pace_keys(self._cache, activation, self._threads)
        unknown = [key for key in keys if self._paces.read(key) is None]
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        seconds -= sum(self._paces.last_trial_seconds(key) for key in unknown)
        size_bytes = file_bytes(self._cache, activation)
        self._seconds_per_byte = max(seconds, 0.0) / max(size_bytes, 1)
