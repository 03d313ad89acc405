"""Numbers as the page writes them. What was not measured is a dash.

Rounding never claims perfection: a share below 1 is not shown as 100.0%.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"


def format_share(value: float | None) -> str:
    if value is None:
        return DASH
    text = f"{value:.1%}"
    return ">99.9%" if text == "100.0%" and value < 1 else text


def format_change(value: float | None) -> str:
    """A difference of shares with its sign; one that rounds to nothing has none."""
    if value is None:
        return DASH
    text = f"{value:+.1%}"
    return "0.0%" if text[1:] == "0.0%" else text.replace("-", _MINUS)


def format_cosine(value: float | None) -> str:
    if value is None:
        return DASH
    text = f"{value:.5f}".replace("-", _MINUS)
    return ">0.99999" if text == "1.00000" and value < 1 - 1e-7 else text


def format_interval(metrics: Mapping[str, float], name: str) -> str:
    """The 95 % interval of a share, such as "96.6-98.5%" with a dash, rounded outwards; empty where
    there is none."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    if low is None or high is None:
        return ""
    return f"{_round_down(low):.1f}{DASH}{-_round_down(-high):.1f}%"


def format_change_interval(metrics: Mapping[str, float], name: str) -> str:
    """The 95 % interval of a difference, such as "-1.2 to +0.4%", rounded outwards; empty where
    there is none, and where it is nothing but 0."""
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    if low is None or high is None or low == high == 0:
        return ""
    ends = (format_change(end / 100) for end in (_round_down(low), -_round_down(-high)))
    return " to ".join(ends).replace("% ", " ")


def format_number(value: float) -> str:
    """Three significant digits, more where the number has more before its point: 0.597, 1440."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}".replace("-", _MINUS)


def format_times(ratio: float) -> str:
    return f"{ratio:.1f}{_TIMES}" if ratio < 9.95 else f"{ratio:.0f}{_TIMES}"


def describe_ratio(ratio: float | None, more: str, less: str, equal: str) -> str:
    """`ratio` in words: "2.5x faster" above 1, "1.3x slower" below, `equal` where the difference is
    rounded away; empty for None."""
    if ratio is None:
        return ""
    text, word = (format_times(ratio), more) if ratio >= 1 else (format_times(1 / ratio), less)
    return equal if text == format_times(1.0) else f"{text} {word}"


def _round_down(share: float) -> float:
    """In percent, to one decimal."""
    return math.floor(share * 1000 + 1e-9) / 10
