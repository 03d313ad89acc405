"""Conditions as a Qdrant cluster takes them: the twin of `rsq_agent.collections.shard_filter`."""

from __future__ import annotations

from collections.abc import Sequence

from qdrant_client import models

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


def to_cluster_filter(
    conditions: Sequence[Condition], without_uris: Sequence[str] = ()
) -> models.Filter | None:
    """None where nothing is asked for."""
    if not conditions and not without_uris:
        return None
    left_out = models.FieldCondition(key=URI, match=models.MatchAny(any=list(without_uris)))
    return models.Filter(must=_all_of(conditions), must_not=[left_out] if without_uris else None)


def _all_of(conditions: Sequence[Condition]) -> list[models.Condition]:
    return [_to_cluster(condition) for condition in conditions]


def _to_cluster(condition: Condition) -> models.Condition:
    match condition:
        case Between(key, least, most):
            return models.FieldCondition(key=key, range=models.Range(gte=least, lte=most))
        case During(key, since, until):
            # Checked by pydantic, which makes datetimes of these texts.
            span = models.DatetimeRange.model_validate({"gte": since, "lt": until})
            return models.FieldCondition(key=key, range=span)
        case OneOf(key, values):
            return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
        case StartsWith(key, prefix):
            return models.FieldCondition(key=key, match=models.MatchPrefix(prefix=prefix))
        case Within(key, box):
            corners = models.GeoBoundingBox(
                top_left=models.GeoPoint(lon=box.west, lat=box.north),
                bottom_right=models.GeoPoint(lon=box.east, lat=box.south),
            )
            return models.FieldCondition(key=key, geo_bounding_box=corners)
        case Either(groups):
            return models.Filter(should=[_one_of(group) for group in groups])


def _one_of(group: tuple[Condition, ...]) -> models.Condition:
    if len(group) == 1:
        return _to_cluster(group[0])
    return models.Filter(must=_all_of(group))
