"""One tower's queue: rows of many callers become batches on the tower's workers.

A batch is a worker's fair share of what waits when it is free, up to the tower's best batch: under
light load a row runs alone at once, under heavy load batches fill by themselves. With a latency
target it never grows beyond what ends while its oldest row is still within the target, and rows of
streams, which have none, take what the others leave. What could not start in time is refused at the
door, before it costs a decoding; what expired or was cancelled while it waited never reaches the
device.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import RETRY_AFTER, DeadlineExceeded, Exhausted, Interrupted
from rsq_agent.inference.admission import MIN_RETRY_SECONDS, Line, QueueLimits, find_refusal
from rsq_agent.inference.batch_times import BatchTimes
from rsq_agent.inference.call import Call, Embedded, Row
from rsq_agent.inference.pace import Pace
from rsq_agent.inference.waiting_rows import WaitingRows
from rsq_agent.meter import TowerMeter

POLL_SECONDS = 0.2  # how often a caller who waits for room looks whether it is still wanted


class Batcher:
    """Owns one encoder and the threads that run it."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        pace: Pace,
        limits: QueueLimits,
        meter: TowerMeter,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.encoder = encoder
        self.pace = pace
        self.limits = limits
        self._meter = meter
        self._clock = clock
        self._times = BatchTimes(pace)
        self._rows = WaitingRows()
        self._idle = 0
        self._busy_until = [0.0] * pace.workers  # as expected when a worker took its batch
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(index,),
                name=f"{encoder.manifest.tower}-worker-{index}",
                daemon=True,
            )
            for index in range(pace.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows that were admitted and have not started."""
        return self._rows.waiting

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
        `wait_for_room`, and then has no latency target; Interrupted when the agent shuts down or
        the caller has gone.
        """
        target_seconds = None if wait_for_room else self.limits.target_seconds
        call = Call(
            self,
            count,
            is_wanted=is_wanted,
            timeout_seconds=timeout_seconds,
            due=None if target_seconds is None else self._clock() + target_seconds,
        )
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

    def enqueue(self, row: Row) -> None:
        """A row of a call that was admitted. Raises Interrupted when the agent shuts down."""
        with self._changed:
            if self._closed:
                raise Interrupted("The agent is shutting down.")
            row.arrived = self._clock()
            self._rows.add(row)
            self._changed.notify_all()

    def release(self, call: Call) -> None:
        """Gives back the places of rows that were never added."""
        with self._changed:
            self._rows.withdraw(call)
            self._changed.notify_all()

    def _admit(self, call: Call, *, wait_for_room: bool) -> None:
        with self._changed:
            while not self._closed and (refusal := self._find_refusal(call)) is not None:
                if not wait_for_room:
                    self._meter.count_refused(call.promised)
                    raise refusal
                self._changed.wait(POLL_SECONDS)
                if not call.is_wanted():
                    raise Interrupted("The caller has gone.")
            if self._closed:
                raise Interrupted("The agent is shutting down.")
            self._rows.promise(call)

    def _find_refusal(self, call: Call) -> Exhausted | None:
        now = self._clock()
        line = Line(
            self.encoder.manifest.tower,
            waiting=self._rows.waiting,
            ahead=self._rows.ahead_of(call),
            busy=[max(until - now, 0.0) for until in self._busy_until],
            largest=self.pace.batch,
        )
        limits = self.limits
        if call.due is None:
            limits = replace(limits, target_seconds=None)
        return find_refusal(call.promised, line, limits, self._times)

    def _run(self, worker: int) -> None:
        while batch := self._next_batch(worker):
            started = self._clock()
            try:
                vectors = self.encoder.embed_prepared(np.stack([row.inputs for row in batch]))
            except Exception as e:  # noqa: BLE001 - handed to the callers, who wait for it
                for row in batch:
                    row.done.set_exception(e)
                continue
            seconds = self._clock() - started
            self._observe(batch, started, seconds)
            for row, vector in zip(batch, vectors, strict=True):
                row.done.set_result((vector, (started - row.arrived) * 1000, seconds * 1000))

    def _observe(self, batch: list[Row], started: float, seconds: float) -> None:
        with self._changed:
            self._times.observe(len(batch), seconds)
        waited = started - min(row.arrived for row in batch)
        self._meter.observe_batch(len(batch), queue_ms=waited * 1000, inference_ms=seconds * 1000)

    def _next_batch(self, worker: int) -> list[Row]:
        """Waits for work; empty when closed and drained."""
        batch: list[Row] = []
        with self._changed:
            self._busy_until[worker] = 0.0
            while not batch:
                self._idle += 1
                while not self._rows:
                    if self._closed:
                        return []
                    self._changed.wait()
                share = -(-len(self._rows) // self._idle)
                self._idle -= 1
                size = self._size(min(share, self.pace.batch))
                while self._rows and len(batch) < size:
                    row = self._rows.take()
                    if self._may_run(row):
                        batch.append(row)
            self._busy_until[worker] = self._clock() + self._times.seconds(len(batch))
            self._changed.notify_all()  # there is room again
        return batch

    def _size(self, largest: int) -> int:
        """Of the next batch: what ends while all its rows are within the target, one at least."""
        if self.limits.target_seconds is None or largest == 1:
            return largest
        due = self._rows.first_due(largest)
        left = self.limits.target_seconds if due is None else due - self._clock()
        return max(self._times.most_within(left, largest), 1)

    def _may_run(self, row: Row) -> bool:
        if not row.done.set_running_or_notify_cancel():
            self._meter.count_cancelled(1)
        elif row.call.is_late:
            self._meter.count_expired(1)
            row.done.set_exception(DeadlineExceeded("The deadline passed in the queue."))
        elif row.call.due is not None and self._clock() >= row.call.due:
            self._meter.count_refused(1)
            row.done.set_exception(
                Exhausted(
                    "The latency target passed in the queue; try again in a moment.",
                    metadata={RETRY_AFTER: f"{MIN_RETRY_SECONDS:.2f}"},
                )
            )
        elif not row.call.is_wanted():
            self._meter.count_cancelled(1)
            row.done.set_exception(Interrupted("The caller has gone."))
        else:
            return True
        return False
