"""What a filter refuses, and that no condition is lost or made up."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rsq.errors import BadInput
from rsq.retrieval import BoundingBox, SearchFilter
from rsq_agent.collections.conditions import Between, Condition, During, OneOf, StartsWith
from rsq_agent.collections.search_filter import (
    check_filter,
    find_conditions,
    polygon_ring,
    touches,
)

TRIANGLE = ((0.0, 0.0), (10.0, 0.0), (0.0, 10.0))


def overlapping(box: BoundingBox) -> list[Condition]:
    """Stands for an index that knows where points lie by one number."""
    return [Between("place", box.west, box.east)]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"bbox": BoundingBox(7, 60, 8, 50)}, "inside out"),
        ({"bbox": BoundingBox(-190, 0, 8, 50)}, "in degrees"),
        ({"bbox": BoundingBox(0, math.nan, 8, 50)}, "in degrees"),
        ({"polygon": TRIANGLE[:2]}, "3 to 1000"),
        ({"polygon": (TRIANGLE[0],) * 5}, "3 to 1000"),
        ({"polygon": (*TRIANGLE, (0.0, 91.0))}, "longitude, latitude"),
        ({"since": "yesterday"}, "not a time for 'since'"),
        ({"until": "2024-13-01T00:00:00Z"}, "not a time for 'until'"),
        ({"since": "2024-05-01T02:00:00Z", "until": "2024-05-01T03:00:00+01:00"}, "not after"),
        ({"all_tags": ("",)}, "none of them empty"),
        ({"any_tags": ("a",) * 65}, "at most 64"),
        ({"uri_prefix": "a\0b"}, "zero byte"),
    ],
)
def test_a_bad_filter_is_refused_in_words(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_filter(SearchFilter(**wanted))


def test_a_box_may_cross_the_antimeridian() -> None:
    check_filter(SearchFilter(bbox=BoundingBox(170, -10, -170, 10)))


def test_nothing_asked_is_no_condition() -> None:
    check_filter(SearchFilter())
    assert find_conditions(SearchFilter(), overlapping) == ()


def test_everything_that_is_set_becomes_a_condition() -> None:
    wanted = SearchFilter(
        bbox=BoundingBox(1, 2, 3, 4),
        polygon=TRIANGLE,
        since="2024-05-01T00:00:00z",
        all_tags=("a", "b"),
        any_tags=("c", "d"),
        uri_prefix="/x/",
    )
    assert find_conditions(wanted, overlapping) == (
        Between("place", 1, 3),
        Between("place", 0, 10),
        During("datetime", "2024-05-01T00:00:00Z", None),
        OneOf("tags", ("a",)),
        OneOf("tags", ("b",)),
        OneOf("tags", ("c", "d")),
        StartsWith("uri", "/x/"),
    )


def test_a_polygon_is_decided_by_the_footprint_before_the_box() -> None:
    ring = polygon_ring(TRIANGLE)
    box = {"west": 6.0, "south": 3.0, "east": 9.0, "north": 9.0}
    assert touches(ring, {"bbox": box})
    assert not touches(ring, {"bbox": box, "footprint": [[9.0, 3.0], [9.0, 9.0], [6.0, 9.0]]})
    assert not touches(ring, {})
