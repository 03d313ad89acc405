from __future__ import annotations

import numpy as np
import pytest

from rsq.errors import DeadlineExceeded
from rsq_agent.inference.call import Call, Row


class HeldQueue:
    """Keeps rows until a test answers them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.released: list[Call] = []

    def enqueue(self, row: Row) -> None:
        self.rows.append(row)

    def release(self, call: Call) -> None:
        self.released.append(call)


def _call(queue: HeldQueue, timeout_seconds: float | None = None) -> Call:
    return Call(queue, 2, is_wanted=lambda: True, timeout_seconds=timeout_seconds, due=None)


def test_rows_come_back_in_order_with_the_slowest_times() -> None:
    queue = HeldQueue()
    call = _call(queue)
    for value in (1, 2):
        call.add(np.full(3, value))
    for row in reversed(queue.rows):
        first = int(row.inputs[0])
        row.done.set_result((np.full(4, first, np.float32), 10.0 * first, 5.0 / first))
    embedded = call.collect()
    assert embedded.rows.tolist() == [[1] * 4, [2] * 4]
    assert (embedded.queue_ms, embedded.inference_ms) == (20.0, 5.0)


def test_a_deadline_ends_the_wait_and_closing_drops_what_waits() -> None:
    queue = HeldQueue()
    call = _call(queue, timeout_seconds=0.0)
    call.add(np.zeros(3))
    with pytest.raises(DeadlineExceeded):
        call.collect()
    assert call.is_late
    call.close()
    assert queue.rows[0].done.cancelled()
    assert queue.released == [call]
