"""Positions as numbers on one curve, so that an index of numbers answers all coordinates at once.

A point of the unit cube becomes the number whose bits are those of its coordinates in turn (Morton
1966). What lies in a box has numbers in some ranges (Orenstein and Merrett 1984); ranges that are
few take in more than the box.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Position = tuple[float, float, float]

BITS = 17  # of each coordinate: three times as many are exact in a float64
_COUNT = 1 << BITS
# Cells that a cover is made of, and ranges that are left of it. Of points that fill the cube they
# hold five times those of a box of a hundredth, and three times those of a tenth. With 32 and 16 it
# is twice, but each range costs every comparison, and searching the graph took twice as long.
_MAX_CELLS = 16
MAX_RANGES = 6

_Cells = tuple[int, int, int]


@dataclass(frozen=True)
class UnitBox:
    """Both corners belong to it; coordinates beyond 0 to 1 count as at the border."""

    low: Position
    high: Position


def encode(position: Position) -> float:
    """The number of a point; exact."""
    return float(_interleave(_cells(position)))


def cover(boxes: Sequence[UnitBox]) -> list[tuple[float, float]]:
    """At most MAX_RANGES ranges, both ends included, that hold the numbers of all points in the
    union of disjoint `boxes`; in rising order."""
    spans = [(_cells(box.low), _cells(box.high)) for box in boxes]
    whole: list[tuple[int, _Cells]] = []  # level and corner of cells that are not divided
    mixed = [(-_waste(spans, 0, (0, 0, 0)), 0, (0, 0, 0))]
    while mixed and len(whole) + len(mixed) < _MAX_CELLS:
        least, level, corner = heapq.heappop(mixed)  # what takes in most beside the boxes
        if least == 0 or level == BITS:
            whole.append((level, corner))
            continue
        for child in _children(level, corner):
            outside = _waste(spans, level + 1, child)
            if outside < _volume(level + 1):
                heapq.heappush(mixed, (-outside, level + 1, child))
    cells = whole + [(level, corner) for _, level, corner in mixed]
    starts = sorted((_interleave(corner), _volume(level)) for level, corner in cells)
    ranges = _close_gaps([(start, start + size - 1) for start, size in starts])
    return [(float(start), float(end)) for start, end in ranges]


def _cells(position: Position) -> _Cells:
    x, y, z = position
    return _cell(x), _cell(y), _cell(z)


def _cell(value: float) -> int:
    cell = int(value * _COUNT)
    return 0 if cell < 0 else cell if cell < _COUNT else _COUNT - 1


def _interleave(cells: _Cells) -> int:
    x, y, z = cells
    return _spread(x) << 2 | _spread(y) << 1 | _spread(z)


def _spread(value: int) -> int:
    """Two zero bits before each of the bits."""
    value = (value | value << 32) & 0x1F00000000FFFF
    value = (value | value << 16) & 0x1F0000FF0000FF
    value = (value | value << 8) & 0x100F00F00F00F00F
    value = (value | value << 4) & 0x10C30C30C30C30C3
    return (value | value << 2) & 0x1249249249249249


def _volume(level: int) -> int:
    return 1 << 3 * (BITS - level)


def _children(level: int, corner: _Cells) -> list[_Cells]:
    half = 1 << (BITS - level - 1)
    x, y, z = corner
    return [(x + a, y + b, z + c) for a in (0, half) for b in (0, half) for c in (0, half)]


def _waste(spans: Sequence[tuple[_Cells, _Cells]], level: int, corner: _Cells) -> int:
    """How much of a cell lies in no box."""
    last = (1 << (BITS - level)) - 1
    inside = 0
    for low, high in spans:
        shared = 1
        for start, least, most in zip(corner, low, high, strict=True):
            shared *= max(0, min(start + last, most) - max(start, least) + 1)
        inside += shared
    return _volume(level) - inside


def _close_gaps(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins neighbours, those without a gap and then those with the least, to MAX_RANGES."""
    gaps = sorted(following[0] - this[1] for this, following in pairwise(ranges))
    allowed = gaps[-MAX_RANGES] if len(gaps) >= MAX_RANGES else 1
    joined = [ranges[0]]
    for start, end in ranges[1:]:
        if start - joined[-1][1] <= max(1, allowed):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
