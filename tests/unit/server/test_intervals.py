from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq_server.build import intervals
from rsq_server.build.intervals import (
    bootstrap_intervals,
    share_with_interval,
    wilson_interval,
    with_intervals,
)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [
        # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0.0, 20, 0.0, 0.1611),
        (1 / 29, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_equals_published_figures(
    share: float, count: int, low: float, high: float
) -> None:
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=5e-5)


@given(count=st.integers(1, 10_000), data=st.data())
def test_wilsons_interval_stays_within_shares_and_holds_the_measured_one(
    count: int, data: st.DataObject
) -> None:
    share = data.draw(st.integers(0, count)) / count
    low, high = wilson_interval(share, count)
    assert -1e-12 <= low <= share <= high <= 1 + 1e-12
    assert high - low > 0


def test_the_bootstrap_has_the_width_of_the_standard_error() -> None:
    values = np.random.default_rng(0).normal(3, 2, (2, 400))
    for (low, high), row in zip(bootstrap_intervals(values), values, strict=True):
        error = row.std() / np.sqrt(400)
        assert low == pytest.approx(row.mean() - 1.96 * error, abs=0.15 * error)
        assert high == pytest.approx(row.mean() + 1.96 * error, abs=0.15 * error)


def test_the_bootstrap_is_the_same_each_time() -> None:
    values = np.random.default_rng(1).normal(size=(1, 300))
    first = bootstrap_intervals(values)
    assert first[0, 0] < first[0, 1]
    assert np.array_equal(first, bootstrap_intervals(values))
    assert np.array_equal(first, bootstrap_intervals(np.repeat(values, 2, axis=0))[1:])


def test_many_values_are_drawn_in_blocks_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=(1, 300))
    monkeypatch.setattr(intervals, "_BLOCK_DRAWS", 900)
    (low, high) = bootstrap_intervals(values)[0]
    error = values.std() / np.sqrt(300)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_values_that_agree_have_an_interval_of_no_width_while_shares_never_do() -> None:
    found = with_intervals({"change": np.zeros(50), "overlap": np.ones(50)})
    assert (found["change_low"], found["change"], found["change_high"]) == (0, 0, 0)
    assert (found["overlap_low"], found["overlap"], found["overlap_high"]) == (1, 1, 1)
    hits = share_with_interval("top1_match", np.ones(50, np.bool_))
    assert hits["top1_match"] == hits["top1_match_high"] == 1
    assert hits["top1_match_low"] == pytest.approx(0.9287, abs=1e-4)
