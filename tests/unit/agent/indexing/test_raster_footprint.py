"""Tiles on the map, against rasterio's own transformation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from raster_files import gradient, write_raster
from rasterio.transform import Affine
from rasterio.warp import transform

from rsq.retrieval import BoundingBox, Window
from rsq_agent.indexing.raster_footprint import Place, envelope, locate_tiles
from rsq_agent.indexing.rasters import open_raster
from rsq_agent.indexing.tiles import Tiling, cut_rows

METRES_A_DEGREE = 111_320


def places(
    path: Path, crs: str | None, affine: Affine, *, size: int = 64, tile: int = 32
) -> tuple[list[Window], list[Place | None]]:
    raster = open_raster(
        write_raster(path / "a.tif", gradient(size, size), crs=crs, transform=affine),
        max_pixels=1 << 30,
    )
    windows = [window for row in cut_rows(size, size, Tiling(tile)) for window in row]
    return windows, locate_tiles(raster, windows)


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        ("EPSG:32633", Affine(10, 0, 500_000, 0, -10, 5_000_000)),
        ("EPSG:3857", Affine(100, 0, -8_000_000, 0, -100, 5_000_000)),
        ("EPSG:4326", Affine(0.01, 0, 20, 0, -0.01, -30)),
        # Rotated by 30 degrees, and with rows that run north.
        ("EPSG:32633", Affine.translation(500_000, 5_000_000) @ Affine.rotation(30)),
        ("EPSG:2056", Affine(5, 1, 2_600_000, 1, -5, 1_200_000)),
    ],
)
def test_corners_lie_where_rasterio_puts_them(tmp_path: Path, crs: str, affine: Affine) -> None:
    windows, found = places(tmp_path, crs, affine)
    for window, place in zip(windows, found, strict=True):
        assert place is not None
        right, bottom = window.x + window.width, window.y + window.height
        corners = [(window.x, window.y), (right, window.y), (right, bottom), (window.x, bottom)]
        xs, ys = zip(*(affine @ corner for corner in corners), strict=True)
        for (x, y), longitude, latitude in zip(
            place.footprint, *transform(crs, "EPSG:4326", xs, ys), strict=True
        ):
            east = (x - longitude) * METRES_A_DEGREE * math.cos(math.radians(latitude))
            assert math.hypot(east, (y - latitude) * METRES_A_DEGREE) < 0.01
        box = place.bbox
        assert all(box.west <= x <= box.east for x, _ in place.footprint)
        assert all(box.south <= y <= box.north for _, y in place.footprint)


def test_a_box_holds_edges_that_bulge_beyond_the_corners(tmp_path: Path) -> None:
    # In Lambert's conic for Europe a long edge along x bends north in its middle.
    _, (place,) = places(
        tmp_path, "EPSG:3035", Affine(30_000, 0, 3_400_000, 0, -30_000, 4_000_000), tile=64
    )
    assert place is not None
    assert place.bbox.north > max(y for _, y in place.footprint) + 0.5


def test_a_tile_over_the_antimeridian_has_west_beyond_east(tmp_path: Path) -> None:
    _, (place,) = places(
        tmp_path, "EPSG:32601", Affine(1000, 0, 130_000, 0, -1000, 100_000), tile=64
    )
    assert place is not None
    assert place.bbox.west > 179
    assert -180 <= place.bbox.east < -179


def test_a_tile_over_the_pole_reaches_it(tmp_path: Path) -> None:
    _, (place,) = places(tmp_path, "EPSG:3413", Affine(1000, 0, -32_000, 0, -1000, 32_000), tile=64)
    assert place is not None
    assert (place.bbox.west, place.bbox.east, place.bbox.north) == (-180, 180, 90)
    assert 89 < place.bbox.south < 90


def test_the_whole_world_keeps_both_its_edges() -> None:
    ring = np.array([(-180, 90), (-60, 90), (60, 90), (180, 90), (180, -90), (0, -90), (-180, -90)])
    ring = ring.astype(np.float64)
    assert envelope(ring[:, 0], ring[:, 1]) == BoundingBox(-180, -90, 180, 90)


def test_without_crs_or_beyond_its_reach_there_is_no_place(tmp_path: Path) -> None:
    assert places(tmp_path, None, Affine.scale(2))[1] == [None] * 4
    beyond = Affine(10, 0, 1e12, 0, -10, 1e12)
    assert places(tmp_path, "EPSG:32633", beyond)[1] == [None] * 4


def test_a_tile_without_a_place_does_not_cost_its_neighbours(tmp_path: Path) -> None:
    # The left half of an orthographic image of the globe's edge lies in space.
    globe = "+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84"
    _, found = places(tmp_path, globe, Affine(9000, 0, -6_500_000, 0, -9000, 288_000), tile=16)
    assert 0 < sum(place is None for place in found) < len(found)
