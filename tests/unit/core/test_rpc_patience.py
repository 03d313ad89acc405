"""rsq.rpc.patience: waits grow, and end some time after the first failure in a row."""

from __future__ import annotations

import pytest

from rsq.errors import Unreachable
from rsq.rpc import patience as patience_module
from rsq.rpc.patience import MAX_BACKOFF_SECONDS, Patience

GONE = Unreachable("Gone.")


class Clock:
    """Time that passes only by sleeping, or where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def _wait_for_ever(patience: Patience) -> None:
    while True:
        patience.wait(GONE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience_module, "time", clock)
    return clock


def test_it_ends_after_its_seconds(clock: Clock) -> None:
    patience = Patience(30.0)
    begun = clock.now
    with pytest.raises(Unreachable, match="Gone"):
        _wait_for_ever(patience)
    assert 30.0 < clock.now - begun <= 30.0 + MAX_BACKOFF_SECONDS


def test_waits_grow_to_a_bound_and_differ(clock: Clock) -> None:
    patience = Patience(1000.0)
    for _ in range(40):
        patience.wait(GONE)
    assert clock.waits[0] < 0.3
    assert min(clock.waits[10:]) >= MAX_BACKOFF_SECONDS / 2
    assert max(clock.waits) <= MAX_BACKOFF_SECONDS
    assert len(set(clock.waits[10:])) > 1


def test_time_before_the_first_failure_does_not_count(clock: Clock) -> None:
    patience = Patience(10.0)
    clock.now += 500.0  # one call that took long to fail
    patience.wait(GONE)
    assert len(clock.waits) == 1


def test_it_begins_anew_once_something_got_through(clock: Clock) -> None:
    patience = Patience(10.0)
    for _ in range(5):
        patience.wait(GONE)
        clock.now += 8.0
        patience.renew()
    assert max(clock.waits) < 0.3
