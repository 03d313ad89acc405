"""Polygons as well-known binary (OGC 06-103r4, section 8.2), little-endian, in two dimensions."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rsq.errors import BadInput
from rsq_agent.results.outline import Ring

_POLYGON, _MULTIPOLYGON = 3, 6
_MAX_CORNERS = 100_000


def encode_polygons(rings: Sequence[Ring]) -> bytes:
    """One closed ring as a Polygon, several as a MultiPolygon without holes."""
    polygons = [
        struct.pack("<BIII", 1, _POLYGON, 1, len(ring))
        + struct.pack(f"<{2 * len(ring)}d", *(value for corner in ring for value in corner))
        for ring in rings
    ]
    if len(polygons) == 1:
        return polygons[0]
    return struct.pack("<BII", 1, _MULTIPOLYGON, len(polygons)) + b"".join(polygons)


def decode_polygons(data: bytes) -> list[Ring]:
    """The outer rings of a Polygon or MultiPolygon. Raises BadInput for anything else."""
    try:
        rings, end = _decode(data, 0)
    except struct.error as e:
        raise BadInput("A geometry is cut short.") from e
    if end != len(data):
        raise BadInput("A geometry has bytes after its end.")
    return rings


def _decode(data: bytes, start: int) -> tuple[list[Ring], int]:
    """The rings of the geometry at `start`, and where it ends."""
    (order,) = struct.unpack_from("<B", data, start)
    if order not in (0, 1):
        raise BadInput("A geometry is no well-known binary.")
    sign = "<" if order else ">"
    kind, count = struct.unpack_from(f"{sign}II", data, start + 1)
    place = start + 9
    rings: list[Ring] = []
    if kind == _POLYGON:
        for number in range(count):
            ring, place = _decode_ring(data, place, sign)
            if number == 0:  # the others are holes
                rings.append(ring)
    elif kind == _MULTIPOLYGON and start == 0:
        for _ in range(count):
            parts, place = _decode(data, place)
            rings += parts
    else:
        raise BadInput("A geometry is neither a Polygon nor a MultiPolygon in two dimensions.")
    return rings, place


def _decode_ring(data: bytes, start: int, sign: str) -> tuple[Ring, int]:
    (count,) = struct.unpack_from(f"{sign}I", data, start)
    if count > _MAX_CORNERS:
        raise BadInput(f"A geometry has over {_MAX_CORNERS} corners.")
    values = struct.unpack_from(f"{sign}{2 * count}d", data, start + 4)
    return tuple(zip(values[::2], values[1::2], strict=True)), start + 4 + 16 * count
