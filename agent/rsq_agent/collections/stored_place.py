"""Where stored points lie, in the form that filters are fast on.

A tile overlaps a box where four one-sided comparisons hold, and each of them alone is true of half
the earth, so an index on them helps little. The tile's middle lies in the box grown by half a tile,
which an index on points answers at once. So both are asked: the middle to be fast, the sides to be
right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rsq.retrieval import BoundingBox

# Keys of the stored payload beside those of `rsq.retrieval`.
MIDDLE = "middle"  # {"lon", "lat"}
CROSSES = "antimeridian"  # CROSSED or absent
CROSSED = "crossed"
OWN_KEYS = (MIDDLE, CROSSES)

_TURN = 360.0
_STEP = 1.25  # bounds grow by so much, so that they seldom do
_MARGIN = 1e-7  # degrees, about a centimetre: more than rounding can be off
# In a box that reaches a pole Qdrant Edge 0.9.0 finds a fraction of the points. So middles end a
# little before the poles, and boxes between them and the poles.
_LAST_MIDDLE, _LAST_SIDE = 89.99, 89.995


@dataclass(frozen=True)
class Extents:
    """Bounds of the bounding boxes in a collection, in degrees."""

    width: float = 0.0
    height: float = 0.0
    some_cross: bool = False  # the antimeridian

    def including(self, bbox: BoundingBox) -> Extents:
        width, height = _size(bbox)
        return Extents(
            self.width if width <= self.width else width * _STEP,
            self.height if height <= self.height else height * _STEP,
            self.some_cross or bbox.west > bbox.east,
        )


def place_of(bbox: BoundingBox) -> dict[str, Any]:
    """What is stored of `bbox` beside itself."""
    width, _ = _size(bbox)
    place: dict[str, Any] = {
        MIDDLE: {
            "lon": _normalise(bbox.west + width / 2),
            "lat": _clamp((bbox.south + bbox.north) / 2, _LAST_MIDDLE),
        }
    }
    if bbox.west > bbox.east:
        place[CROSSES] = CROSSED
    return place


def grow(bbox: BoundingBox, extents: Extents) -> BoundingBox | None:
    """Where the middles lie of all boxes within `extents` that overlap `bbox`; None where that is
    all around the earth, a box in which Qdrant Edge finds nothing."""
    width, _ = _size(bbox)
    aside, up = extents.width / 2 + _MARGIN, extents.height / 2 + _MARGIN
    if width + 2 * aside >= _TURN:
        return None
    return BoundingBox(
        _normalise(bbox.west - aside),
        _clamp(min(bbox.south - up, _LAST_MIDDLE), _LAST_SIDE),
        _normalise(bbox.east + aside),
        _clamp(max(bbox.north + up, -_LAST_MIDDLE), _LAST_SIDE),
    )


def _size(bbox: BoundingBox) -> tuple[float, float]:
    width = bbox.east - bbox.west
    return width if width >= 0 else width + _TURN, bbox.north - bbox.south


def _clamp(latitude: float, limit: float) -> float:
    return max(-limit, min(limit, latitude))


def _normalise(longitude: float) -> float:
    if -180 <= longitude <= 180:
        return longitude
    return (longitude + 180) % _TURN - 180
