"""A caller's share of calls and bytes."""

from __future__ import annotations

import pytest

from rsq.errors import Exhausted
from rsq.rpc import limits
from rsq.rpc.limits import BURST_SECONDS, NO_LIMITS, Allowances, Limits


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def _take(allowances: Allowances, caller: str, most: int) -> int:
    for count in range(most):
        try:
            allowances.take_call(caller)
        except Exhausted:
            return count
    return most


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    clock = Clock()
    allowances = Allowances(Limits(calls_per_second=10), now=clock)
    assert _take(allowances, "a", 1000) == 10 * BURST_SECONDS
    clock.seconds += 1
    assert _take(allowances, "a", 1000) == 10
    clock.seconds += 1000
    assert _take(allowances, "a", 1000) == 10 * BURST_SECONDS


def test_a_refusal_says_when_to_come_again_and_then_it_works() -> None:
    clock = Clock()
    allowances = Allowances(Limits(calls_per_second=0.5), now=clock)
    allowances.take_call("a")
    with pytest.raises(Exhausted) as caught:
        allowances.take_call("a")
    wait = caught.value.retry_after_seconds
    assert wait is not None
    clock.seconds += wait
    allowances.take_call("a")


def test_one_caller_does_not_use_up_anothers_share() -> None:
    allowances = Allowances(Limits(calls_per_second=1), now=Clock())
    _take(allowances, "a", 10)
    allowances.take_call("b")


def test_a_large_message_comes_through_and_is_paid_back_before_the_next() -> None:
    clock = Clock()
    allowances = Allowances(Limits(bytes_per_second=100), now=clock)
    allowances.take_bytes("a", 1000)
    with pytest.raises(Exhausted) as caught:
        allowances.take_bytes("a", 1)
    with pytest.raises(Exhausted):
        allowances.take_call("a")
    assert caught.value.retry_after_seconds == pytest.approx(1000 / 100 - BURST_SECONDS)
    clock.seconds += 1000 / 100
    allowances.take_call("a")
    allowances.take_bytes("a", 1)


def test_callers_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    allowances = Allowances(Limits(calls_per_second=1), now=Clock())
    for number in range(100):
        allowances.take_call(str(number))
    assert len(allowances._buckets) == 10


def test_without_limits_nobody_is_counted() -> None:
    allowances = Allowances(NO_LIMITS, now=Clock())
    assert _take(allowances, "a", 10_000) == 10_000
    allowances.take_bytes("a", 1 << 40)
    assert not allowances._buckets
