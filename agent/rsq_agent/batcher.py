"""One tower's queue: requests of many callers become batches of one session.

A batch is whatever waits when the session is free, up to the largest batch: under light load a
request runs alone at once, under heavy load batches fill by themselves. What has expired or was
cancelled while waiting never reaches the device.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.encoder import Encoder
from rsq.errors import DeadlineExceeded, Exhausted, Interrupted


@dataclass(frozen=True)
class Embedded:
    """float32 [n, dim] with the milliseconds the slowest row waited and ran."""

    rows: NDArray[np.float32]
    queue_ms: float
    inference_ms: float


@dataclass
class _Row:
    inputs: NDArray[Any]
    is_wanted: Callable[[], bool]
    arrived: float = field(default_factory=time.perf_counter)
    done: Future[tuple[NDArray[np.float32], float, float]] = field(default_factory=Future)


class Batcher:
    """Owns one encoder and the thread that runs it."""

    def __init__(self, encoder: Encoder, *, max_batch: int, queue_items: int) -> None:
        self.encoder = encoder
        self.max_batch = max_batch
        self._queue_items = queue_items
        self._rows: deque[_Row] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(
            target=self._run, name=f"{encoder.manifest.tower}-tower", daemon=True
        )
        self._thread.start()

    def embed(
        self,
        inputs: NDArray[Any],
        *,
        is_wanted: Callable[[], bool] = lambda: True,
        timeout_seconds: float | None = None,
    ) -> Embedded:
        """Embeds the rows of `inputs` (as `Encoder.prepare_*` makes them, stacked).

        Raises Exhausted when the queue is full, DeadlineExceeded after `timeout_seconds`,
        Interrupted when the caller has gone, and what the encoder raises.
        """
        rows = [_Row(row, is_wanted) for row in inputs]
        with self._changed:
            if self._closed:
                raise Interrupted("The agent is shutting down.")
            if len(self._rows) + len(rows) > self._queue_items:
                raise Exhausted(
                    f"{len(self._rows)} items wait for the {self.encoder.manifest.tower} tower; "
                    "try again in a moment."
                )
            self._rows.extend(rows)
            self._changed.notify()
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        try:
            results = [
                row.done.result(None if deadline is None else max(deadline - time.monotonic(), 0))
                for row in rows
            ]
        except TimeoutError as e:
            for row in rows:
                row.done.cancel()
            raise DeadlineExceeded("The deadline passed before the vectors were ready.") from e
        vectors, queue_ms, inference_ms = zip(*results, strict=True)
        return Embedded(np.stack(vectors), max(queue_ms), max(inference_ms))

    def close(self) -> None:
        """Finishes what waits, then ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            started = time.perf_counter()
            try:
                vectors = self.encoder.embed_prepared(np.stack([row.inputs for row in batch]))
            except Exception as e:  # noqa: BLE001 - handed to the callers, who wait for it
                for row in batch:
                    row.done.set_exception(e)
                continue
            inference_ms = (time.perf_counter() - started) * 1000
            for row, vector in zip(batch, vectors, strict=True):
                row.done.set_result((vector, (started - row.arrived) * 1000, inference_ms))

    def _next_batch(self) -> list[_Row]:
        """Waits for work; empty when closed and drained."""
        batch: list[_Row] = []
        with self._changed:
            while not batch:
                while not self._rows:
                    if self._closed:
                        return []
                    self._changed.wait()
                while self._rows and len(batch) < self.max_batch:
                    row = self._rows.popleft()
                    if not row.done.set_running_or_notify_cancel():
                        continue
                    if row.is_wanted():
                        batch.append(row)
                    else:
                        row.done.set_exception(Interrupted("The caller has gone."))
        return batch
