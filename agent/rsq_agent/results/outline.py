"""Where an image lies on the earth, as rings of (longitude, latitude) in degrees, WGS84.

Across the antimeridian longitudes go on beyond 180, so that an outline is one ring; `cut_outline`
makes of it what RFC 7946 and GeoParquet want.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rsq.retrieval import BoundingBox, Payload, Position

Ring = tuple[Position, ...]

_HALF_TURN, _TURN = 180.0, 360.0


def find_outline(payload: Payload) -> Ring:
    """The footprint, else the corners of the bounding box, without a repeated first corner; empty
    where neither is known. Neighbouring corners are never more than half a turn apart, unless the
    bounding box says that the image is so wide."""
    bbox = payload.bbox
    if not payload.footprint:
        return () if bbox is None else _corners(bbox)
    ring = payload.footprint
    if len(ring) > 1 and ring[0] == ring[-1]:
        ring = ring[:-1]
    crosses = any(abs(ring[i][0] - ring[i - 1][0]) > _HALF_TURN for i in range(len(ring))) and not (
        bbox is not None and bbox.west <= bbox.east
    )
    return _unwrap(ring) if crosses else ring


def cut_outline(outline: Ring) -> list[Ring]:
    """`outline` as closed, counterclockwise rings between -180 and 180 degrees that do not cross
    the antimeridian, as RFC 7946, sections 3.1.6 and 3.1.9, asks. A concave ring may keep an edge
    along the antimeridian."""
    if not outline:
        return []
    longitudes = [x for x, _ in outline]
    first = math.floor((min(longitudes) + _HALF_TURN) / _TURN)
    last = max(first, math.ceil((max(longitudes) - _HALF_TURN) / _TURN))
    parts = []
    for turn in range(first, last + 1):
        shifted = tuple((x - turn * _TURN, y) for x, y in outline)
        part = _clip(_clip(shifted, -_HALF_TURN, 1), _HALF_TURN, -1)
        if len(part) >= 3 and (first == last or _area(part) != 0):
            parts.append(_close(part))
    return parts


def find_bbox(outline: Ring) -> BoundingBox:
    """The envelope of a ring that is not empty; west is beyond east across the antimeridian."""
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    west, east = min(xs), max(xs)
    if east - west >= _TURN:
        west, east = -_HALF_TURN, _HALF_TURN
    return BoundingBox(normalise_longitude(west), min(ys), normalise_longitude(east), max(ys))


def normalise_longitude(longitude: float) -> float:
    """-180 to 180, both ends left where they are."""
    if -_HALF_TURN <= longitude <= _HALF_TURN:
        return longitude
    return (longitude + _HALF_TURN) % _TURN - _HALF_TURN


def _corners(bbox: BoundingBox) -> Ring:
    east = bbox.east if bbox.west <= bbox.east else bbox.east + _TURN
    west, south, north = bbox.west, bbox.south, bbox.north
    return ((west, south), (east, south), (east, north), (west, north))


def _unwrap(ring: Ring) -> Ring:
    unwrapped = [ring[0]]
    for x, y in ring[1:]:
        last = unwrapped[-1][0]
        unwrapped.append((last + _turn_between(last, x), y))
    end, start = unwrapped[-1][0], ring[0][0]
    if abs(end + _turn_between(end, start) - start) > _HALF_TURN:
        # Once around the earth: a pole is inside, and the ring is closed over it.
        pole = math.copysign(90.0, sum(y for _, y in ring))
        closing = start + math.copysign(_TURN, end - start)
        unwrapped += [(closing, ring[0][1]), (closing, pole), (start, pole)]
    return tuple(unwrapped)


def _turn_between(start: float, end: float) -> float:
    """The shorter way, in degrees east."""
    return (end - start + _HALF_TURN) % _TURN - _HALF_TURN


def _clip(ring: Ring, limit: float, side: int) -> Ring:
    """Sutherland and Hodgman: what of `ring` lies east (side 1) or west (-1) of `limit`."""
    kept: list[Position] = []
    for i, (x, y) in enumerate(ring):
        before_x, before_y = ring[i - 1]
        is_in, was_in = side * (x - limit) >= 0, side * (before_x - limit) >= 0
        if is_in != was_in:
            share = (limit - before_x) / (x - before_x)
            kept.append((limit, before_y + share * (y - before_y)))
        if is_in:
            kept.append((x, y))
    return tuple(dict.fromkeys(kept))


def _close(ring: Ring) -> Ring:
    turned = ring if _area(ring) >= 0 else ring[::-1]
    return (*turned, turned[0])


def _area(ring: Sequence[Position]) -> float:
    """Twice the area in square degrees, above 0 where the ring runs counterclockwise."""
    return sum(ring[i - 1][0] * ring[i][1] - ring[i][0] * ring[i - 1][1] for i in range(len(ring)))


def join_cut(rings: Sequence[Ring]) -> Ring:
    """The outline of which `cut_outline` made `rings`, where that can be told: of one ring, and of
    two that share the antimeridian for one edge. Empty otherwise."""
    rings = [_close(ring[:-1] if ring[0] == ring[-1] else ring)[:-1] for ring in rings]
    if len(rings) == 1:
        return rings[0]
    if len(rings) != 2:
        return ()
    east, west = sorted(rings, key=lambda ring: max(x for x, _ in ring), reverse=True)
    joined: list[Position] = []
    for ring, edge, turn in ((east, _HALF_TURN, 0.0), (west, -_HALF_TURN, _TURN)):
        cut = [i for i, (x, _) in enumerate(ring) if x == edge]
        if len(cut) != 2 or (cut[1] - cut[0]) not in (1, len(ring) - 1):
            return ()
        # Behind the shared edge the rest of the ring follows, back to where the edge begins.
        behind = cut[1] + 1 if cut[1] - cut[0] == 1 else 1
        rest = [ring[(behind + i) % len(ring)] for i in range(len(ring) - 2)]
        joined += [(x + turn, y) for x, y in rest]
    return tuple(joined)


def to_footprint(outline: Ring) -> Ring:
    """`outline` between -180 and 180 degrees, as payloads keep it."""
    return tuple((normalise_longitude(x), y) for x, y in outline)
