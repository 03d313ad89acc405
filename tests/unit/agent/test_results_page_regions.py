from __future__ import annotations

import pytest

from rsq_agent.results.outline import Ring
from rsq_agent.results.results_page.regions import Extent, extent_of, find_regions, join_extents


def square(x: float, y: float, side: float = 0.01) -> Ring:
    return ((x, y), (x + side, y), (x + side, y + side), (x, y + side))


def test_neighbours_share_a_region_and_the_region_of_the_best_hit_is_first() -> None:
    outlines = {1: square(4, 51), 2: square(-122, 37), 3: square(4.1, 51.1), 4: square(-122.1, 37)}
    regions = find_regions(outlines)
    assert [sorted(region.outlines) for region in regions] == [[1, 3], [2, 4]]


def test_no_footprint_is_turned_away_from_its_neighbour_by_rounding() -> None:
    # 360 added and taken away again does not give these numbers back to the last bit.
    outlines = {n: square(-122.35 + 0.003 * n, 37.8, 0.0023) for n in range(1, 12)}
    (region,) = find_regions(outlines)
    assert region.extent.east - region.extent.west == pytest.approx(0.03 + 0.0023)


def test_neighbours_across_the_antimeridian_share_a_region() -> None:
    (region,) = find_regions({1: square(179.98, -17), 2: square(-179.99, -17), 3: square(180, -17)})
    assert region.extent.east - region.extent.west == pytest.approx(0.04)


def test_one_footprint_is_a_region() -> None:
    (region,) = find_regions({7: square(10, 10)})
    assert region.extent == extent_of(square(10, 10))


def test_regions_on_both_sides_of_the_antimeridian_lie_on_one_overview() -> None:
    regions = find_regions({1: square(178, 0), 2: square(-178, 0)})
    extent = join_extents(regions)
    assert extent.east - extent.west == pytest.approx(4.01)


def test_towards_a_pole_a_degree_of_longitude_counts_less() -> None:
    assert Extent(0, 59, 2, 61).narrowing == pytest.approx(0.5)
    assert Extent(0, 59.5, 2, 60.5).span == pytest.approx(1)
    assert Extent(0, 88, 1, 90).narrowing > 0.1


def test_without_outlines_there_are_no_regions() -> None:
    assert find_regions({}) == []
