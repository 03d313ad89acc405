"""The nearest rows of an index, and how far two rankings agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_SIMILARITIES = 1 << 20  # cosines in memory at once, and a sorting of as many
TAU_AT = 50
_BLOCK_PAIRS = 1 << 20


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """The rows of a matrix [rows, columns] in parts of at most BLOCK_SIMILARITIES numbers."""
    step = max(1, BLOCK_SIMILARITIES // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def find_nearest(
    index: NDArray[np.float32],
    queries: NDArray[np.float32],
    count: int,
    *,
    own: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """int64 [q, min(count, n)]: the rows of `index` [n, dim] nearest to each of `queries` [q, dim],
    best first; equal cosines rank by row. `own` [q] is a row that each query must not find, as an
    image would find itself: one row fewer is then found where `index` is that short."""
    kept = min(count, len(index) - (own is not None))
    found = np.empty((len(queries), kept), np.int64)
    for part in blocks(len(queries), len(index)):
        cosines = queries[part] @ index.T
        if own is not None:
            np.put_along_axis(cosines, own[part, None], -np.inf, axis=1)
        found[part] = best_columns(cosines, kept)
    return found


def best_columns(cosines: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """int64 [rows, count]: the columns with the highest `cosines` [rows, columns], best first;
    equal ones by column."""
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count].astype(np.int64)


def shared_share(reference: NDArray[np.int64], variant: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 [q]: the share of each row of `reference` [q, k] that is in the same row of `variant`
    [q, k], in whatever order."""
    return np.asarray((reference[:, :, None] == variant[:, None, :]).any(2).mean(1), np.float64)


def kendall_taus(
    reference: NDArray[np.float32], variant: NDArray[np.float32]
) -> NDArray[np.float64]:
    """float64 [q]: Kendall's tau-b (Kendall 1945, with ties) between the orders that the scores
    `reference` [q, k] and `variant` [q, k] give to the same k items of each query.

    1 where the order is the same, -1 where it is reversed. Scores that are all equal have no order:
    0, or 1 where both are.
    """
    taus = np.empty(len(reference))
    pairs = reference.shape[1] ** 2
    step = max(1, _BLOCK_PAIRS // max(1, pairs))
    for start in range(0, len(reference), step):
        part = slice(start, start + step)
        left, right = _order_signs(reference[part]), _order_signs(variant[part])
        untied_left, untied_right = np.abs(left).sum(1), np.abs(right).sum(1)
        scale = np.sqrt(untied_left * untied_right)
        orderless = (untied_left == 0) & (untied_right == 0)
        agreement = (left * right).sum(1) / np.maximum(scale, 1)
        taus[part] = np.where(orderless, 1.0, agreement)
    return taus


def _order_signs(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """float64 [q, k * k]: the sign of the difference of each two scores."""
    signs = np.sign(scores[:, :, None] - scores[:, None, :])
    return np.asarray(signs.reshape(len(scores), -1), np.float64)
