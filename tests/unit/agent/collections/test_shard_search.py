from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from rsq.retrieval import BoundingBox, SearchFilter
from rsq_agent.collections.conditions import Condition, During, Either, OneOf, Within
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.collections.shard import Shard, ShardHit
from rsq_agent.collections.shard_search import search_shard
from rsq_agent.collections.stored_payload import stored_payload
from rsq_agent.collections.stored_place import Extents, Size

VECTOR = np.ones(4, np.float32)
EXTENTS = Extents(Size(1, 1), first=0.0, last=2e9)
HERE = SearchFilter(bbox=BoundingBox(0, 0, 1, 1))
NEAR, INSIDE = BoundingBox(1.2, 0, 1.4, 1), BoundingBox(0.5, 0, 0.7, 1)


class Rows:
    """Stands for a shard that holds `boxes`, all of which meet the conditions; keeps what it was
    asked."""

    def __init__(self, boxes: Sequence[BoundingBox]) -> None:
        self.points = [
            IndexPoint(f"/{place}", VECTOR, "a" * 64, "5" * 64, bbox=box)
            for place, box in enumerate(boxes)
        ]
        self.asked: list[tuple[int, int]] = []  # limit, offset
        self.each_leaves = len(boxes)
        self.conditions: Sequence[Condition] = ()

    def estimate(self, conditions: Sequence[Condition]) -> int:
        return self.each_leaves

    def search(
        self,
        vector: Any,
        *,
        limit: int,
        offset: int = 0,
        spare: int = 0,
        conditions: Sequence[Condition],
        **options: Any,
    ) -> list[ShardHit]:
        self.asked.append((limit + spare, offset))
        self.conditions = conditions
        hits = [ShardHit(1.0, stored_payload(point)) for point in self.points]
        return hits[offset : offset + limit + spare]


def search(
    rows: Rows, *, limit: int, offset: int = 0, where: SearchFilter = HERE
) -> list[BoundingBox]:
    found = search_shard(
        cast(Shard, rows),
        VECTOR,
        where=where,
        extents=EXTENTS,
        limit=limit,
        offset=offset,
    )
    return [BoundingBox(**hit.payload["bbox"]) for hit in found]


def test_what_nearly_overlaps_is_left_out_of_one_search() -> None:
    rows = Rows([INSIDE, NEAR] * 4)
    assert search(rows, limit=3, offset=1) == [INSIDE] * 3
    assert rows.asked == [(16, 0)]


def test_where_too_few_are_left_more_are_asked_for_until_there_are_enough() -> None:
    rows = Rows([NEAR] * 20 + [INSIDE] * 5)
    assert search(rows, limit=4) == [INSIDE] * 4
    assert rows.asked == [(16, 0), (64, 0)]


def test_fewer_than_asked_for_are_all_there_are() -> None:
    rows = Rows([NEAR] * 300 + [INSIDE])
    assert search(rows, limit=4) == [INSIDE]
    assert rows.asked[-1][0] > 301


def test_a_search_without_a_place_asks_once_as_it_is() -> None:
    rows = Rows([INSIDE] * 30)
    assert len(search(rows, limit=4, offset=20, where=SearchFilter(all_tags=("a",)))) == 4
    assert rows.asked == [(4, 20)]
    assert rows.conditions == (OneOf("tags", ("a",)),)


@pytest.mark.parametrize(("points", "by_curve"), [(20_000, True), (19_999, False)])
def test_where_each_condition_leaves_many_points_the_curve_is_asked(
    points: int, by_curve: bool
) -> None:
    rows = Rows([INSIDE] * 30)
    rows.each_leaves = points
    month = SearchFilter(bbox=HERE.bbox, since="2024-05-01T00:00:00Z", until="2024-06-01T00:00:00Z")
    assert search(rows, limit=2, where=month) == [INSIDE] * 2
    kinds = {type(condition) for condition in rows.conditions}
    assert kinds == {During, Either if by_curve else Within}
    assert rows.asked == [(18, 0) if by_curve else (12, 0)]
