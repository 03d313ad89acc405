"""What a hit must meet, checked and put as conditions on stored payloads; no database in it.

A point's place is its bounding box, so that a tile matches wherever a part of it lies in what was
asked for. A point whose place or time is unknown never matches a place or a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from rsq.errors import BadInput
from rsq.retrieval import BoundingBox, Payload, Position, SearchFilter, payload_from_json
from rsq_agent.collections.conditions import Condition, During, OneOf, StartsWith
from rsq_agent.collections.index_points import (
    MAX_CORNERS,
    MAX_TAGS,
    check_uri,
    is_rfc3339,
)
from rsq_agent.collections.intersection import boxes_overlap, rings_touch
from rsq_agent.collections.stored_payload import TAGS, TIME, URI
from rsq_agent.results.outline import Ring, find_bbox, find_outline

Overlapping = Callable[[BoundingBox], Sequence[Condition]]


def check_filter(wanted: SearchFilter) -> None:
    """Raises BadInput, saying what is wrong."""
    if wanted.bbox is not None:
        _check_bbox(wanted.bbox)
    if wanted.polygon:
        _check_polygon(wanted.polygon)
    for name, text in (("since", wanted.since), ("until", wanted.until)):
        if text is not None and not is_rfc3339(text):
            raise BadInput(f"{text[:40]!r} is not a time for {name!r}, as 2024-05-01T10:30:00Z is.")
    if wanted.since is not None and wanted.until is not None:
        since, until = (datetime.fromisoformat(t.upper()) for t in (wanted.since, wanted.until))
        if since >= until:
            raise BadInput(
                f"The time range ends at {wanted.until}, not after its start at {wanted.since}; "
                "give the earlier time as since."
            )
    tags = (*wanted.all_tags, *wanted.any_tags)
    if len(tags) > MAX_TAGS or not all(tags):
        raise BadInput(f"A filter takes at most {MAX_TAGS} tags, none of them empty.")
    if wanted.uri_prefix:
        check_uri(wanted.uri_prefix)


def find_conditions(wanted: SearchFilter, overlapping: Overlapping) -> tuple[Condition, ...]:
    """What must hold of a stored payload, for a filter that was checked; of a polygon it is asked
    for its bounding box, and `touches` decides. `overlapping` says how an index is asked for what
    overlaps a box."""
    conditions: list[Condition] = []
    for area in find_areas(wanted):
        conditions += overlapping(area)
    if wanted.since is not None or wanted.until is not None:
        conditions.append(
            During(
                TIME,
                wanted.since.upper() if wanted.since is not None else None,
                wanted.until.upper() if wanted.until is not None else None,
            )
        )
    conditions += [OneOf(TAGS, (tag,)) for tag in wanted.all_tags]
    if wanted.any_tags:
        conditions.append(OneOf(TAGS, wanted.any_tags))
    if wanted.uri_prefix:
        conditions.append(StartsWith(URI, wanted.uri_prefix))
    return tuple(conditions)


def find_areas(wanted: SearchFilter) -> list[BoundingBox]:
    """Every box that a stored bounding box must overlap."""
    areas = [wanted.bbox] if wanted.bbox is not None else []
    if wanted.polygon:
        areas.append(find_bbox(polygon_ring(wanted.polygon)))
    return areas


def overlaps(areas: Sequence[BoundingBox], payload: dict[str, Any]) -> bool:
    """Whether the bounding box in a stored payload overlaps each of `areas`."""
    if not areas:
        return True
    stored = payload.get("bbox")
    return stored is not None and all(boxes_overlap(area, BoundingBox(**stored)) for area in areas)


def polygon_ring(polygon: Sequence[Position]) -> Ring:
    return find_outline(Payload(footprint=tuple(polygon)))


def touches(ring: Ring, payload: dict[str, Any]) -> bool:
    """Whether the footprint in a stored payload, else its bounding box, touches `ring`."""
    return rings_touch(ring, find_outline(payload_from_json(payload)))


def _check_bbox(bbox: BoundingBox) -> None:
    # Comparisons with NaN are false, so this refuses it too.
    if not (
        -180 <= bbox.west <= 180
        and -180 <= bbox.east <= 180
        and -90 <= bbox.south <= 90
        and -90 <= bbox.north <= 90
    ):
        raise BadInput(
            "A bounding box is west, south, east, north in degrees: -180 to 180 and -90 to 90."
        )
    if bbox.south > bbox.north:
        raise BadInput(
            f"The bounding box is inside out: its south {bbox.south:g} lies north of its north "
            f"{bbox.north:g}. The order is west, south, east, north."
        )


def _check_polygon(polygon: tuple[Position, ...]) -> None:
    corners = set(polygon)
    if not (len(corners) >= 3 and len(polygon) <= MAX_CORNERS):
        raise BadInput(f"A polygon has 3 to {MAX_CORNERS} different corners, not {len(corners)}.")
    if not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in polygon):
        raise BadInput(
            "A corner of the polygon is not longitude, latitude in degrees: -180 to 180 and "
            "-90 to 90."
        )
