"""Conditions as Qdrant Edge takes them; with `rsq_agent.collections.shard` the door to it."""

from __future__ import annotations

from collections.abc import Sequence

import qdrant_edge as edge

from rsq_agent.collections.conditions import (
    Between,
    Condition,
    During,
    Either,
    OneOf,
    StartsWith,
    Within,
)
from rsq_agent.collections.stored_payload import URI

ConditionType = (
    edge.FieldCondition
    | edge.IsEmptyCondition
    | edge.IsNullCondition
    | edge.HasIdCondition
    | edge.HasVectorCondition
    | edge.NestedCondition
    | edge.Filter
)


def to_edge_filter(
    conditions: Sequence[Condition], without_uris: Sequence[str] = ()
) -> edge.Filter | None:
    """None where nothing is asked for."""
    if not conditions and not without_uris:
        return None
    left_out = edge.FieldCondition(URI, match=edge.MatchAny(list(without_uris)))
    return edge.Filter(must=_all_of(conditions), must_not=[left_out] if without_uris else None)


def _all_of(conditions: Sequence[Condition]) -> list[ConditionType]:
    return [_to_edge(condition) for condition in conditions]


def _to_edge(condition: Condition) -> ConditionType:
    match condition:
        case Between(key, least, most):
            return edge.FieldCondition(key, range=edge.RangeFloat(gte=least, lte=most))
        case During(key, since, until):
            return edge.FieldCondition(key, range=edge.RangeDateTime(gte=since, lt=until))
        case OneOf(key, values):
            return edge.FieldCondition(key, match=edge.MatchAny(list(values)))
        case StartsWith(key, prefix):
            return edge.FieldCondition(key, match=edge.MatchPrefix(prefix))
        case Within(key, box):
            return edge.FieldCondition(
                key,
                geo_bounding_box=edge.GeoBoundingBox(
                    top_left=edge.GeoPoint(box.west, box.north),
                    bottom_right=edge.GeoPoint(box.east, box.south),
                ),
            )
        case Either(groups):
            return edge.Filter(should=[_one_of(group) for group in groups])


def _one_of(group: tuple[Condition, ...]) -> ConditionType:
    if len(group) == 1:
        return _to_edge(group[0])
    return edge.Filter(must=_all_of(group))
