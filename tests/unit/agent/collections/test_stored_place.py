"""Where stored boxes lie: middles, and bounds that hold every box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.retrieval import BoundingBox
from rsq_agent.collections.stored_place import MIDDLE, Extents, grow, place_of


def test_a_middle_lies_in_the_middle_across_the_antimeridian_too() -> None:
    assert place_of(BoundingBox(10, 0, 20, 4)) == {MIDDLE: {"lon": 15, "lat": 2}}
    crossing = place_of(BoundingBox(170, 0, -160, 4))
    assert crossing.pop(MIDDLE) == {"lon": -175, "lat": 2}
    assert crossing


def test_extents_hold_every_box_and_seldom_grow() -> None:
    extents = Extents()
    for width in (1, 5, 3, 5.5):
        extents = extents.including(BoundingBox(0, 0, width, width / 2))
        assert extents.width >= width
        assert extents.height >= width / 2
    assert extents == Extents(6.25, 3.125)
    assert extents.including(BoundingBox(179, 0, -179, 0)).some_cross


longitudes, latitudes = st.floats(-180, 180), st.floats(-90, 90)


@given(longitudes, st.floats(0, 90), longitudes, st.floats(0, 90))
def test_the_middle_of_what_overlaps_lies_in_the_grown_box(
    west: float, width: float, other: float, other_width: float
) -> None:
    def make(start: float, size: float) -> BoundingBox:
        end = start + size
        return BoundingBox(start, 0, end - 360 if end > 180 else end, 1)

    box, tile = make(west, width), make(other, other_width)
    if not any(
        west <= other + other_width + t and other + t <= west + width for t in (-360, 0, 360)
    ):
        return
    grown = grow(box, Extents().including(tile))
    if grown is None:
        return
    middle = place_of(tile)[MIDDLE]["lon"]
    if grown.west <= grown.east:
        assert grown.west <= middle <= grown.east
    else:
        assert middle >= grown.west or middle <= grown.east


def test_a_box_around_the_earth_is_no_bound() -> None:
    assert grow(BoundingBox(-180, -90, 180, 90), Extents()) is None
    assert grow(BoundingBox(-100, 0, 100, 1), Extents(170, 1)) is None


@pytest.mark.parametrize("south", [88.0, 89.992, 90.0, -90.0])
def test_a_box_at_a_pole_ends_beyond_every_middle_and_before_the_pole(south: float) -> None:
    box = BoundingBox(0, south, 1, min(south + 1, 90))
    grown = grow(box, Extents(1, 1))
    assert grown is not None
    assert grown.south < place_of(box)[MIDDLE]["lat"] < grown.north
    assert -90 < grown.south < grown.north < 90
