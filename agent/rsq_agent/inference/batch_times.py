"""How long the batches of one tower take here: begun with what the trials of its pace measured,
kept up while it serves.

The owner locks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heapify, heapreplace

from rsq_agent.inference.pace import Pace

# Share of the newest batch in the running mean of its size.
_NEWEST = 0.1
# Of how far the newest batch was off, so much is put down to the device and holds for all sizes.
_SHARED = 0.5


class BatchTimes:
    """Running means by batch size. Sizes that were never run are read off their neighbours, and
    beyond the largest in proportion to it."""

    def __init__(self, pace: Pace) -> None:
        self._workers = pace.workers
        self._row_seconds = 1 / pace.items_per_second
        self._seconds = dict(sorted(pace.batch_seconds.items())) or {
            pace.batch: pace.batch * pace.workers / pace.items_per_second
        }

    @property
    def row_seconds(self) -> float:
        """What each waiting row adds to the wait, over all workers and as batches come."""
        return self._row_seconds

    def seconds(self, items: int) -> float:
        """Of one batch of so many, as a worker runs it."""
        # No batch is worth more than its rows in smaller ones. A size that was slow for a while and
        # is avoided since would otherwise never be tried again.
        smaller = [known * items / size for size, known in self._seconds.items() if size < items]
        return min([*smaller, *self._between(items)])

    def most_within(self, seconds: float, largest: int) -> int:
        """The largest batch up to `largest` that ends in time; 0 where not even one row does."""
        return max((n for n in range(1, largest + 1) if self.seconds(n) <= seconds), default=0)

    def finish_seconds(self, items: int, *, busy: Sequence[float], largest: int) -> float:
        """Until the last of `items` rows has run, in order and in batches of up to `largest`, on
        workers that are busy for so many seconds yet."""
        free = list(busy)
        heapify(free)
        end, left = 0.0, items
        while left > 0:
            batch = min(largest, -(-left // len(free)))
            ends = free[0] + self.seconds(batch)
            heapreplace(free, ends)
            end = max(end, ends)
            left -= batch
        return end

    def observe(self, items: int, seconds: float) -> None:
        """One batch that ended."""
        row_seconds = seconds / items / self._workers
        self._row_seconds += _NEWEST * (row_seconds - self._row_seconds)
        expected = self.seconds(items)
        drift = 1 + _NEWEST * _SHARED * (seconds / expected - 1)
        shifted = {size: known * drift for size, known in self._seconds.items()}
        shifted[items] = expected + _NEWEST * (seconds - expected)
        self._seconds = dict(sorted(shifted.items()))

    def _between(self, items: int) -> list[float]:
        """Read off the sizes that were run; nothing beyond the largest of them."""
        sizes = list(self._seconds)
        place = bisect_left(sizes, items)
        if place == len(sizes):
            return []
        above = sizes[place]
        if above == items or place == 0:
            return [self._seconds[above]]
        below = sizes[place - 1]
        share = (items - below) / (above - below)
        return [(1 - share) * self._seconds[below] + share * self._seconds[above]]
