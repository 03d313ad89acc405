"""How often approximate search on a collection finds what exact search finds: measured on the
collection itself, since it depends on the vectors."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from rsq.errors import BadInput
from rsq.retrieval import RecallCheck
from rsq_agent.collections.collection_interface import VectorCollection
from rsq_agent.collections.overlap import sample_points
from rsq_agent.collections.sample_queries import DISTANCES, displace
from rsq_agent.collections.shard import EXACT_POINTS

MAX_QUERIES = 5000
MAX_K = 100


def check_recall(collection: VectorCollection, *, queries: int, k: int) -> RecallCheck:
    """recall@`k` over about `queries` queries, half of them as near to stored vectors as images lie
    and half as far as texts do. Raises BadInput for numbers out of bounds and for an empty
    collection."""
    if not 1 <= queries <= MAX_QUERIES or not 1 <= k <= MAX_K:
        raise BadInput(f"A check takes 1 to {MAX_QUERIES} queries and k of 1 to {MAX_K}.")
    points = collection.count()
    rows = [
        displace(vector, DISTANCES[place % len(DISTANCES)], place)
        for place, (_, vector) in enumerate(sample_points(collection, queries))
    ]
    if not rows:
        raise BadInput(f"The collection {collection.name!r} is empty; there is nothing to check.")
    found = 0
    wanted = 0
    exact_ms, approximate_ms = [], []
    for row in rows:
        exact, seconds = _search(collection, row, k, exact=True)
        exact_ms.append(seconds * 1000)
        approximate, seconds = _search(collection, row, k, exact=False)
        approximate_ms.append(seconds * 1000)
        found += len(exact & approximate)
        wanted += len(exact)
    return RecallCheck(
        recall=found / wanted,
        queries=len(rows),
        k=k,
        points=points,
        approximate_p50_ms=float(np.median(approximate_ms)),
        exact_p50_ms=float(np.median(exact_ms)),
        search_width=collection.search_width,
        is_exact=points < EXACT_POINTS,
    )


def _search(
    collection: VectorCollection, vector: NDArray[np.float32], k: int, *, exact: bool
) -> tuple[set[tuple[str, str]], float]:
    started = time.perf_counter()
    hits = collection.search(vector, space_id=collection.space_id, limit=k, exact=exact)
    seconds = time.perf_counter() - started
    return {(hit.uri, str(hit.payload.get("window"))) for hit in hits}, seconds
