# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rsq_server.report_page.scale import Axis, megabytes, percent, plain, widen

finite = st.floats(-1e6, 1e6)
spans = st.floats(1e-4, 1e6)


@given(finite, spans)
def test_ticks_are_few_round_and_within_the_axis(low: float, span: float) -> None:
    axis = Axis("", low, low + span, 0, 300, plain)
    values = [value for value, _ in axis.ticks()]
    assert 2 <= len(values) <= 9
    steps = {round(b - a, 9) for a, b in pairwise(values)}
    step = values[1] - values[0]
    assert max(steps) - min(steps) <= 1e-6 * max(1.0, step)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - round_) for round_ in (1, 2, 5)) < 1e-3
    for value in values:
        assert low - span * 1e-6 <= value <= low + span * (1 + 1e-6)
        assert -0.1 <= axis.place(value) <= 300.1


@given(finite, spans)
def test_ticks_tell_their_values_apart(low: float, span: float) -> None:
    texts = [text for _, text in Axis("", low, low + span, 0, 300, plain).ticks()]
    assert len(set(texts)) == len(texts)


def test_ends_are_placed_where_they_were_asked_for() -> None:
    upward = Axis("", 10, 20, 200, 12, plain)
    assert [upward.place(value) for value in (10, 15, 20)] == [200, 106, 12]


def test_ticks_are_written_with_the_decimals_they_need() -> None:
    def texts(axis: Axis) -> list[str]:
        return [text for _, text in axis.ticks()]

    assert texts(Axis("", 0.97, 1.0, 0, 1, percent)) == [
        "97.0%", "97.5%", "98.0%", "98.5%", "99.0%", "99.5%", "100.0%",
    ]  # fmt: skip
    assert texts(Axis("", 0, 5e7, 0, 1, megabytes)) == ["0", "10", "20", "30", "40", "50"]
    assert texts(Axis("", -0.4, 0.4, 0, 1, plain)) == ["−0.4", "−0.2", "0.0", "0.2", "0.4"]


@given(finite, st.floats(0, 1e6), st.floats(1e-3, 10))
def test_widening_leaves_room_around_the_range(low: float, span: float, least: float) -> None:
    wide_low, wide_high = widen(low, low + span, least=least)
    assert wide_low < low
    assert wide_high > low + span
    assert wide_high - wide_low >= least
