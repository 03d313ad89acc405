"""Where and when stored points lie, in the form that filters are fast on.

A tile overlaps a box where four one-sided comparisons hold, and each of them alone is true of half
the earth, so indexes on them help little. The tile's middle lies in the box grown by half a tile,
which an index on points answers; so that is asked, and the boxes of what comes back are compared.

That index is slow to ask of many points. So the middle and the time of the year are one number on a
curve too (`z_order`), and a large box with a time is a few ranges of it. They hold several times as
much in space, which the boxes of what comes back tell apart.

A few large boxes must not widen this for many small ones: what is larger than SMALL_DEGREES has its
middle under a key of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from rsq.retrieval import BoundingBox
from rsq_agent.collections.conditions import Between, Condition, Either, Within
from rsq_agent.collections.z_order import UnitBox, cover, encode
from rsq_agent.results.outline import normalise_longitude

# Keys of the stored payload.
MIDDLE, LARGE_MIDDLE = "middle", "large_middle"  # {"lon", "lat"}
PLACE_IN_YEAR = "place_in_year"  # of what is small and has a time
PLACE_KEYS = (MIDDLE, LARGE_MIDDLE, PLACE_IN_YEAR)

SMALL_DEGREES = 1.0  # a side of about 111 km
MAX_DEGREES = 360.0
_STEP = 1.25  # bounds of sizes grow by so much, so that they seldom do
_MARGIN = 1e-7  # degrees, about a centimetre: more than rounding can be off
# In a box that reaches a pole Qdrant Edge 0.9.0 finds a fraction of the points. So middles end a
# little before the poles, and boxes between them and the poles.
_LAST_MIDDLE, _LAST_SIDE = 89.99, 89.995
_DAY_SECONDS = 86_400  # to which bounds of times grow
# Times are told within a year, which is about as fine beside places as queries are; years apart
# are left to the index of times. A year of the calendar, since many a query begins with one.
_YEAR_DAYS = 366
_LONGEST_SECONDS = 364 * _DAY_SECONDS  # a day more may end after where it began, a leap year on
_EPOCH = date(1970, 1, 1)
_MAX_SECONDS = 300_000_000_000.0  # beyond the year 9999
_KEPT_CONDITIONS = 64


@dataclass(frozen=True)
class Size:
    """Of a box, in degrees; as a bound no box is larger."""

    width: float = 0.0
    height: float = 0.0

    def holds(self, other: Size) -> bool:
        return other.width <= self.width and other.height <= self.height

    def including(self, other: Size) -> Size:
        return Size(_bound(self.width, other.width), _bound(self.height, other.height))


_SMALL = Size(SMALL_DEGREES, SMALL_DEGREES)


@dataclass(frozen=True)
class Extents:
    """Bounds of the bounding boxes in a collection, and of the times beside them in seconds of Unix
    time. `large` is of those that are not small, None where there are none; `first` is above `last`
    where there is no time."""

    small: Size = Size()
    large: Size | None = None
    first: float = _MAX_SECONDS
    last: float = -_MAX_SECONDS

    def including(self, bbox: BoundingBox, time: str | None) -> Extents:
        """Itself where it holds them already, which is nearly always."""
        size = _size(bbox)
        grown = self
        if _SMALL.holds(size):
            if not self.small.holds(size):
                grown = replace(self, small=self.small.including(size))
        elif self.large is None or not self.large.holds(size):
            grown = replace(self, large=(self.large or Size()).including(size))
        if time is None:
            return grown
        seconds = _seconds(time)
        if self.first <= seconds <= self.last:
            return grown
        day = seconds // _DAY_SECONDS * _DAY_SECONDS
        last = max(self.last, day + _DAY_SECONDS - 1, seconds)  # not the next day's first second
        return replace(grown, first=min(self.first, day), last=last)


NO_EXTENTS = Extents()


def place_of(bbox: BoundingBox, time: str | None) -> dict[str, Any]:
    """What is stored of `bbox` and the RFC 3339 `time` to find both by."""
    size = _size(bbox)
    longitude = normalise_longitude(bbox.west + size.width / 2)
    latitude = _clamp((bbox.south + bbox.north) / 2, _LAST_MIDDLE)
    middle = {"lon": longitude, "lat": latitude}
    if not _SMALL.holds(size):
        return {LARGE_MIDDLE: middle}
    if time is None:
        return {MIDDLE: middle}
    number = encode(_unit(longitude, latitude, _in_year(_seconds(time))))
    return {MIDDLE: middle, PLACE_IN_YEAR: number}


def read_extents(fields: Any) -> Extents:
    """Of JSON; raises KeyError, TypeError, ValueError and OverflowError for what it can't be."""
    large = fields["large"]
    first, last = float(fields["first"]), float(fields["last"])
    if not all(-2 * _MAX_SECONDS < seconds < 2 * _MAX_SECONDS for seconds in (first, last)):
        raise ValueError("times in seconds")
    return Extents(
        _read_size(fields["small"]), None if large is None else _read_size(large), first, last
    )


