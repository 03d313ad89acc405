"""Whether two areas on the earth touch.

Rings are those of `results.outline.find_outline`: degrees on a flat map, beyond 180 where they
cross the antimeridian.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import BoundingBox
from rsq_agent.results.outline import Ring

_TURN = 360.0


def rings_touch(left: Ring, right: Ring) -> bool:
    """Whether the areas inside two rings share a point, their borders included; False where one is
    empty. Inside is what an odd number of edges surrounds."""
    if not left or not right:
        return False
    a, b = np.array(left, np.float64), np.array(right, np.float64)
    # The same place has longitudes a turn apart where one ring crosses the antimeridian.
    return any(_touch(a, b + np.array([turn, 0.0])) for turn in (0.0, -_TURN, _TURN))


def boxes_overlap(left: BoundingBox, right: BoundingBox) -> bool:
    """Whether two boxes share a point, their borders included; west beyond east crosses the
    antimeridian."""
    if left.south > right.north or right.south > left.north:
        return False
    start, end = left.west, left.east + (_TURN if left.west > left.east else 0)
    west, east = right.west, right.east + (_TURN if right.west > right.east else 0)
    return any(start <= east + turn and west + turn <= end for turn in (-_TURN, 0.0, _TURN))


def _touch(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    if (a.max(axis=0) < b.min(axis=0)).any() or (b.max(axis=0) < a.min(axis=0)).any():
        return False
    return _edges_meet(a, b) or _holds(a, b[0]) or _holds(b, a[0])


def _edges_meet(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Each edge of `a` [n, 2] against each of `b` [m, 2]: they meet where neither lies to one side
    of the other."""
    a_start, a_end = a[:, None], np.roll(a, -1, axis=0)[:, None]
    b_start, b_end = b[None], np.roll(b, -1, axis=0)[None]
    across_a = _side(a_start, a_end, b_start) * _side(a_start, a_end, b_end) <= 0
    across_b = _side(b_start, b_end, a_start) * _side(b_start, b_end, a_end) <= 0
    # Edges of one line pass both tests wherever they lie on it.
    near = (
        (np.minimum(a_start, a_end) <= np.maximum(b_start, b_end))
        & (np.minimum(b_start, b_end) <= np.maximum(a_start, a_end))
    ).all(axis=-1)
    return bool((across_a & across_b & near).any())


def _side(
    start: NDArray[np.float64], end: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 left of the line, -1 right of it, 0 on it."""
    along, away = end - start, point - start
    return np.asarray(np.sign(along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0]))


def _holds(ring: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    """Counts the edges that a ray to the east crosses."""
    (x1, y1), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T
    x, y = point
    spans = (y1 > y) != (y2 > y)
    rise = np.where(spans, y2 - y1, 1.0)
    crossing = x1 + (y - y1) * (x2 - x1) / rise
    return bool((spans & (x < crossing)).sum() % 2)
