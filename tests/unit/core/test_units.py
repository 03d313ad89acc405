from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq.units import format_seconds, format_size, parse_seconds, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("2GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("512mb", 512 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("1048576", 1048576),
        (" 7 kB ", 7000),
        ("0.5KiB", 512),
    ],
)
def test_parses_sizes_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["2 bananas", "-1GB", "", "GB", "1e9", "0", "0.0001B", "9" * 99])
def test_refuses_what_is_not_a_size(text: str) -> None:
    with pytest.raises(BadInput):
        parse_size(text)


@given(st.integers(1, 10**15))
def test_plain_bytes_survive(size_bytes: int) -> None:
    assert parse_size(str(size_bytes)) == size_bytes


@given(st.integers(1, 10**14))
def test_a_shown_size_parses_back_within_its_three_digits(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == pytest.approx(size_bytes, rel=0.006, abs=1)


def test_durations_read_naturally() -> None:
    assert [format_seconds(s) for s in (0.84, 42.3, 185)] == ["0.8 s", "42 s", "3 min 05 s"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("1.5 H", 5400), ("90", 90), (" 1s ", 1), ("250ms", 0.25)],
)
def test_parses_times_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "s", "1d", "1e9", "5 minutes", "9" * 99])
def test_refuses_what_is_not_a_time(text: str) -> None:
    with pytest.raises(BadInput, match="not a time"):
        parse_seconds(text)
