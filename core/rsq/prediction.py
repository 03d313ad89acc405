"""How much memory an artifact will need: from what was measured, else from its size."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rsq.records import ArtifactRow, Profile

# Margins on a measured peak: allocators and thread stacks differ a little from run to run.
MEASURED_MARGIN = 0.03
# Where nothing was measured: weights are held up to twice at the worst moment of loading, and
# activations come on top. A guess from two model sizes, hence the wide margin.
ESTIMATED_FACTOR = 2.0
ESTIMATED_BYTES = 64 << 20
ESTIMATED_MARGIN = 0.25


@dataclass(frozen=True)
class Prediction:
    """Peak memory at the largest batch. `margin_bytes` is part of `peak_bytes`."""

    peak_bytes: int
    margin_bytes: int
    estimated: bool


def predict_peak(row: ArtifactRow, *, device_class: str, provider: str, batch: int) -> Prediction:
    """Peak memory of `row` at `batch`: the median of what was measured there plus the spread of the
    reports, linear between measured batches and beyond; estimated from the file sizes otherwise."""
    peaks: dict[int, list[int]] = {}
    for profile in profiles_on(row, device_class, provider):
        peaks.setdefault(profile.batch, []).append(profile.peak_bytes)
    if not peaks:
        base = int(row.size_bytes * ESTIMATED_FACTOR) + ESTIMATED_BYTES
        margin = int(base * ESTIMATED_MARGIN)
        return Prediction(base + margin, margin, estimated=True)
    medians = {at: statistics.median(values) for at, values in peaks.items()}
    spread = max(max(values) - min(values) for values in peaks.values())
    expected = _interpolate(medians, batch)
    margin = max(int(expected * MEASURED_MARGIN), spread)
    return Prediction(int(expected) + margin, margin, estimated=False)


def _interpolate(points: dict[int, float], batch: int) -> float:
    """Memory at `batch` on the line through the nearest measured batches; it never shrinks as the
    batch grows, and a single point is scaled up but never down."""
    if batch in points:
        return points[batch]
    known = sorted(points)
    if len(known) == 1:
        return points[known[0]] * max(1.0, batch / known[0])
    upper = next((i for i, at in enumerate(known) if at > batch), len(known) - 1)
    low, high = known[max(upper - 1, 0)], known[max(upper, 1)]
    slope = max((points[high] - points[low]) / (high - low), 0.0)
    return max(points[low] + slope * (batch - low), points[known[0]])


def profiles_on(row: ArtifactRow, device_class: str, provider: str) -> list[Profile]:
    """What was measured of `row` on that device class with that provider."""
    return [
        profile
        for profile in row.profiles
        if profile.device == device_class and profile.provider == provider
    ]
