"""rsq_server.alias_history: dates as people write them, and what an alias meant then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rsq.errors import BadInput
from rsq.records import AliasEvent
from rsq_server.alias_history import in_force, parse_moment

EVENTS = [
    AliasEvent("m", "production", 1, "2026-03-01T09:00:00.000000Z", "ann"),
    AliasEvent("m", "staging", 2, "2026-03-01T12:00:00.000000Z", "ann"),
    AliasEvent("m", "production", 2, "2026-03-02T00:00:00.000000Z", "bob"),
    AliasEvent("m", "staging", None, "2026-03-03T00:00:00.000000Z", "bob"),
]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T14:00:00+02:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01", datetime(2026, 3, 2, tzinfo=UTC) - timedelta(microseconds=1)),
    ],
)
def test_a_day_means_its_end_and_a_time_without_zone_is_utc(text: str, moment: datetime) -> None:
    assert parse_moment(text) == moment


@pytest.mark.parametrize("text", ["", "March", "2026-13-01", "01.03.2026"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="2026-03-01"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("day", "meant"),
    [
        ("2026-02-28", {}),
        ("2026-03-01T10:00:00Z", {"production": 1}),
        ("2026-03-01", {"production": 1, "staging": 2}),
        ("2026-03-02", {"production": 2, "staging": 2}),
        ("2026-03-03", {"production": 2}),
    ],
)
def test_the_last_move_up_to_then_is_in_force(day: str, meant: dict[str, int]) -> None:
    assert {e.alias: e.version for e in in_force(EVENTS, parse_moment(day))} == meant
