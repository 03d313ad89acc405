"""The rows of one caller on their way through a tower's queue."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsq.errors import DeadlineExceeded


@dataclass(frozen=True)
class Embedded:
    """float32 [n, dim] with the milliseconds the slowest row waited and ran."""

    rows: NDArray[np.float32]
    queue_ms: float
    inference_ms: float


@dataclass
class Row:
    """One preprocessed item. `arrived` is on the queue's clock."""

    inputs: NDArray[Any]
    call: Call
    arrived: float = 0.0
    done: Future[tuple[NDArray[np.float32], float, float]] = field(default_factory=Future)


class RowQueue(Protocol):
    """Where the rows of a call wait."""

    def enqueue(self, row: Row) -> None: ...

    def release(self, call: Call) -> None: ...


class Call:
    """The first row may run while later ones are still being decoded.

    `due` is when its vectors stop being worth anything, on the queue's clock; None where no latency
    target holds for it.
    """

    def __init__(
        self,
        queue: RowQueue,
        count: int,
        *,
        is_wanted: Callable[[], bool],
        timeout_seconds: float | None,
        due: float | None,
    ) -> None:
        self.is_wanted = is_wanted
        self.deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self.due = due
        self.promised = count  # rows that were admitted and not added yet
        self._queue = queue
        self._rows: list[Row] = []

    def add(self, inputs: NDArray[Any]) -> None:
        """One row, as `Encoder.prepare_*` makes them, without the batch axis."""
        row = Row(inputs, self)
        self._queue.enqueue(row)
        self._rows.append(row)

    def collect(self) -> Embedded:
        """Waits for all rows. Raises DeadlineExceeded, Interrupted when the caller has gone,
        Exhausted when the latency target passed, and what the encoder raises."""
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
        self._queue.release(self)

    @property
    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _remaining(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0)
