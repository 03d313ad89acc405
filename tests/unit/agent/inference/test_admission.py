from __future__ import annotations

import pytest

from rsq.errors import Exhausted
from rsq_agent.inference.admission import Line, QueueLimits, find_refusal
from rsq_agent.inference.batch_times import BatchTimes
from rsq_agent.inference.pace import Pace

TIMES = BatchTimes(Pace(1, 2, 1, items_per_second=10.0, batch_seconds={1: 0.1}))
OPEN = QueueLimits(items=6, wait_seconds=0.25)
TARGET = QueueLimits(items=6, wait_seconds=0.25, target_seconds=0.35)


def _refusal(
    count: int,
    limits: QueueLimits,
    *,
    waiting: int = 0,
    ahead: int | None = None,
    busy: float = 0.0,
) -> Exhausted | None:
    ahead = waiting if ahead is None else ahead
    line = Line("vision", waiting=waiting, ahead=ahead, busy=[busy], largest=1)
    return find_refusal(count, line, limits, TIMES)


def test_without_a_target_what_waits_may_take_so_long_and_be_so_many() -> None:
    assert _refusal(100, OPEN) is None  # the first to wait, however long it is
    assert _refusal(1, OPEN, waiting=2, busy=9.0) is None
    slow = _refusal(1, OPEN, waiting=3)
    assert slow is not None
    assert slow.message.startswith("3 items wait for the vision tower, about 0.3 s")
    assert slow.retry_after_seconds == pytest.approx(0.15)
    assert _refusal(5, OPEN, waiting=2) is not None


@pytest.mark.parametrize(
    ("waiting", "busy", "joins"), [(0, 0.09, True), (2, 0.0, True), (2, 0.1, False)]
)
def test_with_a_target_a_caller_joins_if_it_is_answered_in_time(
    waiting: int, busy: float, joins: bool
) -> None:
    refusal = _refusal(1, TARGET, waiting=waiting, busy=busy)
    assert (refusal is None) == joins
    if refusal is not None:
        assert "after about 400 ms, past its latency target of 350 ms" in refusal.message
        assert refusal.retry_after_seconds == pytest.approx(0.05)


def test_rows_without_a_target_stand_behind() -> None:
    assert _refusal(1, TARGET, waiting=5, ahead=0, busy=0.1) is None
    assert _refusal(1, TARGET, waiting=6, ahead=0, busy=0.1) is not None  # memory is memory


def test_a_call_that_is_too_long_even_alone_is_told_how_long_it_may_be() -> None:
    refusal = _refusal(4, TARGET)
    assert refusal is not None
    assert "send 3 at most" in refusal.message
    assert refusal.retry_after_seconds is None  # waiting would not help
    assert _refusal(3, TARGET) is None


def test_an_idle_tower_runs_one_item_however_slow_it_seems() -> None:
    """Or a tower that was slow for a moment would refuse all, and never learn that it is not."""
    impossible = QueueLimits(items=6, wait_seconds=1.0, target_seconds=0.05)
    assert _refusal(1, impossible) is None
    assert _refusal(1, impossible, busy=0.01) is not None
