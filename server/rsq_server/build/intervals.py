"""95 % intervals of what was measured on a sample of queries or images.

They say how far a figure would move on another sample of the same kind, which a set of a thousand
queries leaves at a point or so; they say nothing about a set of another kind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
# With a thousand, the ends still moved by a tenth of the half width from seed to seed.
RESAMPLES = 4000
SEED = 20_260_301
# 0.975 quantile of the standard normal distribution.
_Z = 1.959964
_BLOCK_DRAWS = 1 << 21  # of all resamples in memory at once


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927) of a `share` 0..1 of `count` queries.

    For hits and misses it is used instead of the bootstrap, which finds no width at all where every
    query is a hit: the usual result of a good variant.
    """
    centre = share + _Z**2 / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    # Rounding must not put the measured share outside.
    return min((centre - half) / scale, share), max((centre + half) / scale, share)


def bootstrap_intervals(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Percentile bootstrap intervals (Efron 1979) of the means of `values` [m, n], m figures of the
    same n queries or images: float64 [m, 2], low and high.

    The same RESAMPLES draws serve all figures, and the same again on each call. Where all n values
    agree, the interval is that value: no query differs, which does not prove that none would.
    """
    count = values.shape[1]
    random = np.random.default_rng(SEED)
    rows = max(1, _BLOCK_DRAWS // count)
    means = []
    for start in range(0, RESAMPLES, rows):
        shape = (min(rows, RESAMPLES - start), count)
        drawn = random.integers(0, count, shape, dtype=np.int32)
        # One figure at a time keeps the gathered values as small as the draws.
        means.append(np.stack([row[drawn].mean(axis=1) for row in values]))
    edges = (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE))
    bounds = np.percentile(np.concatenate(means, axis=1), edges, axis=1).T
    centre = values.mean(axis=1)
    return np.stack([np.minimum(bounds[:, 0], centre), np.maximum(bounds[:, 1], centre)], axis=1)


def with_intervals(samples: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """Mean, `<name>_low` and `<name>_high` of each of `samples`, all float64 [n], by bootstrap."""
    bounds = bootstrap_intervals(np.stack(list(samples.values())))
    metrics: dict[str, float] = {}
    for (name, values), (low, high) in zip(samples.items(), bounds, strict=True):
        metrics |= {
            name: float(values.mean()),
            f"{name}_low": float(low),
            f"{name}_high": float(high),
        }
    return metrics


def share_with_interval(name: str, hits: NDArray[np.bool_]) -> dict[str, float]:
    """The share of `hits` [n] as `name`, with Wilson's interval as `<name>_low`, `<name>_high`."""
    share = float(hits.mean())
    low, high = wilson_interval(share, len(hits))
    return {name: share, f"{name}_low": low, f"{name}_high": high}
