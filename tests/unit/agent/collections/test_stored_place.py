"""Where and when stored boxes are: bounds that hold every one, and what is asked of an index."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsq.retrieval import BoundingBox
from rsq_agent.collections.conditions import Between, Condition, Either, Within
from rsq_agent.collections.intersection import boxes_overlap
from rsq_agent.collections.stored_place import (
    LARGE_MIDDLE,
    MIDDLE,
    PLACE_IN_YEAR,
    Extents,
    Size,
    curve_conditions,
    grow,
    near_conditions,
    place_of,
    read_extents,
)

NOON = "2024-05-01T12:00:00Z"


def meets(place: dict[str, Any], conditions: tuple[Condition, ...]) -> bool:
    """As an index evaluates them: a point without the key never meets a condition."""

    def holds(condition: Condition) -> bool:
        match condition:
            case Between(key, least, most):
                assert least is not None
                assert most is not None
                return key in place and least <= place[key] <= most
            case Within(key, box):
                return key in place and is_inside(place[key], box)
            case Either(groups):
                return any(meets(place, group) for group in groups)
        raise AssertionError(condition)

    return all(holds(condition) for condition in conditions)


def is_inside(middle: dict[str, float], box: BoundingBox) -> bool:
    longitude = middle["lon"]
    within = (
        box.west <= longitude <= box.east
        if box.west <= box.east
        else longitude >= box.west or longitude <= box.east
    )
    return within and box.south <= middle["lat"] <= box.north


def test_a_middle_lies_in_the_middle_across_the_antimeridian_too() -> None:
    assert place_of(BoundingBox(10, 0, 10.5, 1), None) == {MIDDLE: {"lon": 10.25, "lat": 0.5}}
    assert place_of(BoundingBox(170, 0, -160, 4), NOON) == {LARGE_MIDDLE: {"lon": -175, "lat": 2}}


def test_what_is_small_and_dated_has_a_number_too() -> None:
    assert set(place_of(BoundingBox(0, 0, 1, 0.1), NOON)) == {MIDDLE, PLACE_IN_YEAR}


@pytest.mark.parametrize("south", [88.0, 89.992, 90.0, -90.0])
def test_a_box_at_a_pole_ends_beyond_every_middle_and_before_the_pole(south: float) -> None:
    box = BoundingBox(0, south, 1, min(south + 1, 90))
    (grown,) = grow(box, Size(1, 1))
    assert grown.south < place_of(box, None)[MIDDLE]["lat"] < grown.north
    assert -90 < grown.south < grown.north < 90


def test_a_box_that_grows_around_the_earth_asks_for_every_longitude() -> None:
    grown = grow(BoundingBox(-100, 0, 100, 1), Size(170, 1))
    assert [(box.west, box.east) for box in grown] == [(-180, 0), (0, 180)]


def test_extents_hold_every_box_seldom_grow_and_keep_small_and_large_apart() -> None:
    extents = Extents()
    for width in (0.1, 0.5, 0.3, 0.55):
        extents = extents.including(BoundingBox(0, 0, width, width / 2), NOON)
        assert extents.small.width >= width
        assert extents.small.height >= width / 2
    assert extents.small == Size(0.625, 0.3125)
    assert extents.including(BoundingBox(0, 0, 0.1, 0.1), "2024-05-01T20:00:00Z") is extents
    assert extents.including(BoundingBox(-180, -90, 180, 90), NOON).small == extents.small


def test_extents_hold_every_time_and_seldom_grow() -> None:
    box = BoundingBox(0, 0, 1, 1)
    extents = Extents().including(box, NOON)
    assert extents.first < seconds_of(NOON) < extents.last
    later = extents.including(box, "2024-09-01T00:00:00Z")
    assert later.first == extents.first
    assert later.last > seconds_of("2024-09-01T00:00:00Z")
    assert later.including(box, "2024-06-01T00:00:00Z") is later
    assert later.including(box, None) is later


def box_of(west: float, width: float, south: float, height: float) -> BoundingBox:
    east = west + width
    return BoundingBox(west, south, east - 360 if east > 180 else east, min(90.0, south + height))


sizes = st.one_of(st.floats(0, 0.2), st.floats(0, 5), st.floats(0, 360))
boxes = st.builds(
    box_of, st.floats(-180, 180), sizes, st.floats(-90, 90), st.one_of(sizes, st.just(0.0))
)
instants = st.datetimes(timezones=st.timezones()).map(lambda time: time.isoformat())
times = st.one_of(st.none(), instants, st.sampled_from([NOON, "2000-01-01T00:00:00Z"]))


@given(boxes, times, times, st.lists(st.tuples(boxes, times), min_size=1, max_size=5))
def test_whatever_overlaps_in_that_time_meets_the_conditions(
    box: BoundingBox,
    since: str | None,
    until: str | None,
    stored: list[tuple[BoundingBox, str | None]],
) -> None:
    extents = Extents()
    for tile, time in stored:
        extents = extents.including(tile, time)
    by_place = near_conditions(box, extents)
    by_curve = curve_conditions(box, since, until, extents)
    for tile, time in stored:
        if boxes_overlap(box, tile) and is_between(time, since, until):
            assert meets(place_of(tile, time), by_place), (tile, time)
            assert meets(place_of(tile, time), by_curve), (tile, time)


def test_a_time_of_a_year_that_ends_in_a_leap_year_is_all_covered() -> None:
    box = BoundingBox(0, 0, 0.5, 0.5)
    since, until, inside = "2023-03-02T00:00:00Z", "2024-03-01T23:00:00Z", "2023-09-01T00:00:00Z"
    extents = Extents().including(box, since).including(box, until)
    assert meets(place_of(box, inside), curve_conditions(box, since, until, extents))


def is_between(time: str | None, since: str | None, until: str | None) -> bool:
    if time is None:
        return since is None and until is None
    seconds = seconds_of(time)
    return (since is None or seconds_of(since) <= seconds) and (
        until is None or seconds < seconds_of(until)
    )


def seconds_of(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


WORLD = BoundingBox(-180, -90, 180, 90)


def test_large_boxes_do_not_widen_what_is_asked_of_small_ones() -> None:
    tile = BoundingBox(10, 10, 10.01, 10.01)
    extents = Extents().including(tile, NOON).including(WORLD, NOON)
    conditions = near_conditions(BoundingBox(20, 20, 20.1, 20.1), extents)
    assert not meets(place_of(BoundingBox(20.2, 20.2, 20.21, 20.21), NOON), conditions)
    assert meets(place_of(WORLD, NOON), conditions)


def test_the_curve_is_asked_for_a_part_of_a_year() -> None:
    extents = Extents().including(BoundingBox(10, 10, 10.01, 10.01), NOON)
    extents = extents.including(BoundingBox(10, 10, 10.01, 10.01), "2021-01-01T00:00:00Z")
    continent = BoundingBox(-40, -30, 60, 30)
    (either,) = curve_conditions(continent, "2024-05-01T00:00:00Z", None, extents)
    assert isinstance(either, Either)
    rows = [row for (row,) in either.groups if isinstance(row, Between)]
    asked = sum((row.most or 0) - (row.least or 0) + 1 for row in rows)
    assert 0 < asked / (1 << 51) < 0.1
    assert curve_conditions(continent, "2022-05-01T00:00:00Z", None, extents) == ()
    assert curve_conditions(continent, None, None, extents) == ()


SMALL = {"width": 1, "height": 1}
FIELDS = {"small": SMALL, "large": None, "first": 5.0, "last": 6.5}


def test_extents_are_read_as_they_were_written() -> None:
    assert read_extents(FIELDS) == Extents(Size(1, 1), None, 5.0, 6.5)
    large = {"width": 360, "height": 180}
    assert read_extents({**FIELDS, "large": large}).large == Size(360, 180)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**FIELDS, "small": {"width": 1, "height": -1}},
        {**FIELDS, "large": {"width": 361, "height": 1}},
        {**FIELDS, "small": {"width": 10**400, "height": 1}},
        {**FIELDS, "small": None},
        {**FIELDS, "first": float("inf")},
        {**FIELDS, "last": float("nan")},
        [],
    ],
)
def test_extents_that_nothing_can_have_are_refused(fields: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, OverflowError)):
        read_extents(fields)
