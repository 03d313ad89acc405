"""Cutting: one size, nothing left out, nothing outside."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.errors import BadInput
from rsq.retrieval import Window
from rsq_agent.indexing.tiles import Tiling, cut_rows


def test_the_last_tiles_are_moved_inwards() -> None:
    rows = cut_rows(600, 300, Tiling(256))
    assert [[(tile.x, tile.y) for tile in row] for row in rows] == [
        [(0, 0), (256, 0), (344, 0)],
        [(0, 44), (256, 44), (344, 44)],
    ]
    assert {(tile.width, tile.height) for row in rows for tile in row} == {(256, 256)}


def test_a_small_raster_is_one_tile_of_its_size() -> None:
    assert cut_rows(100, 300, Tiling(256)) == [[Window(0, 0, 100, 256)], [Window(0, 44, 100, 256)]]
    assert cut_rows(256, 256, Tiling(256)) == [[Window(0, 0, 256, 256)]]


def test_neighbours_share_the_overlap() -> None:
    row = cut_rows(1000, 200, Tiling(200, 50))[0]
    assert [tile.x for tile in row] == [0, 150, 300, 450, 600, 750, 800]


@given(
    width=st.integers(1, 900),
    height=st.integers(1, 900),
    tile=st.integers(16, 300),
    share=st.floats(0, 0.5),
)
def test_tiles_cover_every_pixel_once_or_more_and_none_outside(
    width: int, height: int, tile: int, share: float
) -> None:
    rows = cut_rows(width, height, Tiling(tile, int(tile * share)))
    for length, spans in (
        (width, [(one.x, one.width) for one in rows[0]]),
        (height, [(row[0].y, row[0].height) for row in rows]),
    ):
        assert spans[0][0] == 0
        assert sum(spans[-1]) == length
        starts = [start for start, _ in spans]
        assert starts == sorted(set(starts))
        assert all(b <= a + size for (a, size), (b, _) in pairwise(spans))


@pytest.mark.parametrize(("tile", "overlap"), [(8, 0), (5000, 0), (256, 129), (256, -1)])
def test_odd_tilings_are_refused(tile: int, overlap: int) -> None:
    with pytest.raises(BadInput):
        Tiling(tile, overlap)
