"""A point's payload as a cluster keeps it, the hit that is made of it, and what overlaps a box.

Other agents and programs may write there, so no bounds of the boxes are known: the four sides are
asked for, which is right for boxes of every size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsq.retrieval import BoundingBox
from rsq_agent.collections.conditions import Between, Condition, Either, OneOf
from rsq_agent.collections.index_points import Hit, IndexPoint, payload_of
from rsq_agent.collections.stored_payload import ARTIFACT, URI, make_hit

# Keys of the payload beside those of `rsq_agent.collections.stored_payload`.
WEST, EAST, SOUTH, NORTH = "bbox.west", "bbox.east", "bbox.south", "bbox.north"
CROSSES = "antimeridian"  # _CROSSED or absent
_CROSSED = "crossed"


def cluster_payload(point: IndexPoint) -> dict[str, Any]:
    """Of an admitted `point`."""
    payload = {URI: point.uri, ARTIFACT: point.artifact_id, **payload_of(point)}
    if point.bbox is not None and point.bbox.west > point.bbox.east:
        payload[CROSSES] = _CROSSED
    return payload


def cluster_hit(score: float, payload: dict[str, Any], vector: NDArray[np.float32] | None) -> Hit:
    """`payload` is what `cluster_payload` made."""
    return make_hit(score, {k: v for k, v in payload.items() if k != CROSSES}, vector)


def side_conditions(bbox: BoundingBox) -> list[Condition]:
    """What holds of every stored box that overlaps `bbox`, and of no other; both may cross the
    antimeridian (RFC 7946, section 5.2)."""
    rows: list[Condition] = [Between(SOUTH, most=bbox.north), Between(NORTH, least=bbox.south)]
    starts, ends = Between(WEST, most=bbox.east), Between(EAST, least=bbox.west)
    crossing = OneOf(CROSSES, (_CROSSED,))
    if bbox.west > bbox.east:
        return [*rows, Either(((starts,), (ends,), (crossing,)))]
    return [*rows, Either(((starts, ends), (crossing, starts), (crossing, ends)))]
