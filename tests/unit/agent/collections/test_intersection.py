"""Rings touch where their areas share a point, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.retrieval import BoundingBox, Payload
from rsq_agent.collections.intersection import boxes_overlap, rings_touch
from rsq_agent.results.outline import Ring, find_outline


def box(west: float, south: float, east: float, north: float) -> Ring:
    return find_outline(Payload(bbox=BoundingBox(west, south, east, north)))


SQUARE = box(0, 0, 10, 10)
HOOK: Ring = ((0, 0), (10, 0), (10, 10), (8, 10), (8, 2), (2, 2), (2, 10), (0, 10))


@pytest.mark.parametrize(
    ("left", "right", "touch"),
    [
        (SQUARE, box(5, 5, 15, 15), True),
        (SQUARE, box(2, 2, 3, 3), True),
        (box(-5, 4, 15, 6), SQUARE, True),
        (SQUARE, box(10, 10, 12, 12), True),
        (SQUARE, box(10.001, 0, 12, 10), False),
        (SQUARE, ((9, 12), (12, 9), (12, 12)), False),
        (HOOK, box(4, 4, 6, 8), False),
        (HOOK, box(4, 4, 8, 8), True),
        (box(170, 0, -170, 10), box(-175, 5, -174, 6), True),
        (box(170, 0, -170, 10), box(174, 5, 175, 6), True),
        (box(170, 0, -170, 10), box(-165, 5, -164, 6), False),
        (SQUARE, (), False),
        ((), (), False),
    ],
)
def test_areas_touch(left: Ring, right: Ring, touch: bool) -> None:
    assert rings_touch(left, right) is touch
    assert rings_touch(right, left) is touch


spans = st.tuples(st.integers(-20, 20), st.integers(1, 15))


@given(spans, spans, spans, spans)
def test_boxes_touch_where_both_spans_meet(
    a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], d: tuple[int, int]
) -> None:
    def meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return one[0] <= sum(other) and other[0] <= sum(one)

    left, right = box(a[0], b[0], sum(a), sum(b)), box(c[0], d[0], sum(c), sum(d))
    assert rings_touch(left, right) is (meet(a, c) and meet(b, d))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (BoundingBox(0, 0, 1, 1), BoundingBox(1, 1, 2, 2), True),  # a corner
        (BoundingBox(0, 0, 1, 1), BoundingBox(1.1, 0, 2, 1), False),
        (BoundingBox(0, 0, 1, 1), BoundingBox(0, 1.1, 1, 2), False),
        (BoundingBox(170, 0, -170, 1), BoundingBox(-175, 0, -160, 1), True),
        (BoundingBox(170, 0, -170, 1), BoundingBox(175, 0, -175, 1), True),
        (BoundingBox(170, 0, -170, 1), BoundingBox(-160, 0, 160, 1), False),
        (BoundingBox(170, 0, 180, 1), BoundingBox(-180, 0, -170, 1), True),  # along 180 degrees
    ],
)
def test_boxes_overlap_around_the_earth(
    left: BoundingBox, right: BoundingBox, expected: bool
) -> None:
    assert boxes_overlap(left, right) == boxes_overlap(right, left) == expected
