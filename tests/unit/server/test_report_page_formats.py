# ruff: noqa: RUF001 - the page writes typographic signs
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq_server.report_page.formats import (
    DASH,
    describe_ratio,
    format_change,
    format_change_interval,
    format_cosine,
    format_interval,
    format_number,
    format_share,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, DASH), (1.0, "100.0%"), (0.977, "97.7%"), (0.9996, ">99.9%"), (0.0, "0.0%")],
)
def test_a_share_is_100_percent_only_where_it_is(value: float | None, text: str) -> None:
    assert format_share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, DASH), (0.012, "+1.2%"), (-0.012, "−1.2%"), (-0.0004, "0.0%"), (0.0, "0.0%")],
)
def test_a_change_has_a_sign_unless_it_is_rounded_away(value: float | None, text: str) -> None:
    assert format_change(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, DASH),
        (1.0, "1.00000"),
        (0.9999999999, "1.00000"),
        (0.999998, ">0.99999"),
        (0.99912, "0.99912"),
        (-0.5, "−0.50000"),
    ],
)
def test_a_cosine_is_1_only_where_float32_says_so(value: float | None, text: str) -> None:
    assert format_cosine(value) == text


def test_intervals_are_those_of_their_metric() -> None:
    metrics = {"x_low": 0.9563, "x_high": 0.97801, "y_low": -0.0121, "y_high": 0.004, "z_low": 0.0}
    assert format_interval(metrics, "x") == "95.6–97.9%"
    assert format_change_interval(metrics, "y") == "−1.3 to +0.4%"
    assert format_interval(metrics, "z") == format_change_interval(metrics, "z") == ""
    assert format_change_interval({"x_low": 0.0, "x_high": 0.0}, "x") == ""


@given(st.floats(0, 1), st.floats(0, 1))
def test_rounding_never_narrows_an_interval(one: float, other: float) -> None:
    low, high = sorted((one, other))
    text = format_interval({"x_low": low, "x_high": high}, "x").removesuffix("%")
    shown_low, shown_high = (float(end) / 100 for end in text.split(DASH))
    assert shown_low <= low + 1e-9
    assert high - 1e-9 <= shown_high
    assert shown_high - shown_low <= high - low + 0.0021


@pytest.mark.parametrize(
    ("value", "text"), [(0.59658, "0.597"), (13.42, "13.4"), (1439.1, "1439"), (999.7, "1000")]
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (2.53, "2.5× faster"),
        (0.5, "2.0× slower"),
        (1.04, "the same"),
        (0.97, "the same"),
        (12.4, "12× faster"),
        (None, ""),
    ],
)
def test_ratios_are_told_in_words(ratio: float | None, text: str) -> None:
    assert describe_ratio(ratio, "faster", "slower", "the same") == text
