from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from rsq.retrieval import BoundingBox, SearchFilter
from rsq_agent.collections.search_filter import Condition, Within
from rsq_agent.collections.shard import Shard, ShardHit
from rsq_agent.collections.shard_search import search_shard
from rsq_agent.collections.stored_place import Extents

VECTOR = np.ones(4, np.float32)
HERE = SearchFilter(bbox=BoundingBox(0, 0, 1, 1))
NEAR, INSIDE = (BoundingBox(1.2, 0, 1.4, 1), BoundingBox(0.5, 0, 0.7, 1))


class Rows:
    """Stands for a shard: answers by the conditions' kind and keeps what it was asked."""

    def __init__(self, boxes: Sequence[BoundingBox]) -> None:
        self.boxes = boxes
        self.asked: list[tuple[int, int, bool]] = []  # limit, offset, roughly

    def search(
        self,
        vector: Any,
        *,
        limit: int,
        offset: int = 0,
        conditions: Sequence[Condition],
        **options: Any,
    ) -> list[ShardHit]:
        roughly = [type(row) for row in conditions] == [Within]
        self.asked.append((limit, offset, roughly))
        boxes = self.boxes if roughly else [box for box in self.boxes if box is INSIDE]
        hits = [ShardHit(1.0, {"bbox": vars(box)}) for box in boxes]
        return hits[offset : offset + limit]


def search(rows: Rows, *, limit: int, offset: int = 0, where: SearchFilter = HERE) -> int:
    found = search_shard(
        cast(Shard, rows), VECTOR, where=where, extents=Extents(1, 1), limit=limit, offset=offset
    )
    assert all(hit.payload["bbox"] == vars(INSIDE) for hit in found)
    return len(found)


def test_what_nearly_overlaps_is_left_out_of_one_quick_search() -> None:
    rows = Rows([INSIDE, NEAR] * 4)
    assert search(rows, limit=3, offset=1) == 3
    assert rows.asked == [(12, 0, True)]


def test_where_too_few_are_left_the_exact_conditions_answer() -> None:
    rows = Rows([NEAR] * 20 + [INSIDE] * 5)
    assert search(rows, limit=4) == 4
    assert rows.asked == [(12, 0, True), (4, 0, False)]


def test_fewer_than_asked_for_are_all_there_are() -> None:
    rows = Rows([NEAR, INSIDE])
    assert search(rows, limit=4) == 1
    assert rows.asked == [(12, 0, True)]


def test_a_search_without_a_place_asks_once_as_it_is() -> None:
    rows = Rows([INSIDE] * 30)
    assert search(rows, limit=4, offset=20, where=SearchFilter(all_tags=("a",))) == 4
    assert rows.asked == [(4, 20, False)]
