from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from rsq.retrieval import BoundingBox
from rsq_agent.collections.conditions import Condition, During, Either
from rsq_agent.collections.index_points import IndexPoint
from rsq_agent.collections.search_widths import DEFAULT_WIDTHS
from rsq_agent.collections.shard import ShardHit, ShardPoint
from rsq_agent.collections.stored_payload import stored_payload
from rsq_agent.collections.width_tuning import K, tune_widths

COUNT, DIMENSION = 300, 32
NEAR_WIDTH, FAR_WIDTH, FILTERED_FACTOR = 48, 256, 2
BARE = {"uri": "/a", "artifact_id": "a" * 64}


class FakeShard:
    """A shard whose graph misses every other hit below the width that a query needs: FAR_WIDTH, and
    NEAR_WIDTH where its hits are near; both are FILTERED_FACTOR times as large under a filter."""

    def __init__(self, *, payloads: bool) -> None:
        source = np.random.default_rng(3)
        centres = source.standard_normal((10, DIMENSION))
        rows = np.repeat(centres / np.linalg.norm(centres, axis=1, keepdims=True), 30, axis=0)
        rows += source.standard_normal(rows.shape) * 0.02
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        self.points = [
            ShardPoint(UUID(int=place << 120 | 1), row, self._payload(place) if payloads else BARE)
            for place, row in enumerate(rows[source.permutation(COUNT)][:256])
        ]
        self.filters: list[tuple[Condition, ...]] = []

    def count(self) -> int:
        return len(self.points)

    def scroll(self, start: UUID | None, *, limit: int) -> tuple[list[ShardPoint], UUID | None]:
        assert start is not None
        after = [point for point in self.points if point.id >= start]
        return after[:limit], None

    def search(
        self,
        vector: NDArray[np.float32],
        *,
        limit: int,
        conditions: Sequence[Condition] = (),
        exact: bool = False,
        width: int | None = None,
    ) -> list[ShardHit]:
        scores = sorted((float(point.vector @ vector) for point in self.points), reverse=True)
        if exact:
            self.filters.append(tuple(conditions))
        else:
            assert width is not None
            needed = NEAR_WIDTH if scores[K - 1] >= 0.7 else FAR_WIDTH
            if width < needed * (FILTERED_FACTOR if conditions else 1):
                scores = scores[::2]
        return [ShardHit(score, {}) for score in scores[:limit]]

    @staticmethod
    def _payload(place: int) -> dict[str, Any]:
        day = f"2024-{1 + place % 12:02d}-{1 + place % 28:02d}T00:00:00Z"
        box = BoundingBox(place % 90, place % 45, place % 90 + 0.01, place % 45 + 0.01)
        point = IndexPoint("/a", np.ones(1), "a" * 64, "5" * 64, bbox=box, datetime=day)
        return stored_payload(point)


def test_each_kind_gets_the_least_width_that_holds_the_recall() -> None:
    widths = tune_widths(FakeShard(payloads=True))  # type: ignore[arg-type]
    assert (widths.plain.near, widths.plain.far) == (NEAR_WIDTH, FAR_WIDTH)
    for pair in (widths.wide, widths.narrow):
        assert (pair.near, pair.far) == (2 * NEAR_WIDTH, 2 * FAR_WIDTH)


def test_filters_are_made_of_the_places_and_times_that_are_stored() -> None:
    shard = FakeShard(payloads=True)
    tune_widths(shard)  # type: ignore[arg-type]
    kinds = {tuple(type(condition) for condition in group) for group in shard.filters}
    assert kinds == {(), (During, Either)}


def test_without_places_and_times_filtered_searches_keep_their_default() -> None:
    shard = FakeShard(payloads=False)
    widths = tune_widths(shard)  # type: ignore[arg-type]
    assert (widths.wide, widths.narrow) == (DEFAULT_WIDTHS.wide, DEFAULT_WIDTHS.narrow)
    assert set(shard.filters) == {()}


def test_a_time_limit_that_allows_too_few_queries_keeps_every_default() -> None:
    shard = FakeShard(payloads=True)
    assert tune_widths(shard, seconds=-1) == DEFAULT_WIDTHS  # type: ignore[arg-type]


@pytest.mark.parametrize("target", [0.2, 0.99])
def test_a_lower_target_needs_less_width(target: float) -> None:
    widths = tune_widths(FakeShard(payloads=False), target=target)  # type: ignore[arg-type]
    assert widths.plain.far == (32 if target < 0.5 else FAR_WIDTH)


def test_where_no_width_holds_the_recall_the_least_that_finds_as_much_as_any_is_kept() -> None:
    class Torn(FakeShard):
        """Half of the hits can't be reached, and a quarter below FAR_WIDTH."""

        def search(self, vector: NDArray[np.float32], **options: Any) -> list[ShardHit]:
            hits = super().search(vector, **options)
            if options.get("exact"):
                return hits
            return hits[:: 2 if (options["width"] or 0) >= FAR_WIDTH else 4]

    widths = tune_widths(Torn(payloads=False))  # type: ignore[arg-type]
    assert (widths.plain.near, widths.plain.far) == (FAR_WIDTH, FAR_WIDTH)
