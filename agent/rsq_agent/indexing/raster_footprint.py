"""Where tiles lie on Earth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadImage
from rsq.retrieval import BoundingBox, Position, Window
from rsq_agent.indexing.rasters import Raster, to_wgs84

# Points on each edge of a tile: a straight edge in the CRS is a curve in degrees, and the box must
# hold all of it.
_EDGE_POINTS = 8
_SLACK_DEGREES = 1e-6  # rounding beyond a pole; a tenth of a metre


@dataclass(frozen=True)
class Place:
    """The ring of a tile's corners, clockwise from pixel (0, 0), and the envelope of its edges."""

    footprint: tuple[Position, ...]
    bbox: BoundingBox


def locate_tiles(raster: Raster, windows: Sequence[Window]) -> list[Place | None]:
    """One place a window; None where the raster doesn't say, or a corner lies outside of what its
    CRS can describe."""
    if raster.affine is None or raster.crs_wkt is None or not windows:
        return [None] * len(windows)
    rings = np.array([_edge(window) for window in windows])  # [tiles, points, 2]
    columns, rows = rings[..., 0], rings[..., 1]
    a, b, c, d, e, f = raster.affine
    try:
        longitudes, latitudes = to_wgs84(
            raster.crs_wkt, a * columns + b * rows + c, d * columns + e * rows + f
        )
    except BadImage:  # one point without a place fails them all
        if len(windows) == 1:
            return [None]
        return [place for window in windows for place in locate_tiles(raster, [window])]
    return [_place(x, y) for x, y in zip(longitudes, latitudes, strict=True)]


def envelope(longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]) -> BoundingBox:
    """The box of a ring [points] in degrees, not closed. Neighbours are taken to be less than 180
    degrees apart, so a ring over the antimeridian gives west beyond east, and one around a pole
    reaches it."""
    closed = np.unwrap(np.append(longitudes, longitudes[0]), period=360.0)
    south, north = float(latitudes.min()), float(latitudes.max())
    if abs(closed[-1] - closed[0]) > 180:  # once around
        north, south = (90.0, south) if north + south > 0 else (north, -90.0)
        return BoundingBox(-180.0, south, 180.0, north)
    west, east = float(closed.min()), float(closed.max())
    if east - west >= 360:
        return BoundingBox(-180.0, south, 180.0, north)
    return BoundingBox(_wrap(west), south, _wrap(east), north)


def _edge(window: Window) -> NDArray[np.float64]:
    """[4 * _EDGE_POINTS, 2]: columns and rows along the edges, each starting at a corner."""
    left, top = window.x, window.y
    right, bottom = left + window.width, top + window.height
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    share = np.linspace(0, 1, _EDGE_POINTS, endpoint=False)[None, :, None]
    ends = np.roll(corners, -1, axis=0)
    points: NDArray[np.float64] = corners[:, None] * (1 - share) + ends[:, None] * share
    return points.reshape(-1, 2)


def _place(longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]) -> Place | None:
    if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
        return None
    if abs(latitudes).max() > 90 + _SLACK_DEGREES:
        return None
    latitudes = latitudes.clip(-90, 90)
    corners = tuple(
        (_wrap(float(x)), float(y))
        for x, y in zip(longitudes[::_EDGE_POINTS], latitudes[::_EDGE_POINTS], strict=True)
    )
    return Place(corners, envelope(longitudes, latitudes))


def _wrap(longitude: float) -> float:
    """-180 to 180. What rounding put beyond stays at the end where it is."""
    if abs(longitude) <= 180:
        return longitude
    if abs(longitude) <= 180 + _SLACK_DEGREES:
        return 180.0 if longitude > 0 else -180.0
    return (longitude + 180) % 360 - 180
