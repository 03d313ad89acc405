"""From a float matrix to int8 with a scale for each column: to the nearest, or by GPTQ.

GPTQ (Frantar et al. 2022, arXiv:2210.17323) rounds one input channel after another and moves what
each rounding loses onto the channels that are still to come, weighted by how the activations of the
calibration set go together, so that the layer's output changes least, and not its weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVELS = 127  # symmetric: -127..127
# Added to the diagonal of the second moment, as a share of its mean; the paper's value.
DAMPING = 0.01
_BLOCK = 128  # channels whose updates are gathered before they touch the rest


def column_scales(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 [N] of `weight` float32 [K, N]: the largest magnitude of each column is LEVELS."""
    largest = np.abs(weight).max(axis=0)
    return np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)


def round_nearest(
    weight: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [K, N] and float32 scales [N] of `weight` float32 [K, N]."""
    scales = column_scales(weight)
    return _to_int8(weight / scales), scales


def round_gptq(
    weight: NDArray[np.float32], moment: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 [K, N] and float32 scales [N] of `weight` float32 [K, N], given the second moment
    E[x x^T] float64 [K, K] of its inputs."""
    scales = column_scales(weight)
    spread = np.diag(moment)
    if not spread.any():  # inputs that are always zero tell nothing
        return round_nearest(weight)
    # The channels that matter most are rounded first, while there are others to correct them.
    order = np.argsort(-spread, kind="stable")
    damped = moment[np.ix_(order, order)]
    damped[np.diag_indices_from(damped)] += DAMPING * spread.mean()
    # Row r of the upper factor holds what rounding channel r does to those after it.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    remaining = (weight / scales)[order]
    rounded = np.empty(remaining.shape, np.int8)
    for start in range(0, len(remaining), _BLOCK):
        stop = min(start + _BLOCK, len(remaining))
        losses = np.empty((stop - start, remaining.shape[1]), np.float32)
        for row in range(start, stop):
            rounded[row] = _to_int8(remaining[row])
            loss = (remaining[row] - rounded[row]) / factor[row, row]
            remaining[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], loss)
            losses[row - start] = loss
        remaining[stop:] -= factor[start:stop, stop:].T @ losses
    values = np.empty_like(rounded)
    values[order] = rounded
    return values, scales


def _to_int8(scaled: NDArray[np.float32]) -> NDArray[np.int8]:
    return np.rint(scaled).clip(-LEVELS, LEVELS).astype(np.int8)
