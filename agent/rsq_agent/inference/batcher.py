"""One tower's queue: rows of many callers become batches on the tower's workers.

A batch is a worker's fair share of what waits when it is free, up to the tower's best batch: under
light load a row runs alone at once, under heavy load batches fill by themselves. What could not
start in time is refused at the door, before it costs a decoding; what expired or was cancelled
while it waited never reaches the device.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import RETRY_AFTER, DeadlineExceeded, Exhausted, Interrupted
from rsq_agent.inference.pace import Pace
from rsq_agent.meter import TowerMeter

POLL_SECONDS = 0.2  # how often a caller who waits for room looks whether it is still wanted
MIN_RETRY_SECONDS = 0.05  # what a refused caller is told to wait at least
# Share of the newest batch in the running mean of a row's time.
_NEWEST = 0.1


@dataclass(frozen=True)
class QueueLimits:
    """Beyond either of them new callers are refused; one who finds the queue empty never is."""

    items: int  # bounds memory
    wait_seconds: float  # what waits already may take this long


@dataclass(frozen=True)
class Embedded:
    """float32 [n, dim] with the milliseconds the slowest row waited and ran."""

    rows: NDArray[np.float32]
    queue_ms: float
    inference_ms: float


@dataclass
class _Row:
    inputs: NDArray[Any]
    call: Call
    arrived: float = field(default_factory=time.perf_counter)
    done: Future[tuple[NDArray[np.float32], float, float]] = field(default_factory=Future)


class Call:
    """The rows of one caller. The first may run while later ones are still being decoded."""

    def __init__(
        self,
        batcher: Batcher,
        count: int,
        is_wanted: Callable[[], bool],
        timeout_seconds: float | None,
    ) -> None:
        self.is_wanted = is_wanted
        self.deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self.promised = count  # rows that were admitted and not added yet
        self._batcher = batcher
        self._rows: list[_Row] = []

    def add(self, inputs: NDArray[Any]) -> None:
        """One row, as `Encoder.prepare_*` makes them, without the batch axis."""
        row = _Row(inputs, self)
        self._batcher._enqueue(row)
        self._rows.append(row)

    def collect(self) -> Embedded:
        """Waits for all rows. Raises DeadlineExceeded, Interrupted when the caller has gone, and
        what the encoder raises."""
        try:
            results = [row.done.result(self._remaining()) for row in self._rows]
        except TimeoutError as e:
            raise DeadlineExceeded("The deadline passed before the vectors were ready.") from e
        vectors, queue_ms, inference_ms = zip(*results, strict=True)
        return Embedded(np.stack(vectors), max(queue_ms), max(inference_ms))

    def close(self) -> None:
        """Gives back the places of rows that were never added and drops those that still wait."""
        for row in self._rows:
            row.done.cancel()
        self._batcher._release(self)

    @property
    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _remaining(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0)


class Batcher:
    """Owns one encoder and the threads that run it."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        pace: Pace,
        limits: QueueLimits,
        meter: TowerMeter,
    ) -> None:
        self.encoder = encoder
        self.pace = pace
        self._limits = limits
        self._meter = meter
        self._row_seconds = 1 / pace.items_per_second
        self._rows: deque[_Row] = deque()
        self._promised = 0
        self._idle = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._run, name=f"{encoder.manifest.tower}-worker-{index}", daemon=True
            )
            for index in range(pace.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows that were admitted and have not started."""
        return len(self._rows) + self._promised

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)

    @contextmanager
    def call(
        self,
        count: int,
        *,
        is_wanted: Callable[[], bool] = lambda: True,
        timeout_seconds: float | None = None,
        wait_for_room: bool = False,
    ) -> Iterator[Call]:
        """Admits `count` rows; what the block did not collect is dropped at its end.

        Raises Exhausted when too much waits already, or waits for room itself where
        `wait_for_room`; Interrupted when the agent shuts down or the caller has gone.
        """
        call = Call(self, count, is_wanted, timeout_seconds)
        self._admit(call, wait_for_room=wait_for_room)
        try:
            yield call
        finally:
            call.close()

    def embed(
        self,
        inputs: NDArray[Any],
        *,
        is_wanted: Callable[[], bool] = lambda: True,
        timeout_seconds: float | None = None,
    ) -> Embedded:
        """The rows of `inputs` (as `Encoder.prepare_*` makes them, stacked) in one call. Raises as
        `call` and `Call.collect` do."""
        with self.call(len(inputs), is_wanted=is_wanted, timeout_seconds=timeout_seconds) as call:
            for row in inputs:
                call.add(row)
            return call.collect()

    def close(self) -> None:
        """Finishes what waits, then ends the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _admit(self, call: Call, *, wait_for_room: bool) -> None:
        with self._changed:
            while not self._closed and not self._has_room(call.promised):
                if not wait_for_room:
                    self._meter.count_refused(call.promised)
                    seconds = self.waiting * self._row_seconds
                    raise Exhausted(
                        f"{self.waiting} items wait for the {self.encoder.manifest.tower} tower, "
                        f"about {seconds:.1f} s of work; try again in a moment.",
                        metadata={RETRY_AFTER: f"{max(seconds / 2, MIN_RETRY_SECONDS):.2f}"},
                    )
                self._changed.wait(POLL_SECONDS)
                if not call.is_wanted():
                    raise Interrupted("The caller has gone.")
            if self._closed:
                raise Interrupted("The agent is shutting down.")
            self._promised += call.promised

    def _has_room(self, count: int) -> bool:
        ahead = self.waiting
        if ahead == 0:
            return True
        return (
            ahead + count <= self._limits.items
            and ahead * self._row_seconds <= self._limits.wait_seconds
        )

    def _enqueue(self, row: _Row) -> None:
        with self._changed:
            if self._closed:
                raise Interrupted("The agent is shutting down.")
            row.call.promised -= 1
            self._promised -= 1
            self._rows.append(row)
            self._changed.notify_all()

    def _release(self, call: Call) -> None:
        with self._changed:
            self._promised -= call.promised
            call.promised = 0
            self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            try:
                vectors = self.encoder.embed_prepared(np.stack([row.inputs for row in batch]))
            except Exception as e:  # noqa: BLE001 - handed to the callers, who wait for it
                for row in batch:
                    row.done.set_exception(e)
                continue
            seconds = time.perf_counter() - started
            self._observe(batch, started, seconds)
            for row, vector in zip(batch, vectors, strict=True):
                row.done.set_result((vector, (started - row.arrived) * 1000, seconds * 1000))

    def _observe(self, batch: list[_Row], started: float, seconds: float) -> None:
        row_seconds = seconds / len(batch) / self.pace.workers
        with self._changed:
            self._row_seconds += _NEWEST * (row_seconds - self._row_seconds)
        waited = started - min(row.arrived for row in batch)
        self._meter.observe_batch(len(batch), queue_ms=waited * 1000, inference_ms=seconds * 1000)

    def _next_batch(self) -> list[_Row]:
        """Waits for work; empty when closed and drained."""
        batch: list[_Row] = []
        with self._changed:
            while not batch:
                self._idle += 1
                while not self._rows:
                    if self._closed:
                        return []
                    self._changed.wait()
                share = -(-len(self._rows) // self._idle)
                self._idle -= 1
                while self._rows and len(batch) < min(share, self.pace.batch):
                    row = self._rows.popleft()
                    if self._may_run(row):
                        batch.append(row)
            self._changed.notify_all()  # there is room again
        return batch

    def _may_run(self, row: _Row) -> bool:
        if not row.done.set_running_or_notify_cancel():
            self._meter.count_cancelled(1)
            return False
        if row.call.is_late:
            self._meter.count_expired(1)
            row.done.set_exception(DeadlineExceeded("The deadline passed in the queue."))
        elif not row.call.is_wanted():
            self._meter.count_cancelled(1)
            row.done.set_exception(Interrupted("The caller has gone."))
        else:
            return True
        return False
