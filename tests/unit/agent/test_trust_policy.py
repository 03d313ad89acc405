from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rsq.errors import BadInput
from rsq_agent.trust.policy import MAX_WAIVER_DAYS, Policy

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_waiver_ends_by_itself_and_stays_on_record() -> None:
    policy = Policy().waive(NOW, days=2, reason=" holidays ", by="ann")
    assert policy.waiver(NOW) == policy.waivers[0]
    assert policy.waivers[0].reason == "holidays"
    assert policy.waiver(NOW - timedelta(seconds=1)) is None
    assert policy.waiver(NOW + timedelta(days=2)) is None
    assert len(policy.waive(NOW, days=1, reason="more", by="ann").waivers) == 2


def test_a_waiver_can_be_ended_early() -> None:
    policy = Policy().waive(NOW, days=2, reason="x", by="ann")
    ended = policy.end_waivers(NOW + timedelta(hours=1))
    assert ended.waiver(NOW + timedelta(hours=1)) is None
    assert len(ended.waivers) == 1


@pytest.mark.parametrize(("days", "reason"), [(0, "x"), (MAX_WAIVER_DAYS + 1, "x"), (1, "  ")])
def test_a_waiver_needs_an_end_and_a_reason(days: int, reason: str) -> None:
    with pytest.raises(BadInput):
        Policy().waive(NOW, days=days, reason=reason, by="ann")


def test_grace_is_bounded() -> None:
    assert Policy().with_grace(14).grace_days == 14
    for days in (-1, 366):
        with pytest.raises(BadInput):
            Policy().with_grace(days)