def near_conditions(bbox: BoundingBox, extents: Extents) -> tuple[Condition, ...]:
    """What holds of every stored box within `extents` that overlaps `bbox`, and of few others. Both
    may cross the antimeridian (RFC 7946, section 5.2)."""
    small = _within_any(MIDDLE, grow(bbox, extents.small))
    if extents.large is None:
        return small
    return (Either((small, _within_any(LARGE_MIDDLE, grow(bbox, extents.large)))),)


@lru_cache(_KEPT_CONDITIONS)
def curve_conditions(
    bbox: BoundingBox, since: str | None, until: str | None, extents: Extents
) -> tuple[Condition, ...]:
    """As `near_conditions`, of those that have a time from `since` to `until`, but of several times
    as many others in space; times are to be asked for beside it. Quicker to ask of many points.
    Empty where the time leaves no part of a year out."""
    times = _times_of_year(since, until, extents)
    if not times:
        return ()
    covered = cover(
        [
            UnitBox(_unit(west, box.south, first), _unit(east, box.north, last))
            for box in grow(bbox, extents.small)
            for west, east in _sides(box)
            for first, last in times
        ]
    )
    groups: list[tuple[Condition, ...]] = [(Between(PLACE_IN_YEAR, *row),) for row in covered]
    if extents.large is not None:
        groups.append(_within_any(LARGE_MIDDLE, grow(bbox, extents.large)))
    return (Either(tuple(groups)),)


def _within_any(key: str, boxes: list[BoundingBox]) -> tuple[Condition, ...]:
    if len(boxes) == 1:
        return (Within(key, boxes[0]),)
    return (Either(tuple((Within(key, box),) for box in boxes)),)


def grow(bbox: BoundingBox, size: Size) -> list[BoundingBox]:
    """Where the middles lie of all boxes of up to `size` that overlap `bbox`. All around the earth
    is two boxes, since Qdrant Edge finds nothing in one."""
    aside, up = size.width / 2 + _MARGIN, size.height / 2 + _MARGIN
    south = _clamp(min(bbox.south - up, _LAST_MIDDLE), _LAST_SIDE)
    north = _clamp(max(bbox.north + up, -_LAST_MIDDLE), _LAST_SIDE)
    if _size(bbox).width + 2 * aside >= MAX_DEGREES:
        return [BoundingBox(-180, south, 0, north), BoundingBox(0, south, 180, north)]
    west, east = normalise_longitude(bbox.west - aside), normalise_longitude(bbox.east + aside)
    return [BoundingBox(west, south, east, north)]


def _times_of_year(
    since: str | None, until: str | None, extents: Extents
) -> list[tuple[float, float]]:
    """As parts of a year; empty where no part of it is left out."""
    first = extents.first if since is None else max(extents.first, _seconds(since))
    last = extents.last if until is None else min(extents.last, _seconds(until))
    if (since is None and until is None) or not 0 <= last - first <= _LONGEST_SECONDS:
        return []
    start, end = _in_year(first), _in_year(last)
    return [(start, end)] if start <= end else [(start, 1.0), (0.0, end)]


def _sides(bbox: BoundingBox) -> list[tuple[float, float]]:
    """West and east, of both parts of what crosses the antimeridian."""
    if bbox.west <= bbox.east:
        return [(bbox.west, bbox.east)]
    return [(bbox.west, 180.0), (-180.0, bbox.east)]


def _unit(longitude: float, latitude: float, in_year: float) -> tuple[float, float, float]:
    return (longitude + 180) / MAX_DEGREES, (latitude + 90) / 180, in_year


@lru_cache(4096)  # tiles of one scene share theirs
def _seconds(time: str) -> float:
    return datetime.fromisoformat(time.upper()).timestamp()


def _in_year(seconds: float) -> float:
    """0 to 1, for the same day of every year about the same; in UTC."""
    day, second = divmod(seconds, _DAY_SECONDS)
    return (_day_of_year(int(day)) + second / _DAY_SECONDS) / _YEAR_DAYS


@lru_cache(4096)
def _day_of_year(day: int) -> int:
    """0 to 365, of a number of days since 1970; what no calendar has counts as its first day."""
    try:
        return (_EPOCH + timedelta(days=day)).timetuple().tm_yday - 1
    except OverflowError:
        return 0


def _size(bbox: BoundingBox) -> Size:
    width = bbox.east - bbox.west
    return Size(width if width >= 0 else width + MAX_DEGREES, bbox.north - bbox.south)


def _read_size(fields: Any) -> Size:
    size = Size(float(fields["width"]), float(fields["height"]))
    if not (0 <= size.width <= MAX_DEGREES and 0 <= size.height <= MAX_DEGREES):
        raise ValueError("a size in degrees")
    return size


def _bound(bound: float, value: float) -> float:
    return bound if value <= bound else min(value * _STEP, MAX_DEGREES)


def _clamp(latitude: float, limit: float) -> float:
    return max(-limit, min(limit, latitude))
