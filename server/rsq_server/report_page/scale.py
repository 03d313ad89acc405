"""From values to places on a chart, and the round numbers that its axes name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

TICKS = 5  # about how many an axis gets

Form = Callable[[float, int], str]  # a tick's value and its decimals -> what the axis says


@dataclass(frozen=True)
class Axis:
    """Values `low`..`high` drawn from `start` to `end`, in units of the chart."""

    label: str
    low: float
    high: float
    start: float
    end: float
    form: Form

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """(value, text) of round numbers within the axis."""
        step = _round_step(self.high - self.low)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(n * step, self.form(n * step, decimals)) for n in range(first, last + 1)]


def widen(low: float, high: float, *, least: float) -> tuple[float, float]:
    """The range made at least `least` wide, and then by a twentieth on both sides, so that no point
    lies on the edge."""
    missing = max(0.0, least - (high - low)) / 2
    margin = max(high - low, least) / 20
    return low - missing - margin, high + missing + margin


def plain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def percent(value: float, decimals: int) -> str:
    return f"{value * 100:.{max(0, decimals - 2)}f}%"


def megabytes(value: float, decimals: int) -> str:
    return f"{value / 1e6:.{max(0, decimals - 6)}f}"


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, for about TICKS ticks: Heckbert, "Nice numbers for graph
    labels", Graphics Gems, 1990."""
    rough = span / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.75)
