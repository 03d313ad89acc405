"""What a serving agent counts. Recording is one lock and a few additions; whoever reads (a scrape,
GetStatus) does the work.

One Meter an Agent, and one TowerMeter a loaded tower, so that counts since the load stay apart from
counts since the start.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from rsq.call_record import CallRecord, EmbeddingTimes, note_embedding

# Batches are powers of two up to what a worker takes at once.
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
# Milliseconds, three a decade: from a text on a GPU to a large batch on a slow CPU. 1 s is the work
# that may wait in a queue by default, so a limit on it is a bucket's edge.
LATENCY_BUCKETS_MS = (
    0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
)  # fmt: skip
STAGES = ("queue", "preprocess", "inference", "call")
RECENT = 1024  # calls and batches that percentiles look back on: 16 KiB a tower


@dataclass(frozen=True)
class TowerLabels:
    model: str
    tower: str
    variant: str


@dataclass(frozen=True)
class Recent:
    """Over the last `RECENT` calls and batches; 0 before the first."""

    p50_ms: float
    p99_ms: float
    mean_batch: float


class Histogram:
    """Counts by bucket: values up to each bound, then those beyond the last. Its owner locks."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class TowerCounts:
    """The numbers of one tower. Its owner locks."""

    def __init__(self) -> None:
        self.items = 0
        self.refused = 0
        self.expired = 0
        self.cancelled = 0
        self.batch_items = Histogram(BATCH_BUCKETS)
        self.stages = {stage: Histogram(LATENCY_BUCKETS_MS) for stage in STAGES}

    def merge(self, other: TowerCounts) -> None:
        self.items += other.items
        self.refused += other.refused
        self.expired += other.expired
        self.cancelled += other.cancelled
        self.batch_items.merge(other.batch_items)
        for stage, histogram in self.stages.items():
            histogram.merge(other.stages[stage])


class TowerMeter:
    """Counts of one loaded tower. Any thread may call it."""

    def __init__(self, labels: TowerLabels, artifact_id: str = "") -> None:
        self.labels = labels
        self.artifact_id = artifact_id
        self._lock = threading.Lock()
        self._counts = TowerCounts()
        stages = self._counts.stages
        self._queue, self._inference = stages["queue"], stages["inference"]
        self._preprocess, self._call = stages["preprocess"], stages["call"]
        self._call_ms: deque[float] = deque(maxlen=RECENT)
        self._batch_items: deque[int] = deque(maxlen=RECENT)

    def observe_batch(self, items: int, *, queue_ms: float, inference_ms: float) -> None:
        """One run on the device; `queue_ms` is of the item that waited longest."""
        with self._lock:
            self._counts.items += items
            self._counts.batch_items.add(items)
            self._queue.add(queue_ms)
            self._inference.add(inference_ms)
            self._batch_items.append(items)

    def observe_call(
        self, *, queue_ms: float, preprocess_ms: float, inference_ms: float, total_ms: float
    ) -> None:
        """One caller's items, from their arrival until the vectors were ready. Also tells the
        record of the call that this thread answers."""
        with self._lock:
            self._preprocess.add(preprocess_ms)
            self._call.add(total_ms)
            self._call_ms.append(total_ms)
        times = EmbeddingTimes(queue_ms, preprocess_ms, inference_ms, total_ms)
        note_embedding(self.artifact_id, times)

    def count_refused(self, items: int) -> None:
        """Items that found no room in the queue."""
        with self._lock:
            self._counts.refused += items

    def count_expired(self, items: int) -> None:
        """Items whose deadline passed in the queue."""
        with self._lock:
            self._counts.expired += items

    def count_cancelled(self, items: int) -> None:
        """Items whose caller went away while they waited."""
        with self._lock:
            self._counts.cancelled += items

    @property
    def items(self) -> int:
        """Embedded since the load."""
        return self._counts.items

    @property
    def refused(self) -> int:
        return self._counts.refused

    def recent(self) -> Recent:
        with self._lock:
            call_ms, batch_items = list(self._call_ms), list(self._batch_items)
        call_ms.sort()
        mean = sum(batch_items) / len(batch_items) if batch_items else 0.0
        return Recent(_percentile(call_ms, 0.5), _percentile(call_ms, 0.99), mean)

    def add_to(self, counts: TowerCounts) -> None:
        with self._lock:
            counts.merge(self._counts)


@dataclass(frozen=True)
class LastActivation:
    ended: float  # seconds since the epoch
    outcome: str  # OK, or the code of the error


class Meter:
    """Counts of one agent since its start."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.last_activation: LastActivation | None = None
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._activations: Counter[str] = Counter()
        self._loaded: list[TowerMeter] = []
        self._unloaded: dict[TowerLabels, TowerCounts] = {}

    @property
    def uptime_seconds(self) -> float:
        return time.monotonic() - self._started

    def open_tower(self, model: str, tower: str, variant: str, *, artifact_id: str) -> TowerMeter:
        """The meter of a tower that is being loaded."""
        meter = TowerMeter(TowerLabels(model, tower, variant), artifact_id)
        with self._lock:
            self._loaded.append(meter)
        return meter

    def close_tower(self, meter: TowerMeter) -> None:
        """Keeps what an unloaded tower counted and lets go of the rest."""
        with self._lock:
            if meter in self._loaded:
                self._loaded.remove(meter)
                meter.add_to(self._unloaded.setdefault(meter.labels, TowerCounts()))

    def count_call(self, record: CallRecord) -> None:
        with self._lock:
            self._requests[record.method, record.code] += 1

    def record_activation(self, outcome: str) -> None:
        """An activation that ended just now: OK, or the code of its error."""
        with self._lock:
            self.last_activation = LastActivation(time.time(), outcome)
            self._activations[outcome] += 1

    def requests(self) -> dict[tuple[str, str], int]:
        """By method and code."""
        with self._lock:
            return dict(self._requests)

    def activations(self) -> dict[str, int]:
        """By outcome."""
        with self._lock:
            return dict(self._activations)

    def towers(self) -> dict[TowerLabels, TowerCounts]:
        """Counts since the start, of loaded towers and of those that were unloaded."""
        totals: dict[TowerLabels, TowerCounts] = {}
        with self._lock:
            for labels, counts in self._unloaded.items():
                totals.setdefault(labels, TowerCounts()).merge(counts)
            for meter in self._loaded:
                meter.add_to(totals.setdefault(meter.labels, TowerCounts()))
        return totals


def _percentile(ordered: list[float], share: float) -> float:
    """Nearest rank; 0 of nothing."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0
