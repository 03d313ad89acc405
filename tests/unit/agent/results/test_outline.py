from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.retrieval import BoundingBox, Payload
from rsq_agent.results.outline import (
    Ring,
    cut_outline,
    find_bbox,
    find_outline,
    join_cut,
    to_footprint,
)


def area(ring: Ring) -> float:
    """Square degrees, above 0 where a closed ring runs counterclockwise."""
    return sum(x * v - u * y for (x, y), (u, v) in pairwise(ring)) / 2


def test_an_image_without_footprint_and_box_has_no_outline() -> None:
    assert find_outline(Payload()) == ()
    assert cut_outline(()) == []


def test_a_box_is_one_closed_counterclockwise_ring() -> None:
    outline = find_outline(Payload(bbox=BoundingBox(-1, 50, 2, 51)))
    assert outline == ((-1, 50), (2, 50), (2, 51), (-1, 51))
    (ring,) = cut_outline(outline)
    assert ring[0] == ring[-1]
    assert area(ring) == pytest.approx(3)


def test_the_footprint_comes_before_the_box_and_loses_its_repeated_corner() -> None:
    ring = ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0))
    payload = Payload(bbox=BoundingBox(0, 0, 1, 1), footprint=ring)
    assert find_outline(payload) == ring[:3]
    (closed,) = cut_outline(ring[:3])
    assert area(closed) == pytest.approx(0.5)  # turned round


@pytest.mark.parametrize(
    "payload",
    [
        Payload(bbox=BoundingBox(179, -17, -179, -16)),
        Payload(footprint=((179, -17), (-179, -17), (-179, -16), (179, -16))),
    ],
)
def test_across_the_antimeridian_there_are_two_rings_that_touch_it(payload: Payload) -> None:
    outline = find_outline(payload)
    west, east = sorted(cut_outline(outline))
    assert {x for x, _ in east} == {179, 180}
    assert {x for x, _ in west} == {-180, -179}
    assert area(east) == pytest.approx(1)
    assert area(west) == pytest.approx(1)
    assert find_bbox(outline) == BoundingBox(179, -17, -179, -16)


def test_a_footprint_as_wide_as_its_box_says_does_not_cross_the_antimeridian() -> None:
    corners = ((-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0))
    outline = find_outline(Payload(bbox=BoundingBox(-180, -90, 180, 90), footprint=corners))
    (ring,) = cut_outline(outline)
    assert area(ring) == pytest.approx(360 * 180)
    assert find_bbox(outline) == BoundingBox(-180, -90, 180, 90)


def test_a_footprint_around_a_pole_reaches_it() -> None:
    ring = ((0.0, 80.0), (90.0, 80.0), (180.0, 80.0), (-90.0, 80.0))
    rings = cut_outline(find_outline(Payload(footprint=ring)))
    assert max(y for part in rings for _, y in part) == 90
    assert sum(area(part) for part in rings) == pytest.approx(360 * 10)


@given(
    west=st.floats(-180, 180),
    width=st.floats(0.01, 100),
    south=st.floats(-80, 70),
    height=st.floats(0.01, 10),
    turn=st.floats(0, math.pi / 2),
)
def test_cutting_keeps_the_area_and_stays_on_the_globe(
    west: float, width: float, south: float, height: float, turn: float
) -> None:
    c, s = math.cos(turn), math.sin(turn)
    corners = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    outline = tuple((west + x * c - y * s, south + x * s + y * c) for x, y in corners)
    rings = cut_outline(outline)
    assert all(-180 <= x <= 180 for ring in rings for x, _ in ring)
    assert all(area(ring) >= 0 for ring in rings)
    assert sum(area(ring) for ring in rings) == pytest.approx(width * height, rel=1e-6)


def test_what_was_cut_can_be_joined_again() -> None:
    footprint = ((179.5, -17.0), (-179.6, -16.9), (-179.7, -16.0), (179.4, -16.1))
    outline = find_outline(Payload(footprint=footprint))
    joined = to_footprint(join_cut(cut_outline(outline)))
    assert len(joined) == 4
    for corner in footprint:
        assert any(corner == pytest.approx(other) for other in joined)


def test_other_parts_than_two_halves_are_not_joined() -> None:
    one = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    other = ((5.0, 0.0), (6.0, 0.0), (6.0, 1.0), (5.0, 0.0))
    assert join_cut([one, other]) == ()
    assert join_cut([one, other, one]) == ()
    assert join_cut([one]) == one[:-1]
