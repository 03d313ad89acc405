from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_artifacts import SPACE_ID

from rsq.errors import BadInput
from rsq_agent.collections.collection import Collection
from rsq_agent.collections.collection_store import CollectionStore
from rsq_agent.collections.index_points import Hit, IndexPoint
from rsq_agent.collections.recall import MAX_QUERIES, check_recall

COUNT, DIMENSION = 300, 16


class Forgetful:
    """A collection whose approximate search misses every other hit."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> object:
        return getattr(self._collection, name)

    def search(self, *args: object, exact: bool = False, **options: object) -> list[Hit]:
        hits = self._collection.search(*args, exact=True, **options)  # type: ignore[arg-type]
        return hits if exact else hits[::2]


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = CollectionStore(tmp_path).create("scenes", space_id=SPACE_ID, dimension=DIMENSION)
    rows = np.random.default_rng(0).standard_normal((COUNT, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    made.add([IndexPoint(f"/{i}", row, "a" * 64, SPACE_ID) for i, row in enumerate(rows)])
    return made


def test_recall_is_the_share_of_exact_hits_that_are_found(collection: Collection) -> None:
    found = check_recall(collection, queries=30, k=10)
    assert (found.recall, found.k, found.points, found.is_exact) == (1.0, 10, COUNT, True)
    assert 25 <= found.queries <= 30  # the same point may be drawn twice
    half = check_recall(Forgetful(collection), queries=30, k=10)  # type: ignore[arg-type]
    assert half.recall == pytest.approx(0.5)


@pytest.mark.parametrize(("queries", "k"), [(0, 10), (MAX_QUERIES + 1, 10), (10, 0), (10, 101)])
def test_numbers_out_of_bounds_are_refused(collection: Collection, queries: int, k: int) -> None:
    with pytest.raises(BadInput, match="1 to"):
        check_recall(collection, queries=queries, k=k)


def test_an_empty_collection_says_so(tmp_path: Path) -> None:
    empty = CollectionStore(tmp_path).create("empty", space_id=SPACE_ID, dimension=DIMENSION)
    with pytest.raises(BadInput, match="empty"):
        check_recall(empty, queries=10, k=10)
