from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rsq.errors import ClockWrong
from rsq_agent.trust.clock import LONG_AGO, TOLERANCE, check_expiry, check_signed_at, choose_time
from rsq_agent.trust.policy import Policy

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_the_time_is_the_clocks_but_never_before_the_floor() -> None:
    assert choose_time(NOW, None, Policy()) == NOW
    assert choose_time(NOW, NOW - timedelta(days=9), Policy()) == NOW
    assert choose_time(NOW, NOW + TOLERANCE, Policy()) == NOW + TOLERANCE


def test_a_clock_well_before_the_floor_is_named() -> None:
    with pytest.raises(ClockWrong, match="2030-01-01"):
        choose_time(NOW, NOW + TOLERANCE + SECOND, Policy())


def test_grace_goes_back_but_not_behind_the_floor() -> None:
    policy = Policy(grace_days=5)
    assert choose_time(NOW, None, policy) == NOW - timedelta(days=5)
    assert choose_time(NOW, NOW - timedelta(days=2), policy) == NOW - timedelta(days=2)


def test_under_a_waiver_nothing_has_expired() -> None:
    policy = Policy().waive(NOW, days=1, reason="x", by="y")
    assert choose_time(NOW, NOW, policy) < NOW - timedelta(days=10_000)
    # Turning the clock back does not make a waiver last.
    with pytest.raises(ClockWrong):
        choose_time(NOW, NOW + timedelta(days=2), policy)


def test_what_expired_years_ago_is_the_clocks_fault() -> None:
    check_expiry(NOW, None)
    check_expiry(NOW, NOW - LONG_AGO)
    with pytest.raises(ClockWrong):
        check_expiry(NOW, NOW - LONG_AGO - SECOND)


def test_a_signature_of_the_future_is_named() -> None:
    check_signed_at(NOW, NOW + TOLERANCE)
    check_signed_at(NOW, None)
    with pytest.raises(ClockWrong):
        check_signed_at(NOW, NOW + TOLERANCE + SECOND)
