from __future__ import annotations

import numpy as np

from rsq_agent.inference.call import Call, Row
from rsq_agent.inference.waiting_rows import WaitingRows


class NoQueue:
    def enqueue(self, row: Row) -> None: ...

    def release(self, call: Call) -> None: ...


def _call(count: int, due: float | None) -> Call:
    return Call(NoQueue(), count, is_wanted=lambda: True, timeout_seconds=None, due=due)


def _add(rows: WaitingRows, call: Call) -> Row:
    row = Row(np.zeros(1), call)
    rows.add(row)
    return row


def test_rows_that_are_due_come_first_and_each_kind_in_order() -> None:
    rows = WaitingRows()
    stream, first, second = _call(2, None), _call(1, 5.0), _call(1, 4.0)
    for call in (stream, first, second):
        rows.promise(call)
    bulk = [_add(rows, stream), _add(rows, stream)]
    due = [_add(rows, first), _add(rows, second)]
    assert len(rows) == 4
    assert rows.first_due(1) == 5.0
    assert rows.first_due(2) == 4.0
    assert [rows.take() for _ in range(4)] == [*due, *bulk]
    assert rows.first_due(4) is None


def test_a_call_that_is_due_counts_only_its_like_ahead() -> None:
    rows = WaitingRows()
    for call in (_call(5, None), _call(2, 1.0)):
        rows.promise(call)
    assert rows.waiting == 7
    assert rows.ahead_of(_call(1, 2.0)) == 2
    assert rows.ahead_of(_call(1, None)) == 7


def test_a_place_that_was_promised_is_given_back_once() -> None:
    rows = WaitingRows()
    call = _call(3, None)
    rows.promise(call)
    _add(rows, call)
    rows.withdraw(call)
    rows.withdraw(call)
    assert (rows.waiting, len(rows), call.promised) == (1, 1, 0)
